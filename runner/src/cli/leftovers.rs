//! What a killed process has left behind of the run it drove, and removing it.

use super::error::Error;
use super::prepare::services;
use super::project::RunFiles;
use crate::agent::job_api;
use crate::capability::docker::{self, Swept};
use crate::capability::{aws, process};
use crate::event::{Event, EventKind};
use crate::host::Services;
use crate::log::EventLog;
use crate::plan::{JobId, JobKind, StepJob};
use crate::run::RunState;
use std::fmt::{self, Display, Formatter};

/// What was removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// Processes of commands, wherever they had gone.
    pub(super) processes: usize,
    /// What jobs had made on the Docker Engine.
    pub(super) docker: Swept,
    /// Change sets that were not executed.
    pub(super) change_sets: usize,
    /// Directories and files that jobs needed while they ran.
    pub(super) files: usize,
}

/// Ends and removes everything that lost attempts have left. Nobody may drive the run: whoever calls this holds its
/// lock.
///
/// # Errors
/// When the engine or the disk refuses: another attempt could meet what is left. A change set that stays is no error;
/// it changes nothing by itself, and a warning tells of it.
pub(super) async fn remove(
    run: &str,
    files: &RunFiles,
    state: &RunState,
    log: &dyn EventLog,
) -> Result<Removed, Error> {
    let mut removed = Removed::default();
    let id = run.to_owned();
    // Before everything else: what still runs could make more of the rest.
    removed.processes = tokio::task::spawn_blocking(move || process::end_run(&id))
        .await
        .map_err(|error| Error::environment(format!("processes of lost jobs were not looked for: {error}")))?
        .map_err(|error| Error::environment(error.to_string()).help("end them, then try again"))?;
    let services = services(files.artifacts.clone());
    let lost: Vec<(JobId, &StepJob)> = state
        .running_jobs()
        .filter_map(|job| match &state.plan().job(job).kind {
            JobKind::Step(step) => Some((job, &**step)),
            _ => None,
        })
        .collect();
    if lost.iter().any(|(_, step)| step.reaches_docker()) {
        let swept = docker::sweep(&*services.docker, run).await;
        removed.docker = swept.map_err(|error| Error::environment(error.to_string()))?;
    }
    let deploys = lost.into_iter().filter(|(_, step)| step.grants.aws.is_some());
    for (job, step) in deploys {
        let events = log.read(run, 0).await?;
        removed.change_sets += change_sets(run, state, job, step, &events, &services).await;
    }
    let fault = |error: std::io::Error| Error::environment(format!("cannot remove what lost jobs have left: {error}"));
    removed.files += services.artifacts.remove_parts().map_err(fault)?;
    removed.files += usize::from(files.remove_temporary().map_err(fault)?);
    removed.files += usize::from(job_api::remove_left(run).map_err(fault)?);
    Ok(removed)
}

async fn change_sets(
    run: &str,
    state: &RunState,
    job: JobId,
    step: &StepJob,
    events: &[Event],
    services: &Services,
) -> usize {
    let Some(grant) = &step.grants.aws else { return 0 };
    let (lost, name) = (state.attempt(job), &state.plan().job(job).name);
    let mut removed = 0;
    for event in events {
        let EventKind::GrantDecided { job, attempt, decision } = &event.kind else { continue };
        if job != name || *attempt != lost {
            continue;
        }
        match aws::remove_change_set(&*services.aws, grant, run, job, decision).await {
            Ok(done) => removed += usize::from(done),
            Err(error) => {
                let (stack, set) = (&decision.subject, &decision.makes);
                tracing::warn!(job, stack, "the change set {set} of a lost attempt stays: {error}");
            }
        }
    }
    removed
}

impl Removed {
    /// Whether nothing was left.
    pub(super) fn is_nothing(&self) -> bool {
        self.processes == 0 && self.docker == Swept::default() && self.change_sets == 0 && self.files == 0
    }
}

impl Display for Removed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Swept { containers, networks, volumes } = self.docker;
        let kinds = [
            (self.processes, "process", "processes"),
            (containers, "container", "containers"),
            (networks, "network", "networks"),
            (volumes, "volume", "volumes"),
            (self.change_sets, "change set", "change sets"),
            (self.files, "temporary file or directory", "temporary files and directories"),
        ];
        let counted = kinds.into_iter().filter(|(count, ..)| *count > 0);
        let counted: Vec<String> =
            counted.map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many })).collect();
        f.write_str(&counted.join(", "))
    }
}
