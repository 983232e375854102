//! What GitHub Actions says about a build: in variables, and in the description of the event.

use super::ci::{Variables, fork_branch};
use crate::plan::{BuildContext, Person, PullRequest};
use serde_json::Value;

/// `payload` is the event as GitHub describes it, null when there is none.
pub(super) fn facts(variables: &Variables, payload: &Value) -> BuildContext {
    let text = |name: &str| variables.text(&format!("GITHUB_{name}"));
    let (event, reference, repository) = (text("EVENT_NAME"), text("REF"), text("REPOSITORY"));
    let address = format!("{}/{repository}", variables.known("GITHUB_SERVER_URL").unwrap_or("https://github.com"));
    let pull_request = pull_request(variables, payload);
    let tag = reference.strip_prefix("refs/tags/").unwrap_or_default();
    let head = reference.strip_prefix("refs/heads/").unwrap_or(tag);
    let branch = pull_request.as_ref().map_or_else(|| head.to_owned(), |_| pull_request_branch(variables, payload));
    let queue = &payload["merge_group"];
    let commit = if queue.is_object() { &queue["head_commit"] } else { &payload["head_commit"] };
    let (message, author) = if pull_request.is_some() {
        (string(&payload["pull_request"]["title"]), login(&payload["pull_request"]["user"]))
    } else {
        (string(&commit["message"]), person(&commit["author"]))
    };
    BuildContext {
        branch,
        commit: text("SHA"),
        tag: tag.to_owned(),
        message,
        author,
        committer: person(&commit["committer"]),
        creator: Person { name: variables.first(&["GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"]), email: String::new() },
        repository: if repository.is_empty() { String::new() } else { format!("{address}.git") },
        provider: "github".to_owned(),
        pull_request,
        merge_queue_base_branch: string(&queue["base_ref"]).trim_start_matches("refs/heads/").to_owned(),
        merge_queue_base_commit: string(&queue["base_sha"]),
        default_branch: string(&payload["repository"]["default_branch"]),
        organization: text("REPOSITORY_OWNER"),
        source: source(&event).to_owned(),
        source_event: event,
        source_action: string(&payload["action"]),
        number: variables.number("GITHUB_RUN_NUMBER"),
        url: variables.known("GITHUB_RUN_ID").map(|run| format!("{address}/actions/runs/{run}")).unwrap_or_default(),
        ..BuildContext::default()
    }
}

fn source(event: &str) -> &'static str {
    match event {
        "schedule" => "schedule",
        "workflow_dispatch" => "ui",
        "repository_dispatch" => "api",
        "workflow_run" | "workflow_call" => "trigger_job",
        _ => "webhook",
    }
}

fn pull_request(variables: &Variables, payload: &Value) -> Option<PullRequest> {
    // The commit that is built is a trial merge of the pull request: refs/pull/NUMBER/merge.
    let merged = variables.known("GITHUB_REF").and_then(|reference| reference.strip_prefix("refs/pull/"));
    let described = &payload["pull_request"];
    if merged.is_none() && variables.known("GITHUB_HEAD_REF").is_none() && !described.is_object() {
        return None;
    }
    let number = described["number"].as_u64().map(|number| number.to_string());
    let number = number.or_else(|| merged?.split('/').next().map(ToOwned::to_owned)).unwrap_or_default();
    let base_branch = Some(string(&described["base"]["ref"])).filter(|branch| !branch.is_empty());
    let labels = described["labels"].as_array().into_iter().flatten();
    Some(PullRequest {
        number,
        base_branch: base_branch.unwrap_or_else(|| variables.text("GITHUB_BASE_REF")),
        repository: string(&described["head"]["repo"]["clone_url"]),
        fork: fork(described),
        labels: labels.map(|label| string(&label["name"])).collect(),
        label: string(&payload["label"]["name"]),
        draft: described["draft"].as_bool(),
        merged: merged.is_some(),
    })
}

