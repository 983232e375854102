//! Where events are kept: one contract, several stores.

mod memory;
mod sqlite;

pub use memory::MemoryLog;
pub use sqlite::{Finding, IsLegal, Repair, SqliteLog, Survey, repair, survey};

use crate::event::{Event, EventKind, RunResult};
use crate::plan::Plan;
use sha2::{Digest, Sha256};

/// Keeps runs and their events. What `append` returned `Ok` for survives the end of the process and of the machine.
#[async_trait::async_trait]
pub trait EventLog: std::fmt::Debug + Send + Sync {
    /// Creates a run with its plan and its first event, all or nothing; gives it the next number. The first event has
    /// the plan's digest, [`plan_digest`].
    async fn create(&self, id: &str, plan: &Plan, first: &Event) -> Result<RunRecord, LogError>;

    /// Appends events with the sequences they carry: all of them or none.
    ///
    /// # Errors
    /// `Conflict` when the first sequence does not follow the last one in the log.
    async fn append(&self, run: &str, events: &[Event]) -> Result<(), LogError>;

    /// Events after a sequence, in order, each as it was written.
    ///
    /// # Errors
    /// `Damaged` when one of them is not.
    async fn read(&self, run: &str, after: u64) -> Result<Vec<Event>, LogError>;

    /// The run with its plan: by number, by identifier, or by at least four characters of its beginning that are no
    /// number.
    async fn open(&self, reference: &str) -> Result<(RunRecord, Plan), LogError>;

    /// The runs, the newest first: all of them, or so many at most.
    async fn runs(&self, limit: Option<usize>) -> Result<Vec<RunRecord>, LogError>;

    /// Takes a run out with its plan and all its events, all or nothing. Its number is never given again.
    async fn remove(&self, run: &str) -> Result<(), LogError>;
}

/// The digest of a plan, from its JSON: `sha256:` and 64 hex digits.
#[must_use]
pub fn plan_digest(json: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(json))
}

/// Whether a reference may be the beginning of an identifier.
fn is_beginning(reference: &str) -> bool {
    reference.len() >= 4 && !reference.bytes().all(|byte| byte.is_ascii_digit())
}

/// A run as the log lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// Unique everywhere: a UUID.
    pub id: String,
    /// Counts the runs of this log, from 1.
    pub number: u64,
    /// When it was created: milliseconds since 1970-01-01T00:00:00Z.
    pub created_at: u64,
    /// The pipeline file as the user named it.
    pub pipeline: String,
    /// Sequence of the last event.
    pub sequence: u64,
    /// When the last event was written down: milliseconds since 1970-01-01T00:00:00Z.
    pub updated_at: u64,
    /// How the run ended; `None` while it is not over, and when jobs of it run again.
    pub result: Option<RunResult>,
}

impl RunRecord {
    fn new(id: &str, number: u64, plan: &Plan, first: &Event) -> Self {
        let (id, pipeline) = (id.to_owned(), plan.pipeline.clone());
        let mut record =
            Self { id, number, created_at: first.at, pipeline, sequence: 0, updated_at: first.at, result: None };
        record.follow(first);
        record
    }

    /// Takes over what the last event says.
    fn follow(&mut self, last: &Event) {
        self.sequence = last.sequence;
        self.updated_at = last.at;
        self.result = match last.kind {
            EventKind::RunFinished { result } => Some(result),
            _ => None,
        };
    }
}

/// Why the log could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Somebody else has appended meanwhile.
    #[error("another process has written to the run: its last event is {last}, not {expected}")]
    Conflict {
        /// The sequence that was expected to be the last.
        expected: u64,
        /// The one that is.
        last: u64,
    },
    /// There is no such run.
    #[error("there is no run `{0}` in this project")]
    NoSuchRun(String),
    /// The beginning of an identifier fits several runs.
    #[error("`{0}` fits several runs; write more of it, or the number")]
    Ambiguous(String),
    /// It was written by a newer version.
    #[error(
        "the event log was written by a newer version of runner (schema {found}, this one knows {known}); update runner"
    )]
    Newer {
        /// The log's schema.
        found: u32,
        /// What this version knows.
        known: u32,
    },
    /// There is no room for more. Nothing of what was appended is in the log.
    #[error("the event log at {place} cannot be written: {reason}")]
    Full {
        /// Where it is.
        place: String,
        /// What happened.
        reason: String,
    },
    /// What is stored is not what was written.
    #[error("the event log at {place} is damaged: {what}{}{whole}", if whole.is_empty() { "" } else { "; " })]
    Damaged {
        /// Where it is.
        place: String,
        /// What is damaged, in which run.
        what: String,
        /// What is not; empty when nobody knows.
        whole: String,
    },
    /// Another process has it, and has to have it alone or needs it to stay.
    #[error("{0}")]
    InUse(String),
    /// The store failed.
    #[error("the event log at {place} failed: {reason}")]
    Store {
        /// Where it is.
        place: String,
        /// What happened.
        reason: String,
    },
}
