//! Which files a build changes: those that differ from where it branched off.

use super::git::Git;
use crate::plan::BuildContext;

/// What the build is compared with: the name that was set, else the branch it goes to, else the default branch.
pub(super) fn base(set: &str, context: &BuildContext) -> String {
    if !set.is_empty() {
        return set.to_owned();
    }
    let target = context.pull_request.as_ref().map(|pull_request| pull_request.base_branch.as_str());
    match (target, context.default_branch.as_str()) {
        (Some(branch), _) if !branch.is_empty() => format!("origin/{branch}"),
        (_, "") => "origin/main".to_owned(),
        (_, branch) => format!("origin/{branch}"),
    }
}

/// The files that differ, relative to the root of the repository. A renamed file counts under both names. With the
/// working tree, what is not committed yet counts too.
///
/// # Errors
/// Why git cannot tell.
pub(super) fn files(git: &Git<'_>, base: &str, working_tree: bool) -> Result<Vec<String>, String> {
    let commit = |name: &str| {
        if name.starts_with('-') {
            return Err(format!("`{name}` is not the name of a commit"));
        }
        git.answer(&["rev-parse", "--verify", &format!("{name}^{{commit}}")]).map(|id| id.trim().to_owned())
    };
    let head = commit("HEAD")?;
    let target = commit(base).map_err(|_| format!("`{base}` is not in this repository"))?;
    let branched = git.answer(&["merge-base", &target, &head]);
    let branched = branched.map_err(|_| format!("`{base}` and what is built have no commit in common"))?;
    let mut since = branched.trim().to_owned();
    if since == head {
        // It has been merged: what it brought is what its first parent lacks.
        match commit("HEAD^1") {
            Ok(parent) => since = parent,
            // The first commit, or all that a shallow clone has of it.
            Err(_) => return Ok(names(&git.answer(&["ls-tree", "-r", "--full-tree", "--name-only", "-z", "HEAD"])?)),
        }
    }
    let mut arguments = vec!["-c", "diff.relative=false", "diff", "--name-only", "--no-renames", "-z", &since];
    if !working_tree {
        arguments.push(&head);
    }
    let mut files = names(&git.answer(&arguments)?);
    if working_tree {
        let untracked = ["ls-files", "--others", "--exclude-standard", "--full-name", "-z", "--", ":/"];
        files.extend(names(&git.answer(&untracked)?));
    }
    Ok(files)
}

fn names(text: &str) -> Vec<String> {
    text.split('\0').filter(|name| !name.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PullRequest;

    #[test]
    fn bases() {
        let pull_request = |base: &str| Some(PullRequest { base_branch: base.to_owned(), ..PullRequest::default() });
        for (set, target, default, expected) in [
            ("v1", pull_request("release"), "trunk", "v1"),
            ("", pull_request("release"), "trunk", "origin/release"),
            ("", pull_request(""), "trunk", "origin/trunk"),
            ("", None, "trunk", "origin/trunk"),
            ("", None, "", "origin/main"),
        ] {
            let default_branch = default.to_owned();
            let context = BuildContext { pull_request: target, default_branch, ..BuildContext::default() };
            assert_eq!(base(set, &context), expected);
        }
    }
}