/// Whether a pull request comes from another repository; one that has been deleted was another. Unknown without its
/// description.
fn fork(described: &Value) -> Option<bool> {
    let base = described["base"]["repo"]["full_name"].as_str()?;
    Some(described["head"]["repo"]["full_name"].as_str() != Some(base))
}

/// The branch of a pull request, under a name that none of our branches has unless it is ours.
fn pull_request_branch(variables: &Variables, payload: &Value) -> String {
    let described = &payload["pull_request"];
    let described_head = string(&described["head"]["ref"]);
    let head = if described_head.is_empty() { variables.text("GITHUB_HEAD_REF") } else { described_head };
    match fork(described) {
        Some(false) => head,
        Some(true) => fork_branch(&login(&described["head"]["user"]).name, &head),
        None => fork_branch("", &head),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn person(value: &Value) -> Person {
    Person { name: string(&value["name"]), email: string(&value["email"]) }
}

fn login(value: &Value) -> Person {
    Person { name: string(&value["login"]), email: String::new() }
}

#[cfg(test)]
mod tests {
    use super::super::ci::variables;
    use super::*;
    use serde_json::json;

    const COMMON: &str = "GITHUB_ACTIONS=true
        GITHUB_SERVER_URL=https://github.com
        GITHUB_REPOSITORY=acme/orders
        GITHUB_REPOSITORY_OWNER=acme
        GITHUB_SHA=83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d
        GITHUB_ACTOR=carol
        GITHUB_RUN_ID=4242
        GITHUB_RUN_NUMBER=17
        ";

    fn pull_request_event(head: &str) -> Value {
        json!({
            "action": "labeled",
            "label": { "name": "slow" },
            "number": 12,
            "repository": { "default_branch": "trunk" },
            "pull_request": {
                "number": 12,
                "title": "Fix it",
                "draft": true,
                "user": { "login": "someone" },
                "labels": [{ "name": "slow" }, { "name": "docs" }],
                "base": { "ref": "release", "repo": { "full_name": "acme/orders" } },
                "head": {
                    "ref": "main",
                    "user": { "login": "someone" },
                    "repo": { "full_name": head, "clone_url": format!("https://github.com/{head}.git") }
                }
            }
        })
    }

    const PULL_REQUEST: &str = "GITHUB_EVENT_NAME=pull_request
        GITHUB_REF=refs/pull/12/merge
        GITHUB_HEAD_REF=main
        GITHUB_BASE_REF=release";

    #[test]
    fn a_push() {
        let payload = json!({
            "repository": { "default_branch": "trunk" },
            "head_commit": {
                "message": "Fix it\n\nAt last.",
                "author": { "name": "Carol", "email": "carol@example.com" },
                "committer": { "name": "GitHub", "email": "noreply@github.com" }
            }
        });
        let text = format!("{COMMON}GITHUB_EVENT_NAME=push\nGITHUB_REF=refs/heads/feature/x");
        let facts = facts(&variables(&text), &payload);
        assert_eq!((facts.branch.as_str(), facts.tag.as_str()), ("feature/x", ""));
        assert_eq!(facts.commit, "83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d");
        assert_eq!((facts.message.as_str(), facts.author.email.as_str()), ("Fix it\n\nAt last.", "carol@example.com"));
        assert_eq!((facts.committer.name.as_str(), facts.creator.name.as_str()), ("GitHub", "carol"));
        assert_eq!((facts.default_branch.as_str(), facts.organization.as_str()), ("trunk", "acme"));
        assert_eq!(facts.repository, "https://github.com/acme/orders.git");
        assert_eq!((facts.source.as_str(), facts.source_event.as_str()), ("webhook", "push"));
        let url = "https://github.com/acme/orders/actions/runs/4242";
        assert_eq!((facts.number, facts.url.as_str(), facts.pull_request), (Some(17), url, None));
    }

    #[test]
    fn a_tag_is_no_branch_of_ours() {
        let text = format!("{COMMON}GITHUB_EVENT_NAME=push\nGITHUB_REF=refs/tags/v1.2");
        let facts = facts(&variables(&text), &Value::Null);
        assert_eq!((facts.branch.as_str(), facts.tag.as_str()), ("v1.2", "v1.2"));
    }

    #[test]
    fn a_pull_request_within_the_repository() {
        let text = format!("{COMMON}{PULL_REQUEST}");
        let facts = facts(&variables(&text), &pull_request_event("acme/orders"));
        assert_eq!((facts.branch.as_str(), facts.message.as_str()), ("main", "Fix it"));
        assert_eq!((facts.author.name.as_str(), facts.source_action.as_str()), ("someone", "labeled"));
        let expected = PullRequest {
            number: "12".to_owned(),
            base_branch: "release".to_owned(),
            repository: "https://github.com/acme/orders.git".to_owned(),
            fork: Some(false),
            labels: vec!["slow".to_owned(), "docs".to_owned()],
            label: "slow".to_owned(),
            draft: Some(true),
            merged: true,
        };
        assert_eq!(facts.pull_request, Some(expected));
    }

    #[test]
    fn a_fork_never_passes_for_a_branch_of_the_repository() {
        let text = format!("{COMMON}{PULL_REQUEST}");
        let known = facts(&variables(&text), &pull_request_event("someone/orders"));
        assert_eq!((known.branch.as_str(), known.pull_request.unwrap().fork), ("someone:main", Some(true)));
        let mut deleted = pull_request_event("");
        deleted["pull_request"]["head"]["repo"] = Value::Null;
        deleted["pull_request"]["head"]["user"] = Value::Null;
        let deleted = facts(&variables(&text), &deleted);
        assert_eq!((deleted.branch.as_str(), deleted.pull_request.unwrap().fork), ("unknown:main", Some(true)));
        let unknown = facts(&variables(&text), &Value::Null);
        assert_eq!(unknown.branch, "unknown:main");
        let unknown = unknown.pull_request.unwrap();
        assert_eq!((unknown.number.as_str(), unknown.base_branch.as_str(), unknown.fork), ("12", "release", None));
    }

    #[test]
    fn a_pull_request_built_on_its_target() {
        let text = format!(
            "{COMMON}GITHUB_EVENT_NAME=pull_request_target\nGITHUB_REF=refs/heads/release\nGITHUB_HEAD_REF=main"
        );
        let facts = facts(&variables(&text), &pull_request_event("someone/orders"));
        assert_eq!(facts.branch, "someone:main");
        assert!(!facts.pull_request.unwrap().merged);
    }

    #[test]
    fn a_merge_queue() {
        let payload = json!({ "merge_group": {
            "base_ref": "refs/heads/main",
            "base_sha": "44af",
            "head_commit": { "message": "Merge", "author": { "name": "Carol", "email": "c@example.com" } }
        } });
        let text =
            format!("{COMMON}GITHUB_EVENT_NAME=merge_group\nGITHUB_REF=refs/heads/gh-readonly-queue/main/pr-1-44af");
        let facts = facts(&variables(&text), &payload);
        assert_eq!((facts.merge_queue_base_branch.as_str(), facts.merge_queue_base_commit.as_str()), ("main", "44af"));
        assert_eq!((facts.branch.as_str(), facts.message.as_str()), ("gh-readonly-queue/main/pr-1-44af", "Merge"));
    }

    #[test]
    fn sources() {
        for (event, expected) in [
            ("push", "webhook"),
            ("schedule", "schedule"),
            ("workflow_dispatch", "ui"),
            ("repository_dispatch", "api"),
            ("workflow_run", "trigger_job"),
        ] {
            let text = format!("GITHUB_EVENT_NAME={event}\nGITHUB_REF=refs/heads/main");
            assert_eq!(facts(&variables(&text), &Value::Null).source, expected);
        }
    }
}
