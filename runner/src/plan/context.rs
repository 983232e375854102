//! What is built: the facts about the commit that conditions and jobs may ask for.

use crate::pipeline::condition;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

/// The build context. An empty text means that it is not known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildContext {
    /// Branch; for a tag the tag, for a pull request from a fork `OWNER:BRANCH`, so that no fork passes for a branch of
    /// the repository.
    pub branch: String,
    /// Commit: 40 hex digits, or `HEAD` outside a repository.
    pub commit: String,
    /// Tag, when the commit was pushed as one.
    pub tag: String,
    /// The commit's message.
    pub message: String,
    /// Who wrote the commit.
    pub author: Person,
    /// Who made the commit.
    pub committer: Person,
    /// Who asked for the build; the author unless known better.
    pub creator: Person,
    /// Address of the repository, without passwords.
    pub repository: String,
    /// Where the repository is kept, as Buildkite names it: `github`, `gitlab`, `bitbucket`.
    pub provider: String,
    /// The pull request, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequest>,
    /// The branch into which a merge queue is about to merge.
    pub merge_queue_base_branch: String,
    /// The commit onto which a merge queue is about to merge.
    pub merge_queue_base_commit: String,
    /// Branch that is deployed from, `main` unless known better.
    pub default_branch: String,
    /// Short name of the pipeline, from the project's directory unless known better.
    pub pipeline_slug: String,
    /// Name of the pipeline; its short name unless known better.
    pub pipeline_name: String,
    /// Short name of the organization, `local` unless known better.
    pub organization: String,
    /// How the run came about, as Buildkite names it: `ui`, `webhook`, `api`, `schedule` or `trigger_job`.
    pub source: String,
    /// The event of the repository's host that led to it, such as `push` or `pull_request`.
    pub source_event: String,
    /// What happened in that event, such as `opened` or `labeled`.
    pub source_action: String,
    /// Number the surrounding CI system counts the build by.
    pub number: Option<u64>,
    /// Page of the build in the surrounding CI system.
    pub url: String,
    /// Identifier of the build that triggered this one; empty when none did, and so the two facts that follow.
    pub triggered_from_build_id: String,
    /// Its number.
    pub triggered_from_build_number: String,
    /// Its pipeline's short name.
    pub triggered_from_pipeline_slug: String,
    /// Number of the pull request that build was for; `None` when it was for none. This build then has no pull request
    /// of its own, and is in the same workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub triggered_from_pull_request: Option<String>,
    /// Identifier of the build that this one repeats; empty when it repeats none.
    pub rebuilt_from_build_id: String,
    /// Its number.
    pub rebuilt_from_build_number: String,
    /// The build's own variables (`--env`): over the pipeline's, below the steps'.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// The files that the build changes, relative to the root of the repository; `None` when nobody knows: then
    /// `if_changed` skips nothing. Matters for planning only and is not stored.
    #[serde(skip)]
    pub changed_files: Option<Vec<String>>,
}

/// A person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Person {
    /// Name.
    pub name: String,
    /// E-mail address.
    pub email: String,
}

/// A pull request, or what another host calls a merge request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PullRequest {
    /// Number.
    pub number: String,
    /// The branch it is to be merged into.
    pub base_branch: String,
    /// Address of the repository it comes from.
    pub repository: String,
    /// Whether that is another repository than the one it goes to.
    pub fork: Option<bool>,
    /// Its labels.
    pub labels: Vec<String>,
    /// The label that was just added or removed.
    pub label: String,
    /// Whether it is a draft.
    pub draft: Option<bool>,
    /// Whether the commit is a trial merge of it and not its own.
    pub merged: bool,
}

impl BuildContext {
    /// Number of the pull request whose files are in the workspace: that of this build, or of the one that triggered it.
    #[must_use]
    pub fn pull_request_number(&self) -> Option<&str> {
        let own = self.pull_request.as_ref().map(|pull_request| pull_request.number.as_str());
        own.or(self.triggered_from_pull_request.as_deref())
    }

