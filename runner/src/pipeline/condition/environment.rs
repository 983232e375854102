//! The environment variables a condition may name.

use super::context::Context;
use crate::pipeline::similar::closest;

/// The variables of the `BUILDKITE_` family that conditions know; all others of it are mistakes.
const KNOWN: [&str; 39] = [
    "BUILDKITE_BRANCH",
    "BUILDKITE_COMMIT",
    "BUILDKITE_GITHUB_ACTION",
    "BUILDKITE_GITHUB_CHECK_RUN_CONCLUSION",
    "BUILDKITE_GITHUB_CHECK_RUN_NAME",
    "BUILDKITE_GITHUB_COMMENT_ID",
    "BUILDKITE_GITHUB_DEPLOYMENT_ENVIRONMENT",
    "BUILDKITE_GITHUB_DEPLOYMENT_ID",
    "BUILDKITE_GITHUB_DEPLOYMENT_PAYLOAD",
    "BUILDKITE_GITHUB_DEPLOYMENT_STATUS_ENVIRONMENT",
    "BUILDKITE_GITHUB_DEPLOYMENT_STATUS_STATE",
    "BUILDKITE_GITHUB_DEPLOYMENT_TASK",
    "BUILDKITE_GITHUB_EVENT",
    "BUILDKITE_GITHUB_RELEASE_DRAFT",
    "BUILDKITE_GITHUB_RELEASE_PRERELEASE",
    "BUILDKITE_GITHUB_RELEASE_TAG",
    "BUILDKITE_GITHUB_REVIEW_ID",
    "BUILDKITE_GITHUB_REVIEW_STATE",
    "BUILDKITE_GIT_DIFF_BASE",
    "BUILDKITE_MERGE_QUEUE_BASE_BRANCH",
    "BUILDKITE_MERGE_QUEUE_BASE_COMMIT",
    "BUILDKITE_MESSAGE",
    "BUILDKITE_ORGANIZATION_SLUG",
    "BUILDKITE_PIPELINE_ID",
    "BUILDKITE_PIPELINE_NAME",
    "BUILDKITE_PIPELINE_SLUG",
    "BUILDKITE_PULL_REQUEST",
    "BUILDKITE_PULL_REQUEST_BASE_BRANCH",
    "BUILDKITE_PULL_REQUEST_LABELS",
    "BUILDKITE_PULL_REQUEST_REPO",
    "BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC",
    "BUILDKITE_REBUILT_FROM_BUILD_ID",
    "BUILDKITE_REBUILT_FROM_BUILD_NUMBER",
    "BUILDKITE_REPO",
    "BUILDKITE_TAG",
    "BUILDKITE_TRIGGERED_FROM_BUILD_ID",
    "BUILDKITE_TRIGGERED_FROM_BUILD_JOB_ID",
    "BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER",
    "BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG",
];

/// What is wrong with the name of a variable: a message and advice.
pub(super) fn name_problem(name: &str) -> Option<(String, Option<String>)> {
    if name.starts_with('$') {
        let plain = name.replace('$', "");
        let help = (!plain.is_empty()).then(|| format!("write `{plain}`"));
        return Some(("the name of a variable is written without `$`".to_owned(), help));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some((format!("`{name}` is not the name of a variable"), None));
    }
    if is_unknown(name) {
        let help = match closest(name, KNOWN.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "of the variables that begin with `BUILDKITE_` only those about the build are known, not those about agents and jobs".to_owned(),
        };
        return Some((format!("conditions do not know the variable `{name}`"), Some(help)));
    }
    None
}

/// Whether a name belongs to the `BUILDKITE_` family without being one of those conditions know.
pub(super) fn is_unknown(name: &str) -> bool {
    name.starts_with("BUILDKITE_") && KNOWN.binary_search(&name).is_err()
}

/// The value of a variable: what the build itself sets wins over what its environment sets.
pub(super) fn value(name: &str, context: &Context) -> Option<String> {
    let build = &context.build;
    let blank = |text: &Option<String>| Some(text.clone().unwrap_or_default());
    let number = |number: Option<i64>| Some(number.map(|number| number.to_string()).unwrap_or_default());
    let own = match name {
        "BUILDKITE_BRANCH" => build.branch.clone(),
        "BUILDKITE_TAG" => blank(&build.tag),
        "BUILDKITE_MESSAGE" => blank(&build.message),
        "BUILDKITE_COMMIT" => build.commit.clone(),
        "BUILDKITE_REPO" => context.pipeline.repository.clone(),
        "BUILDKITE_PIPELINE_SLUG" => context.pipeline.slug.clone(),
        "BUILDKITE_PIPELINE_NAME" => context.pipeline.name.clone(),
        "BUILDKITE_PIPELINE_ID" => context.pipeline.id.clone(),
        "BUILDKITE_ORGANIZATION_SLUG" => context.organization.slug.clone(),
        "BUILDKITE_PULL_REQUEST" => {
            let id = build.pull_request.id.as_deref().filter(|id| !id.is_empty());
            Some(id.unwrap_or("false").to_owned())
        }
        "BUILDKITE_PULL_REQUEST_BASE_BRANCH" => blank(&build.pull_request.base_branch),
        "BUILDKITE_PULL_REQUEST_REPO" => blank(&build.pull_request.repository),
        "BUILDKITE_PULL_REQUEST_LABELS" => Some(build.pull_request.labels.clone().unwrap_or_default().join(",")),
        "BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC" => {
            Some(if build.pull_request.using_merge_refspec { "true".to_owned() } else { String::new() })
        }
        "BUILDKITE_MERGE_QUEUE_BASE_BRANCH" => blank(&build.merge_queue.base_branch),
        "BUILDKITE_MERGE_QUEUE_BASE_COMMIT" => blank(&build.merge_queue.base_commit),
        "BUILDKITE_TRIGGERED_FROM_BUILD_ID" => blank(&build.triggered_from.build_id),
        "BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER" => number(build.triggered_from.build_number),
        "BUILDKITE_TRIGGERED_FROM_BUILD_PIPELINE_SLUG" => blank(&build.triggered_from.pipeline_slug),
        "BUILDKITE_TRIGGERED_FROM_BUILD_JOB_ID" => blank(&build.triggered_from.job_id),
        "BUILDKITE_REBUILT_FROM_BUILD_ID" => blank(&build.rebuilt_from.build_id),
        "BUILDKITE_REBUILT_FROM_BUILD_NUMBER" => number(build.rebuilt_from.build_number),
        "BUILDKITE_GIT_DIFF_BASE" => Some(diff_base(context)),
        _ if is_unknown(name) => return None,
        _ => None,
    };
    own.or_else(|| context.env.get(name).cloned())
}

fn diff_base(context: &Context) -> String {
    let queue = &context.build.merge_queue;
    let base = if context.pipeline.diff_against_merge_queue_commit { &queue.base_commit } else { &queue.base_branch };
    base.clone().filter(|_| queue.active).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_sorted_for_the_search() {
        assert!(KNOWN.is_sorted());
    }

    #[test]
    fn names() {
        assert!(name_problem("FOO").is_none());
        assert!(name_problem("BUILDKITE_BRANCH").is_none());
        let (_, help) = name_problem("BUILDKITE_BRNACH").unwrap();
        assert_eq!(help.unwrap(), "did you mean `BUILDKITE_BRANCH`?");
        assert!(name_problem("BUILDKITE_AGENT_ACCESS_TOKEN").is_some());
        assert_eq!(name_problem("$FOO").unwrap().1.unwrap(), "write `FOO`");
        assert!(name_problem("").is_some());
    }
}
