//! A queue in memory, for the runs of one process.

use super::{Attempt, Lease, Offer, Queue, QueueError};
use crate::pipeline::attribute::ConcurrencyMethod;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Keeps offers until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryQueue(Mutex<Line>);

#[derive(Debug, Default)]
struct Line {
    /// How many offers and leases there have ever been: gives each its place and its token.
    count: u64,
    offers: HashMap<Attempt, Entry>,
    /// Per concurrency group the attempts that are offered.
    groups: HashMap<String, Vec<Attempt>>,
}

#[derive(Debug)]
struct Entry {
    offer: Offer,
    place: u64,
    /// The token of its lease.
    leased: Option<u64>,
    /// The end of the offer, or of the lease when there is one.
    until: Instant,
}

impl Entry {
    fn is_leased(&self, now: Instant) -> bool {
        self.leased.is_some() && self.until > now
    }

    fn waits(&self, now: Instant) -> bool {
        self.leased.is_none() && self.until > now
    }
}

impl MemoryQueue {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn remove(&mut self, attempt: &Attempt) {
        let Some(Entry { offer: Offer { group: Some(group), .. }, .. }) = self.offers.remove(attempt) else { return };
        if let Some(attempts) = self.groups.get_mut(&group.name) {
            attempts.retain(|other| other != attempt);
            if attempts.is_empty() {
                self.groups.remove(&group.name);
            }
        }
    }

    fn has_turn(&self, entry: &Entry, now: Instant) -> bool {
        let Some(group) = &entry.offer.group else { return true };
        let others = || {
            let attempts = self.groups.get(&group.name).into_iter().flatten();
            attempts.filter(|other| **other != entry.offer.attempt).filter_map(|other| self.offers.get(other))
        };
        let leased = others().filter(|other| other.is_leased(now)).count();
        let mut before = others().filter(|other| other.waits(now) && other.place < entry.place);
        let is_next = group.method == ConcurrencyMethod::Eager || before.next().is_none();
        is_next && u64::try_from(leased).unwrap_or(u64::MAX) < group.limit
    }

    fn leased(&mut self, lease: &Lease) -> Result<&mut Entry, QueueError> {
        let entry = self.offers.get_mut(&lease.offer.attempt);
        entry.filter(|entry| entry.leased == Some(lease.token)).ok_or(QueueError::Lost)
    }
}

#[async_trait::async_trait]
impl Queue for MemoryQueue {
    async fn offer(&self, offer: &Offer, lasting: Duration) -> Result<(), QueueError> {
        let mut line = self.lock();
        let until = Instant::now() + lasting;
        match line.offers.get_mut(&offer.attempt) {
            Some(entry) if entry.is_leased(Instant::now()) => {}
            Some(entry) => (entry.until, entry.leased) = (until, None),
            None => {
                line.count += 1;
                let entry = Entry { offer: offer.clone(), place: line.count, leased: None, until };
                line.offers.insert(offer.attempt.clone(), entry);
                if let Some(group) = &offer.group {
                    line.groups.entry(group.name.clone()).or_default().push(offer.attempt.clone());
                }
            }
        }
        Ok(())
    }

    async fn lease(&self, attempt: &Attempt, _holder: &str, lasting: Duration) -> Result<Option<Lease>, QueueError> {
        let mut line = self.lock();
        let now = Instant::now();
        let Some(entry) = line.offers.get(attempt) else { return Ok(None) };
        if entry.is_leased(now) || !line.has_turn(entry, now) {
            return Ok(None);
        }
        line.count += 1;
        let token = line.count;
        Ok(line.offers.get_mut(attempt).map(|entry| {
            (entry.leased, entry.until) = (Some(token), now + lasting);
            Lease { offer: entry.offer.clone(), token }
        }))
    }

    async fn extend(&self, lease: &Lease, lasting: Duration) -> Result<(), QueueError> {
        let mut line = self.lock();
        let entry = line.leased(lease)?;
        if !entry.is_leased(Instant::now()) {
            return Err(QueueError::Lost);
        }
        entry.until = Instant::now() + lasting;
        Ok(())
    }

    async fn settle(&self, lease: &Lease) -> Result<(), QueueError> {
        let mut line = self.lock();
        line.leased(lease)?;
        line.remove(&lease.offer.attempt);
        Ok(())
    }

    async fn withdraw(&self, run: &str, attempt: Option<&Attempt>) -> Result<(), QueueError> {
        let mut line = self.lock();
        let of_run = line.offers.keys().filter(|offered| offered.run == run);
        let gone: Vec<Attempt> =
            of_run.filter(|offered| attempt.is_none_or(|attempt| attempt == *offered)).cloned().collect();
        for attempt in &gone {
            line.remove(attempt);
        }
        Ok(())
    }
}
