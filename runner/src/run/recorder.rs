//! The way from a running job into the run's event log: requests to the one task that writes it.

use crate::event::{Artifact, EventKind};
use tokio::sync::{mpsc, oneshot};

/// Writes facts about a running job to the run's event log, and answers what the log says. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::Sender<Request>);

/// What a [`Recorder`] asks of the task that drives the run.
#[derive(Debug)]
pub enum Request {
    /// Append the event, and answer when it is durable.
    Record(EventKind, oneshot::Sender<Result<(), RecordError>>),
    /// The value of a meta-data key.
    MetaData(String, oneshot::Sender<Option<String>>),
    /// All meta-data keys, sorted.
    MetaDataKeys(oneshot::Sender<Vec<String>>),
    /// Every artifact, in the order of storing.
    Artifacts(oneshot::Sender<Vec<Artifact>>),
}

/// Why a fact could not be recorded or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The run has ended, or another process drives it now.
    #[error("the run is over")]
    RunIsOver,
    /// The event is not legal in the run's state.
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

    /// The value of a meta-data key.
    ///
    /// # Errors
    /// When the run is over.
    pub async fn meta_data(&self, key: String) -> Result<Option<String>, RecordError> {
        self.ask(|answer| Request::MetaData(key, answer)).await
    }

    /// All meta-data keys, sorted.
    ///
    /// # Errors
    /// When the run is over.
    pub async fn meta_data_keys(&self) -> Result<Vec<String>, RecordError> {
        self.ask(Request::MetaDataKeys).await
    }

    /// Every artifact of the run, in the order of storing.
    ///
    /// # Errors
    /// When the run is over.
    pub async fn artifacts(&self) -> Result<Vec<Artifact>, RecordError> {
        self.ask(Request::Artifacts).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, RecordError> {
        let (answer, answered) = oneshot::channel();
        self.0.send(request(answer)).await.map_err(|_| RecordError::RunIsOver)?;
        answered.await.map_err(|_| RecordError::RunIsOver)
    }
}
