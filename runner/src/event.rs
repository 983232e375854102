//! The vocabulary: every fact that can happen to a run. Serialised as JSON; the stores count its changes with their
//! own schema, and refuse a newer one.

use crate::plan::{Job, JobId};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One fact, where it stands in the run's log, and when it was written down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Position in the run's log, from 1 without gaps.
    pub sequence: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum EventKind {
    /// The run was created; its plan is stored beside the log under the digest given here.
    RunCreated {
        /// `sha256:` and 64 hex digits of the plan's JSON.
        plan: String,
    },
    /// An attempt of a job is about to begin.
    JobStarted {
        /// Which job.
        job: JobId,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// An attempt of a job ended.
    JobFinished {
        /// Which job.
        job: JobId,
        /// The attempt that was started.
        attempt: u32,
        /// How it ended.
        result: JobResult,
    },
    /// An attempt was lost with the process that ran it; what it left behind is removed, and another one follows.
    JobInterrupted {
        /// Which job.
        job: JobId,
        /// The attempt that was started.
        attempt: u32,
    },
    /// It was looked whether an earlier job answers this one.
    CacheChecked {
        /// Which job.
        job: JobId,
        /// Its attempt.
        attempt: u32,
        /// What its result depends on.
        key: CacheKey,
        /// Why nothing was found; empty when something was.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        missed: String,
    },
    /// What became of a job's result in the cache.
    CacheWritten {
        /// Which job.
        job: JobId,
        /// Its attempt.
        attempt: u32,
        /// Why it was not kept; empty when it was.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        refused: String,
    },
    /// A job is asked to end, or not to begin.
    JobCancelRequested {
        /// Which job.
        job: JobId,
        /// Who asked.
        by: String,
    },
    /// Jobs that are over are to run again, and with them what did not run because of them.
    JobsRetried {
        /// Which jobs.
        jobs: Vec<JobId>,
        /// Who asked.
        by: String,
        /// Whether everything that depends on them runs again too, what has passed included.
        #[serde(default)]
        dependents: bool,
    },
    /// A running job added steps to the run.
    StepsUploaded {
        /// The job that did it.
        job: JobId,
        /// Its attempt.
        attempt: u32,
        /// Whether the jobs that have not begun are taken out.
        #[serde(default)]
        replace: bool,
        /// Position of the first new job: how many there were when they were planned.
        first: JobId,
        /// The new jobs; they depend on the job that added them.
        jobs: Vec<Job>,
    },
    /// A value of a step was changed by a running job.
    StepUpdated {
        /// `key` of the step, or the name of a job.
        step: String,
        /// Which value: `label` and whatever else jobs agree on.
        attribute: String,
        /// The new value.
        value: String,
        /// Whether it is added at the end of the old one.
        #[serde(default)]
        append: bool,
    },
    /// A running job wrote an annotation.
    Annotated {
        /// What it wrote.
        annotation: Annotation,
        /// Whether the body is added at the end of the annotation of the same scope and context.
        #[serde(default)]
        append: bool,
    },
    /// An annotation was taken away.
    AnnotationRemoved {
        /// Name of the job whose annotation it is; `None` for one of the whole run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<String>,
        /// Its context.
        context: String,
    },
    /// A block or input step waits for a person.
    Blocked {
        /// Which job.
        job: JobId,
    },
    /// A person let a block or input step go on.
    Unblocked {
        /// Which job.
        job: JobId,
        /// Who did it.
        by: String,
        /// The fields' values.
        #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
        fields: IndexMap<String, String>,
        /// The account of the operating system under which it was done; empty in logs that do not say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        account: String,
        /// Name of the machine on which it was done; empty in logs that do not say.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        host: String,
    },
    /// A granted or refused host call, before it is done.
    GrantDecided {
        /// Name of the job that asked.
        job: String,
        /// Its attempt.
        attempt: u32,
        /// What was asked and decided.
        decision: Decision,
    },
    /// A value of the run's meta-data was set.
    MetaDataSet {
        /// 1 to 255 bytes.
        key: String,
        /// 1 byte to 100 KB.
        value: String,
    },
    /// A file was stored with the run.
    ArtifactStored {
        /// What it is.
        artifact: Artifact,
    },
    /// The run is asked to end: no further job starts, running ones are cancelled.
    CancelRequested {
        /// Who asked.
        by: String,
        /// Whether running jobs get no time to clean up.
        #[serde(default)]
        now: bool,
    },
    /// Every job has ended.
    RunFinished {
        /// The result.
        result: RunResult,
    },
}

impl EventKind {
    /// Whether somebody else than the process that drives the run may write it: what a person asks for.
    #[must_use]
    pub fn is_request(&self) -> bool {
        matches!(
            self,
            Self::Unblocked { .. }
                | Self::CancelRequested { .. }
                | Self::JobCancelRequested { .. }
                | Self::JobsRetried { .. }
        )
    }
}

/// How an attempt of a job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// Passed, failed, or cancelled.
    pub outcome: Outcome,
    /// 0 to 255, or -1 when the job never ran to an end.
    pub exit_status: i32,
    /// The outputs: a JSON object.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub outputs: serde_json::Map<String, serde_json::Value>,
    /// Why it failed, for people; empty when it passed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What the reader can do about it; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The signal that ended its process, such as `SIGTERM`; empty when none did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signal: String,
    /// Why it was ended or could not begin, in Buildkite's words: `cancel` (its time was up, or it was asked to end),
    /// `process_run_error`; empty when it ended by itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub signal_reason: String,
    /// The earlier job whose result this is; `None` when the job itself ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<Box<CachedFrom>>,
}

