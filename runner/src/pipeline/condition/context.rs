//! The facts of a build that conditions speak about.

use std::collections::HashMap;

/// Everything a condition can ask for. What is `None` is null.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The build.
    pub build: Build,
    /// Its pipeline.
    pub pipeline: PipelineFacts,
    /// The organization of the pipeline.
    pub organization: Organization,
    /// The step a notification is about.
    pub step: Option<StepFacts>,
    /// The environment of the build for `env()`, `build.env()` and `$NAME`.
    pub env: HashMap<String, String>,
}

/// A build.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct Build {
    pub id: Option<String>,
    pub state: Option<String>,
    pub fixed: Option<bool>,
    pub blocked_state: Option<String>,
    pub source: Option<String>,
    pub source_event: Option<String>,
    pub source_action: Option<String>,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub message: Option<String>,
    pub commit: Option<String>,
    pub number: Option<i64>,
    pub creator: Actor,
    pub author: Actor,
    pub scm: Scm,
    pub pull_request: PullRequest,
    pub merge_queue: MergeQueue,
    /// For `BUILDKITE_TRIGGERED_FROM_…`.
    pub triggered_from: BuildReference,
    /// For `BUILDKITE_REBUILT_FROM_…`.
    pub rebuilt_from: BuildReference,
}

/// A person.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct Actor {
    pub id: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub teams: Option<Vec<String>>,
    pub verified: Option<bool>,
}

/// Who wrote and who committed the commit.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct Scm {
    pub author_name: Option<String>,
    pub author_email: Option<String>,
    pub committer_name: Option<String>,
    pub committer_email: Option<String>,
}

/// The pull request of a build.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct PullRequest {
    pub id: Option<String>,
    pub base_branch: Option<String>,
    pub draft: Option<bool>,
    pub label: Option<String>,
    pub labels: Option<Vec<String>>,
    pub repository: Option<String>,
    pub repository_fork: Option<bool>,
    /// For `BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC`.
    pub using_merge_refspec: bool,
}

/// The merge queue of a build.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct MergeQueue {
    /// Whether the build is one of a merge queue.
    pub active: bool,
    pub base_branch: Option<String>,
    pub base_commit: Option<String>,
}

/// Another build that led to this one.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct BuildReference {
    pub build_id: Option<String>,
    pub build_number: Option<i64>,
    pub pipeline_slug: Option<String>,
    pub job_id: Option<String>,
}

/// A pipeline.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct PipelineFacts {
    pub id: Option<String>,
    pub name: Option<String>,
    pub slug: Option<String>,
    pub default_branch: Option<String>,
    pub repository: Option<String>,
    pub started_passing: Option<bool>,
    pub started_failing: Option<bool>,
    pub next_finished_build_exists: Option<bool>,
    /// Whether `BUILDKITE_GIT_DIFF_BASE` is the commit of the merge queue and not its branch.
    pub diff_against_merge_queue_commit: bool,
}

/// An organization.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct Organization {
    pub id: Option<String>,
    pub slug: Option<String>,
}

/// A step.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the fields are the variables of the same name in conditions")]
pub struct StepFacts {
    pub id: Option<String>,
    pub key: Option<String>,
    pub kind: Option<String>,
    pub label: Option<String>,
    pub state: Option<String>,
    pub outcome: Option<String>,
}
