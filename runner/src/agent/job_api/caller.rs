//! One attempt of a job as its processes' calls see it: what it may do, how often, and what it holds.

use super::lock::{Held, Locks};
use super::protocol::{Call, Reply};
use crate::agent::is_secret_name;
use crate::agent::upload::Uploader;
use crate::capability::step::ArtifactStore;
use crate::capability::{Error, JobScope, SharedEnvironment};
use crate::event::EventKind;
use crate::host::Services;
use crate::plan::JobId;
use crate::secret::Secrets;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// An attempt of a job whose processes call.
pub struct Caller {
    pub(super) scope: JobScope,
    pub(super) job: JobId,
    pub(super) uploader: Arc<Uploader>,
    /// Time the attempt has from its beginning on.
    pub(super) limit: watch::Sender<Option<Duration>>,
    pub(super) environment: SharedEnvironment,
    /// Names of the secrets its step may read.
    pub(super) secrets: Vec<String>,
    pub(super) secret_source: Arc<Secrets>,
    pub(super) artifacts: ArtifactStore,
    /// Artifacts of one attempt are kept one after the other: the last event of a path is about what is on the disk.
    pub(super) storing: tokio::sync::Mutex<()>,
    pub(super) stored: AtomicU64,
    pub(super) locks: Arc<Locks>,
    held: Mutex<Vec<Held>>,
    changes: AtomicU32,
    redactions: AtomicU32,
    /// Bytes of the values that are redacted.
    redacted: AtomicU64,
    open: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    ended: CancellationToken,
}

/// What a call answers, and what the user should know of.
pub(super) type Answer = Result<(Reply, Vec<String>), Error>;

/// A call's share of the memory for calls; waiting calls give it back.
pub(super) type Turn = OwnedSemaphorePermit;

/// Connections of one attempt at once.
const MAX_OPEN: usize = 128;

/// Calls of one attempt that are read and done at once; each may have 8 MiB.
const MAX_TURNS: usize = 8;

/// Events one attempt can write: each is a line in the run's log for ever.
const MAX_CHANGES: u32 = 10_000;

/// Values one attempt can have replaced in its log: each makes the table of all of them larger.
const MAX_REDACTIONS: u32 = 1000;

/// Bytes of all of them: one attempt must not use up what a run can look for.
const MAX_REDACTED: u64 = 256 << 10;

/// Bytes of a value to be replaced.
const MAX_REDACTION: usize = 64 << 10;

impl Caller {
    /// The attempt of `scope`, with the environment its later processes get, the secrets its step may read, and the
    /// time it has.
    #[must_use]
    pub fn new(
        scope: JobScope,
        job: JobId,
        environment: SharedEnvironment,
        secrets: Vec<String>,
        services: &Services,
        uploader: Arc<Uploader>,
        limit: watch::Sender<Option<Duration>>,
    ) -> Self {
        Self {
            scope,
            job,
            uploader,
            limit,
            environment,
            secrets,
            secret_source: services.secrets.clone(),
            artifacts: services.artifacts.clone(),
            storing: tokio::sync::Mutex::default(),
            stored: AtomicU64::new(0),
            locks: Arc::default(),
            held: Mutex::default(),
            changes: AtomicU32::new(0),
            redactions: AtomicU32::new(0),
            redacted: AtomicU64::new(0),
            open: Arc::new(Semaphore::new(MAX_OPEN)),
            turns: Arc::new(Semaphore::new(MAX_TURNS)),
            ended: CancellationToken::new(),
        }
    }

    pub(super) fn with_locks(self, locks: Arc<Locks>) -> Self {
        Self { locks, ..self }
    }

