//! The way from a running job into the run's event log: requests to the one task that writes it.

use super::state::RunState;
use crate::event::EventKind;
use tokio::sync::{mpsc, oneshot};

/// Writes facts about a running job to the run's event log, and answers what the log says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::Sender<Request>);

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
        (Self(sender), receiver)
    }

    /// A recorder of a run that is over: every request fails.
    #[must_use]
    pub fn closed() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Records a fact; returns when it is durable.
    ///
    /// # Errors
    /// When it is not durable, and must not be acted on.
    pub async fn record(&self, event: EventKind) -> Result<(), RecordError> {
        self.ask(|answer| Request::Record(event, answer)).await?
    }

    /// What the run's state says: everything recorded so far is in it.
    ///
    /// # Errors
    /// When the run is over.
    pub async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&RunState) -> T + Send + 'static,
    ) -> Result<T, RecordError> {
        let asked = |answer: oneshot::Sender<T>| {
            // Whoever asked and is gone was cancelled meanwhile, and needs no answer.
            Request::Read(Box::new(move |state| drop(answer.send(question(state)))))
        };
        self.ask(asked).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, RecordError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(request(answer)).await.map_err(|_| RecordError::RunIsOver)?;
        answered.await.map_err(|_| RecordError::RunIsOver)
    }
}
