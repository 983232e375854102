//! A run that exists already: what its log says, one more fact for it, and driving it further.

use super::cache::CacheFlags;
use super::drive::{Drive, preflight, restore, slots, stop_on_signals};
use super::error::{Error, ExitStatus};
use super::prepare::{components, services, uploader};
use super::project::Project;
use crate::capability::docker;
use crate::event::{Event, EventKind};
use crate::host::StepEngine;
use crate::log::{EventLog, LogError, RunRecord, SqliteLog};
use crate::plan::{JobId, JobKind, Plan};
use crate::report::Output;
use crate::run::{self, DriveError, RunState, Slots};
use clap::Args;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Which project, and how a run of it is driven further.
#[derive(Debug, Args)]
pub(super) struct Further {
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Jobs at once [default: twice the number of processors]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Stay and wait when the run is blocked
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    cache: CacheFlags,
}

/// A run found in the log of its project.
pub(super) struct Opened {
    project: Project,
    log: Arc<SqliteLog>,
    pub(super) record: RunRecord,
    plan: Arc<Plan>,
}

impl Further {
    /// Finds a run by its number or identifier; the newest one when none is named.
    pub(super) async fn open(&self, reference: Option<&str>) -> Result<Opened, Error> {
        let project = Project::open(&self.directory)?;
        let log = Arc::new(project.log()?);
        let reference = match reference {
            Some(reference) => reference.to_owned(),
            None => match log.runs().await?.first() {
                Some(newest) => newest.number.to_string(),
                None => return Err(Error::usage("there are no runs in this project").help("`runner run` makes one")),
            },
        };
        let (record, plan) = log.open(&reference).await?;
        Ok(Opened { project, log, record, plan: Arc::new(plan) })
    }
}

impl Opened {
    /// Where the run stands.
    pub(super) async fn state(&self) -> Result<RunState, Error> {
        let events = self.log.read(&self.record.id, 0).await?;
        Ok(RunState::replay(self.plan.clone(), &events).map_err(DriveError::from)?)
    }

    /// Appends the fact that follows from the run's state, however often that changes meanwhile; the state before.
    pub(super) async fn append(
        &self,
        mut fact: impl FnMut(&RunState) -> Result<EventKind, Error>,
    ) -> Result<RunState, Error> {
        loop {
            let state = self.state().await?;
            let event = Event { sequence: state.sequence() + 1, at: run::now(), kind: fact(&state)? };
            match self.log.append(&self.record.id, &[event]).await {
                Ok(()) => return Ok(state),
                Err(LogError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether another process drives the run.
    pub(super) fn is_driven(&self) -> Result<bool, Error> {
        Ok(self.project.run_files(&self.record.id)?.lock()?.is_none())
    }

    /// Drives the run to its end, or to where it waits for a person. What a process that was killed has left behind on
    /// the Docker Engine is removed first.
    /// What happened up to the event `shown` is not reported again.
    pub(super) async fn go_on(self, further: &Further, shown: u64) -> Result<ExitStatus, Error> {
        let files = self.project.run_files(&self.record.id)?;
        let state = self.state().await?;
        preflight(state.plan()).await?;
        let uses_docker =
            |job: JobId| matches!(&state.plan().job(job).kind, JobKind::Step(step) if step.reaches_docker());
        if state.running_count() != Slots::of(0) && state.running_jobs().any(uses_docker) && !self.is_driven()? {
            let services = services(PathBuf::new());
            let swept = docker::sweep(&*services.docker, &self.record.id).await;
            let swept = swept.map_err(|error| Error::environment(error.to_string()))?;
            tracing::info!(?swept, "removed what the lost attempts left behind");
        }
        let engine = StepEngine::new().map_err(|error| Error::environment(error.to_string()))?;
        let mut components = components(engine, &self.project, services(PathBuf::new()));
        restore(&mut components, state.plan())?;
        let uploader = uploader(&self.project, components, self.project.settings()?);
        let drive = Drive {
            project: self.project,
            log: self.log,
            record: self.record,
            plan: self.plan,
            files,
            uploader,
            answers: HashMap::new(),
            slots: slots(further.jobs),
            wait: further.wait,
            shown,
            output: Output::Stdout,
            depth: 0,
            stop: stop_on_signals()?,
            caching: further.cache.caching(),
            detached: TaskTracker::new(),
        };
        drive.run().await
    }
}
