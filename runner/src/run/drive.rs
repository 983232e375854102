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

use super::recorder::{RecordError, Recorder, Request};
use super::schedule::{Command, schedule};
use super::state::{Illegal, JobState, RunState};
use crate::event::{Event, EventKind, JobResult, Outcome, RunResult};
use crate::log::{EventLog, LogError};
use crate::plan::{JobId, JobKind};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot, watch};
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
    /// Which job.
    pub job: JobId,
    /// Which attempt.
    pub attempt: u32,
    /// The outputs of the steps its parameters refer to, by key.
    pub outputs: HashMap<String, Map<String, Value>>,
    /// The way into the run's log.
    pub recorder: Recorder,
    /// Set when the run is asked to end.
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
    pub slots: usize,
    /// How the run is asked to end.
    pub stop: watch::Receiver<Stop>,
    /// Told the sequence of the last durable event.
    pub progress: watch::Sender<u64>,
    /// Block and input steps that are answered in advance.
    pub answers: HashMap<JobId, Answer>,
    /// Whether to wait for a person, or to return when nothing else is left to do.
    pub wait: bool,
}

/// An answer to a block or input step.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Who gives it.
    pub by: String,
    /// The fields' values.
    pub fields: IndexMap<String, String>,
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

/// How often the log is looked at for what other processes append, while a person is waited for.
const POLL: Duration = Duration::from_millis(250);

/// Requests and results taken into one batch.
const BATCH: usize = 1024;

impl Driver {
    /// Drives the run until it is over, or blocked with nothing else to do.
    ///
    /// # Errors
    /// When the log fails.
    pub async fn drive(mut self) -> Result<Finished, DriveError> {
        let (recorder, mut requests) = Recorder::channel();
        let (done, mut finished) = mpsc::channel::<(JobId, u32, JobResult)>(BATCH);
        let cancelled = CancellationToken::new();
        let killed = CancellationToken::new();
        let mut pending: Vec<EventKind> = Vec::new();
        let mut waiting: Vec<(usize, oneshot::Sender<Result<(), RecordError>>)> = Vec::new();
        let mut asked = Vec::new();
        let mut results = Vec::new();
        loop {
            self.commit(&mut pending, &mut waiting).await?;
            if self.state.is_cancelled() {
                cancelled.cancel();
            }
            if *self.stop.borrow() == Stop::Now {
                killed.cancel();
            }
            let commands = schedule(&self.state, self.slots);
            if !commands.is_empty() {
                let mut starts = Vec::new();
                for command in commands {
                    match command {
                        Command::Start { job, attempt } => {
                            pending.push(EventKind::JobStarted { job, attempt });
                            starts.push((job, attempt));
                        }
                        Command::Block { job } => self.block(job, &mut pending),
                        Command::Finish { result } => pending.push(EventKind::RunFinished { result }),
                    }
                }
                self.commit(&mut pending, &mut waiting).await?;
                for (job, attempt) in starts {
                    // Not so when the run was cancelled by somebody else just before.
                    if self.state.state(job) != JobState::Running {
                        continue;
                    }
                    let assignment = self.assignment(job, attempt, &recorder, &cancelled, &killed);
                    let (executor, done) = (self.executor.clone(), done.clone());
                    tokio::spawn(async move {
                        // A panic in the executor must not leave the run waiting for ever.
                        let work = tokio::spawn(async move { executor.execute(assignment).await });
                        let result = work.await.unwrap_or_else(|error| broken(&error));
                        // The driver is gone only when the log failed; the result is then lost with it.
                        drop(done.send((job, attempt, result)).await);
                    });
                }
                continue;
            }
            if let Some(result) = self.state.run_result() {
                return Ok(Finished::Over(result));
            }
            if self.state.running_count() == 0 && !self.wait && self.state.blocked().next().is_some() {
                return Ok(Finished::Blocked);
            }
            let someone_may_unblock = self.state.blocked().next().is_some();
            tokio::select! {
                count = finished.recv_many(&mut results, BATCH), if self.state.running_count() > 0 => {
                    debug_assert!(count > 0, "the driver holds a sender itself");
                    for (job, attempt, result) in results.drain(..) {
                        pending.push(EventKind::JobFinished { job, attempt, result });
                    }
                }
                _ = requests.recv_many(&mut asked, BATCH) => {
                    for request in asked.drain(..) {
                        self.answer(request, &mut pending, &mut waiting);
                    }
                }
                changed = self.stop.changed() => {
                    let asked_to_stop = changed.is_ok() && *self.stop.borrow_and_update() != Stop::No;
                    if asked_to_stop && !self.state.is_cancelled() {
                        pending.push(EventKind::CancelRequested { by: user() });
                    }
                }
                () = tokio::time::sleep(POLL), if someone_may_unblock => self.catch_up().await?,
            }
        }
    }

