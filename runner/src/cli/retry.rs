//! `runner retry`

use super::error::{Error, ExitStatus};
use super::opened::Further;
use crate::event::EventKind;
use crate::plan::JobId;
use crate::run::{self, RunState};
use clap::Args;
use std::io::Write;

/// Run jobs of a run again.
///
/// What did not run because of them waits for them again; everything else stays as it is. A job that has passed runs
/// again only when its step says `retry: { manual: { permit_on_passed: true } }`.
#[derive(Debug, Args)]
pub(super) struct Retry {
    /// Number of the run, as `runner run` printed it
    run: String,
    /// The jobs, by name, or by the key of their step
    #[arg(required = true, value_name = "JOB")]
    job: Vec<String>,
    #[command(flatten)]
    further: Further,
}

impl Retry {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = self.further.open(Some(&self.run)).await?;
        let by = run::user();
        let fact = |state: &RunState| {
            let jobs = find(state, &self.job)?;
            for job in &jobs {
                state.may_retry(*job).map_err(|reason| Error::usage(reason.to_string()))?;
            }
            Ok(EventKind::JobsRetried { jobs, by: by.clone(), dependents: false })
        };
        let before = opened.append(fact).await?;
        let number = opened.record.number;
        let goes_on = if opened.is_driven()? { " goes on in the process that drives it" } else { " goes on" };
        writeln!(anstream::stdout(), "{} of run {number} to be run again; the run{goes_on}", self.job.join(", "))
            .map_err(|error| Error::environment(error.to_string()))?;
        if opened.is_driven()? {
            return Ok(ExitStatus::Passed);
        }
        opened.go_on(&self.further, before.sequence()).await
    }
}

/// The jobs that are meant. Of the several jobs of a step those that can run again.
fn find(state: &RunState, named: &[String]) -> Result<Vec<JobId>, Error> {
    let mut jobs = Vec::new();
    for name in named {
        let by_name = state.plan().jobs().find(|(_, job)| job.name == *name).map(|(id, _)| vec![id]);
        let mut found = by_name.unwrap_or_else(|| state.jobs_of(name).map(|(id, _)| id).collect());
        if found.is_empty() {
            let failed = state.plan().jobs().filter(|(id, _)| state.may_retry(*id).is_ok());
            let names: Vec<&str> = failed.map(|(_, job)| job.name.as_str()).collect();
            let help = match names.as_slice() {
                [] => "none of its jobs can be run again".to_owned(),
                names => format!("those that can be run again are: {}", names.join(", ")),
            };
            return Err(Error::usage(format!("the run has no job `{name}`")).help(help));
        }
        if found.len() > 1 && found.iter().any(|job| state.may_retry(*job).is_ok()) {
            found.retain(|job| state.may_retry(*job).is_ok());
        }
        jobs.extend(found);
    }
    jobs.sort_unstable();
    jobs.dedup();
    Ok(jobs)
}
