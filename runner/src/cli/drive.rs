//! Drives a run in this process: signals in, report out, questions at block steps where there is a terminal.

use super::cache;
use super::collect::collect_now_and_then;
use super::error::{Error, ExitStatus};
use super::prepare::services;
use super::project::{Project, RunFiles, cache_directory, state_directory};
use super::prompt::{Typed, ask_person};
use super::redaction;
use super::secrets;
use super::trigger::LocalTriggers;
use super::unblock::signed;
use crate::agent::job_api::JobApi;
use crate::agent::{LocalAgent, RunFacts, Uploader};
use crate::cache::{Caching, StepCache};
use crate::capability::{docker, process};
use crate::component::Components;
use crate::event::RunResult;
use crate::host::Services;
use crate::log::{EventLog, LogError, RunRecord, SqliteLog};
use crate::pipeline::attribute::BlockedState;
use crate::plan::{Gate, JobId, JobKind, Plan};
use crate::queue::{ByGroup, SqliteQueue};
use crate::report::text::plain;
use crate::report::{Output, Terminal};
use crate::run::{self, Answer, DriveError, Driver, Finished, JobState, RunState, Slots, Stop};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
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
    /// Where the run stands, as far as its log has been read.
    pub(super) state: RunState,
    pub(super) files: RunFiles,
    /// The run, taken for this process; taken when it is driven unless it is already.
    pub(super) lock: Option<File>,
    /// The plan's components, and the way to more of them.
    pub(super) uploader: Arc<Uploader>,
    pub(super) answers: HashMap<JobId, Answer>,
    pub(super) way: Way,
}

/// How a run is driven.
#[derive(Clone)]
pub(super) struct Way {
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
        let (project, detached, stop) = (self.project.clone(), self.way.detached.clone(), self.way.stop.clone());
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
        collect_now_and_then(&project).await;
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
    pub(super) async fn drive(mut self) -> Result<Finished, Error> {
        let mut lock =
            Some(match self.lock.take() {
                Some(lock) => lock,
                None => self.files.take().await?.ok_or_else(|| {
                    Error::environment(format!("another process is driving run {}", self.record.number))
                })?,
            });
        let services = Services {
            secrets: Arc::new(secrets::of(self.uploader.settings(), &self.project.directory)),
            temporary: self.files.temporary.clone(),
            ..services(self.files.artifacts.clone())
        };
        let base = self.state.base();
        let cache = cache::open(&self.project, &services, self.way.caching, base, redaction::known()).await?;
        let cache = cache.map(Arc::new);
        let (appended, logs) = mpsc::channel(1024);
        let (progress, progressed) = watch::channel(0);
        let report = Terminal::new(
            self.log.clone(),
            self.record.clone(),
            self.state.base().clone(),
            self.files.logs.clone(),
            self.way.output.clone(),
        )
        .after(self.way.shown);
        let mut seen = report.seen();
        let report = tokio::spawn(report.follow(progressed, logs));
        let finished = loop {
            let agent = self.agent(services.clone(), cache.clone(), appended.clone())?;
            let finished = self.drive_with(&agent, &progress, &mut seen).await?;
            // Nothing of it may be left once somebody else can take it.
            self.tidy_up(agent).await;
            drop(lock.take());
            // Whoever has unblocked, retried or cancelled it until now has seen it driven, and leaves it to this process.
            run::catch_up(&*self.log, &self.record.id, &mut self.state).await?;
            let waits = || run::is_idle(&self.state) && self.state.blocked().next().is_some();
            if self.state.run_result().is_some() || waits() {
                break finished;
            }
            lock = self.files.take().await?;
            if lock.is_none() {
                break finished;
            }
        };
        if let Some(cache) = &cache {
            cache.finish().await;
        }
        // The report reads the rest of the log and ends.
        drop(progress);
        drop(appended);
        if report.await.is_err() {
            tracing::warn!("the report broke; the run itself is as it says above");
        }
        Ok(finished)
    }

    fn agent(
        &self,
        services: Services,
        cache: Option<Arc<StepCache>>,
        appended: mpsc::Sender<Arc<Path>>,
    ) -> Result<Arc<LocalAgent>, Error> {
        let program = std::env::current_exe()
            .map_err(|error| Error::environment(format!("the runner's own program cannot be found: {error}")))?;
        Ok(Arc::new(LocalAgent {
            engine: self.uploader.engine(),
            components: self.uploader.loaded(),
            uploader: self.uploader.clone(),
            triggers: Arc::new(LocalTriggers {
                directory: self.project.directory.clone(),
                parent: self.record.clone(),
                context: self.state.base().context.clone(),
                depth: self.way.depth,
                slots: self.way.slots,
                stop: self.way.stop.clone(),
                caching: self.way.caching,
                detached: self.way.detached.clone(),
            }),
            cache,
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
            redactions: redaction::known().clone(),
            grace: GRACE,
        }))
    }

    /// Drives while somebody here can answer.
    async fn drive_with(
        &mut self,
        agent: &Arc<LocalAgent>,
        progress: &watch::Sender<u64>,
        seen: &mut watch::Receiver<u64>,
    ) -> Result<Finished, Error> {
        let shared = SqliteQueue::new(state_directory().join("queue")).ending(|run| {
            let ended = process::end_run(run);
            ended
                .inspect_err(|error| tracing::warn!(run, "its place in a concurrency group stays taken: {error}"))
                .is_ok()
        });
        let queue = Arc::new(ByGroup::over(Arc::new(shared)));
        let (waits, waited) = mpsc::unbounded_channel();
        tokio::spawn(tell_waits(waited, self.way.output.clone()));
        let mut wait = self.way.wait;
        let mut typed = None;
        loop {
            // Another process may have driven the run until this one took it.
            run::catch_up(&*self.log, &self.record.id, &mut self.state).await?;
            let driver = Driver {
                run: self.record.id.clone(),
                state: self.state.clone(),
                log: self.log.clone(),
                queue: queue.clone(),
                waits: waits.clone(),
                executor: agent.clone(),
                slots: self.way.slots,
                stop: self.way.stop.clone(),
                progress: progress.clone(),
                answers: self.answers.clone(),
                wait,
            };
            let finished = driver.drive().await.map_err(|error| self.stopped(error))?;
            if finished != Finished::Blocked {
                return Ok(finished);
            }
            if self.ask(&mut typed, seen).await? {
                continue;
            }
            if wait || !self.holds_up().await? {
                return Ok(finished);
            }
            wait = true;
        }
    }

