//! The way from a running job into the run's event log: requests to the one task that writes it.

use super::state::RunState;
use crate::event::EventKind;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Writes facts about a running job to the run's event log, and answers what the log says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder {
    requests: mpsc::Sender<Request>,
    observed: Option<Arc<Mutex<Observed>>>,
}

/// What a job had to do with its run.
#[derive(Debug, Default)]
pub struct Observed {
    /// The facts it recorded, in this order.
    pub events: Vec<EventKind>,
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
        let noted = self.observed.as_ref().map(|_| event.clone());
        self.ask(|answer| Request::Record(event, answer)).await??;
        if let Some(event) = noted {
            self.observe(|observed| observed.events.push(event));
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
