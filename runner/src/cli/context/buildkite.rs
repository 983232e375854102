//! What Buildkite's agent, and this runner around another, say about a build.

use super::ci::Variables;
use crate::plan::{BuildContext, Person, PullRequest};

pub(super) fn facts(variables: &Variables) -> BuildContext {
    let text = |name: &str| variables.text(&format!("BUILDKITE_{name}"));
    let person =
        |role: &str| Person { name: text(&format!("BUILD_{role}")), email: text(&format!("BUILD_{role}_EMAIL")) };
    let number = text("PULL_REQUEST");
    let repository = text("REPO");
    let source_repository = text("PULL_REQUEST_REPO");
    let pull_request = (!matches!(number.as_str(), "" | "false")).then(|| PullRequest {
        number,
        base_branch: text("PULL_REQUEST_BASE_BRANCH"),
        fork: is_fork(&repository, &source_repository),
        repository: source_repository,
        labels: variables.list("BUILDKITE_PULL_REQUEST_LABELS"),
        label: String::new(),
        draft: Some(variables.flag("BUILDKITE_PULL_REQUEST_DRAFT").unwrap_or_default()),
        merged: variables.flag("BUILDKITE_PULL_REQUEST_USING_MERGE_REFSPEC").unwrap_or_default(),
    });
    // What is a fact of its own is set from there; the rest of what is known about the event is passed on.
    let own = ["BUILDKITE_GITHUB_EVENT", "BUILDKITE_GITHUB_ACTION"];
    let event = variables.beginning("BUILDKITE_GITHUB_").filter(|(name, _)| !own.contains(name));
    BuildContext {
        branch: text("BRANCH"),
        commit: text("COMMIT"),
        tag: text("TAG"),
        message: text("MESSAGE"),
        author: person("AUTHOR"),
        creator: person("CREATOR"),
        repository,
        provider: text("PIPELINE_PROVIDER"),
        pull_request,
        merge_queue_base_branch: text("MERGE_QUEUE_BASE_BRANCH"),
        merge_queue_base_commit: text("MERGE_QUEUE_BASE_COMMIT"),
        default_branch: text("PIPELINE_DEFAULT_BRANCH"),
        pipeline_slug: text("PIPELINE_SLUG"),
        pipeline_name: text("PIPELINE_NAME"),
        organization: text("ORGANIZATION_SLUG"),
        source: text("SOURCE"),
        source_event: text("GITHUB_EVENT"),
        source_action: text("GITHUB_ACTION"),
        number: variables.number("BUILDKITE_BUILD_NUMBER"),
        url: text("BUILD_URL"),
        triggered_from_build_id: text("TRIGGERED_FROM_BUILD_ID"),
        triggered_from_build_number: text("TRIGGERED_FROM_BUILD_NUMBER"),
        triggered_from_pipeline_slug: text("TRIGGERED_FROM_BUILD_PIPELINE_SLUG"),
        rebuilt_from_build_id: text("REBUILT_FROM_BUILD_ID"),
        rebuilt_from_build_number: text("REBUILT_FROM_BUILD_NUMBER"),
        env: event.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..BuildContext::default()
    }
}

/// Whether two addresses are of different repositories, whatever protocol they are for.
fn is_fork(ours: &str, theirs: &str) -> Option<bool> {
    let name = |address: &str| {
        let address = address.trim_end_matches('/').trim_end_matches(".git").to_lowercase();
        let mut parts = address.rsplit(['/', ':']);
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    Some(name(ours)? != name(theirs)?)
}

#[cfg(test)]
mod tests {
    use super::super::ci::variables;
    use super::*;

    #[test]
    fn a_pull_request() {
        let facts = facts(&variables(
            "BUILDKITE=true
            BUILDKITE_BRANCH=someone:fix
            BUILDKITE_COMMIT=83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d
            BUILDKITE_MESSAGE=Fix it
            BUILDKITE_BUILD_AUTHOR=Carol
            BUILDKITE_BUILD_AUTHOR_EMAIL=carol@example.com
            BUILDKITE_BUILD_CREATOR=Dan
            BUILDKITE_REPO=git@github.com:acme/orders.git
            BUILDKITE_PULL_REQUEST=12
            BUILDKITE_PULL_REQUEST_BASE_BRANCH=main
            BUILDKITE_PULL_REQUEST_REPO=git://github.com/someone/orders.git
            BUILDKITE_PULL_REQUEST_LABELS=a,b
            BUILDKITE_PIPELINE_DEFAULT_BRANCH=main
            BUILDKITE_PIPELINE_SLUG=orders
            BUILDKITE_ORGANIZATION_SLUG=acme
            BUILDKITE_SOURCE=webhook
            BUILDKITE_GITHUB_EVENT=pull_request
            BUILDKITE_GITHUB_REVIEW_ID=9
            BUILDKITE_BUILD_NUMBER=1514
            BUILDKITE_BUILD_URL=https://buildkite.com/acme/orders/builds/1514
            BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER=7",
        ));
        assert_eq!((facts.branch.as_str(), facts.message.as_str()), ("someone:fix", "Fix it"));
        assert_eq!((facts.author.email.as_str(), facts.creator.name.as_str()), ("carol@example.com", "Dan"));
        assert_eq!((facts.number, facts.organization.as_str()), (Some(1514), "acme"));
        assert_eq!((facts.source.as_str(), facts.source_event.as_str()), ("webhook", "pull_request"));
        assert_eq!(facts.triggered_from_build_number, "7");
        assert_eq!(facts.env.get("BUILDKITE_GITHUB_REVIEW_ID").map(String::as_str), Some("9"));
        assert!(!facts.env.contains_key("BUILDKITE_GITHUB_EVENT"));
        let pull_request = facts.pull_request.unwrap();
        assert_eq!((pull_request.number.as_str(), pull_request.base_branch.as_str()), ("12", "main"));
        assert_eq!((pull_request.fork, pull_request.draft), (Some(true), Some(false)));
        assert_eq!(pull_request.labels, ["a", "b"]);
    }

    #[test]
    fn no_pull_request() {
        assert_eq!(facts(&variables("BUILDKITE_PULL_REQUEST=false")).pull_request, None);
        assert_eq!(facts(&variables("")).pull_request, None);
    }

    #[test]
    fn forks() {
        for (ours, theirs, expected) in [
            ("git@github.com:acme/orders.git", "git://github.com/acme/orders.git", Some(false)),
            ("git@github.com:acme/orders.git", "https://github.com/Acme/orders", Some(false)),
            ("git@github.com:acme/orders.git", "https://github.com/other/orders", Some(true)),
            ("git@github.com:acme/orders.git", "", None),
        ] {
            assert_eq!(is_fork(ours, theirs), expected, "{theirs}");
        }
    }
}