/// What the result of a job depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheKey {
    /// 64 hex digits: SHA-256 over `parts`.
    pub digest: String,
    /// Every part by `KIND:NAME` (such as `file:src/main.c` or `variable:CC`), with its digest, or its value where that
    /// is short and no secret.
    pub parts: BTreeMap<String, String>,
}

/// The job whose result another one has taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachedFrom {
    /// Digest of the key that both have.
    pub key: String,
    /// Identifier of the run it was in.
    pub run: String,
    /// Number of that run in its project.
    pub number: u64,
    /// Name of the agent it ran on.
    pub agent: String,
    /// When it ended: milliseconds since 1970-01-01T00:00:00Z.
    pub at: u64,
    /// The repository it was fetched from; empty when it was on this machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub remote: String,
}

impl JobResult {
    /// A failure and why.
    #[must_use]
    pub fn failed(exit_status: i32, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            exit_status,
            outputs: serde_json::Map::new(),
            message: message.into(),
            remedy: remedy.into(),
            signal: String::new(),
            signal_reason: String::new(),
            cached: None,
        }
    }

    /// Success, with these outputs.
    #[must_use]
    pub fn passed(outputs: serde_json::Map<String, serde_json::Value>) -> Self {
        Self { outcome: Outcome::Passed, outputs, ..Self::failed(0, "", "") }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did its work.
    Passed,
    /// It failed, and its step says that this is no reason for the run to fail.
    SoftFailed,
    /// It failed.
    Failed,
    /// It was stopped because it, or the run, was cancelled.
    Cancelled,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// No job failed.
    Passed,
    /// A job failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The answer to a host call that needs a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `docker`, `aws`, `process`, `artifacts`, `meta-data` or `secrets`.
    pub capability: String,
    /// The verb, as the contract names it.
    pub operation: String,
    /// What it is about: a reference, a stack, a program, a path.
    pub subject: String,
    /// The name of what it makes there, by which it is found again should the attempt be lost: that of a change set.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub makes: String,
    /// Whether it was granted.
    pub allowed: bool,
}

/// A file kept with the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Relative path, `/` between its parts.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// Name of the job that stored it.
    pub job: String,
}

/// Markdown that a job shows to people, beside its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// Name of the job whose annotation it is; `None` for one of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Its name: a later annotation of the same scope and context takes its place.
    pub context: String,
    /// How it is meant.
    pub style: AnnotationStyle,
    /// Markdown, at most 1 MiB.
    pub body: String,
    /// 1 to 10; higher comes first.
    pub priority: u8,
}

/// How an annotation is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotationStyle {
    /// Nothing is said about it.
    #[default]
    Default,
    /// For information.
    Info,
    /// Something is good.
    Success,
    /// Something should be looked at.
    Warning,
    /// Something is wrong.
    Error,
}
