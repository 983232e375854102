//! The documented variables of a job that a pipeline cannot set.

/// How firmly a variable is the runner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Only the runner sets it.
    Protected,
    /// Only the runner sets it, and it speaks of one job: one that the runner itself was started with speaks of another
    /// job and is not handed on.
    OfOneJob,
}

use Hold::{OfOneJob, Protected};

/// Every documented variable that users cannot set, sorted. What is not here is theirs, also where the runner has a
/// value for it: `BUILDKITE_REPO` and `BUILDKITE_ARTIFACT_PATHS`.
const VARIABLES: [(&str, Hold); 103] = [
    ("BUILDKITE", Protected),
    ("BUILDKITE_AGENT_ACCESS_TOKEN", OfOneJob),
    ("BUILDKITE_AGENT_CACHE_STORE_URL", Protected),
    ("BUILDKITE_AGENT_DEBUG", Protected),
    ("BUILDKITE_AGENT_DISCONNECT_AFTER_IDLE_TIMEOUT", Protected),
    ("BUILDKITE_AGENT_DISCONNECT_AFTER_JOB", Protected),
    ("BUILDKITE_AGENT_ENDPOINT", Protected),
    ("BUILDKITE_AGENT_EXPERIMENT", Protected),
    ("BUILDKITE_AGENT_HEALTH_CHECK_ADDR", Protected),
    ("BUILDKITE_AGENT_ID", OfOneJob),
    ("BUILDKITE_AGENT_JOB_API_SOCKET", OfOneJob),
    ("BUILDKITE_AGENT_JOB_API_TOKEN", OfOneJob),
    ("BUILDKITE_AGENT_NAME", OfOneJob),
    ("BUILDKITE_AGENT_PID", OfOneJob),
    ("BUILDKITE_BIN_PATH", Protected),
    ("BUILDKITE_BRANCH", Protected),
    ("BUILDKITE_BUILD_AUTHOR", Protected),
    ("BUILDKITE_BUILD_AUTHOR_EMAIL", Protected),
    ("BUILDKITE_BUILD_CHECKOUT_PATH", Protected),
    ("BUILDKITE_BUILD_CREATOR", Protected),
    ("BUILDKITE_BUILD_CREATOR_EMAIL", Protected),
    ("BUILDKITE_BUILD_CREATOR_TEAMS", Protected),
    ("BUILDKITE_BUILD_ID", Protected),
    ("BUILDKITE_BUILD_NUMBER", Protected),
    ("BUILDKITE_BUILD_PATH", Protected),
    ("BUILDKITE_BUILD_URL", Protected),
    ("BUILDKITE_CANCEL_GRACE_PERIOD", Protected),
    ("BUILDKITE_CLUSTER_ID", Protected),
    ("BUILDKITE_CLUSTER_NAME", Protected),
    ("BUILDKITE_COMMAND", OfOneJob),
    ("BUILDKITE_COMMAND_EVAL", Protected),
    ("BUILDKITE_COMMAND_EXIT_STATUS", OfOneJob),
    ("BUILDKITE_COMMIT", Protected),
    ("BUILDKITE_COMMIT_RESOLVED", Protected),
    ("BUILDKITE_COMPUTE_TYPE", Protected),
    ("BUILDKITE_CONFIG_PATH", Protected),
    ("BUILDKITE_ENV_FILE", OfOneJob),
    ("BUILDKITE_GITHUB_ACTION", Protected),
    ("BUILDKITE_GITHUB_COMMENT_ID", Protected),
    ("BUILDKITE_GITHUB_DEPLOYMENT_ENVIRONMENT", Protected),
    ("BUILDKITE_GITHUB_DEPLOYMENT_ID", Protected),
    ("BUILDKITE_GITHUB_DEPLOYMENT_PAYLOAD", Protected),
    ("BUILDKITE_GITHUB_DEPLOYMENT_TASK", Protected),
    ("BUILDKITE_GITHUB_EVENT", Protected),
    ("BUILDKITE_GITHUB_REVIEW_ID", Protected),
    ("BUILDKITE_GIT_COMMIT_VERIFICATION", Protected),
    ("BUILDKITE_GIT_LFS_ENABLED", Protected),
    ("BUILDKITE_GIT_MIRRORS_PATH", Protected),
    ("BUILDKITE_GIT_REMOTE_MIRROR_URL", Protected),
    ("BUILDKITE_GIT_SKIP_FETCH_EXISTING_COMMITS", Protected),
    ("BUILDKITE_GIT_SPARSE_CHECKOUT_PATHS", Protected),
    ("BUILDKITE_GIT_SUBMODULES", Protected),
    ("BUILDKITE_GROUP_ID", OfOneJob),
    ("BUILDKITE_GROUP_KEY", OfOneJob),
    ("BUILDKITE_GROUP_LABEL", OfOneJob),
    ("BUILDKITE_HOOKS_PATH", Protected),
    ("BUILDKITE_IGNORED_ENV", OfOneJob),
    ("BUILDKITE_JOB_CANCELLED", OfOneJob),
    ("BUILDKITE_JOB_ID", OfOneJob),
    ("BUILDKITE_JOB_LOG_TMPFILE", OfOneJob),
    ("BUILDKITE_LABEL", OfOneJob),
    ("BUILDKITE_LAST_HOOK_EXIT_STATUS", OfOneJob),
    ("BUILDKITE_LOCAL_HOOKS_ENABLED", Protected),
    ("BUILDKITE_MERGE_QUEUE_BASE_BRANCH", Protected),
    ("BUILDKITE_MERGE_QUEUE_BASE_COMMIT", Protected),
    ("BUILDKITE_MESSAGE", Protected),
    ("BUILDKITE_ORGANIZATION_ID", Protected),
    ("BUILDKITE_ORGANIZATION_SLUG", Protected),
    ("BUILDKITE_PARALLEL_JOB", OfOneJob),
    ("BUILDKITE_PARALLEL_JOB_COUNT", OfOneJob),
    ("BUILDKITE_PIPELINE_DEFAULT_BRANCH", Protected),
    ("BUILDKITE_PIPELINE_ID", Protected),
    ("BUILDKITE_PIPELINE_NAME", Protected),
    ("BUILDKITE_PIPELINE_PROVIDER", Protected),
    ("BUILDKITE_PIPELINE_SLUG", Protected),
    ("BUILDKITE_PIPELINE_TEAMS", Protected),
    ("BUILDKITE_PLUGINS_ENABLED", Protected),
    ("BUILDKITE_PLUGINS_PATH", Protected),
    ("BUILDKITE_PULL_REQUEST", Protected),
    ("BUILDKITE_PULL_REQUEST_BASE_BRANCH", Protected),
    ("BUILDKITE_PULL_REQUEST_DRAFT", Protected),
    ("BUILDKITE_PULL_REQUEST_LABELS", Protected),
    ("BUILDKITE_PULL_REQUEST_REPO", Protected),
    ("BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC", Protected),
    ("BUILDKITE_REBUILT_FROM_BUILD_ID", Protected),
    ("BUILDKITE_REBUILT_FROM_BUILD_NUMBER", Protected),
    ("BUILDKITE_REPO_MIRROR", Protected),
    ("BUILDKITE_RETRY_COUNT", OfOneJob),
    ("BUILDKITE_SHELL", Protected),
    ("BUILDKITE_SOURCE", Protected),
    ("BUILDKITE_SSH_KEYSCAN", Protected),
    ("BUILDKITE_STEP_ID", OfOneJob),
    ("BUILDKITE_STEP_KEY", OfOneJob),
    ("BUILDKITE_TAG", Protected),
    ("BUILDKITE_TIMEOUT", OfOneJob),
    ("BUILDKITE_TRIGGERED_FROM_BUILD_ID", Protected),
    ("BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER", Protected),
    ("BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG", Protected),
    ("BUILDKITE_UNBLOCKER", OfOneJob),
    ("BUILDKITE_UNBLOCKER_EMAIL", OfOneJob),
    ("BUILDKITE_UNBLOCKER_ID", OfOneJob),
    ("BUILDKITE_UNBLOCKER_TEAMS", OfOneJob),
    ("CI", Protected),
];

