//! `runner unblock`

use super::drive::{Drive, preflight, restore, slots, state_of, stop_on_signals};
use super::error::{Error, ExitStatus};
use super::prepare::{components, services, variable};
use super::project::Project;
use crate::agent::Uploader;
use crate::event::{Event, EventKind};
use crate::host::StepEngine;
use crate::log::{EventLog, LogError};
use crate::plan::{JobId, JobKind};
use crate::report::Output;
use crate::run::{self, RunState};
use clap::Args;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Let a blocked run go on.
///
/// Who did it is recorded. The run is driven further by this process, unless another one waits for it already.
#[derive(Debug, Args)]
pub(super) struct Unblock {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// The block or input step, by key; not needed when the run waits at one only
    step: Option<String>,
    /// The value of a field; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    field: Vec<(String, String)>,
    /// Who lets it go on [default: the user at the terminal]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Jobs at once [default: twice the number of processors]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Stay and wait when the run is blocked again
    #[arg(long)]
    wait: bool,
}

impl Unblock {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let project = Project::open(&self.directory)?;
        let log = Arc::new(project.log()?);
        let reference = match &self.run {
            Some(reference) => reference.clone(),
            None => match log.runs().await?.first() {
                Some(newest) => newest.number.to_string(),
                None => return Err(Error::usage("there are no runs in this project")),
            },
        };
        let (record, plan) = log.open(&reference).await?;
        let plan = Arc::new(plan);
        let by = self.by.clone().unwrap_or_else(run::user);
        let label = loop {
            let state = state_of(&log, &record, &plan).await?;
            let job = self.find(record.number, &state)?;
            let planned = state.plan().job(job);
            let JobKind::Gate(gate) = &planned.kind else {
                return Err(Error::usage(format!("`{}` is not a block or input step", planned.name)));
            };
            let given = self.field.iter().cloned().collect();
            let fields = run::answer(gate, &given)
                .map_err(|problems| Error::usage(problems.join("; ")).help("give each field as --field KEY=VALUE"))?;
            let kind = EventKind::Unblocked { job, by: by.clone(), fields };
            let event = Event { sequence: state.sequence() + 1, at: run::now(), kind };
            match log.append(&record.id, &[event]).await {
                Ok(()) => break planned.label.clone(),
                // Something else happened in the run meanwhile.
                Err(LogError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let say = |text: String| {
            writeln!(anstream::stdout(), "{text}").map_err(|error| Error::environment(error.to_string()))
        };
        let files = project.run_files(&record.id)?;
        if files.lock()?.is_none() {
            say(format!(
                "`{label}` unblocked by {by}; run {} goes on in the process that waits for it",
                record.number
            ))?;
            return Ok(ExitStatus::Passed);
        }
        say(format!("`{label}` unblocked by {by}; run {} goes on", record.number))?;
        let state = state_of(&log, &record, &plan).await?;
        preflight(state.plan()).await?;
        let engine = StepEngine::new().map_err(|error| Error::environment(error.to_string()))?;
        let mut components = components(engine, &project, services(PathBuf::new()));
        restore(&mut components, state.plan())?;
        let settings = project.settings()?;
        let drive = Drive {
            project,
            log,
            record,
            plan,
            files,
            uploader: Arc::new(Uploader::new(components, settings)),
            answers: HashMap::new(),
            slots: slots(self.jobs),
            wait: self.wait,
            output: Output::Stdout,
            depth: 0,
            stop: stop_on_signals()?,
            detached: TaskTracker::new(),
        };
        drive.run().await
    }

    /// The blocked step that is meant.
    fn find(&self, run: u64, state: &RunState) -> Result<JobId, Error> {
        let blocked: Vec<JobId> = state.blocked().collect();
        let names: Vec<&str> = blocked.iter().map(|job| state.plan().job(*job).name.as_str()).collect();
        let waiting = match names.as_slice() {
            [] => "it waits for nobody".to_owned(),
            names => format!("it waits at: {}", names.join(", ")),
        };
        match (&self.step, blocked.as_slice()) {
            (None, [one]) => Ok(*one),
            (Some(step), blocked) => {
                let meant = |job: &&JobId| {
                    let job = state.plan().job(**job);
                    job.step_key.as_ref() == Some(step) || job.name == *step
                };
                let found = blocked.iter().find(meant).copied();
                found.ok_or_else(|| Error::usage(format!("run {run} is not blocked at `{step}`")).help(waiting))
            }
            (None, []) => Err(Error::usage(format!("run {run} is not blocked")).help(waiting)),
            (None, _) => {
                Err(Error::usage(format!("run {run} is blocked at several steps")).help(format!("name one; {waiting}")))
            }
        }
    }
}
