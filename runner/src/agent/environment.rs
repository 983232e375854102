//! The environment of a job's processes, and the part of it a component may see.

use crate::plan::grant::matches_pattern;
use crate::plan::{Job, Plan, StepJob};
use std::collections::BTreeMap;

/// Variables by name.
pub type JobEnvironment = BTreeMap<String, String>;

/// Facts of the run that every job's environment holds.
#[derive(Debug, Clone)]
pub struct RunFacts {
    /// Identifier of the run.
    pub run: String,
    /// Number of the run in its project.
    pub number: u64,
    /// Directory of the workspace.
    pub workspace: String,
}

/// The environment of one attempt. Command steps also get the runner's own environment, as with Buildkite's agent;
/// other components see only the names in `grants.env`.
///
/// From the weakest to the strongest: the runner's own, the pipeline's, the step's, the standard variables.
#[must_use]
pub fn job_environment(
    plan: &Plan,
    job: &Job,
    step: &StepJob,
    attempt: u32,
    facts: &RunFacts,
    own: impl Iterator<Item = (String, String)>,
) -> JobEnvironment {
    let mut env = JobEnvironment::new();
    if step.command {
        env.extend(own);
    }
    env.extend(plan.env.iter().chain(&step.env).map(|(name, value)| (name.clone(), value.clone())));
    env.extend(plan.context.variables().into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    let retry = attempt.saturating_sub(1).to_string();
    let timeout = step.timeout_minutes.map_or("false".to_owned(), |minutes| minutes.to_string());
    let number = facts.number.to_string();
    let command = step.params.get("command").and_then(|command| command.as_str()).unwrap_or_default();
    let standard = [
        ("BUILDKITE_BUILD_ID", facts.run.as_str()),
        ("BUILDKITE_BUILD_NUMBER", &number),
        ("BUILDKITE_BUILD_CHECKOUT_PATH", &facts.workspace),
        ("BUILDKITE_JOB_ID", &job.name),
        ("BUILDKITE_STEP_KEY", job.step_key.as_deref().unwrap_or_default()),
        ("BUILDKITE_LABEL", &job.label),
        ("BUILDKITE_COMMAND", command),
        ("BUILDKITE_RETRY_COUNT", &retry),
        ("BUILDKITE_TIMEOUT", &timeout),
    ];
    env.extend(standard.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    if !step.command {
        env.retain(|name, _| step.grants.env.iter().any(|pattern| matches_pattern(pattern, name)));
    }
    env
}

/// The runner's own environment. What is not UTF-8 is left out: neither the pipeline nor the event log could hold it.
pub fn own_environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Whether a variable's name says that its value is a secret; the list is that of Buildkite's agent.
#[must_use]
pub(super) fn is_secret_name(name: &str) -> bool {
    const ENDINGS: [&str; 9] = [
        "_PASSWORD",
        "_SECRET",
        "_TOKEN",
        "_PRIVATE_KEY",
        "_SSH_KEY",
        "_ACCESS_KEY",
        "_SECRET_KEY",
        "_CONNECTION_STRING",
        "_API_KEY",
    ];
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}