    /// The variables that Buildkite's agent sets from these facts.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let none = PullRequest { number: "false".to_owned(), ..PullRequest::default() };
        let pull_request = self.pull_request.as_ref().unwrap_or(&none);
        let flag = |flag: bool| flag.to_string();
        let mut variables = vec![
            ("BUILDKITE", flag(true)),
            ("CI", flag(true)),
            ("BUILDKITE_BRANCH", self.branch.clone()),
            ("BUILDKITE_COMMIT", self.commit.clone()),
            ("BUILDKITE_TAG", self.tag.clone()),
            ("BUILDKITE_MESSAGE", self.message.clone()),
            ("BUILDKITE_BUILD_AUTHOR", self.author.name.clone()),
            ("BUILDKITE_BUILD_AUTHOR_EMAIL", self.author.email.clone()),
            ("BUILDKITE_BUILD_CREATOR", self.creator.name.clone()),
            ("BUILDKITE_BUILD_CREATOR_EMAIL", self.creator.email.clone()),
            ("BUILDKITE_BUILD_CREATOR_TEAMS", String::new()),
            ("BUILDKITE_BUILD_URL", self.url.clone()),
            ("BUILDKITE_REPO", self.repository.clone()),
            ("BUILDKITE_PULL_REQUEST", pull_request.number.clone()),
            ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", pull_request.base_branch.clone()),
            ("BUILDKITE_PULL_REQUEST_DRAFT", flag(pull_request.draft.unwrap_or_default())),
            ("BUILDKITE_PULL_REQUEST_LABELS", pull_request.labels.join(",")),
            ("BUILDKITE_PULL_REQUEST_REPO", pull_request.repository.clone()),
            ("BUILDKITE_PIPELINE_DEFAULT_BRANCH", self.default_branch.clone()),
            ("BUILDKITE_PIPELINE_SLUG", self.pipeline_slug.clone()),
            ("BUILDKITE_PIPELINE_NAME", self.pipeline_name.clone()),
            ("BUILDKITE_PIPELINE_PROVIDER", self.provider.clone()),
            ("BUILDKITE_ORGANIZATION_SLUG", self.organization.clone()),
            ("BUILDKITE_SOURCE", self.source.clone()),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_ID", self.triggered_from_build_id.clone()),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER", self.triggered_from_build_number.clone()),
            ("BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG", self.triggered_from_pipeline_slug.clone()),
            ("BUILDKITE_REBUILT_FROM_BUILD_ID", self.rebuilt_from_build_id.clone()),
            ("BUILDKITE_REBUILT_FROM_BUILD_NUMBER", self.rebuilt_from_build_number.clone()),
        ];
        let known = [
            ("BUILDKITE_BUILD_NUMBER", self.number.map(|number| number.to_string()).unwrap_or_default()),
            (
                "BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC",
                if pull_request.merged { flag(true) } else { String::new() },
            ),
            ("BUILDKITE_MERGE_QUEUE_BASE_BRANCH", self.merge_queue_base_branch.clone()),
            ("BUILDKITE_MERGE_QUEUE_BASE_COMMIT", self.merge_queue_base_commit.clone()),
            ("BUILDKITE_GITHUB_EVENT", self.source_event.clone()),
            ("BUILDKITE_GITHUB_ACTION", self.source_action.clone()),
        ];
        variables.extend(known.into_iter().filter(|(_, value)| !value.is_empty()));
        variables
    }

    /// The same as conditions see it, with the pipeline's environment.
    pub(crate) fn facts(&self, env: &IndexMap<String, String>) -> condition::Context {
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        let number = |text: &String| text.parse().ok();
        let mut facts = condition::Context::default();
        facts.build.branch = known(&self.branch);
        facts.build.tag = known(&self.tag);
        facts.build.commit = known(&self.commit);
        facts.build.message = known(&self.message);
        facts.build.number = self.number.and_then(|number| i64::try_from(number).ok());
        facts.build.source = known(&self.source);
        facts.build.source_event = known(&self.source_event);
        facts.build.source_action = known(&self.source_action);
        facts.build.state = Some("started".to_owned());
        facts.build.author.name = known(&self.author.name);
        facts.build.author.email = known(&self.author.email);
        facts.build.creator.name = known(&self.creator.name);
        facts.build.creator.email = known(&self.creator.email);
        facts.build.scm.author_name = known(&self.author.name);
        facts.build.scm.author_email = known(&self.author.email);
        facts.build.scm.committer_name = known(&self.committer.name);
        facts.build.scm.committer_email = known(&self.committer.email);
        if let Some(pull_request) = &self.pull_request {
            facts.build.pull_request = condition::PullRequest {
                id: known(&pull_request.number),
                base_branch: known(&pull_request.base_branch),
                draft: pull_request.draft,
                label: known(&pull_request.label),
                labels: Some(pull_request.labels.clone()),
                repository: known(&pull_request.repository),
                repository_fork: pull_request.fork,
                using_merge_refspec: pull_request.merged,
            };
        }
        facts.build.merge_queue = condition::MergeQueue {
            active: !self.merge_queue_base_branch.is_empty(),
            base_branch: known(&self.merge_queue_base_branch),
            base_commit: known(&self.merge_queue_base_commit),
        };
        facts.build.triggered_from.build_id = known(&self.triggered_from_build_id);
        facts.build.triggered_from.build_number = number(&self.triggered_from_build_number);
        facts.build.triggered_from.pipeline_slug = known(&self.triggered_from_pipeline_slug);
        facts.build.rebuilt_from.build_id = known(&self.rebuilt_from_build_id);
        facts.build.rebuilt_from.build_number = number(&self.rebuilt_from_build_number);
        facts.pipeline.slug = known(&self.pipeline_slug);
        facts.pipeline.name = known(&self.pipeline_name);
        facts.pipeline.default_branch = known(&self.default_branch);
        facts.pipeline.repository = known(&self.repository);
        facts.organization.slug = known(&self.organization);
        facts.env = env.iter().chain(&self.env).map(|(name, value)| (name.clone(), value.clone())).collect();
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Spanned;
    use crate::pipeline::condition::{Condition, Scope};

    fn context() -> BuildContext {
        BuildContext {
            branch: "someone:fix".to_owned(),
            commit: "0123".to_owned(),
            author: Person { name: "A".to_owned(), email: "a@example.com".to_owned() },
            committer: Person { name: "C".to_owned(), email: "c@example.com".to_owned() },
            creator: Person { name: "B".to_owned(), email: String::new() },
            pull_request: Some(PullRequest {
                number: "12".to_owned(),
                base_branch: "main".to_owned(),
                repository: "https://example.com/fork.git".to_owned(),
                fork: Some(true),
                labels: vec!["slow".to_owned(), "docs".to_owned()],
                label: "slow".to_owned(),
                draft: Some(false),
                merged: true,
            }),
            source: "webhook".to_owned(),
            source_event: "pull_request".to_owned(),
            source_action: "labeled".to_owned(),
            number: Some(7),
            organization: "acme".to_owned(),
            triggered_from_build_number: "3".to_owned(),
            env: [("LEVEL".to_owned(), "build".to_owned())].into(),
            ..BuildContext::default()
        }
    }

    #[test]
    fn every_fact_reaches_conditions() {
        let env = [("LEVEL".to_owned(), "pipeline".to_owned()), ("ONLY".to_owned(), "pipeline".to_owned())].into();
        let facts = context().facts(&env);
        for text in [
            "build.branch == 'someone:fix' && build.number == 7 && organization.slug == 'acme'",
            "build.author.email == 'a@example.com' && build.creator.name == 'B' && build.creator.email == null",
            "build.scm.author.name == 'A' && build.scm.committer.email == 'c@example.com'",
            "build.pull_request.id == '12' && build.pull_request.base_branch == 'main'",
            "build.pull_request.labels includes 'docs' && build.pull_request.label == 'slow'",
            "build.pull_request.draft == false && build.pull_request.repository.fork == true",
            "build.source == 'webhook' && build.source_event == 'pull_request' && build.source_action == 'labeled'",
            "env('BUILDKITE_PULL_REQUEST_LABELS') == 'slow,docs' && env('BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER') == '3'",
            "env('LEVEL') == 'build' && env('ONLY') == 'pipeline'",
            "build.tag == null && build.merge_queue.base_branch == null",
        ] {
            let condition = Spanned::new(text.to_owned(), crate::pipeline::Span::new(0, text.len()));
            let holds = Condition::parse(&condition, Scope::Build).and_then(|parsed| parsed.evaluate(&facts));
            assert!(holds.as_ref().is_ok_and(|holds| *holds), "{text}: {holds:?}");
        }
    }

    #[test]
    fn variables_say_the_same_and_are_complete_without_a_pull_request() {
        let value = |context: &BuildContext, name: &str| {
            context.variables().into_iter().find(|(variable, _)| *variable == name).map(|(_, value)| value)
        };
        let with = context();
        for (name, expected) in [
            ("BUILDKITE_PULL_REQUEST", "12"),
            ("BUILDKITE_PULL_REQUEST_LABELS", "slow,docs"),
            ("BUILDKITE_PULL_REQUEST_DRAFT", "false"),
            ("BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC", "true"),
            ("BUILDKITE_BUILD_NUMBER", "7"),
            ("BUILDKITE_GITHUB_EVENT", "pull_request"),
        ] {
            assert_eq!(value(&with, name).as_deref(), Some(expected), "{name}");
        }
        let without = BuildContext::default();
        assert_eq!(value(&without, "BUILDKITE_PULL_REQUEST").as_deref(), Some("false"));
        assert_eq!(value(&without, "BUILDKITE_PULL_REQUEST_BASE_BRANCH").as_deref(), Some(""));
        assert_eq!(value(&without, "BUILDKITE_REBUILT_FROM_BUILD_ID").as_deref(), Some(""));
        assert_eq!(value(&without, "BUILDKITE_BUILD_NUMBER"), None, "only the run itself knows it then");
    }

    #[test]
    fn changed_files_are_not_stored() {
        let context = BuildContext { changed_files: Some(vec!["a".to_owned()]), ..context() };
        let stored: BuildContext = serde_json::from_str(&serde_json::to_string(&context).unwrap()).unwrap();
        assert_eq!(stored, BuildContext { changed_files: None, ..context });
    }
}