    /// Removes what belongs to a run that is driven: processes that its jobs have left, the socket, temporary files.
    async fn tidy_up(&self, agent: Arc<LocalAgent>) {
        if agent.job_api.is_used() {
            let run = self.record.id.clone();
            match tokio::task::spawn_blocking(move || process::end_run(&run)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(count)) => tracing::debug!(count, "processes that jobs had left are ended"),
                Ok(Err(error)) => tracing::warn!("{error}"),
                Err(error) => tracing::warn!(%error, "processes that jobs have left were not looked for"),
            }
        }
        drop(agent);
        if let Err(error) = self.files.remove_temporary() {
            tracing::warn!(%error, "temporary files of the run stay");
        }
    }

    /// Why the run stopped before its end, and how it goes on.
    fn stopped(&self, error: DriveError) -> Error {
        let goes_on = format!("then go on with: runner resume {}", self.record.number);
        let help = match &error {
            DriveError::Log(LogError::Full { .. }) => format!("free space on the disk, {goes_on}"),
            DriveError::Log(LogError::Store { .. }) => format!("mend that, {goes_on}"),
            _ => return error.into(),
        };
        let stopped = Error::from(error);
        let message = format!("run {} stopped, and its jobs were ended: {}", self.record.number, stopped.message());
        Error::environment(message).help(help)
    }

    /// Whether the run was triggered and waits where waiting does not count as passed: then its parent waits as well.
    async fn holds_up(&mut self) -> Result<bool, Error> {
        run::catch_up(&*self.log, &self.record.id, &mut self.state).await?;
        let state = &self.state;
        let counts = |gate: &Gate| gate.blocked_state != BlockedState::Passed;
        let kinds = state.blocked().map(|job| state.plan().job(job).kind.clone());
        Ok(self.way.depth > 0 && kinds.into_iter().any(|kind| matches!(kind, JobKind::Gate(gate) if counts(&gate))))
    }

    /// Asks the person at the terminal; whether the run can go on, by an answer or by what another process did.
    async fn ask(&mut self, typed: &mut Option<Typed>, seen: &mut watch::Receiver<u64>) -> Result<bool, Error> {
        let terminal = matches!(self.way.output, Output::Stdout);
        if !terminal || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
            return Ok(false);
        }
        run::catch_up(&*self.log, &self.record.id, &mut self.state).await?;
        let state = self.state.clone();
        // What led to the question stands above it, unless whoever shows it does not get on.
        let shown = seen.wait_for(|seen| *seen >= state.sequence());
        drop(tokio::time::timeout(Duration::from_secs(2), shown).await);
        for job in state.blocked().collect::<Vec<_>>() {
            let planned = state.plan().job(job);
            let JobKind::Gate(gate) = &planned.kind else { continue };
            let answer = match signed(&self.project, planned, gate, None, IndexMap::new()) {
                Ok(answer) => answer,
                Err(error) => {
                    // A closed standard error is no reason to stop.
                    drop(write!(std::io::stderr(), "{}", error.render()));
                    continue;
                }
            };
            let typed = typed.get_or_insert_with(Typed::stdin);
            let fields = tokio::select! {
                fields = ask_person(&planned.label, gate, typed, std::io::stderr()) => fields,
                _ = tokio::signal::ctrl_c() => None,
                () = self.changed(state.sequence()) => return Ok(true),
            };
            let Some(fields) = fields else {
                // As above.
                drop(writeln!(std::io::stderr(), "\nrun {} stays blocked", self.record.number));
                return Ok(false);
            };
            let kind = Answer { fields, ..answer }.unblocks(job);
            let fact = |_: &RunState| Ok::<_, Error>(kind.clone());
            let recorded = run::append(&*self.log, &self.record.id, &mut self.state, fact).await;
            // Somebody else may have been faster.
            if self.state.state(job) == JobState::Blocked {
                recorded?;
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Returns when another process has written to the run, or its log cannot be read, which is then found out anew.
    async fn changed(&self, sequence: u64) {
        const POLL: Duration = Duration::from_millis(250);
        while self.log.read(&self.record.id, sequence).await.is_ok_and(|events| events.is_empty()) {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Ctrl-C or SIGTERM once: jobs get their grace time. Twice: they are ended at once.
pub(super) fn stop_on_signals() -> Result<watch::Receiver<Stop>, Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let fault = |error: std::io::Error| Error::environment(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fault)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fault)?;
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for stop in [Stop::Graceful, Stop::Now] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
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

/// Says which concurrency groups are full outside the run, where the run reports.
async fn tell_waits(mut waited: mpsc::UnboundedReceiver<String>, output: Output) {
    while let Some(group) = waited.recv().await {
        let group = redaction::known().redacted(&plain(&group));
        let line = format!("waiting for other runs in the concurrency group `{group}`");
        match &output {
            // A closed standard error keeps no run from waiting.
            Output::Stdout => drop(writeln!(std::io::stderr(), "{line}")),
            Output::Log(log) => log.line(&line),
        }
    }
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
