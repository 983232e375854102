//! `runner cancel`

use super::error::{Error, ExitStatus};
use super::opened::{Further, jobs_named};
use super::plan::print;
use crate::event::EventKind;
use crate::plan::JobId;
use crate::report::text::plain;
use crate::run::{self, JobState, RunState};
use clap::Args;

/// End a run, or one of its jobs.
///
/// No further job starts; those that run are asked to end and have ten seconds to clean up. Done twice, or with --now,
/// they are ended at once, and what they made is removed. When no process drives the run, this one brings it to its end.
#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// End this job alone, by name, or by the key of its step; can be repeated
    #[arg(long, value_name = "JOB")]
    job: Vec<String>,
    /// End running jobs at once, without time to clean up
    #[arg(long, conflicts_with = "job")]
    now: bool,
    /// Who cancels it [default: the user at the terminal]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    further: Further,
}

impl Cancel {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let by = self.by.clone().unwrap_or_else(run::user);
        if by.trim().is_empty() {
            return Err(Error::usage("`--by` names nobody"));
        }
        if self.job.is_empty() { self.cancel_run(by).await } else { self.cancel_jobs(by).await }
    }

    async fn cancel_run(self, by: String) -> Result<ExitStatus, Error> {
        let opened = self.further.open(self.run.as_deref()).await?;
        let number = opened.record.number;
        let mut now = self.now;
        let fact = |state: &RunState| {
            if state.run_result().is_some() {
                return Err(Error::usage(format!("run {number} is over")));
            }
            now = self.now || state.is_cancelled();
            Ok(EventKind::CancelRequested { by: by.clone(), now })
        };
        let before = opened.append(fact).await?;
        if opened.is_driven()? {
            let means = match (before.running_jobs().count(), now) {
                (0, _) => String::new(),
                (_, true) => "; its jobs are ended at once".to_owned(),
                (_, false) => format!(
                    "; its jobs have 10 seconds to clean up (`runner cancel {number}` once more ends them at once)"
                ),
            };
            print(&format!("run {number} is cancelled{means}\n"))?;
            return Ok(ExitStatus::Passed);
        }
        match opened.go_on(&self.further, before.sequence()).await? {
            // That is what was wanted.
            ExitStatus::Cancelled => Ok(ExitStatus::Passed),
            other => Ok(other),
        }
    }

    async fn cancel_jobs(self, by: String) -> Result<ExitStatus, Error> {
        let opened = self.further.open(self.run.as_deref()).await?;
        let number = opened.record.number;
        let state = opened.state().await?;
        if state.run_result().is_some() {
            return Err(Error::usage(format!("run {number} is over")));
        }
        let is_open = |state: &RunState, job: JobId| !state.state(job).is_over();
        let jobs = jobs_named(&state, &self.job, "cancelled", is_open)?;
        if let Some(over) = jobs.iter().find(|job| !is_open(&state, **job)) {
            return Err(Error::usage(format!("`{}` is over", state.plan().job(*over).name)));
        }
        let mut before = state.sequence();
        for job in &jobs {
            let name = &state.plan().job(*job).name;
            let fact = |state: &RunState| match state.state(*job) {
                ended if ended.is_over() => Err(Error::usage(format!("`{name}` is over"))),
                _ => Ok(EventKind::JobCancelRequested { job: *job, by: by.clone() }),
            };
            before = opened.append(fact).await?.sequence();
        }
        let after = opened.state().await?;
        let driven = opened.is_driven()?;
        for job in &jobs {
            let name = plain(&state.plan().job(*job).name);
            let means = match (state.state(*job), driven) {
                (JobState::Running, true) => " and has 10 seconds to clean up",
                (JobState::Running, false) => "; the attempt was lost with the process that ran it",
                _ => " and does not run",
            };
            print(&format!("`{name}` of run {number} is cancelled{means}\n"))?;
        }
        // Nothing more is to run: what is left is to write down the result.
        if !driven && after.outcome().is_some() {
            return opened.go_on(&self.further, before).await;
        }
        if !driven {
            print(&format!("no process drives run {number}; to let it go on: runner resume {number}\n"))?;
        }
        Ok(ExitStatus::Passed)
    }
}
