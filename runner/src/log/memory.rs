//! A log in memory: for tests, and for runs nobody wants to keep.

use super::{EventLog, LogError, RunRecord};
use crate::event::Event;
use crate::plan::Plan;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps events until it is dropped.
#[derive(Debug, Default)]
pub struct MemoryLog(Mutex<Vec<(RunRecord, Plan, Vec<Event>)>>);

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Vec<(RunRecord, Plan, Vec<Event>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait::async_trait]
impl EventLog for MemoryLog {
    async fn create(&self, id: &str, plan: &Plan, first: &Event) -> Result<RunRecord, LogError> {
        let mut runs = self.lock();
        let number = runs.len() as u64 + 1;
        let record = RunRecord { id: id.to_owned(), number, created_at: first.at, pipeline: plan.pipeline.clone() };
        runs.push((record.clone(), plan.clone(), vec![first.clone()]));
        Ok(record)
    }

    async fn append(&self, run: &str, events: &[Event]) -> Result<(), LogError> {
        let mut runs = self.lock();
        let log = runs.iter_mut().find(|(record, ..)| record.id == run);
        let (.., log) = log.ok_or_else(|| LogError::NoSuchRun(run.to_owned()))?;
        let last = log.last().map_or(0, |event| event.sequence);
        if let Some(first) = events.first()
            && first.sequence != last + 1
        {
            return Err(LogError::Conflict { expected: first.sequence.saturating_sub(1), last });
        }
        log.extend_from_slice(events);
        Ok(())
    }

    async fn read(&self, run: &str, after: u64) -> Result<Vec<Event>, LogError> {
        let runs = self.lock();
        let log = runs.iter().find(|(record, ..)| record.id == run);
        let (.., log) = log.ok_or_else(|| LogError::NoSuchRun(run.to_owned()))?;
        Ok(log.iter().filter(|event| event.sequence > after).cloned().collect())
    }

    async fn open(&self, reference: &str) -> Result<(RunRecord, Plan), LogError> {
        let runs = self.lock();
        let number = reference.parse::<u64>().ok();
        let mut fitting = runs.iter().filter(|(record, ..)| number == Some(record.number) || record.id == reference);
        if let Some((record, plan, _)) = fitting.next() {
            return Ok((record.clone(), plan.clone()));
        }
        let fitting: Vec<_> = runs.iter().filter(|(record, ..)| record.id.starts_with(reference)).collect();
        match fitting.as_slice() {
            [(record, plan, _)] if !reference.is_empty() => Ok((record.clone(), plan.clone())),
            [_, _, ..] if !reference.is_empty() => Err(LogError::Ambiguous(reference.to_owned())),
            _ => Err(LogError::NoSuchRun(reference.to_owned())),
        }
    }

    async fn runs(&self) -> Result<Vec<RunRecord>, LogError> {
        Ok(self.lock().iter().rev().map(|(record, ..)| record.clone()).collect())
    }
}
