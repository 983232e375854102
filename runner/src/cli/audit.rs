//! `runner audit`

use super::error::{Error, ExitStatus};
use super::opened::Opened;
use super::plan::{json, print};
use crate::report::audit::{Act, audit, text};
use crate::run::{DriveError, RunState};
use clap::Args;
use std::path::PathBuf;

/// Show who did what in a run.
///
/// Every host call of its jobs that was granted or refused, the names of the secrets they used, and who has unblocked,
/// cancelled, retried or added steps to it.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// Only what was refused
    #[arg(long)]
    denied: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Audit {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = Opened::find(&self.directory, self.run.as_deref()).await?;
        let number = opened.record.number;
        let events = opened.events().await?;
        let state = RunState::replay(opened.plan().clone(), &events).map_err(DriveError::from)?;
        let mut entries = audit(state.plan(), events);
        if self.denied {
            entries.retain(|entry| matches!(entry.act, Act::Grant { allowed: false, .. }));
        }
        let what = if self.denied { "refused" } else { "recorded" };
        if self.json {
            print(&json(&entries)?)?;
        } else if entries.is_empty() {
            print(&format!("nothing was {what} in run {number}\n"))?;
        } else {
            print(&text(&entries))?;
        }
        Ok(ExitStatus::Passed)
    }
}
