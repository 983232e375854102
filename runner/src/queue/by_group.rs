//! Two queues as one: jobs of concurrency groups go through the one that many share, all others stay at home.

use super::{Attempt, Lease, MemoryQueue, Offer, Queue, QueueError};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sends attempts of concurrency groups to a shared queue.
#[derive(Debug)]
pub struct ByGroup {
    own: MemoryQueue,
    shared: Arc<dyn Queue>,
    /// Attempts that were offered in the shared queue.
    offered: Mutex<HashSet<Attempt>>,
}

impl ByGroup {
    /// In front of a shared queue.
    #[must_use]
    pub fn over(shared: Arc<dyn Queue>) -> Self {
        Self { own: MemoryQueue::default(), shared, offered: Mutex::default() }
    }

    fn queue(&self, is_shared: bool) -> &dyn Queue {
        if is_shared { &*self.shared } else { &self.own }
    }

    fn offered<T>(&self, look: impl FnOnce(&mut HashSet<Attempt>) -> T) -> T {
        look(&mut self.offered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait::async_trait]
impl Queue for ByGroup {
    async fn offer(&self, offer: &Offer, lasting: Duration) -> Result<(), QueueError> {
        if offer.group.is_some() {
            self.offered(|offered| offered.insert(offer.attempt.clone()));
        }
        self.queue(offer.group.is_some()).offer(offer, lasting).await
    }

    async fn lease(&self, attempt: &Attempt, holder: &str, lasting: Duration) -> Result<Option<Lease>, QueueError> {
        let is_shared = self.offered(|offered| offered.contains(attempt));
        self.queue(is_shared).lease(attempt, holder, lasting).await
    }

    async fn extend(&self, lease: &Lease, lasting: Duration) -> Result<(), QueueError> {
        self.queue(lease.offer.group.is_some()).extend(lease, lasting).await
    }

    async fn settle(&self, lease: &Lease) -> Result<(), QueueError> {
        self.offered(|offered| offered.remove(&lease.offer.attempt));
        self.queue(lease.offer.group.is_some()).settle(lease).await
    }

    async fn withdraw(&self, run: &str, attempt: Option<&Attempt>) -> Result<(), QueueError> {
        self.own.withdraw(run, attempt).await?;
        self.offered(|offered| {
            offered.retain(|offered| offered.run != run || attempt.is_some_and(|attempt| attempt != offered));
        });
        self.shared.withdraw(run, attempt).await
    }
}
