//! The way from a running job into the run's event log: requests to the one task that writes it.

use super::state::RunState;
use crate::event::{Annotation, Artifact, EventKind};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Writes facts about a running job to the run's event log, and answers what the log says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    requests: mpsc::Sender<Request>,
    observed: Option<Arc<Mutex<Observed>>>,
}

/// Bytes of what is kept of what one job wrote down: more makes no result that is worth keeping.
const MAX_OBSERVED: usize = 8 << 20;

/// What a job had to do with its run.
#[derive(Debug, Default)]
pub struct Observed {
    /// What it wrote down and can be written down again, in this order; nothing when that was more than 8 MiB.
    pub events: Vec<EventKind>,
    /// About how many bytes these are, with what was too much.
    pub(crate) bytes: usize,
    /// The first thing that makes its result depend on more than itself, as the end of a sentence; `None` when there
    /// was nothing.
    pub entangled: Option<String>,
}

/// What a [`Recorder`] asks of the task that drives the run.
pub enum Request {
    /// Append the event, and answer when it is durable.
    Record(EventKind, oneshot::Sender<Result<(), RecordError>>),
    /// Look at the state; the answer goes where the question knows.
    Read(Question),
}

/// Looks at a run's state, and takes the answer to whoever asked.
pub type Question = Box<dyn FnOnce(&RunState) + Send>;

/// Why a fact could not be recorded or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The run has ended, or another process drives it now.
    #[error("the run is over")]
    RunIsOver,
    /// It cannot happen in the run's state.
    #[error("{0}")]
    Refused(String),
}

impl Observed {
    fn note(&mut self, event: Noted) {
        match event {
            Noted::Nothing => {}
            Noted::Entangles(reason) => self.entangled = Some(reason.to_owned()),
            Noted::Fact(event, bytes) => {
                self.bytes = self.bytes.saturating_add(bytes);
                if self.bytes > MAX_OBSERVED {
                    self.events = Vec::new();
                    self.entangled
                        .get_or_insert_with(|| "wrote too much meta-data, annotations or artifacts".to_owned());
                } else {
                    self.events.push(event);
                }
            }
        }
    }
}

/// What an event says about a job's result.
enum Noted {
    /// Nothing.
    Nothing,
    /// It depends on more than itself.
    Entangles(&'static str),
    /// This belongs to it, and takes about so many bytes.
    Fact(EventKind, usize),
}

impl Noted {
    fn of(event: &EventKind) -> Self {
        let texts = match event {
            EventKind::MetaDataSet { key, value } => key.len() + value.len(),
            EventKind::Annotated { annotation: Annotation { body, context, .. }, .. } => body.len() + context.len(),
            EventKind::ArtifactStored { artifact: Artifact { path, digest, job, .. } } => {
                path.len() + digest.len() + job.len()
            }
            EventKind::GrantDecided { .. } => return Self::Nothing,
            EventKind::StepsUploaded { .. } => return Self::Entangles("added steps to its run"),
            _ => return Self::Entangles("changed its run in a way that cannot be repeated"),
        };
        Self::Fact(event.clone(), size_of::<EventKind>() + texts)
    }
}

impl Recorder {
    /// A recorder, and the requests to be answered.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Request>) {
        // The driver answers in batches; more than this many waiting callers only wait in line.
        let (sender, receiver) = mpsc::channel(256);
        (Self { requests: sender, observed: None }, receiver)
    }

    /// A recorder of a run that is over: every request fails.
    #[must_use]
    pub fn closed() -> Self {
        Self { requests: mpsc::channel(1).0, observed: None }
    }

    /// The same recorder, and what whoever has it does with it from now on.
    #[must_use]
    pub fn observed(&self) -> (Self, Arc<Mutex<Observed>>) {
        let observed = Arc::new(Mutex::default());
        (Self { requests: self.requests.clone(), observed: Some(observed.clone()) }, observed)
    }

    /// Says that the job's result depends on more than itself; `reason` completes "the job …".
    pub fn entangle(&self, reason: &str) {
        self.observe(|observed| {
            observed.entangled.get_or_insert_with(|| reason.to_owned());
        });
    }

    fn observe(&self, note: impl FnOnce(&mut Observed)) {
        if let Some(observed) = &self.observed {
            note(&mut observed.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Records a fact; returns when it is durable.
    ///
    /// # Errors
    /// When it is not durable, and must not be acted on.
    pub async fn record(&self, event: EventKind) -> Result<(), RecordError> {
        let noted = self.observed.as_ref().map(|_| Noted::of(&event));
        self.ask(|answer| Request::Record(event, answer)).await??;
        if let Some(event) = noted {
            self.observe(|observed| observed.note(event));
        }
        Ok(())
    }

    /// What the run's state says: everything recorded so far is in it.
    ///
    /// # Errors
    /// When the run is over.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&RunState) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        self.entangle("looked at data of its run, which other jobs write");
        let asked = |answer: oneshot::Sender<T>| {
            // Whoever asked and is gone was cancelled meanwhile, and needs no answer.
            Request::Read(Box::new(move |state| drop(answer.send(question(state)))))
        };
        self.ask(asked).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, RecordError> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| RecordError::RunIsOver)?;
        answered.await.map_err(|_| RecordError::RunIsOver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_observed_is_bounded() {
        let set = |value: &str| EventKind::MetaDataSet { key: "k".to_owned(), value: value.to_owned() };
        let mut observed = Observed::default();
        for number in 0..10 {
            observed.note(Noted::of(&set(&number.to_string())));
        }
        assert_eq!((observed.events.len(), &observed.entangled), (10, &None));
        let large = "x".repeat(100 << 10);
        for _ in 0..100 {
            observed.note(Noted::of(&set(&large)));
        }
        assert!(observed.events.is_empty());
        assert!(observed.entangled.unwrap().contains("wrote too much"));
    }
}
