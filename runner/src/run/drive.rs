//! The loop that makes a run happen: commands down, events up.
//!
//! ```text
//!            schedule(state)            execute
//!  RunState ────────────────> commands ─────────> Executor (one task per job)
//!     ^                          │                    │ results, requests of running jobs
//!     │ apply                    v                    v
//!     └──────────────────── EventLog.append <─────────┘
//! ```
//!
//! Every event is in the log before anything acts on it; what has come in meanwhile is appended in one batch.

use super::account::Account;
use super::answer::Answer;
use super::recorder::{Question, RecordError, Recorder, Request};
use super::schedule::{Command, Slots, schedule};
use super::state::{Illegal, RunState};
use crate::event::{Event, EventKind, JobResult, RunResult};
use crate::log::{EventLog, LogError};
use crate::plan::{JobId, JobKind, Plan};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Does one attempt of a job. Does and decides nothing else.
#[async_trait::async_trait]
pub trait Executor: Send + Sync + 'static {
    /// Runs the attempt to its end, whatever it is, and leaves nothing behind.
    async fn execute(&self, assignment: Assignment) -> JobResult;
}

/// One attempt of a job, and all it is told.
#[derive(Debug)]
pub struct Assignment {
    /// The plan, with what running jobs have added.
    pub plan: Arc<Plan>,
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The attempt that began this work: an earlier one when that, and all since, were lost.
    pub begun_in: u32,
    /// What a notification tells.
    pub notice: Option<Value>,
    /// Who let the run go on last; empty when nobody has.
    pub unblocked_by: String,
    /// The outputs of the steps its parameters refer to, by key.
    pub outputs: HashMap<String, Map<String, Value>>,
    /// The way into the run's log.
    pub recorder: Recorder,
    /// Set when the job is asked to end.
    pub cancelled: CancellationToken,
    /// Set when it has to end at once.
    pub killed: CancellationToken,
}

/// Drives one run. Only one driver of a run makes progress: the log refuses the other's events.
pub struct Driver {
    /// Identifier of the run.
    pub run: String,
    /// The state its log gives.
    pub state: RunState,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Does the jobs.
    pub executor: Arc<dyn Executor>,
    /// Jobs at once.
    pub slots: Slots,
    /// How the run is asked to end.
    pub stop: watch::Receiver<Stop>,
    /// Told the sequence of the last durable event.
    pub progress: watch::Sender<u64>,
    /// Block and input steps that are answered in advance.
    pub answers: HashMap<JobId, Answer>,
    /// Whether to wait for a person, or to return when nothing else is left to do.
    pub wait: bool,
}

/// Whether and how urgently a run is asked to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It is not.
    #[default]
    No,
    /// Jobs get their grace time.
    Graceful,
    /// Jobs are ended at once; what they made is removed.
    Now,
}

/// Why driving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finished {
    /// The run is over.
    Over(RunResult),
    /// Nothing is left to do until a person unblocks it.
    Blocked,
}

/// Why driving failed. The run can be taken up again from its log.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The log cannot be written or read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log holds what cannot have happened.
    #[error("the event log of the run is inconsistent: {0}")]
    Illegal(#[from] Illegal),
}

/// How often the log is looked at for what other processes append.
const POLL: Duration = Duration::from_millis(250);

/// Requests and results taken into one batch.
const BATCH: usize = 1024;

impl Driver {
    /// Drives the run until it is over, or blocked with nothing else to do.
    ///
    /// # Errors
    /// When the log fails. What ran has been asked to end then, and has.
    pub async fn drive(mut self) -> Result<Finished, DriveError> {
        let (done, finished) = mpsc::channel(BATCH);
        let mut jobs = Running { tokens: HashMap::new(), killed: CancellationToken::new(), done, finished };
        let driven = self.drive_jobs(&mut jobs).await;
        if driven.is_err() {
            jobs.end(&mut self.stop).await;
        }
        driven
    }