/// What an agent was asked for, one variable each.
pub const AGENT_META_DATA: &str = "BUILDKITE_AGENT_META_DATA_";

/// Whether only the runner sets a variable: a value from a pipeline, a step or `--env` is ignored.
#[must_use]
pub fn is_protected(name: &str) -> bool {
    hold(name).is_some()
}

/// Whether a variable speaks of one job.
#[must_use]
pub fn is_of_one_job(name: &str) -> bool {
    hold(name) == Some(OfOneJob)
}

fn hold(name: &str) -> Option<Hold> {
    if name.starts_with(AGENT_META_DATA) {
        return Some(OfOneJob);
    }
    let found = VARIABLES.binary_search_by_key(&name, |(name, _)| name).ok()?;
    Some(VARIABLES[found].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        assert!(VARIABLES.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn names() {
        for name in ["CI", "BUILDKITE", "BUILDKITE_COMMIT", "BUILDKITE_JOB_ID", "BUILDKITE_AGENT_META_DATA_QUEUE"] {
            assert!(is_protected(name), "{name}");
        }
        for name in ["HOME", "BUILDKITE_REPO", "BUILDKITE_ANALYTICS_TOKEN", "BUILDKITE_ARTIFACT_PATHS", "ci"] {
            assert!(!is_protected(name), "{name}");
        }
        assert!(is_of_one_job("BUILDKITE_GROUP_KEY") && !is_of_one_job("BUILDKITE_COMMIT"));
    }
}
