//! What GitLab CI says about a build.

use super::ci::{Variables, fork_branch};
use crate::plan::{BuildContext, Person, PullRequest};

pub(super) fn facts(variables: &Variables) -> BuildContext {
    let text = |name: &str| variables.text(&format!("CI_{name}"));
    let pull_request = pull_request(variables);
    let branch = match &pull_request {
        None => variables.first(&["CI_COMMIT_BRANCH", "CI_COMMIT_TAG", "CI_COMMIT_REF_NAME"]),
        Some(pull_request) => {
            let branch = text("MERGE_REQUEST_SOURCE_BRANCH_NAME");
            let path = text("MERGE_REQUEST_SOURCE_PROJECT_PATH");
            let owner = path.rsplit_once('/').map_or("", |(owner, _)| owner);
            if pull_request.fork == Some(false) { branch } else { fork_branch(owner, &branch) }
        }
    };
    BuildContext {
        branch,
        commit: text("COMMIT_SHA"),
        tag: text("COMMIT_TAG"),
        message: text("COMMIT_MESSAGE"),
        author: person(&text("COMMIT_AUTHOR")),
        creator: Person { name: variables.text("GITLAB_USER_NAME"), email: variables.text("GITLAB_USER_EMAIL") },
        // CI_REPOSITORY_URL has the job's token in it.
        repository: variables.known("CI_PROJECT_URL").map(|url| format!("{url}.git")).unwrap_or_default(),
        provider: "gitlab".to_owned(),
        pull_request,
        default_branch: text("DEFAULT_BRANCH"),
        organization: variables.first(&["CI_PROJECT_ROOT_NAMESPACE", "CI_PROJECT_NAMESPACE"]),
        source: source(&text("PIPELINE_SOURCE")).to_owned(),
        source_event: text("PIPELINE_SOURCE"),
        number: variables.number("CI_PIPELINE_IID"),
        url: text("PIPELINE_URL"),
        ..BuildContext::default()
    }
}

fn pull_request(variables: &Variables) -> Option<PullRequest> {
    let text = |name: &str| variables.text(&format!("CI_MERGE_REQUEST_{name}"));
    let number = variables.known("CI_MERGE_REQUEST_IID")?.to_owned();
    let (source, target) = (text("SOURCE_PROJECT_ID"), text("PROJECT_ID"));
    Some(PullRequest {
        number,
        base_branch: text("TARGET_BRANCH_NAME"),
        repository: variables
            .known("CI_MERGE_REQUEST_SOURCE_PROJECT_URL")
            .map(|url| format!("{url}.git"))
            .unwrap_or_default(),
        fork: (!source.is_empty() && !target.is_empty()).then(|| source != target),
        labels: variables.list("CI_MERGE_REQUEST_LABELS"),
        label: String::new(),
        draft: variables.flag("CI_MERGE_REQUEST_DRAFT"),
        merged: text("EVENT_TYPE") == "merged_result" || text("EVENT_TYPE") == "merge_train",
    })
}

/// `Name <email>`.
fn person(text: &str) -> Person {
    let (name, email) = text.rsplit_once('<').unwrap_or((text, ""));
    Person { name: name.trim().to_owned(), email: email.trim_end_matches('>').trim().to_owned() }
}

fn source(source: &str) -> &'static str {
    match source {
        "schedule" => "schedule",
        "web" | "webide" => "ui",
        "api" | "trigger" | "chat" => "api",
        "pipeline" | "parent_pipeline" => "trigger_job",
        _ => "webhook",
    }
}

#[cfg(test)]
mod tests {
    use super::super::ci::variables;
    use super::*;

