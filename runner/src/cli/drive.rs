//! Drives a run in this process: signals in, report out, questions at block steps where there is a terminal.

use super::cache;
use super::error::{Error, ExitStatus};
use super::prepare::services;
use super::project::{Project, RunFiles, cache_directory};
use super::trigger::LocalTriggers;
use crate::agent::job_api::JobApi;
use crate::agent::{LocalAgent, RunFacts, Uploader};
use crate::cache::Caching;
use crate::capability::docker;
use crate::component::Components;
use crate::event::{Event, EventKind, RunResult};

use crate::log::{EventLog, RunRecord, SqliteLog};
use crate::pipeline::attribute::BlockedState;
use crate::plan::{Gate, JobId, JobKind, Plan};
use crate::report::{Output, Terminal};
use crate::run::{self, Answer, DriveError, Driver, Finished, RunState, Slots, Stop};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

/// Time a cancelled job gets for cleaning up.
const GRACE: Duration = Duration::from_secs(10);

/// A run and what it takes to drive it.
pub(super) struct Drive {
    pub(super) project: Project,
    pub(super) log: Arc<SqliteLog>,
    pub(super) record: RunRecord,
    pub(super) plan: Arc<Plan>,
    pub(super) files: RunFiles,
    /// The plan's components, and the way to more of them.
    pub(super) uploader: Arc<Uploader>,
    pub(super) answers: HashMap<JobId, Answer>,
    pub(super) slots: Slots,
    /// Whether to stay while the run is blocked.
    pub(super) wait: bool,
    /// Events up to this one have been shown when they happened.
    pub(super) shown: u64,
    /// Where it reports.
    pub(super) output: Output,
    /// How many runs have triggered one another to get here.
    pub(super) depth: u32,
    /// How it is asked to end.
    pub(super) stop: watch::Receiver<Stop>,
    /// Whether results of steps are taken from the cache.
    pub(super) caching: Caching,
    /// Runs that were triggered and that nobody waits for.
    pub(super) detached: TaskTracker,
}

/// Fails before the first job when something that jobs need is not there.
pub(super) async fn preflight(plan: &Plan) -> Result<(), Error> {
    let uses_docker = plan
        .jobs
        .iter()
        .any(|job| job.skip.is_none() && matches!(&job.kind, JobKind::Step(step) if step.reaches_docker()));
    if uses_docker {
        let services = services(std::path::PathBuf::new());
        docker::ping(&*services.docker).await.map_err(|error| Error::environment(error.to_string()))?;
    }
    Ok(())
}

