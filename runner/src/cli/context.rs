//! What is built: from the flags, else from git.

use crate::pipeline::model::PlainStep;
use crate::pipeline::{Mapping, Pipeline, Source, Step, StepKind};
use crate::plan::{BuildContext, TriggerJob};
use clap::Args;
use std::path::Path;
use std::process::Command;

/// Flags that say what is built, over what git says.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "What is built (from git unless given)")]
pub(super) struct ContextFlags {
    /// Branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
    /// Commit
    #[arg(long, value_name = "SHA")]
    commit: Option<String>,
    /// Tag
    #[arg(long, value_name = "NAME")]
    tag: Option<String>,
    /// Commit message
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Number of the pull request
    #[arg(long, value_name = "NUMBER")]
    pull_request: Option<String>,
}

impl ContextFlags {
    /// What a triggered run builds: what the step says, else the default branch as it is.
    pub(super) fn triggered(trigger: &TriggerJob, parent: &BuildContext) -> Self {
        Self {
            branch: Some(trigger.branch.clone().unwrap_or_else(|| parent.default_branch.clone())),
            commit: Some(trigger.commit.clone()).filter(|commit| commit != "HEAD"),
            message: Some(trigger.message.clone()),
            ..Self::default()
        }
    }

    /// The build context of a project's directory. Git is only asked about what depends on it: four short processes
    /// are most of the time of a run that does little.
    pub(super) fn detect(&self, directory: &Path, pipeline: &Pipeline, source: &Source) -> BuildContext {
        let asked = source.text.contains('$') || any_asks(&pipeline.steps);
        let git = Git { directory: asked.then_some(directory) };
        let facts = git.read(&["log", "-1", "--format=%H%x00%an%x00%ae%x00%B"]).unwrap_or_default();
        let mut facts = facts.split('\0').map(str::trim);
        let mut fact = || facts.next().unwrap_or_default().to_owned();
        let (commit, author, author_email, message) = (fact(), fact(), fact(), fact());
        let commit = self.commit.clone().unwrap_or(commit);
        let slug = directory.canonicalize().ok();
        let slug = slug.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().to_lowercase());
        BuildContext {
            branch: self
                .branch
                .clone()
                .or_else(|| git.read(&["symbolic-ref", "--short", "--quiet", "HEAD"]))
                .unwrap_or_default(),
            commit: if commit.is_empty() { "HEAD".to_owned() } else { commit },
            tag: self.tag.clone().unwrap_or_default(),
            message: self.message.clone().unwrap_or(message),
            author,
            author_email,
            repository: git.read(&["config", "--get", "remote.origin.url"]).unwrap_or_default(),
            pull_request: self.pull_request.clone().unwrap_or_default(),
            pull_request_base_branch: String::new(),
            default_branch: git
                .read(&["symbolic-ref", "--short", "--quiet", "refs/remotes/origin/HEAD"])
                .and_then(|head| head.strip_prefix("origin/").map(ToOwned::to_owned))
                .unwrap_or_else(|| "main".to_owned()),
            pipeline_slug: slug.unwrap_or_default(),
            source: "ui".to_owned(),
            ..BuildContext::default()
        }
    }
}

/// Whether what a step does or whether it runs can depend on what is built.
fn any_asks(steps: &[Step]) -> bool {
    let asks = |keys: &Mapping| ["if", "branches", "if_changed", "grants"].iter().any(|key| keys.contains_key(*key));
    steps.iter().any(|step| match &step.kind {
        StepKind::Command(command) => command.command.is_some() || asks(&command.rest),
        StepKind::Wait(PlainStep::Mapping(keys)) | StepKind::Input(PlainStep::Mapping(keys)) => asks(keys),
        StepKind::Wait(PlainStep::Word(_)) | StepKind::Input(PlainStep::Word(_)) => false,
        StepKind::Group(group) => asks(&group.rest) || any_asks(&group.steps),
        StepKind::Trigger(_) | StepKind::Unknown(_) => true,
    })
}

struct Git<'a> {
    /// `None` when nothing is to be asked.
    directory: Option<&'a Path>,
}

impl Git<'_> {
    /// What git says; nothing outside a repository or without git.
    fn read(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("git").arg("-C").arg(self.directory?).args(arguments).output();
        match output {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                (!text.is_empty()).then_some(text)
            }
            Ok(output) => {
                let reason = String::from_utf8_lossy(&output.stderr);
                tracing::debug!(?arguments, reason = reason.trim(), "git has no answer");
                None
            }
            Err(error) => {
                tracing::debug!(%error, "git cannot be run");
                None
            }
        }
    }
}
