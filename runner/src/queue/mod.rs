//! Who may work on which attempt of which job: one contract, several stores.
//!
//! A queue says who *may* work. What was done is in the event log and nowhere else: what a queue forgets is offered again.

mod by_group;
mod memory;
mod sqlite;

pub use by_group::ByGroup;
pub use memory::MemoryQueue;
pub use sqlite::SqliteQueue;

use crate::plan::{ConcurrencyGroup, JobId};
use std::time::Duration;

/// Hands out attempts of jobs, each to one holder at a time, and of a concurrency group no more than its limit.
///
/// Offers and leases last for a time that whoever made them renews. One that is not renewed holds up nobody: a process
/// that is lost keeps no group from going on.
#[async_trait::async_trait]
pub trait Queue: std::fmt::Debug + Send + Sync {
    /// Offers an attempt, for so long. To offer it again renews that, and leaves it in its place in the line.
    async fn offer(&self, offer: &Offer, lasting: Duration) -> Result<(), QueueError>;

    /// Takes an attempt for a holder, for so long; `None` when that is not possible now: somebody has it, it is not offered,
    /// its group is full, or another attempt of an ordered group was offered before it and waits.
    async fn lease(&self, attempt: &Attempt, holder: &str, lasting: Duration) -> Result<Option<Lease>, QueueError>;

    /// Renews a lease, from now on for so long.
    ///
    /// # Errors
    /// `Lost` when the lease has run out, or the attempt was withdrawn: others may have taken its place.
    async fn extend(&self, lease: &Lease, lasting: Duration) -> Result<(), QueueError>;

    /// Ends a lease and with it the offer: the work is done, or is not to be done any more.
    ///
    /// # Errors
    /// `Lost` when somebody else has the attempt, or it was withdrawn.
    async fn settle(&self, lease: &Lease) -> Result<(), QueueError>;

    /// Takes back what was offered of a run: one attempt, or all. Leases of it are lost.
    async fn withdraw(&self, run: &str, attempt: Option<&Attempt>) -> Result<(), QueueError>;
}

/// One attempt of a job of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attempt {
    /// Identifier of the run.
    pub run: String,
    /// Which job of it.
    pub job: JobId,
    /// Which attempt of that.
    pub attempt: u32,
}

/// An attempt that somebody may work on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Which one.
    pub attempt: Attempt,
    /// Of whose attempts only some are leased at once.
    pub group: Option<ConcurrencyGroup>,
}

/// The right to work on an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What it is for.
    pub offer: Offer,
    /// Higher than that of every lease before it.
    pub token: u64,
}

/// Why the queue could not do it.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The lease is not the holder's any more.
    #[error("the lease is lost: it was not renewed in time and somebody else has it, or it was withdrawn")]
    Lost,
    /// The store failed.
    #[error("the queue of concurrency groups at {place} failed: {reason}")]
    Store {
        /// Where it is.
        place: String,
        /// What happened, and what to do.
        reason: String,
    },
}