    /// Does a call; those that carry content are done elsewhere.
    pub(super) async fn answer(&self, call: Call, turn: Turn) -> Answer {
        match call {
            Call::MetaDataSet { values } => self.set_meta_data(values).await,
            Call::MetaDataGet { key } => self.meta_data(key).await,
            Call::MetaDataKeys => self.meta_data_keys().await,
            Call::ArtifactSearch { query, step, all } => self.search_artifacts(&query, step, all).await,
            Call::EnvironmentGet => Ok(plain(Reply::Variables((*self.environment.current()).clone()))),
            Call::EnvironmentSet { variables } => self.set_environment(variables),
            Call::EnvironmentUnset { names } => self.unset_environment(&names),
            Call::SecretGet { names } => self.secret_values(&names).await,
            Call::Redact { values } => self.redact(&values),
            Call::LockAcquire { key, wait } => {
                drop(turn);
                self.acquire(&key, wait).await
            }
            Call::LockRelease { key, token } => self.release(&key, &token),
            Call::LockGet { key } => {
                self.scope.recorder.entangle("looked at a lock, which is about what other jobs do");
                Ok(plain(Reply::Value(self.locks.state(&key)?)))
            }
            Call::OnceBegin { key, wait } => {
                drop(turn);
                self.begin_once(&key, wait).await
            }
            Call::OnceDone { key } => self.finish_once(&key),
            Call::Annotate { context, style, body, append, priority, own_job } => {
                self.annotate(context, style, body, append, priority, own_job).await
            }
            Call::AnnotationRemove { context, own_job } => self.remove_annotation(context, own_job).await,
            Call::StepGet { step, attribute } => self.step_value(step, attribute).await,
            Call::StepUpdate { step, attribute, value, append } => {
                self.update_step(step, attribute, value, append).await
            }
            Call::StepCancel { step } => self.cancel_step(step).await,
            Call::BuildCancel => self.cancel_run().await,
            Call::JobUpdate { timeout_minutes } => Ok(self.set_limit(timeout_minutes)),
            Call::PipelineUpload(upload) => self.upload(upload).await,
            Call::ArtifactStore { .. } | Call::ArtifactFetch { .. } => {
                Err(Error::Invalid("artifacts have content, which is not part of the call".to_owned()))
            }
        }
    }

    /// Records a fact, unless the attempt has written too many.
    pub(super) async fn record(&self, event: EventKind) -> Result<(), Error> {
        if self.changes.fetch_add(1, Ordering::Relaxed) >= MAX_CHANGES {
            let reason = format!("a job changes meta-data, artifacts and annotations at most {MAX_CHANGES} times");
            return Err(Error::Limit(reason));
        }
        Ok(self.scope.recorder.record(event).await?)
    }

    /// The text without the job's secrets, and a warning when it had some: what is kept with the run is shown.
    pub(super) fn without_secrets(&self, text: &str, what: &str, warnings: &mut Vec<String>) -> String {
        let clear = self.scope.log.redacted(text);
        if clear != text {
            warnings.push(format!("{what} contained secrets of the job, which were replaced by [REDACTED]"));
        }
        clear
    }

    fn redact(&self, values: &[String]) -> Answer {
        self.check_redactions(values)?;
        let values = values.iter().map(String::as_str);
        self.scope.log.redact_all("a value given to `buildkite-agent redactor add`", values)?;
        Ok(plain(Reply::Done))
    }

    fn check_redactions(&self, values: &[String]) -> Result<(), Error> {
        for value in values {
            if value.len() > MAX_REDACTION {
                let reason = format!("a value of {} bytes cannot be redacted; at most 64 KiB can", value.len());
                return Err(Error::Limit(reason));
            }
            let size = value.len() as u64;
            if self.redacted.fetch_add(size, Ordering::Relaxed).saturating_add(size) > MAX_REDACTED {
                return Err(Error::Limit("a job has at most 256 KiB of values redacted".to_owned()));
            }
            if self.redactions.fetch_add(1, Ordering::Relaxed) >= MAX_REDACTIONS {
                return Err(Error::Limit(format!("a job has at most {MAX_REDACTIONS} values redacted")));
            }
        }
        Ok(())
    }

    /// Values of variables that are secrets by their name are replaced in the log from now on.
    pub(super) fn redact_variable(&self, name: &str, value: &str) -> Result<(), Error> {
        if is_secret_name(name) {
            self.check_redactions(&[value.to_owned()])?;
            self.scope.log.redact_quietly([value])?;
        }
        Ok(())
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among the attempt's connections.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        let full =
            || Error::Limit(format!("the job has {MAX_OPEN} calls of buildkite-agent open; wait for some to end"));
        self.open.clone().try_acquire_owned().map_err(|_| full())
    }

    /// Waits until few enough calls of the attempt are being done.
    pub(super) async fn turn(&self) -> Result<Turn, Error> {
        self.turns.clone().acquire_owned().await.map_err(|_| Error::Cancelled)
    }

    /// Ends what is being done for the attempt, and gives back what it holds.
    pub(super) fn end(&self) {
        self.ended.cancel();
        self.held().clear();
        self.locks.abandon(&self.scope.name);
    }

    /// When the attempt has ended.
    pub(super) fn ended(&self) -> WaitForCancellationFutureOwned {
        self.ended.clone().cancelled_owned()
    }
}

/// A reply without warnings.
pub(super) fn plain(reply: Reply) -> (Reply, Vec<String>) {
    (reply, Vec::new())
}
