//! Admission: before the first job starts, every step's component, parameters and grants are checked against each
//! other.

use super::asked::Problem;
use super::resolve::{Components, ResolveError};
use crate::plan::grant::Grants;
use crate::plan::{ComponentPin, Job, JobKind};
use serde_json::Value;

/// Something that keeps the plan from being run.
#[derive(Debug)]
pub struct Refusal {
    /// Position of the job among those that were looked at.
    pub job: usize,
    /// What kind of mistake it is.
    pub kind: RefusalKind,
    /// JSON Pointer below the attribute that `kind` names; empty for the attribute itself.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
}

/// What kind of mistake it is, and so where it stands in the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// In `uses`: there is no such component.
    Component,
    /// In `with`: a parameter is wrong.
    Parameter,
    /// In `grants`: the component needs more than it is given.
    Grant,
}

/// Decides on the component of every job that will run, and checks that it may run as the step says.
///
/// # Errors
/// Everything that is wrong, in the order of the jobs.
pub async fn admit(jobs: &mut [Job], components: &mut Components) -> Result<(), Vec<Refusal>> {
    let mut refusals = Vec::new();
    for (position, job) in jobs.iter_mut().enumerate() {
        if job.skip.is_some() {
            continue;
        }
        let Job { kind: JobKind::Step(step), .. } = job else { continue };
        let unknown: Vec<String> = step.references.iter().map(|one| one.pointer.clone()).collect();
        let (pin, mut problems) =
            decide(components, &step.uses, &step.params, &unknown, &step.grants, step.command).await;
        step.component = pin;
        for phase in step.before.iter_mut().chain(&mut step.after) {
            let (pin, more) = decide(components, &phase.uses, &phase.params, &[], &phase.grants, phase.command).await;
            phase.component = pin;
            problems.extend(more);
        }
        refusals.extend(problems.into_iter().map(|Problem { kind, pointer, message, help }| Refusal {
            job: position,
            kind,
            pointer,
            message,
            help,
        }));
    }
    if refusals.is_empty() { Ok(()) } else { Err(refusals) }
}

/// Which component a reference means, and what keeps it from running with these parameters and grants.
async fn decide(
    components: &mut Components,
    uses: &str,
    params: &Value,
    unknown: &[String],
    grants: &Grants,
    command: bool,
) -> (Option<ComponentPin>, Vec<Problem>) {
    let pin = match components.resolve(uses).await {
        Ok(pin) => pin,
        Err(error) => {
            let help = match &error {
                ResolveError::File { .. } => "paths are relative to the directory the pipeline runs in".to_owned(),
                _ => String::new(),
            };
            return (None, vec![Problem { help, ..Problem::component(error.to_string()) }]);
        }
    };
    let problems = match components.ask(uses, &pin.digest).await {
        Ok(asked) => asked.check(params, unknown, grants, command).await,
        Err(error) => vec![Problem::component(error.to_string())],
    };
    (Some(pin), problems)
}