    /// A block or input step is reached: it waits for a person, unless it was answered in advance.
    fn block(&self, job: JobId, pending: &mut Vec<EventKind>) {
        pending.push(EventKind::Blocked { job });
        if let Some(Answer { by, fields }) = self.answers.get(&job).cloned() {
            pending.push(EventKind::Unblocked { job, by, fields });
        }
    }

    fn assignment(
        &self,
        job: JobId,
        attempt: u32,
        recorder: &Recorder,
        cancelled: &CancellationToken,
        killed: &CancellationToken,
    ) -> Assignment {
        let references = match &self.state.plan().job(job).kind {
            JobKind::Step(step) => step.references.as_slice(),
            JobKind::Wait | JobKind::Gate(_) => &[],
        };
        let outputs = references
            .iter()
            .filter_map(|reference| Some((reference.step.clone(), self.state.outputs(&reference.step)?.clone())))
            .collect();
        Assignment {
            job,
            attempt,
            outputs,
            recorder: recorder.clone(),
            cancelled: cancelled.clone(),
            killed: killed.clone(),
        }
    }

    fn answer(
        &self,
        request: Request,
        pending: &mut Vec<EventKind>,
        waiting: &mut Vec<(usize, oneshot::Sender<Result<(), RecordError>>)>,
    ) {
        // Whoever asked and is gone was cancelled meanwhile, and needs no answer.
        match request {
            Request::Record(event, answer) => {
                pending.push(event);
                waiting.push((pending.len() - 1, answer));
            }
            Request::MetaData(key, answer) => drop(answer.send(self.state.meta_data().get(&key).cloned())),
            Request::MetaDataKeys(answer) => drop(answer.send(self.state.meta_data().keys().cloned().collect())),
            Request::Artifacts(answer) => drop(answer.send(self.state.artifacts().to_vec())),
        }
    }

    /// Makes the pending events durable, applies them, and answers those who wait for them.
    async fn commit(
        &mut self,
        pending: &mut Vec<EventKind>,
        waiting: &mut Vec<(usize, oneshot::Sender<Result<(), RecordError>>)>,
    ) -> Result<(), DriveError> {
        if pending.is_empty() {
            return Ok(());
        }
        let mut kinds: Vec<(usize, EventKind)> = std::mem::take(pending).into_iter().enumerate().collect();
        loop {
            let first = self.state.sequence() + 1;
            let events = numbered(first, &kinds);
            match self.log.append(&self.run, &events).await {
                Ok(()) => {
                    for event in &events {
                        self.state.apply(event)?;
                    }
                    break;
                }
                // Somebody unblocked or cancelled meanwhile: ours come after theirs, where they still make sense.
                Err(LogError::Conflict { .. }) => {
                    self.catch_up().await?;
                    let mut trial = self.state.clone();
                    kinds.retain(|(_, kind)| {
                        let event = Event { sequence: trial.sequence() + 1, at: 0, kind: kind.clone() };
                        trial.apply(&event).is_ok()
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (position, answer) in waiting.drain(..) {
            let recorded = kinds.iter().any(|(kept, _)| *kept == position);
            let result = if recorded { Ok(()) } else { Err(RecordError::RunIsOver) };
            drop(answer.send(result));
        }
        self.progress.send_replace(self.state.sequence());
        Ok(())
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

fn numbered(first: u64, kinds: &[(usize, EventKind)]) -> Vec<Event> {
    let at = now();
    (first..).zip(kinds).map(|(sequence, (_, kind))| Event { sequence, at, kind: kind.clone() }).collect()
}

fn broken(error: &tokio::task::JoinError) -> JobResult {
    JobResult {
        outcome: Outcome::Failed,
        exit_status: -1,
        outputs: Map::new(),
        message: format!("the runner itself broke while running the job: {error}"),
        remedy: "This is a mistake in the runner; please report it with this message.".to_owned(),
    }
}

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Who runs this process, for the log.
pub(crate) fn user() -> String {
    let named = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    named.unwrap_or_else(|_| format!("user id {}", rustix::process::geteuid().as_raw()))
}