    async fn drive_jobs(&mut self, jobs: &mut Running) -> Result<Finished, DriveError> {
        let (recorder, mut requests) = Recorder::channel();
        // One for the whole drive: however much happens here, what others append is not left unread.
        let mut poll = tokio::time::interval_at(Instant::now() + POLL, POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Heard::default();
        // Nobody else drives this run, so what its log says is running was lost with the process that ran it.
        heard.facts.extend(self.state.running_jobs().map(|job| {
            let attempt = self.state.attempt(job);
            EventKind::JobInterrupted { job, attempt }
        }));
        let mut asked = Vec::new();
        let mut results = Vec::new();
        loop {
            let starts = self.advance(&mut heard).await?;
            for (job, token) in &jobs.tokens {
                if self.state.is_cancelling(*job) {
                    token.cancel();
                }
            }
            if self.state.is_killed() {
                jobs.killed.cancel();
            } else if jobs.killed.is_cancelled() {
                // Jobs that are run again after all.
                jobs.killed = CancellationToken::new();
            }
            for (job, attempt) in starts {
                let cancelled = CancellationToken::new();
                jobs.tokens.insert(job, cancelled.clone());
                let assignment = self.assignment(job, attempt, &recorder, cancelled, &jobs.killed);
                let (executor, done) = (self.executor.clone(), jobs.done.clone());
                tokio::spawn(async move {
                    // A panic in the executor must not leave the run waiting for ever.
                    let work = tokio::spawn(async move { executor.execute(assignment).await });
                    let result = work.await.unwrap_or_else(|error| broken(&error));
                    // The driver is gone only when the log failed; the result is then lost with it.
                    drop(done.send((job, attempt, result)).await);
                });
            }
            if let Some(result) = self.state.run_result() {
                return Ok(Finished::Over(result));
            }
            let is_blocked = self.state.blocked().next().is_some();
            if is_blocked && self.state.running_count() == Slots::of(0) && !self.wait {
                return Ok(Finished::Blocked);
            }
            tokio::select! {
                _ = jobs.finished.recv_many(&mut results, BATCH) => {
                    for (job, attempt, result) in results.drain(..) {
                        jobs.tokens.remove(&job);
                        heard.facts.push(EventKind::JobFinished { job, attempt, result });
                    }
                }
                _ = requests.recv_many(&mut asked, BATCH) => {
                    for request in asked.drain(..) {
                        Self::hear(request, &mut heard);
                    }
                }
                changed = self.stop.changed() => {
                    let stop = if changed.is_ok() { *self.stop.borrow_and_update() } else { Stop::No };
                    let now = stop == Stop::Now;
                    if now && !self.state.is_killed() || stop != Stop::No && !self.state.is_cancelled() {
                        heard.facts.push(EventKind::CancelRequested { by: user(), now });
                    }
                }
                _ = poll.tick() => self.catch_up().await?,
            }
        }
    }

    /// Makes what was heard and everything that follows from it durable, in one batch; then answers those who wait.
    /// Returns the attempts that are to begin.
    ///
    /// The state runs ahead of the log for the length of this call, in which nothing is done.
    async fn advance(&mut self, heard: &mut Heard) -> Result<Vec<(JobId, u32)>, DriveError> {
        let Heard { facts, waiting, questions } = std::mem::take(heard);
        let (batch, starts, refused) = loop {
            let committed = self.state.sequence();
            let mut batch = Batch { at: now(), events: Vec::new() };
            let refused: Vec<Option<Illegal>> =
                facts.iter().map(|fact| batch.push(&mut self.state, fact.clone()).err()).collect();
            let mut starts = Vec::new();
            self.decide(&mut batch, &mut starts)?;
            if batch.events.is_empty() {
                break (batch, starts, refused);
            }
            match self.log.append(&self.run, &batch.events).await {
                Ok(()) => break (batch, starts, refused),
                // Somebody unblocked or cancelled meanwhile: ours come after theirs, where they still make sense.
                Err(LogError::Conflict { .. }) => {
                    tracing::debug!(committed, "another process has written to the run");
                    let events = self.log.read(&self.run, 0).await?;
                    self.state = RunState::replay(self.state.base().clone(), &events)?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let mut answers: HashMap<usize, _> = waiting.into_iter().collect();
        for (position, refused) in refused.into_iter().enumerate() {
            let answer = answers.remove(&position);
            if let (None, Some(reason)) = (&answer, &refused) {
                tracing::warn!(%reason, fact = ?facts[position], "not recorded");
            }
            let result = refused.map_or(Ok(()), |reason| Err(RecordError::Refused(reason.to_string())));
            // Whoever asked and is gone was cancelled meanwhile, and needs no answer.
            drop(answer.map(|answer| answer.send(result)));
        }
        for question in questions {
            question(&self.state);
        }
        if !batch.events.is_empty() {
            self.progress.send_replace(self.state.sequence());
        }
        Ok(starts)
    }

    /// Adds what the schedule says until it says nothing more.
    fn decide(&mut self, batch: &mut Batch, starts: &mut Vec<(JobId, u32)>) -> Result<(), Illegal> {
        loop {
            let commands = schedule(&self.state, self.slots);
            if commands.is_empty() {
                return Ok(());
            }
            for command in commands {
                match command {
                    Command::Start { job, attempt } => {
                        batch.push(&mut self.state, EventKind::JobStarted { job, attempt })?;
                        starts.push((job, attempt));
                    }
                    Command::Block { job } => {
                        batch.push(&mut self.state, EventKind::Blocked { job })?;
                        if let Some(answer) = self.answers.get(&job).cloned() {
                            batch.push(&mut self.state, answer.unblocks(job))?;
                        }
                    }
                    Command::Finish { result } => batch.push(&mut self.state, EventKind::RunFinished { result })?,
                }
            }
        }
    }

    fn assignment(
        &self,
        job: JobId,
        attempt: u32,
        recorder: &Recorder,
        cancelled: CancellationToken,
        killed: &CancellationToken,
    ) -> Assignment {
        let references = match &self.state.plan().job(job).kind {
            JobKind::Step(step) => step.references.as_slice(),
            JobKind::Trigger(_) | JobKind::Wait | JobKind::Gate(_) => &[],
        };
        let outputs = references
            .iter()
            .filter_map(|reference| Some((reference.step.clone(), self.state.outputs(&reference.step)?.clone())))
            .collect();
        Assignment {
            plan: self.state.plan().clone(),
            job,
            attempt,
            begun_in: self.state.begun_in(job),
            notice: self.state.notice(job),
            unblocked_by: self.state.data().unblocked_by().to_owned(),
            outputs,
            recorder: recorder.clone(),
            cancelled,
            killed: killed.clone(),
        }
    }

    fn hear(request: Request, heard: &mut Heard) {
        match request {
            Request::Record(event, answer) => {
                heard.waiting.push((heard.facts.len(), answer));
                heard.facts.push(event);
            }
            Request::Read(question) => heard.questions.push(question),
        }
    }

    /// Applies what other processes have appended.
    async fn catch_up(&mut self) -> Result<(), DriveError> {
        for event in self.log.read(&self.run, self.state.sequence()).await? {
            self.state.apply(&event)?;
        }
        self.progress.send_replace(self.state.sequence());
        Ok(())
    }
}

/// The attempts that run.
struct Running {
    /// By which each is asked to end.
    tokens: HashMap<JobId, CancellationToken>,
    /// By which all have to end at once.
    killed: CancellationToken,
    done: mpsc::Sender<(JobId, u32, JobResult)>,
    finished: mpsc::Receiver<(JobId, u32, JobResult)>,
}

impl Running {
    /// Asks them to end, and waits until they have: nothing can be recorded of them any more.
    async fn end(mut self, stop: &mut watch::Receiver<Stop>) {
        self.tokens.values().for_each(CancellationToken::cancel);
        while !self.tokens.is_empty() {
            tokio::select! {
                finished = self.finished.recv() => match finished {
                    Some((job, ..)) => drop(self.tokens.remove(&job)),
                    None => return,
                },
                // Whoever could ask for more haste may be gone.
                Ok(()) = stop.changed() => {
                    if *stop.borrow_and_update() == Stop::Now {
                        self.killed.cancel();
                    }
                }
            }
        }
    }
}

/// Facts that are not in the log yet, and who waits for which of them to be.
#[derive(Default)]
struct Heard {
    facts: Vec<EventKind>,
    waiting: Vec<(usize, oneshot::Sender<Result<(), RecordError>>)>,
    questions: Vec<Question>,
}

/// Events to be appended together.
struct Batch {
    at: u64,
    events: Vec<Event>,
}

impl Batch {
    /// Applies an event and takes it into the batch, or refuses it.
    fn push(&mut self, state: &mut RunState, kind: EventKind) -> Result<(), Illegal> {
        let event = Event { sequence: state.sequence() + 1, at: self.at, kind };
        state.apply(&event)?;
        self.events.push(event);
        Ok(())
    }
}

fn broken(error: &tokio::task::JoinError) -> JobResult {
    JobResult::failed(
        -1,
        format!("the runner itself broke while running the job: {error}"),
        "This is a mistake in the runner; please report it with this message.",
    )
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Who runs this process, for the log.
pub(crate) fn user() -> String {
    let named = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    named.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| Account::own().name)
}