impl Drive {
    /// Drives until the run is over, or blocked and nobody here can answer; then waits for what it has triggered.
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let (detached, stop) = (self.detached.clone(), self.stop.clone());
        let finished = self.drive().await?;
        detached.close();
        if !detached.is_empty() {
            // A closed standard error is no reason not to wait.
            let count = detached.len();
            let runs = if count == 1 { "1 run that was".to_owned() } else { format!("{count} runs that were") };
            drop(writeln!(std::io::stderr(), "waiting for {runs} triggered"));
        }
        let ended_well = *stop.borrow() == Stop::No;
        detached.wait().await;
        if ended_well && *stop.borrow() != Stop::No {
            return Ok(ExitStatus::Cancelled);
        }
        Ok(match finished {
            Finished::Over(RunResult::Passed) => ExitStatus::Passed,
            Finished::Over(RunResult::Failed) => ExitStatus::Failed,
            Finished::Over(RunResult::Cancelled) => ExitStatus::Cancelled,
            Finished::Blocked => ExitStatus::Blocked,
        })
    }

    /// Drives until the run is over, or blocked and nobody here can answer.
    pub(super) async fn drive(self) -> Result<Finished, Error> {
        let Some(_lock) = self.files.lock()? else {
            return Err(Error::environment(format!("another process is driving run {}", self.record.number)));
        };
        let program = std::env::current_exe()
            .map_err(|error| Error::environment(format!("the runner's own program cannot be found: {error}")))?;
        let services = services(self.files.artifacts.clone());
        let (appended, logs) = mpsc::channel(1024);
        let agent = Arc::new(LocalAgent {
            engine: self.uploader.engine(),
            components: self.uploader.loaded(),
            uploader: self.uploader.clone(),
            triggers: Arc::new(LocalTriggers {
                directory: self.project.directory.clone(),
                parent: self.record.clone(),
                context: self.plan.context.clone(),
                depth: self.depth,
                slots: self.slots,
                stop: self.stop.clone(),
                caching: self.caching,
                detached: self.detached.clone(),
            }),
            cache: cache::open(&self.project, &services, self.caching)?,
            services,
            job_api: JobApi::new(self.record.id.clone(), program, cache_directory().join("locks")),
            facts: RunFacts {
                run: self.record.id.clone(),
                number: self.record.number,
                workspace: self.project.directory.display().to_string(),
                agent: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            },
            workspace: self.project.directory.clone(),
            logs: self.files.logs.clone(),
            appended: Some(appended),
            grace: GRACE,
        });
        let (progress, progressed) = watch::channel(0);
        let log: Arc<dyn EventLog> = self.log.clone();
        let report = Terminal::new(
            log.clone(),
            self.record.clone(),
            self.plan.clone(),
            self.files.logs.clone(),
            self.output.clone(),
        )
        .after(self.shown);
        let report = tokio::spawn(report.follow(progressed, logs));
        let mut wait = self.wait;
        let finished = loop {
            let state = state_of(&self.log, &self.record, &self.plan).await?;
            let driver = Driver {
                run: self.record.id.clone(),
                state,
                log: log.clone(),
                executor: agent.clone(),
                slots: self.slots,
                stop: self.stop.clone(),
                progress: progress.clone(),
                answers: self.answers.clone(),
                wait,
            };
            let finished = driver.drive().await?;
            if finished != Finished::Blocked {
                break finished;
            }
            if !self.ask().await? {
                if wait || !self.holds_up().await? {
                    break finished;
                }
                wait = true;
            }
        };
        if let Some(cache) = &agent.cache {
            cache.finish().await;
        }
        // The report reads the rest of the log and ends.
        drop(progress);
        drop(agent);
        if report.await.is_err() {
            tracing::warn!("the report broke; the run itself is as it says above");
        }
        Ok(finished)
    }

    /// Whether the run was triggered and waits where waiting does not count as passed: then its parent waits as well.
    async fn holds_up(&self) -> Result<bool, Error> {
        let state = state_of(&self.log, &self.record, &self.plan).await?;
        let counts = |gate: &Gate| gate.blocked_state != BlockedState::Passed;
        let kinds = state.blocked().map(|job| state.plan().job(job).kind.clone());
        Ok(self.depth > 0 && kinds.into_iter().any(|kind| matches!(kind, JobKind::Gate(gate) if counts(&gate))))
    }

    /// Asks the person at the terminal; whether something was unblocked.
    async fn ask(&self) -> Result<bool, Error> {
        let terminal = matches!(self.output, Output::Stdout);
        if !terminal || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(false);
        }
        let state = state_of(&self.log, &self.record, &self.plan).await?;
        for job in state.blocked().collect::<Vec<_>>() {
            let planned = state.plan().job(job);
            let JobKind::Gate(gate) = &planned.kind else { continue };
            let (label, gate) = (planned.label.clone(), gate.clone());
            // Reading the terminal blocks; what waits there is left behind when the program is interrupted.
            let answer = tokio::task::spawn_blocking(move || ask_person(&label, &gate));
            let answer = tokio::select! {
                answer = answer => answer.ok().flatten(),
                _ = tokio::signal::ctrl_c() => None,
            };
            if let Some(fields) = answer {
                let kind = EventKind::Unblocked { job, by: run::user(), fields };
                let event = Event { sequence: state.sequence() + 1, at: run::now(), kind };
                self.log.append(&self.record.id, &[event]).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The fields' values when the person says yes.
fn ask_person(label: &str, gate: &Gate) -> Option<IndexMap<String, String>> {
    let mut stderr = std::io::stderr().lock();
    let mut lines = std::io::stdin().lock().lines();
    let mut ask = |question: &str| -> Option<String> {
        write!(stderr, "{question} ").ok()?;
        stderr.flush().ok()?;
        lines.next()?.ok()
    };
    let mut fields = IndexMap::new();
    let prompt = if gate.prompt.is_empty() { String::new() } else { format!("{}\n", gate.prompt) };
    ask(&format!("{prompt}{label} Continue? [y/N]")).filter(|answer| matches!(answer.trim(), "y" | "Y" | "yes"))?;
    for field in &gate.fields {
        let choices = if field.options.is_empty() { String::new() } else { format!(" ({})", field.options.join(", ")) };
        let default = field.default.as_ref().map_or(String::new(), |default| format!(" [{default}]"));
        loop {
            let value = ask(&format!("{}{choices}{default}:", field.label))?;
            let mut given = IndexMap::new();
            if !value.is_empty() {
                given.insert(field.key.clone(), value);
            }
            let only = Gate { fields: vec![field.clone()], ..Gate::default() };
            match run::answer(&only, &given) {
                Ok(values) => {
                    fields.extend(values);
                    break;
                }
                Err(problems) => {
                    ask(&format!("{}\nPress return to try again.", problems.join("\n")))?;
                }
            }
        }
    }
    Some(fields)
}

/// Ctrl-C or SIGTERM once: jobs get their grace time. Twice: they are ended at once.
pub(super) fn stop_on_signals() -> Result<watch::Receiver<Stop>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let fault = |error: std::io::Error| Error::environment(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for (stop, message) in [
            (Stop::Graceful, "cancelling: jobs get 10 seconds to clean up; once more ends them at once"),
            (Stop::Now, "ending all jobs at once and removing what they made"),
        ] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // A closed standard error does not keep a run from being cancelled.
            drop(writeln!(std::io::stderr(), "{message}"));
            sender.send_replace(stop);
        }
        sender.closed().await;
    });
    Ok(receiver)
}

/// How many jobs run at once: as many as the user says, else twice as many as there are processors, because steps
/// mostly wait for something else. Jobs that only compute are bounded by the memory they may take (512 MiB each).
pub(super) fn slots(jobs: Option<u32>) -> Slots {
    jobs.map_or_else(
        || Slots { reaching: std::thread::available_parallelism().map_or(4, |cores| cores.get() * 2), computing: 16 },
        |jobs| Slots::of(jobs as usize),
    )
}

/// The state a run's log gives.
pub(super) async fn state_of(log: &SqliteLog, record: &RunRecord, plan: &Arc<Plan>) -> Result<RunState, Error> {
    let events = log.read(&record.id, 0).await?;
    Ok(RunState::replay(plan.clone(), &events).map_err(DriveError::from)?)
}

/// The components of a plan made before, found again.
pub(super) fn restore(components: &mut Components, plan: &Plan) -> Result<(), Error> {
    for job in &plan.jobs {
        let JobKind::Step(step) = &job.kind else { continue };
        let phases = step.phases().map(|phase| (&phase.uses, &phase.component));
        for (uses, pin) in std::iter::once((&step.uses, &step.component)).chain(phases) {
            if let Some(pin) = pin {
                components.restore(uses, pin).map_err(|error| Error::environment(error.to_string()))?;
            }
        }
    }
    Ok(())
}
