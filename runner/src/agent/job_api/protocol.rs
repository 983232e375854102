//! What travels between a job's processes and the runner: frames, each preceded by its length in four bytes.
//!
//! ```text
//! process                                   runner
//!   Hello   {version, token}  ------------->
//!   Call                      ------------->
//!   content frames, an empty one  --------->      (only `artifact-store`)
//!            <-------------------------------  Response
//!            <-------------------------------  content frames, an empty one   (only `artifact-fetch`)
//! ```
//!
//! One call per connection. Content frames hold bytes as they are, everything else is JSON.

use crate::event::AnnotationStyle;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The one version there is. The command and the runner are the same program, unless it was replaced during a run.
pub const VERSION: u32 = 1;

/// Bytes of a [`Hello`]: all that is read of somebody unknown.
pub const MAX_HELLO: usize = 1 << 10;

/// Bytes of a [`Call`]: an annotation of 1 MiB, with every character escaped.
pub const MAX_CALL: usize = 8 << 20;

/// Bytes of a [`Response`]: the longest list of artifacts a run can have.
pub const MAX_RESPONSE: usize = 256 << 20;

/// Bytes of one content frame.
pub const MAX_CONTENT: usize = 64 << 10;

/// The socket's path, for a job's processes.
pub const SOCKET_VARIABLE: &str = "BUILDKITE_AGENT_JOB_API_SOCKET";

/// The job's token, for its processes.
pub const TOKEN_VARIABLE: &str = "BUILDKITE_AGENT_JOB_API_TOKEN";

/// Who calls.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// The token of the attempt of a job.
    pub token: String,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Call {
    /// Sets values of the run's meta-data.
    MetaDataSet {
        /// Keys and values.
        values: IndexMap<String, String>,
    },
    /// The value of a key of the meta-data: [`Reply::Value`].
    MetaDataGet {
        /// The key.
        key: String,
    },
    /// All keys of the meta-data, sorted: [`Reply::Names`].
    MetaDataKeys,
    /// Keeps a file with the run; its content follows.
    ArtifactStore {
        /// Relative path, `/` between its parts.
        path: String,
    },
    /// Artifacts of the run: [`Reply::Artifacts`].
    ArtifactSearch {
        /// A pattern in which `*` stands for any run of characters.
        query: String,
        /// Whose.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<StepReference>,
        /// Also those of which a newer one has the same path.
        all: bool,
    },
    /// The content of an artifact: [`Reply::Done`], and the content follows.
    ArtifactFetch {
        /// Name of the job that stored it.
        job: String,
        /// Its path.
        path: String,
    },
    /// The environment that later processes of the job get: [`Reply::Variables`].
    EnvironmentGet,
    /// Sets variables of that environment: [`Reply::Environment`].
    EnvironmentSet {
        /// Names and values.
        variables: BTreeMap<String, String>,
    },
    /// Removes variables from that environment: [`Reply::Names`] of those that were set.
    EnvironmentUnset {
        /// Their names.
        names: Vec<String>,
    },
    /// Values of secrets the step may read, in the order of their names: [`Reply::Secrets`].
    SecretGet {
        /// Their names.
        names: Vec<String>,
    },
    /// Replaces these values in the rest of the job's log.
    Redact {
        /// The values.
        values: Vec<String>,
    },
    /// Takes a lock of this user on this machine, when it is free: [`Reply::Value`], what it is released by.
    LockAcquire {
        /// The lock's name.
        key: String,
        /// Milliseconds to wait for it; without end when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<u64>,
    },
    /// Gives a lock back.
    LockRelease {
        /// The lock's name.
        key: String,
        /// What `lock-acquire` answered.
        token: String,
    },
    /// The state of a lock or of a piece of work: [`Reply::Value`].
    LockGet {
        /// Its name.
        key: String,
    },
    /// Begins work that is done once in a run, or waits until somebody else has done it: [`Reply::Flag`], whether the
    /// caller is to do it.
    OnceBegin {
        /// The name of the work.
        key: String,
        /// Milliseconds to wait for it; without end when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait: Option<u64>,
    },
    /// The work is done.
    OnceDone {
        /// The name of the work.
        key: String,
    },
    /// Shows Markdown to people.
    Annotate {
        /// Name of the annotation.
        context: String,
        /// How it is meant; as it was, or not said, when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        style: Option<AnnotationStyle>,
        /// Markdown; when it is empty only the style changes.
        body: String,
        /// At the end of what is there.
        append: bool,
        /// 1 to 10; higher comes first.
        priority: u8,
        /// It belongs to the job, not to the run.
        own_job: bool,
    },
    /// Takes an annotation away.
    AnnotationRemove {
        /// Name of the annotation.
        context: String,
        /// It belongs to the job, not to the run.
        own_job: bool,
    },
    /// A value of a step, or all of them: [`Reply::Json`].
    StepGet {
        /// Whose.
        step: StepReference,
        /// Which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attribute: Option<String>,
    },
    /// Changes a value of a step.
    StepUpdate {
        /// Whose.
        step: StepReference,
        /// Which.
        attribute: String,
        /// The new value.
        value: String,
        /// At the end of what is there.
        append: bool,
    },
    /// Ends the jobs of a step: [`Reply::Names`] of those that were not over.
    StepCancel {
        /// Whose.
        step: StepReference,
    },
    /// Ends the run.
    BuildCancel,
    /// Changes the time the caller's job has, from its beginning on.
    JobUpdate {
        /// Minutes; 1 or more.
        timeout_minutes: u64,
    },
    /// Adds steps to the run: [`Reply::Uploaded`].
    PipelineUpload(PipelineUpload),
}

