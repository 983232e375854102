//! `buildkite-agent step`, `buildkite-agent build` and `buildkite-agent job`

use super::client::{call, unexpected};
use super::flags::{Ignored, Own, step_reference};
use super::{Failure, Outcome, note, print, stdin};
use crate::agent::job_api::protocol::{Call, Reply, StepReference};
use clap::{Args, Subcommand};
use serde_json::Value;

/// Bytes of a value from standard input: more than any may have, so that the runner says what is wrong.
const MAX_INPUT: u64 = 1 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum Step {
    /// Print a value of a step, or all of them
    ///
    /// A step has `id`, `key`, `label`, `type`, `state` (`ready`, `running`, `failing`, `finished`, `ignored`,
    /// `waiting_for_dependencies`), `outcome` (`neutral`, `passed`, `soft_failed`, `hard_failed`, `errored`),
    /// `depends_on` and `jobs`.
    Get(Get),
    /// Change the label of a step, or another value that scripts agree on
    Update(Update),
    /// End all jobs of a step that are not over
    Cancel(Cancel),
}

#[derive(Debug, Args)]
pub(super) struct Meant {
    /// The step, by key or label, or a job by its name [default: the job's own step]
    #[arg(long)]
    step: Option<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl Meant {
    fn step(&self) -> Result<StepReference, Failure> {
        self.own.check()?;
        Ok(self.step.as_deref().filter(|step| !step.is_empty()).map_or(StepReference::OwnStep, step_reference))
    }
}

#[derive(Debug, Args)]
pub(super) struct Get {
    /// Which value; all when left out
    attribute: Option<String>,
    /// `json`, which objects and lists need
    #[arg(long, env = "BUILDKITE_STEP_GET_FORMAT", hide_env_values = true)]
    format: Option<String>,
    #[command(flatten)]
    meant: Meant,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Which value
    attribute: String,
    /// The new value; from standard input when left out
    value: Option<String>,
    /// Add to the end of what is there
    #[arg(long, env = "BUILDKITE_STEP_UPDATE_APPEND")]
    append: bool,
    #[command(flatten)]
    meant: Meant,
}

#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// Has no effect: jobs get their time to clean up
    #[arg(long, env = "BUILDKITE_STEP_CANCEL_FORCE")]
    force: bool,
    #[arg(long, hide = true)]
    force_grace_period_seconds: Option<u64>,
    #[command(flatten)]
    meant: Meant,
}

impl Step {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Get(Get { attribute, format, meant }) => {
                let format = format.filter(|format| !format.is_empty());
                if let Some(format) = format.as_deref().filter(|format| *format != "json") {
                    return Err(format!("{format:?} is no format; the only one is json").into());
                }
                let reply = call(&Call::StepGet { step: meant.step()?, attribute });
                match (reply.map_err(|failure| failure.during("failed to get step"))?, format) {
                    (Reply::Json(Value::String(text)), None) => print(&text),
                    (Reply::Json(Value::Null), None) => Ok(()),
                    (Reply::Json(Value::Object(_) | Value::Array(_)), None) => {
                        Err("failed to get step: the value is an object or a list; add --format json".to_owned().into())
                    }
                    (Reply::Json(value), _) => print(&value.to_string()),
                    (other, _) => Err(unexpected(&other)),
                }
            }
            Self::Update(Update { attribute, value, append, meant }) => {
                let step = meant.step()?;
                let value = match value {
                    Some(value) => value,
                    None => stdin(MAX_INPUT, "the value")?,
                };
                let updated = call(&Call::StepUpdate { step, attribute, value, append });
                updated.map(drop).map_err(|failure| failure.during("failed to change step"))
            }
            Self::Cancel(Cancel { meant, .. }) => {
                let reply = call(&Call::StepCancel { step: meant.step()? });
                match reply.map_err(|failure| failure.during("failed to cancel step"))? {
                    Reply::Names(jobs) if jobs.is_empty() => note("the step is over; nothing was cancelled"),
                    Reply::Names(jobs) => note(&format!("cancelled: {}", jobs.join(", "))),
                    other => return Err(unexpected(&other)),
                }
                Ok(())
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Build {
    /// End the run: no further job starts, running ones are asked to end
    Cancel(CancelBuild),
}

#[derive(Debug, Args)]
pub(super) struct CancelBuild {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl Build {
    pub(super) fn run(self) -> Outcome {
        let Self::Cancel(CancelBuild { own, .. }) = self;
        own.check()?;
        call(&Call::BuildCancel).map(drop).map_err(|failure| failure.during("failed to cancel build"))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Job {
    /// Change the time the job has
    Update(UpdateJob),
}

#[derive(Debug, Args)]
pub(super) struct UpdateJob {
    /// `timeout_in_minutes` or `timeout`
    attribute: String,
    /// Minutes from the beginning of the job on; from standard input when left out
    value: Option<String>,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl Job {
    pub(super) fn run(self) -> Outcome {
        let Self::Update(UpdateJob { attribute, value, own, .. }) = self;
        own.check()?;
        if !["timeout_in_minutes", "timeout"].contains(&attribute.as_str()) {
            return Err(
                format!("failed to update job: only timeout_in_minutes can be changed, not {attribute:?}").into()
            );
        }
        let value = match value {
            Some(value) => value,
            None => stdin(MAX_INPUT, "the value")?,
        };
        let minutes: u64 = value.trim().parse().ok().filter(|minutes| *minutes > 0).ok_or_else(|| {
            format!("failed to update job: {:?} is no number of minutes; expected 1 or more", value.trim())
        })?;
        let updated = call(&Call::JobUpdate { timeout_minutes: minutes });
        updated.map(drop).map_err(|failure| failure.during("failed to update job"))
    }
}
