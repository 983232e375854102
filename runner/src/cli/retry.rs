//! `runner retry`

use super::error::{Error, ExitStatus};
use super::opened::{Further, candidates, jobs_named};
use super::plan::print;
use crate::event::EventKind;
use crate::plan::{JobId, JobKind};
use crate::run::{self, JobState, RunState};
use clap::Args;

/// Run jobs of a run again.
///
/// What did not run because of them waits for them again; everything else stays as it is. A job that has passed runs
/// again only when its step says `retry: { manual: { permit_on_passed: true } }`, or with --from.
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// The jobs, by name, or by the key of their step
    #[arg(value_name = "JOB")]
    job: Vec<String>,
    /// All jobs that have failed or were cancelled
    #[arg(long, conflicts_with = "job")]
    failed: bool,
    /// The jobs of this step and everything that depends on them, what has passed included: block steps ask again
    #[arg(long, value_name = "STEP", conflicts_with_all = ["job", "failed"])]
    from: Option<String>,
    /// Who wants it [default: the user at the terminal]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    further: Further,
}

impl Retry {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = self.further.open(self.run.as_deref()).await?;
        let number = opened.record.number;
        let by = self.by.clone().unwrap_or_else(run::user);
        if by.trim().is_empty() {
            return Err(Error::usage("`--by` names nobody"));
        }
        let mut what = String::new();
        let fact = |state: &RunState| {
            let (jobs, described) = self.choose(number, state)?;
            what = described;
            Ok(EventKind::JobsRetried { jobs, by: by.clone(), dependents: self.from.is_some() })
        };
        let before = opened.append(fact).await?;
        let driven = opened.is_driven()?;
        let goes_on = if driven { "goes on in the process that drives it" } else { "goes on" };
        print(&format!("{what} of run {number} to be run again; the run {goes_on}\n"))?;
        if driven {
            return Ok(ExitStatus::Passed);
        }
        opened.go_on(&self.further, before.sequence()).await
    }

    /// The jobs to be run again, and a description of them.
    fn choose(&self, run: u64, state: &RunState) -> Result<(Vec<JobId>, String), Error> {
        let refused = |reason: run::Illegal| Error::usage(reason.to_string());
        if let Some(step) = &self.from {
            let jobs = jobs_named(state, std::slice::from_ref(step), "run again", |_, _| true)?;
            let all = state.may_retry_from(&jobs).map_err(refused)?;
            let waits = |job: &&JobId| matches!(state.plan().job(**job).kind, JobKind::Wait);
            let more = all.iter().filter(|job| !waits(job) && !jobs.contains(job)).count();
            return Ok((jobs, format!("{step} and {more} that depend on it")));
        }
        if self.failed {
            let ended_badly = |job: &JobId| matches!(state.state(*job), JobState::Failed | JobState::Cancelled);
            let jobs: Vec<JobId> = state.plan().jobs().map(|(job, _)| job).filter(ended_badly).collect();
            if jobs.is_empty() {
                return Err(Error::usage(format!("no job of run {run} has failed")));
            }
            // Those that must not be run again stay as they are, unless there are no others.
            let (jobs, left): (Vec<JobId>, Vec<JobId>) =
                jobs.into_iter().partition(|job| state.may_retry(*job).is_ok());
            if let (true, Some(first)) = (jobs.is_empty(), left.first()) {
                state.may_retry(*first).map_err(refused)?;
            }
            let names: Vec<&str> = jobs.iter().map(|job| state.plan().job(*job).name.as_str()).collect();
            let named = if names.len() > 5 { format!("{} jobs", names.len()) } else { names.join(", ") };
            let left: Vec<&str> = left.iter().map(|job| state.plan().job(*job).name.as_str()).collect();
            let named = if left.is_empty() { named } else { format!("{named} (not {})", left.join(", ")) };
            return Ok((jobs, named));
        }
        let may = |state: &RunState, job: JobId| state.may_retry(job).is_ok();
        if self.job.is_empty() {
            let help = candidates(state, "run again", may);
            return Err(Error::usage("nothing is named: write jobs, `--failed`, or `--from STEP`").help(help));
        }
        let jobs = jobs_named(state, &self.job, "run again", may)?;
        for job in &jobs {
            state.may_retry(*job).map_err(refused)?;
        }
        Ok((jobs, self.job.join(", ")))
    }
}
