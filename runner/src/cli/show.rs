//! `runner show`

use super::error::{Error, ExitStatus};
use super::opened::Opened;
use super::plan::{json, print};
use crate::report::show::{RunView, text};
use crate::report::{Moment, RunSummary};
use crate::run;
use clap::Args;
use std::path::PathBuf;

/// Show a run: where it stands, what became of its jobs, and what can be done next.
#[derive(Debug, Args)]
pub(super) struct Show {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// Every job, also where there are more than 100
    #[arg(long)]
    all: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Show {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = Opened::find(&self.directory, self.run.as_deref()).await?;
        let history = opened.history().await?;
        let standing = history.standing(opened.is_driven()?);
        let now = run::now();
        let mut summary = RunSummary::new(&opened.record, opened.plan(), standing, now);
        summary.updated_at = Moment(history.updated_at);
        let files = opened.files()?;
        let view = RunView::new(summary, &history, &files.logs);
        print(&if self.json { json(&view)? } else { text(&view, now, self.all) })?;
        Ok(ExitStatus::Passed)
    }
}
