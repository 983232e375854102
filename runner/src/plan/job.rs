//! The plan's types. They are stored with the run, so that it can go on in another process.

use super::cache::CacheRule;
use super::grant::Grants;
use super::{BuildContext, OutputReference};
use crate::pipeline::attribute::{BlockedState, ConcurrencyMethod, Retry, SoftFail};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything a run will do, in an order in which dependencies come first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pipeline file as the user named it.
    pub pipeline: String,
    /// What is built: branch, commit and so on.
    pub context: BuildContext,
    /// The pipeline's environment.
    pub env: IndexMap<String, String>,
    /// The jobs; a [`JobId`] is a position in this list.
    pub jobs: Vec<Job>,
}

/// Position of a job in its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

impl JobId {
    /// The position as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One unit of execution, or a point where others wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Unique in the plan; lower-case letters, digits, `-`, `_` and `.`: names its files and its traces outside.
    pub name: String,
    /// `key` of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_key: Option<String>,
    /// What people read: the label, or what the step does.
    pub label: String,
    /// `key` of the group it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What people call that group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_label: Option<String>,
    /// What it does.
    pub kind: JobKind,
    /// What has to be over before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Dependency>,
    /// Why it will not run (`if`, `branches`, `skip`); jobs that depend on it go on as if it had passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<String>,
    /// Set when it tells somebody how the run, or a step, has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification: Option<Notification>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i64,
    /// The group of jobs of which only some run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyGroup>,
    /// Where the step stands in the pipeline file: byte offsets.
    pub span: (usize, usize),
}

/// What makes a job a notification: it begins when all it waits for is over, however that ended, even when the run was
/// cancelled, and how it ends itself changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Only when this holds; empty for always.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
    /// Whether it is about the step it waits for, and not about the run.
    #[serde(default)]
    pub of_step: bool,
}

/// Jobs of which only some run at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyGroup {
    /// Its name.
    pub name: String,
    /// How many run at once.
    pub limit: u64,
    /// Which one goes next.
    #[serde(default)]
    pub method: ConcurrencyMethod,
}

/// A job that has to be over first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// Which one.
    pub job: JobId,
    /// Whether its failure is no reason not to run.
    #[serde(default)]
    pub allow_failure: bool,
}

/// Plans of many jobs are stored and shown without what nobody has written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What a job does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Runs a component.
    Step(Box<StepJob>),
    /// Starts a run of another pipeline.
    Trigger(Box<TriggerJob>),
    /// Passes when everything before it is over.
    Wait,
    /// Waits for a person.
    Gate(Gate),
}

/// A run of a component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepJob {
    /// The reference as written, or `command` for a command step.
    pub uses: String,
    /// Which component that is; set when it has been resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentPin>,
    /// Whether it is a `command` step, whose command line is its permission to start programs.
    #[serde(default)]
    pub command: bool,
    /// The parameters: a JSON object. May hold `{{ steps.KEY.outputs.NAME }}`.
    pub params: Value,
    /// What of the parameters comes from other jobs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<OutputReference>,
    /// What the step is granted.
    pub grants: Grants,
    /// The step's own environment, over the pipeline's.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// Secrets that become variables of its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretVariable>,
    /// The tags an agent must have to run it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub agents: IndexMap<String, String>,
    /// How it wants the repository checked out, setting by setting as written; the workspace here is what it is.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub checkout: Map<String, Value>,
    /// Which of the step's jobs it is, when `parallelism` makes several of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Parallel>,
    /// Which failures leave the run unharmed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub soft_fail: SoftFail,
    /// Which failures are tried again, and what a person may do.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Whether it is ended, or not begun, as soon as another job has failed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cancel_on_build_failing: bool,
    /// Minutes after which it is ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_minutes: Option<u64>,
    /// Files kept after the command: globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifact_paths: Vec<String>,
    /// When it may be answered from an earlier job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheRule>,
    /// What runs before it, in this order; a failure is the job's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Phase>,
    /// What runs after it, in this order, whether it passed or failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Phase>,
}

/// A further component that runs for the same job, in a sandbox of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The reference, or `command`.
    pub uses: String,
    /// Which component that is; set when it has been resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<ComponentPin>,
    /// Whether it is a command line, which is its own permission to start programs.
    #[serde(default)]
    pub command: bool,
    /// The parameters: a JSON object.
    pub params: Value,
    /// What it is granted.
    pub grants: Grants,
}

