//! `runner runs`

use super::error::{Error, ExitStatus};
use super::opened::Opened;
use super::plan::{json, print};
use super::project::Project;
use crate::log::EventLog;
use crate::report::{RunSummary, Standing, runs::table};
use crate::run;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// List runs, the newest first.
///
/// A run is running while a process drives it, blocked when it waits for a person, and interrupted when its process has
/// ended before it: `runner resume` goes on with it.
#[derive(Debug, Args)]
pub(super) struct Runs {
    /// So many at most
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20, conflicts_with = "all",
          value_parser = clap::value_parser!(u32).range(1..))]
    number: u32,
    /// All of them
    #[arg(long)]
    all: bool,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Runs {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let log = Arc::new(Project::open(&self.directory)?.log()?);
        let mut summaries = Vec::new();
        for record in log.runs((!self.all).then_some(self.number as usize)).await? {
            let (_, plan) = log.open(&record.id).await?;
            let opened = Opened::new(Project::open(&self.directory)?, log.clone(), record, plan);
            summaries.push(opened.summary().await?);
        }
        if self.json {
            print(&json(&summaries)?)?;
        } else if summaries.is_empty() {
            print("there are no runs in this project; `runner run` makes one\n")?;
        } else {
            print(&table(&summaries, run::now()))?;
        }
        Ok(ExitStatus::Passed)
    }
}

impl Opened {
    /// What a list says of it.
    async fn summary(&self) -> Result<RunSummary, Error> {
        let standing = match self.record.result {
            Some(result) => Standing::of(result),
            None => self.history().await?.standing(self.is_driven()?),
        };
        Ok(RunSummary::new(&self.record, self.plan(), standing, run::now()))
    }
}
