//! What git says about a directory.

use crate::plan::Person;
use std::path::Path;
use std::process::{Command, Output};

/// A directory that git may be asked about.
pub(super) struct Git<'a> {
    /// `None` when nothing is to be asked.
    pub(super) directory: Option<&'a Path>,
}

/// A commit.
#[derive(Debug, Default)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) author: Person,
    pub(super) committer: Person,
    pub(super) message: String,
}

impl Git<'_> {
    /// What git says; nothing when it has no answer, outside a repository or without git.
    pub(super) fn read(&self, arguments: &[&str]) -> Option<String> {
        self.directory?;
        let text = self.answer(arguments).map(|text| text.trim().to_owned());
        text.map_err(|reason| tracing::debug!(?arguments, reason, "git has no answer"))
            .ok()
            .filter(|text| !text.is_empty())
    }

    /// What git says, as it is.
    ///
    /// # Errors
    /// Why it has no answer.
    pub(super) fn answer(&self, arguments: &[&str]) -> Result<String, String> {
        let directory = self.directory.ok_or("git is not asked")?;
        let mut command = Command::new("git");
        // What it only reads must not wait for somebody who writes.
        command.arg("--no-optional-locks").arg("-C").arg(directory).args(arguments);
        let Output { status, stdout, stderr } =
            command.output().map_err(|error| format!("git cannot be run: {error}"))?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&stderr);
        let reason = stderr.lines().map(str::trim).find(|line| !line.is_empty());
        Err(reason.map_or_else(|| format!("git {} failed", arguments[0]), ToOwned::to_owned))
    }

    /// The commit of a name.
    pub(super) fn commit(&self, name: &str) -> Option<Commit> {
        const FORMAT: &str = "--format=%H%x00%an%x00%ae%x00%cn%x00%ce%x00%B";
        let text = self.read(&["log", "-1", "--no-show-signature", "--no-patch", FORMAT, "--end-of-options", name])?;
        let mut facts = text.split('\0').map(|fact| fact.trim().to_owned());
        let mut fact = || facts.next().unwrap_or_default();
        Some(Commit {
            id: fact(),
            author: Person { name: fact(), email: fact() },
            committer: Person { name: fact(), email: fact() },
            message: fact(),
        })
    }
}
