//! What is built: the facts about the commit that conditions and jobs may ask for.

use crate::pipeline::condition;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The build context. An empty text means that it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildContext {
    /// Branch.
    pub branch: String,
    /// Commit: 40 hex digits, or `HEAD` outside a repository.
    pub commit: String,
    /// Tag, when the commit was pushed as one.
    pub tag: String,
    /// The commit's message.
    pub message: String,
    /// Name of the commit's author.
    pub author: String,
    /// E-mail address of the commit's author.
    pub author_email: String,
    /// Address of the repository.
    pub repository: String,
    /// Number of the pull request; empty when it is none.
    pub pull_request: String,
    /// The branch the pull request is to be merged into.
    pub pull_request_base_branch: String,
    /// Branch that is deployed from, `main` unless known better.
    pub default_branch: String,
    /// Short name of the pipeline, from the project's directory.
    pub pipeline_slug: String,
    /// How the run came about, as Buildkite names it: `ui`, `webhook`, `api`, `schedule` or `trigger_job`.
    pub source: String,
    /// Identifier of the run that triggered this one; empty when none did, and so the two facts that follow.
    pub triggered_from_build_id: String,
    /// Its number.
    pub triggered_from_build_number: String,
    /// Its pipeline's short name.
    pub triggered_from_pipeline_slug: String,
}

impl BuildContext {
    /// The variables that Buildkite's agent sets from these facts.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, &str)> {
        let pull_request = if self.pull_request.is_empty() { "false" } else { &self.pull_request };
        vec![
            ("BUILDKITE", "true"),
            ("CI", "true"),
            ("BUILDKITE_BRANCH", &self.branch),
            ("BUILDKITE_COMMIT", &self.commit),
            ("BUILDKITE_TAG", &self.tag),
            ("BUILDKITE_MESSAGE", &self.message),
            ("BUILDKITE_BUILD_AUTHOR", &self.author),
            ("BUILDKITE_BUILD_AUTHOR_EMAIL", &self.author_email),
            ("BUILDKITE_REPO", &self.repository),
            ("BUILDKITE_PULL_REQUEST", pull_request),
            ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", &self.pull_request_base_branch),
            ("BUILDKITE_PIPELINE_DEFAULT_BRANCH", &self.default_branch),
            ("BUILDKITE_PIPELINE_SLUG", &self.pipeline_slug),
            ("BUILDKITE_PIPELINE_NAME", &self.pipeline_slug),
            ("BUILDKITE_SOURCE", &self.source),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_ID", &self.triggered_from_build_id),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER", &self.triggered_from_build_number),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG", &self.triggered_from_pipeline_slug),
        ]
    }

    /// The same as conditions see it, with the pipeline's environment.
    pub(super) fn facts(&self, env: &IndexMap<String, String>) -> condition::Context {
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        let mut facts = condition::Context::default();
        facts.build.branch = known(&self.branch);
        facts.build.tag = known(&self.tag);
        facts.build.commit = known(&self.commit);
        facts.build.message = known(&self.message);
        facts.build.source = known(&self.source);
        facts.build.state = Some("started".to_owned());
        facts.build.author.name = known(&self.author);
        facts.build.author.email = known(&self.author_email);
        facts.build.creator.name = known(&self.author);
        facts.build.creator.email = known(&self.author_email);
        facts.build.pull_request.id = known(&self.pull_request);
        facts.build.pull_request.base_branch = known(&self.pull_request_base_branch);
        facts.pipeline.slug = known(&self.pipeline_slug);
        facts.pipeline.default_branch = known(&self.default_branch);
        facts.pipeline.repository = known(&self.repository);
        facts.env = env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        facts
    }
}
