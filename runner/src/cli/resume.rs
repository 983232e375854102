//! `runner resume`

use super::error::{Error, ExitStatus};
use super::opened::{Further, Standing};
use crate::plan::JobKind;
use crate::run::{JobState, RunState};
use clap::Args;
use std::io::Write;

/// Go on with a run whose process has ended.
///
/// Jobs that are over stay over, with their outputs and artifacts. An attempt that was lost with the process is made anew;
/// what it left behind is removed first: processes, containers, networks, volumes, change sets, temporary files. The plan
/// is the one the run began with, whatever has become of the pipeline file.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Number of the run, as `runner run` printed it [default: the newest one that was interrupted]
    run: Option<String>,
    #[command(flatten)]
    further: Further,
}

impl Resume {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = match &self.run {
            Some(run) => self.further.open(Some(run)).await?,
            None => self.further.open_interrupted().await?,
        };
        let number = opened.record.number;
        match opened.standing().await? {
            Standing::Over => {
                opened.tidy_up().await?;
                let help = format!("`runner retry {number} JOB` runs jobs of it again");
                return Err(Error::usage(format!("run {number} is over")).help(help));
            }
            Standing::Driven => {
                let help = "wait for its end, or end that process: the run can be resumed then";
                return Err(Error::usage(format!("another process is driving run {number}")).help(help));
            }
            Standing::Blocked | Standing::Interrupted => {}
        }
        let state = opened.state().await?;
        writeln!(anstream::stdout(), "{}", goes_on(number, &state))
            .map_err(|error| Error::environment(error.to_string()))?;
        opened.go_on(&self.further, state.sequence()).await
    }
}

/// Names shown before the rest is counted.
const MAX_NAMES: usize = 10;

/// What becomes of the run's jobs.
fn goes_on(number: u64, state: &RunState) -> String {
    let names = |wanted: &dyn Fn(JobState) -> bool| {
        let steps = state.plan().jobs().filter(|(_, job)| matches!(job.kind, JobKind::Step(_) | JobKind::Trigger(_)));
        let found: Vec<&str> =
            steps.filter(|(id, _)| wanted(state.state(*id))).map(|(_, job)| job.name.as_str()).collect();
        match found.len().saturating_sub(MAX_NAMES) {
            0 => found.join(", "),
            more => format!("{} and {more} more", found[..MAX_NAMES].join(", ")),
        }
    };
    let over = names(&|state| state.is_over() && !matches!(state, JobState::Skipped | JobState::Removed));
    let lost = names(&|state| state == JobState::Running);
    let parts = [("over, and to stay so", over), ("lost, and to be tried again", lost)];
    let parts = parts.iter().filter(|(_, names)| !names.is_empty()).map(|(what, names)| format!("; {what}: {names}"));
    format!("run {number} goes on{}", parts.collect::<String>())
}
