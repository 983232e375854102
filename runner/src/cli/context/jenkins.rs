//! What Jenkins says about a build: of one branch, of a branch among several, of a change request.

use super::ci::{Variables, fork_branch};
use crate::plan::{BuildContext, Person, PullRequest};

pub(super) fn facts(variables: &Variables) -> BuildContext {
    let pull_request = variables.known("CHANGE_ID").map(|number| PullRequest {
        number: number.to_owned(),
        base_branch: variables.text("CHANGE_TARGET"),
        fork: Some(variables.known("CHANGE_FORK").is_some()),
        ..PullRequest::default()
    });
    let branch = branch(variables);
    let primary = variables.flag("BRANCH_IS_PRIMARY") == Some(true) && pull_request.is_none();
    let author = Person {
        name: variables.first(&["CHANGE_AUTHOR_DISPLAY_NAME", "CHANGE_AUTHOR"]),
        email: variables.text("CHANGE_AUTHOR_EMAIL"),
    };
    BuildContext {
        default_branch: if primary { branch.clone() } else { String::new() },
        branch,
        commit: variables.text("GIT_COMMIT"),
        tag: variables.text("TAG_NAME"),
        message: variables.text("CHANGE_TITLE"),
        author,
        repository: super::without_password(&variables.first(&["GIT_URL", "GIT_URL_1"])),
        // What started a build, Jenkins says only with plugins.
        source: pull_request.as_ref().map(|_| "webhook".to_owned()).unwrap_or_default(),
        pull_request,
        number: variables.number("BUILD_NUMBER"),
        url: variables.text("BUILD_URL"),
        ..BuildContext::default()
    }
}

fn branch(variables: &Variables) -> String {
    if let Some(head) = variables.known("CHANGE_BRANCH") {
        // The owner, or owner and name, of the repository it comes from.
        return match variables.known("CHANGE_FORK") {
            Some(fork) => fork_branch(fork.split('/').next().unwrap_or_default(), head),
            None => head.to_owned(),
        };
    }
    // A branch among several; of a change request whose branch is not known, such as PR-24.
    if let Some(branch) = variables.known("BRANCH_NAME") {
        return branch.to_owned();
    }
    // As git names what was checked out: REMOTE/BRANCH, or refs/heads/BRANCH.
    let reference = variables.first(&["GIT_LOCAL_BRANCH", "GIT_BRANCH"]);
    let reference =
        reference.strip_prefix("refs/heads/").or_else(|| reference.strip_prefix("refs/remotes/")).unwrap_or(&reference);
    match reference {
        "detached" | "HEAD" => String::new(),
        reference => reference.strip_prefix("origin/").unwrap_or(reference).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ci::variables;
    use super::*;

    #[test]
    fn branches() {
        for (text, expected) in [
            ("GIT_BRANCH=origin/feature/x", "feature/x"),
            ("GIT_BRANCH=refs/heads/main", "main"),
            ("GIT_BRANCH=refs/remotes/origin/main", "main"),
            ("GIT_BRANCH=origin/main\nGIT_LOCAL_BRANCH=main", "main"),
            ("GIT_BRANCH=detached", ""),
            ("BRANCH_NAME=feature/x\nGIT_BRANCH=feature/x", "feature/x"),
            ("BRANCH_NAME=v1\nTAG_NAME=v1", "v1"),
            ("BRANCH_NAME=PR-24\nCHANGE_ID=24\nCHANGE_BRANCH=topic", "topic"),
            ("BRANCH_NAME=PR-24\nCHANGE_ID=24\nCHANGE_BRANCH=main\nCHANGE_FORK=someone", "someone:main"),
            ("BRANCH_NAME=PR-24\nCHANGE_ID=24\nCHANGE_BRANCH=main\nCHANGE_FORK=someone/orders", "someone:main"),
            ("BRANCH_NAME=PR-24\nCHANGE_ID=24", "PR-24"),
            ("", ""),
        ] {
            assert_eq!(facts(&variables(text)).branch, expected, "{text}");
        }
    }

    #[test]
    fn a_change_request() {
        let facts = facts(&variables(
            "JENKINS_URL=https://ci.example.com/
            BRANCH_NAME=PR-24
            CHANGE_ID=24
            CHANGE_TARGET=main
            CHANGE_BRANCH=topic
            CHANGE_TITLE=Fix it
            CHANGE_AUTHOR=carol
            CHANGE_AUTHOR_DISPLAY_NAME=Carol D.
            CHANGE_AUTHOR_EMAIL=carol@example.com
            GIT_COMMIT=83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d
            GIT_URL=https://ci:token@example.com/acme/orders.git
            BUILD_NUMBER=17
            BUILD_URL=https://ci.example.com/job/orders/17/",
        ));
        assert_eq!((facts.message.as_str(), facts.source.as_str()), ("Fix it", "webhook"));
        assert_eq!((facts.author.name.as_str(), facts.author.email.as_str()), ("Carol D.", "carol@example.com"));
        assert_eq!(facts.repository, "https://example.com/acme/orders.git");
        assert_eq!((facts.number, facts.url.as_str()), (Some(17), "https://ci.example.com/job/orders/17/"));
        let pull_request = facts.pull_request.unwrap();
        assert_eq!((pull_request.number.as_str(), pull_request.base_branch.as_str()), ("24", "main"));
        assert_eq!(pull_request.fork, Some(false));
    }

    #[test]
    fn one_of_several_branches() {
        let facts = facts(&variables("BRANCH_NAME=trunk\nBRANCH_IS_PRIMARY=true\nGIT_COMMIT=1"));
        assert_eq!((facts.default_branch.as_str(), facts.source.as_str(), facts.pull_request), ("trunk", "", None));
    }
}
