//! The driver's side of the queue: an attempt begins when it is leased, and its lease is renewed until it is over.

use super::state::{JobState, RunState};
use crate::plan::{Job, JobId};
use crate::queue::{Attempt, Lease, Offer, Queue, QueueError};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long an offer and a lease last. A process that stands still for longer loses them.
const LASTING: Duration = Duration::from_secs(30);

/// How often they are renewed.
const RENEW: Duration = Duration::from_secs(5);

/// How often a concurrency group that was full is asked again.
const ASK: Duration = Duration::from_millis(250);

/// What one driver has offered and leased.
pub(super) struct Leases {
    queue: Arc<dyn Queue>,
    run: String,
    /// Told the concurrency group that is waited for, once for each.
    waits: mpsc::UnboundedSender<String>,
    told: HashSet<String>,
    leased: HashMap<(JobId, u32), Lease>,
    waiting: HashMap<JobId, Offer>,
    /// Those of the waiting that are not asked for again yet.
    refused: BTreeSet<JobId>,
    asked: Instant,
    renewed: Instant,
    lost: HashSet<(JobId, u32)>,
}

impl Leases {
    /// For a run. What a process that drove it before has left in the queue is taken back.
    pub(super) async fn of(
        run: &str,
        state: &RunState,
        queue: Arc<dyn Queue>,
        waits: mpsc::UnboundedSender<String>,
    ) -> Result<Self, QueueError> {
        if state.plan().jobs.iter().any(|job| job.concurrency.is_some()) {
            queue.withdraw(run, None).await?;
        }
        let (asked, renewed) = (Instant::now(), Instant::now());
        let (leased, waiting) = (HashMap::new(), HashMap::new());
        let (told, refused, lost) = (HashSet::new(), BTreeSet::new(), HashSet::new());
        Ok(Self { queue, run: run.to_owned(), waits, told, leased, waiting, refused, asked, renewed, lost })
    }

    /// Leases an attempt; whether it may begin.
    pub(super) async fn take(&mut self, planned: &Job, job: JobId, attempt: u32) -> Result<bool, QueueError> {
        if self.leased.contains_key(&(job, attempt)) {
            return Ok(true);
        }
        let of = Attempt { run: self.run.clone(), job, attempt };
        let offer = Offer { attempt: of, group: planned.concurrency.clone() };
        self.queue.offer(&offer, LASTING).await?;
        if let Some(lease) = self.queue.lease(&offer.attempt, &self.run, LASTING).await? {
            self.waiting.remove(&job);
            self.leased.insert((job, attempt), lease);
            return Ok(true);
        }
        if let Some(group) = offer.group.as_ref().filter(|group| !self.told.contains(&group.name)) {
            self.told.insert(group.name.clone());
            // Nobody may be listening.
            drop(self.waits.send(group.name.clone()));
        }
        self.waiting.insert(job, offer);
        self.refused.insert(job);
        Ok(false)
    }

    /// Jobs that wait for others outside this run, and are not to be started now.
    pub(super) fn refused(&self) -> &BTreeSet<JobId> {
        &self.refused
    }

    /// Whether a job waits for others outside this run.
    pub(super) fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has those that wait asked for again when it is time for it, and renews everything when it is time for that; says
    /// which attempts are to end, because somebody else may have taken their place.
    pub(super) async fn renew(&mut self) -> Result<Vec<JobId>, QueueError> {
        if self.asked.elapsed() >= ASK {
            self.refused.clear();
            self.asked = Instant::now();
        }
        if self.renewed.elapsed() < RENEW {
            return Ok(Vec::new());
        }
        self.renewed = Instant::now();
        for offer in self.waiting.values() {
            self.queue.offer(offer, LASTING).await?;
        }
        let mut lost = Vec::new();
        for (attempt, lease) in &self.leased {
            match self.queue.extend(lease, LASTING).await {
                Err(QueueError::Lost) => lost.push(*attempt),
                other => other?,
            }
        }
        for attempt in &lost {
            self.leased.remove(attempt);
            self.lost.insert(*attempt);
        }
        Ok(lost.into_iter().map(|(job, _)| job).collect())
    }

    /// Whether an attempt has lost its lease.
    pub(super) fn is_lost(&self, job: JobId, attempt: u32) -> bool {
        self.lost.contains(&(job, attempt))
    }

    /// Gives back what is over, now that the log says so, and what is not to begin any more.
    pub(super) async fn settle(&mut self, state: &RunState) -> Result<(), QueueError> {
        let runs =
            |(job, attempt): (JobId, u32)| state.state(job) == JobState::Running && state.attempt(job) == attempt;
        let over: Vec<_> = self.leased.keys().copied().filter(|attempt| !runs(*attempt)).collect();
        for lease in over.iter().filter_map(|attempt| self.leased.remove(attempt)) {
            match self.queue.settle(&lease).await {
                // It has ended all the same.
                Err(QueueError::Lost) => tracing::debug!(?lease, "lost before it was settled"),
                other => other?,
            }
            // There is room in its group.
            self.refused.clear();
        }
        let gone: Vec<JobId> =
            self.waiting.keys().copied().filter(|job| state.state(*job) != JobState::Ready).collect();
        for offer in gone.iter().filter_map(|job| self.waiting.remove(job)) {
            self.queue.withdraw(&self.run, Some(&offer.attempt)).await?;
        }
        Ok(())
    }
}
