//! A log in memory: for tests, and for runs nobody wants to keep.

use super::{EventLog, LogError, RunRecord, is_beginning};
use crate::event::Event;
use crate::plan::Plan;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps events until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    /// How many there have ever been.
    count: u64,
    kept: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    record: RunRecord,
    plan: Plan,
    events: Vec<Event>,
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    fn find(&mut self, run: &str) -> Result<&mut Run, LogError> {
        let found = self.kept.iter_mut().find(|kept| kept.record.id == run);
        found.ok_or_else(|| LogError::NoSuchRun(run.to_owned()))
    }
}

#[async_trait::async_trait]
impl EventLog for MemoryLog {
    async fn create(&self, id: &str, plan: &Plan, first: &Event) -> Result<RunRecord, LogError> {
        let mut runs = self.lock();
        runs.count += 1;
        let record = RunRecord::new(id, runs.count, plan, first);
        runs.kept.push(Run { record: record.clone(), plan: plan.clone(), events: vec![first.clone()] });
        Ok(record)
    }

    async fn append(&self, run: &str, events: &[Event]) -> Result<(), LogError> {
        let mut runs = self.lock();
        let run = runs.find(run)?;
        let (Some(first), Some(last)) = (events.first(), events.last()) else { return Ok(()) };
        if first.sequence != run.record.sequence + 1 {
            let expected = first.sequence.saturating_sub(1);
            return Err(LogError::Conflict { expected, last: run.record.sequence });
        }
        run.events.extend_from_slice(events);
        run.record.follow(last);
        Ok(())
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Event>, LogError> {
        let mut runs = self.lock();
        let run = runs.find(run)?;
        Ok(run.events.iter().filter(|event| event.sequence > after).cloned().collect())
    }

    async fn open(&self, reference: &str) -> Result<(RunRecord, Plan), LogError> {
        let runs = self.lock();
        let number = reference.parse::<u64>().ok();
        let exact = |run: &&Run| number == Some(run.record.number) || run.record.id == reference;
        let found = |run: &Run| Ok((run.record.clone(), run.plan.clone()));
        if let Some(run) = runs.kept.iter().find(exact) {
            return found(run);
        }
        let fitting: Vec<_> = runs.kept.iter().filter(|run| run.record.id.starts_with(reference)).collect();
        match fitting.as_slice() {
            [run] if is_beginning(reference) => found(run),
            [_, _, ..] if is_beginning(reference) => Err(LogError::Ambiguous(reference.to_owned())),
            _ => Err(LogError::NoSuchRun(reference.to_owned())),
        }
    }

    async fn runs(&self, limit: Option<usize>) -> Result<Vec<RunRecord>, LogError> {
        let runs = self.lock();
        let newest_first = runs.kept.iter().rev().map(|run| run.record.clone());
        Ok(newest_first.take(limit.unwrap_or(usize::MAX)).collect())
    }

    async fn remove(&self, run: &str) -> Result<(), LogError> {
        let mut runs = self.lock();
        runs.find(run)?;
        runs.kept.retain(|kept| kept.record.id != run);
        Ok(())
    }
}
