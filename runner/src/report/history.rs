//! What has happened to a run and when: the fold of its events with their times.

use super::moment::Moment;
use crate::event::{Event, EventKind, JobResult};
use crate::log::RunRecord;
use crate::plan::{JobId, Plan};
use crate::run::{Illegal, JobState, RunState, is_idle};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// A run's state, and the times that the state does not hold. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone)]
pub struct History {
    /// Where the run stands.
    pub state: RunState,
    /// When it was created.
    pub created_at: u64,
    /// When the last event was written down.
    pub updated_at: u64,
    attempts: HashMap<JobId, Vec<Attempt>>,
    waits: HashMap<JobId, Waited>,
}

/// One attempt of a job.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: u64,
    /// When it ended, or was found to be lost.
    pub ended_at: Option<u64>,
    /// How it ended; nothing while it runs, and when it was lost with the process that ran it.
    pub result: Option<JobResult>,
}

/// A block or input step that was reached.
#[derive(Debug, Clone)]
pub struct Waited {
    /// Since when.
    pub since: u64,
    /// Who let it go on, when somebody has.
    pub unblocked: Option<Unblocked>,
}

/// Who let a run go on.
#[derive(Debug, Clone, Serialize)]
pub struct Unblocked {
    /// When.
    pub at: Moment,
    /// Who, as they call themselves.
    pub by: String,
    /// The account of the operating system; empty when it is not recorded.
    pub account: String,
    /// The machine; empty when it is not recorded.
    pub host: String,
}

/// How a run stands, for people and programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// A process drives it.
    Running,
    /// It waits for a person, and nothing else is left to do.
    Blocked,
    /// It is not over, and no process drives it.
    Interrupted,
    /// No job failed.
    Passed,
    /// A job failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl Standing {
    /// How a run of this state stands, that a process drives or does not.
    #[must_use]
    pub fn of_run(state: &RunState, driven: bool) -> Self {
        if let Some(result) = state.run_result() {
            return Self::of(result);
        }
        match (is_idle(state) && state.blocked().next().is_some(), driven) {
            (true, _) => Self::Blocked,
            (false, true) => Self::Running,
            (false, false) => Self::Interrupted,
        }
    }

    /// How a run stands that ended like this.
    #[must_use]
    pub fn of(result: crate::event::RunResult) -> Self {
        match result {
            crate::event::RunResult::Passed => Self::Passed,
            crate::event::RunResult::Failed => Self::Failed,
            crate::event::RunResult::Cancelled => Self::Cancelled,
        }
    }

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Interrupted => "interrupted",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Passed | Self::Failed | Self::Cancelled)
    }
}

impl History {
    /// What these events say.
    ///
    /// # Errors
    /// The first event that cannot have happened.
    pub fn replay(plan: Arc<Plan>, events: &[Event]) -> Result<Self, Illegal> {
        let mut history = Self {
            state: RunState::new(plan),
            created_at: events.first().map_or(0, |event| event.at),
            updated_at: 0,
            attempts: HashMap::new(),
            waits: HashMap::new(),
        };
        for event in events {
            history.follow(event)?;
        }
        Ok(history)
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When it cannot have happened.
    pub fn follow(&mut self, event: &Event) -> Result<(), Illegal> {
        self.state.apply(event)?;
        self.updated_at = event.at;
        match &event.kind {
            EventKind::JobStarted { job, attempt } => self.attempts.entry(*job).or_default().push(Attempt {
                number: *attempt,
                started_at: event.at,
                ended_at: None,
                result: None,
            }),
            EventKind::JobFinished { job, result, .. } => self.ended(*job, event.at, Some(result.clone())),
            EventKind::JobInterrupted { job, .. } => self.ended(*job, event.at, None),
            EventKind::Blocked { job } => {
                self.waits.insert(*job, Waited { since: event.at, unblocked: None });
            }
            EventKind::Unblocked { job, by, account, host, .. } => {
                if let Some(waited) = self.waits.get_mut(job) {
                    let (by, account, host) = (by.clone(), account.clone(), host.clone());
                    waited.unblocked = Some(Unblocked { at: Moment(event.at), by, account, host });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn ended(&mut self, job: JobId, at: u64, result: Option<JobResult>) {
        if let Some(last) = self.attempts.get_mut(&job).and_then(|attempts| attempts.last_mut()) {
            (last.ended_at, last.result) = (Some(at), result);
        }
    }

    /// The attempts of a job, the first one first.
    #[must_use]
    pub fn attempts(&self, job: JobId) -> &[Attempt] {
        self.attempts.get(&job).map_or(&[], Vec::as_slice)
    }

    /// When a block or input step was reached last, and who let it go on.
    #[must_use]
    pub fn waited(&self, job: JobId) -> Option<&Waited> {
        self.waits.get(&job)
    }

    /// How the run stands, given whether a process drives it.
    #[must_use]
    pub fn standing(&self, driven: bool) -> Standing {
        Standing::of_run(&self.state, driven)
    }

    /// The jobs that have to be over before a job starts and are not.
    #[must_use]
    pub fn waits_for(&self, job: JobId) -> Vec<JobId> {
        if self.state.state(job) != JobState::Pending {
            return Vec::new();
        }
        let edges = &self.state.plan().job(job).depends_on;
        edges.iter().map(|edge| edge.job).filter(|job| !self.state.state(*job).is_over()).collect()
    }
}

/// What a list of runs says of one.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// Counts the runs of the project.
    pub number: u64,
    /// Unique everywhere.
    pub id: String,
    /// How it stands.
    pub state: Standing,
    /// The pipeline file.
    pub pipeline: String,
    /// Branch; empty when it is not known, and so the facts that follow.
    pub branch: String,
    /// Commit: 40 hex digits, or `HEAD`.
    pub commit: String,
    /// The commit's message.
    pub message: String,
    /// Who asked for it.
    pub creator: String,
    /// How it came about: `ui`, `webhook`, `api`, `schedule` or `trigger_job`.
    pub source: String,
    /// Number of the run that triggered it.
    pub triggered_by: Option<u64>,
    /// When it was created.
    pub created_at: Moment,
    /// When its last event was written down: when it is over, its end.
    pub updated_at: Moment,
    /// Milliseconds from its creation to its end, or to now while a process drives it, else to its last event.
    pub duration_ms: u64,
}

impl RunSummary {
    /// Of a run that stands so, at a time.
    #[must_use]
    pub fn new(record: &RunRecord, plan: &Plan, state: Standing, now: u64) -> Self {
        let context = &plan.context;
        let until = if state == Standing::Running { now } else { record.updated_at };
        Self {
            number: record.number,
            id: record.id.clone(),
            state,
            pipeline: record.pipeline.clone(),
            branch: context.branch.clone(),
            commit: context.commit.clone(),
            message: context.message.clone(),
            creator: context.creator.name.clone(),
            source: context.source.clone(),
            triggered_by: context.triggered_from_build_number.parse().ok(),
            created_at: Moment(record.created_at),
            updated_at: Moment(record.updated_at),
            duration_ms: until.saturating_sub(record.created_at),
        }
    }

    /// Who or what has started it.
    pub(super) fn who(&self) -> String {
        match (self.triggered_by, self.creator.is_empty()) {
            (Some(run), _) => format!("run {run}"),
            (None, false) => self.creator.clone(),
            (None, true) => self.source.clone(),
        }
    }
}