    const COMMON: &str = "GITLAB_CI=true
        CI_COMMIT_SHA=83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d
        CI_COMMIT_MESSAGE=Fix it
        CI_COMMIT_AUTHOR=Carol D. <carol@example.com>
        CI_DEFAULT_BRANCH=trunk
        CI_PROJECT_URL=https://gitlab.example.com/acme/shop/orders
        CI_PROJECT_ROOT_NAMESPACE=acme
        CI_REPOSITORY_URL=https://gitlab-ci-token:secret@gitlab.example.com/acme/shop/orders.git
        CI_PIPELINE_IID=17
        CI_PIPELINE_URL=https://gitlab.example.com/acme/shop/orders/-/pipelines/4242
        GITLAB_USER_NAME=Dan
        GITLAB_USER_EMAIL=dan@example.com
        ";

    #[test]
    fn a_branch() {
        let text = format!("{COMMON}CI_COMMIT_BRANCH=topic\nCI_COMMIT_REF_NAME=topic\nCI_PIPELINE_SOURCE=push");
        let facts = facts(&variables(&text));
        assert_eq!((facts.branch.as_str(), facts.tag.as_str(), facts.pull_request), ("topic", "", None));
        assert_eq!((facts.author.name.as_str(), facts.author.email.as_str()), ("Carol D.", "carol@example.com"));
        assert_eq!((facts.creator.name.as_str(), facts.creator.email.as_str()), ("Dan", "dan@example.com"));
        assert_eq!(facts.repository, "https://gitlab.example.com/acme/shop/orders.git", "without the token");
        assert_eq!((facts.default_branch.as_str(), facts.organization.as_str()), ("trunk", "acme"));
        assert_eq!((facts.source.as_str(), facts.number), ("webhook", Some(17)));
    }

    #[test]
    fn a_tag() {
        let text = format!("{COMMON}CI_COMMIT_TAG=v1\nCI_COMMIT_REF_NAME=v1\nCI_PIPELINE_SOURCE=push");
        let facts = facts(&variables(&text));
        assert_eq!((facts.branch.as_str(), facts.tag.as_str()), ("v1", "v1"));
    }

    #[test]
    fn merge_requests() {
        let request = |source: &str, path: &str| {
            let text = format!(
                "{COMMON}CI_PIPELINE_SOURCE=merge_request_event
                CI_COMMIT_REF_NAME=main
                CI_MERGE_REQUEST_IID=3
                CI_MERGE_REQUEST_PROJECT_ID=1
                CI_MERGE_REQUEST_SOURCE_PROJECT_ID={source}
                CI_MERGE_REQUEST_SOURCE_PROJECT_PATH={path}
                CI_MERGE_REQUEST_SOURCE_PROJECT_URL=https://gitlab.example.com/{path}
                CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=main
                CI_MERGE_REQUEST_TARGET_BRANCH_NAME=trunk
                CI_MERGE_REQUEST_LABELS=slow,docs
                CI_MERGE_REQUEST_DRAFT=true
                CI_MERGE_REQUEST_EVENT_TYPE=merged_result"
            );
            facts(&variables(&text))
        };
        let own = request("1", "acme/shop/orders");
        assert_eq!((own.branch.as_str(), own.pull_request.as_ref().unwrap().fork), ("main", Some(false)));
        let pull_request = own.pull_request.unwrap();
        assert_eq!((pull_request.number.as_str(), pull_request.base_branch.as_str()), ("3", "trunk"));
        assert_eq!((pull_request.draft, pull_request.merged), (Some(true), true));
        assert_eq!(pull_request.labels, ["slow", "docs"]);
        let fork = request("2", "group/someone/orders");
        assert_eq!((fork.branch.as_str(), fork.pull_request.unwrap().fork), ("group/someone:main", Some(true)));
        assert_eq!(request("", "").branch, "unknown:main");
    }

    #[test]
    fn sources() {
        for (written, expected) in
            [("push", "webhook"), ("web", "ui"), ("schedule", "schedule"), ("api", "api"), ("pipeline", "trigger_job")]
        {
            assert_eq!(facts(&variables(&format!("CI_PIPELINE_SOURCE={written}"))).source, expected);
        }
    }
}