impl StepJob {
    /// Everything that runs for it besides the component itself.
    pub fn phases(&self) -> impl Iterator<Item = &Phase> {
        self.before.iter().chain(&self.after)
    }

    /// Whether any part of it may use the Docker Engine.
    #[must_use]
    pub fn reaches_docker(&self) -> bool {
        self.grants.docker.is_some() || self.phases().any(|phase| phase.grants.docker.is_some())
    }

    /// A phase as a step of its own, in the environment of this one. The step's secrets are for command lines alone.
    #[must_use]
    pub fn as_step(&self, phase: &Phase) -> Self {
        Self {
            uses: phase.uses.clone(),
            component: phase.component.clone(),
            command: phase.command,
            params: phase.params.clone(),
            grants: phase.grants.clone(),
            secrets: if phase.command { self.secrets.clone() } else { Vec::new() },
            references: Vec::new(),
            artifact_paths: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            ..self.clone()
        }
    }
}

/// A secret that becomes a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// The variable.
    pub variable: String,
    /// The name of the secret where secrets are kept.
    pub name: String,
}

/// One of several equal jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parallel {
    /// Which one, from 0.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// A component decided on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentPin {
    /// Its own name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `sha256:` and 64 hex digits of its bytes.
    pub digest: String,
}

/// A run of another pipeline. Nothing of this run's environment is inherited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TriggerJob {
    /// The other pipeline's slug.
    pub pipeline: String,
    /// Its message.
    pub message: String,
    /// The commit to build, `HEAD` unless given.
    pub commit: String,
    /// The branch to build; `None` for the other pipeline's own default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Meta-data it starts with.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub meta_data: IndexMap<String, String>,
    /// Its environment.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub env: IndexMap<String, String>,
    /// `async`: the job passes as soon as the other run exists.
    #[serde(default)]
    pub detached: bool,
    /// Which failures leave this run unharmed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub soft_fail: SoftFail,
}

/// A block or input step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// What to ask; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    /// What has to be filled in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<GateField>,
    /// How the run counts while it waits here, for a run that has triggered it.
    #[serde(default)]
    pub blocked_state: BlockedState,
    /// Teams and users that may let it go on; everybody when it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_teams: Vec<String>,
}

/// One thing a person fills in; its value becomes meta-data under its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateField {
    /// The meta-data key.
    pub key: String,
    /// What people read.
    pub label: String,
    /// More about it; empty when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Whether it must be filled in.
    pub required: bool,
    /// The value when nothing is filled in; several are separated by line breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// A regular expression the whole value must match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The values to choose from; empty for free text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// What people read instead of a value, by value.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub labels: IndexMap<String, String>,
    /// Whether several may be chosen.
    #[serde(default)]
    pub multiple: bool,
}

impl Job {
    /// Whether this job, having failed with this status, leaves the run unharmed.
    #[must_use]
    pub fn fails_softly(&self, exit_status: i32) -> bool {
        match &self.kind {
            JobKind::Step(step) => step.soft_fail.covers(exit_status.into()),
            JobKind::Trigger(trigger) => trigger.soft_fail.covers(exit_status.into()),
            JobKind::Wait | JobKind::Gate(_) => false,
        }
    }

    /// Whether it is granted nothing that starts programs, containers or deployments.
    #[must_use]
    pub fn only_computes(&self) -> bool {
        match &self.kind {
            JobKind::Step(step) => {
                let computes = |command: bool, grants: &Grants| {
                    !command && grants.process.is_empty() && grants.docker.is_none() && grants.aws.is_none()
                };
                computes(step.command, &step.grants)
                    && step.phases().all(|phase| computes(phase.command, &phase.grants))
            }
            JobKind::Trigger(_) | JobKind::Wait | JobKind::Gate(_) => true,
        }
    }
}

impl Plan {
    /// The job at a position.
    ///
    /// # Panics
    /// When the position is another plan's.
    #[must_use]
    pub fn job(&self, id: JobId) -> &Job {
        &self.jobs[id.index()]
    }

    /// Every job with its position.
    pub fn jobs(&self) -> impl Iterator<Item = (JobId, &Job)> {
        (0..).map(JobId).zip(&self.jobs)
    }

    /// The jobs of a step, by its key.
    pub fn jobs_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (JobId, &'a Job)> {
        self.jobs().filter(move |(_, job)| job.step_key.as_deref() == Some(key))
    }
}
