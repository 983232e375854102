//! What every capability is handed of the job it serves.

use super::{Error, Workspace};
use crate::agent::JobLog;
use crate::event::{Decision, EventKind};
use crate::run::Recorder;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_util::sync::CancellationToken;

/// The names under which a job's traces outside are found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName {
    /// Identifier of the run.
    pub run: String,
    /// Identifier of the job within its run.
    pub job: String,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// `key` of the step; empty when it has none.
    pub step_key: String,
    /// `label` of the step; empty when it has none.
    pub label: String,
}

/// One attempt of one job, as its capabilities see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct JobScope {
    /// Who is asking.
    pub name: Arc<JobName>,
    /// The files the job may touch.
    pub workspace: Arc<Workspace>,
    /// The job's log.
    pub log: JobLog,
    /// The way into the run's event log.
    pub recorder: Recorder,
    /// Set when the job is asked to end.
    pub cancelled: CancellationToken,
    /// How many decisions on its calls have been recorded.
    pub decisions: Arc<AtomicU32>,
}

impl JobScope {
    /// Records that a granted operation is about to be done: in the log before it happens.
    ///
    /// # Errors
    /// `Failed` when it cannot be recorded; then it must not be done.
    pub async fn allow(&self, capability: &str, operation: &str, subject: &str) -> Result<(), Error> {
        self.decide(capability, operation, subject, "", true).await
    }

    /// The same for an operation that makes something of this name, which outlives a job that is lost.
    ///
    /// # Errors
    /// As [`Self::allow`].
    pub async fn allow_making(
        &self,
        capability: &str,
        operation: &str,
        subject: &str,
        name: &str,
    ) -> Result<(), Error> {
        self.decide(capability, operation, subject, name, true).await
    }

    /// Records a refusal and returns it as the error for the guest: `reason` says what is not granted and what to
    /// write in the pipeline to grant it.
    pub async fn deny(&self, capability: &str, operation: &str, subject: &str, reason: String) -> Error {
        match self.decide(capability, operation, subject, "", false).await {
            Ok(()) => Error::Denied(reason),
            Err(error) => error,
        }
    }

    async fn decide(
        &self,
        capability: &str,
        operation: &str,
        subject: &str,
        makes: &str,
        allowed: bool,
    ) -> Result<(), Error> {
        if self.decisions.fetch_add(1, Ordering::Relaxed) >= MAX_DECISIONS {
            let reason = format!("a job makes at most {MAX_DECISIONS} calls that need a grant");
            return Err(Error::Limit(reason));
        }
        let decision = Decision {
            capability: capability.to_owned(),
            operation: operation.to_owned(),
            subject: self.log.redacted(subject).chars().take(MAX_SUBJECT).collect(),
            makes: self.log.redacted(makes).chars().take(MAX_SUBJECT).collect(),
            allowed,
        };
        self.recorder
            .record(EventKind::GrantDecided { job: self.name.job.clone(), attempt: self.name.attempt, decision })
            .await
            .map_err(|error| Error::Failed(format!("cannot record the {operation} before doing it: {error}")))
    }

    /// Refuses a name with the value of a secret in it: by names things are found again, so that nothing in them can
    /// be replaced. `what` is what is named so.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn check_name(&self, what: &str, name: &str) -> Result<(), Error> {
        let clear = self.log.redacted(name);
        if clear == name {
            return Ok(());
        }
        Err(Error::Invalid(format!("{what} holds the value of a secret, which would be stored and shown: {clear}")))
    }

    /// Waits for a future, or ends with [`Error::Cancelled`] as soon as the job is being cancelled.
    ///
    /// # Errors
    /// The future's own, or `Cancelled`.
    pub async fn or_cancelled<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.cancelled.cancelled() => Err(Error::Cancelled),
        }
    }
}

/// Recorded calls of one attempt: each is an event on the disk, and a component that floods the log stops here.
const MAX_DECISIONS: u32 = 10_000;

/// Characters of a guest's argument kept in the event log: enough for any reference, stack or path.
const MAX_SUBJECT: usize = 512;