/// Steps to be added to the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PipelineUpload {
    /// Name of the file, for messages.
    pub name: String,
    /// Its text.
    pub text: String,
    /// Which of its documents, from 0.
    pub document: usize,
    /// The environment to interpolate with; absent to leave everything as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<BTreeMap<String, String>>,
    /// Whether jobs that have not begun are taken out.
    pub replace: bool,
    /// Whether warnings about the text are as bad as errors.
    pub reject_warnings: bool,
    /// Whether values of secrets may be in it.
    pub allow_secrets: bool,
}

/// Which step or job is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepReference {
    /// The caller's own step.
    OwnStep,
    /// The caller's own job.
    OwnJob,
    /// A step by key or label, or a job by name.
    Named(String),
}

/// How a call ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Well.
    Ok {
        /// What was asked for.
        reply: Reply,
        /// What the user should know of.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    /// It did not.
    Error {
        /// Why, and what to do.
        message: String,
    },
}

/// What was asked for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done,
    /// A value, if there is one.
    Value(Option<String>),
    /// Yes or no.
    Flag(bool),
    /// Names.
    Names(Vec<String>),
    /// Variables by name.
    Variables(BTreeMap<String, String>),
    /// What became of variables that were set.
    Environment {
        /// New ones.
        added: Vec<String>,
        /// Those that had another value before, or the same.
        updated: Vec<String>,
    },
    /// Values of secrets.
    Secrets(Vec<String>),
    /// Artifacts.
    Artifacts(Vec<FoundArtifact>),
    /// Anything else.
    Json(Value),
    /// What became of uploaded steps.
    Uploaded {
        /// Whether they were added.
        added: bool,
        /// What is wrong with them, or could be.
        findings: Vec<Finding>,
    },
}

/// Something about a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether it is an error or a warning.
    pub error: bool,
    /// What is wrong.
    pub message: String,
    /// What stands beside the place; absent when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What to do; absent when there is nothing to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Bytes of the text, from and to; absent for the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<(usize, usize)>,
}

/// An artifact as it is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundArtifact {
    /// Relative path, `/` between its parts.
    pub path: String,
    /// Name of the job that stored it.
    pub job: String,
    /// Size in bytes.
    pub size: u64,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// When it was stored: seconds since 1970-01-01T00:00:00Z; 0 when that is not known any more.
    pub at: u64,
    /// Where its content is on the runner's machine.
    pub file: String,
}
