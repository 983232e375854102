//! Values and ends of steps.

use super::caller::{Answer, Caller, plain};
use super::protocol::{Reply, StepReference};
use crate::agent::environment::{job_identifier, step_identifier};
use crate::capability::Error;
use crate::event::EventKind;
use crate::plan::{Job, JobId, JobKind};
use crate::run::{JobState, RunState};
use serde_json::{Value, json};

/// Bytes of a value.
const MAX_VALUE: usize = 100 << 10;

/// Bytes of an attribute's name.
const MAX_ATTRIBUTE: usize = 255;

/// The jobs that are meant, in the order of the plan. `of` is the identifier of the run.
pub(super) fn jobs_of(run: &RunState, of: &str, own: JobId, step: &StepReference) -> Result<Vec<JobId>, Error> {
    let plan = run.plan();
    let matching = |is_meant: &dyn Fn(&Job) -> bool| -> Vec<JobId> {
        plan.jobs().filter(|(_, job)| is_meant(job)).map(|(id, _)| id).collect()
    };
    let name = match step {
        StepReference::OwnJob => return Ok(vec![own]),
        StepReference::OwnStep => {
            let Some(key) = &plan.job(own).step_key else { return Ok(vec![own]) };
            return Ok(matching(&|job| job.step_key.as_ref() == Some(key)));
        }
        StepReference::Named(name) => name,
    };
    let mut jobs = matching(&|job| job.step_key.as_ref() == Some(name));
    if jobs.is_empty() {
        jobs = matching(&|job| job.name == *name);
    }
    if jobs.is_empty() {
        jobs = matching(&|job| job.label == *name);
    }
    if jobs.is_empty() && uuid::Uuid::try_parse(name).is_ok() {
        let is_attempt =
            |id: JobId, job: &Job| (1..=run.attempt(id)).any(|attempt| job_identifier(of, job, attempt) == *name);
        let all = plan.jobs().filter(|(id, job)| step_identifier(of, job) == *name || is_attempt(*id, job));
        jobs = all.map(|(id, _)| id).collect();
    }
    if jobs.is_empty() {
        let shown: String = name.chars().take(100).collect();
        return Err(Error::NotFound(format!(
            "there is no step `{}`; a step is found by its key, label or identifier, a job by its name or identifier",
            shown.escape_debug()
        )));
    }
    Ok(jobs)
}

impl Caller {
    pub(super) async fn step_value(&self, step: StepReference, attribute: Option<String>) -> Answer {
        let (own, of) = (self.job, self.scope.name.run.clone());
        let value = self.scope.recorder.read(move |run| {
            let jobs = jobs_of(run, &of, own, &step)?;
            match &attribute {
                Some(attribute) => value(run, &of, &jobs, attribute),
                None => Ok(ATTRIBUTES
                    .iter()
                    .filter_map(|name| Some(((*name).to_owned(), known(run, &of, &jobs, name)?)))
                    .collect()),
            }
        });
        Ok(plain(Reply::Json(value.await??)))
    }

    pub(super) async fn update_step(
        &self,
        step: StepReference,
        attribute: String,
        value: String,
        append: bool,
    ) -> Answer {
        if attribute.is_empty() || attribute.len() > MAX_ATTRIBUTE || value.len() > MAX_VALUE {
            return Err(Error::Invalid(format!(
                "an attribute of {} bytes with a value of {} bytes; expected 1 to {MAX_ATTRIBUTE}, and at most 100 KiB",
                attribute.len(),
                value.len()
            )));
        }
        if ATTRIBUTES.contains(&attribute.as_str()) && attribute != "label" {
            return Err(Error::Denied(format!("`{attribute}` of a step cannot be changed; its label can")));
        }
        self.scope.check_name("the name of an attribute", &attribute)?;
        let (own, of, name) = (self.job, self.scope.name.run.clone(), attribute.clone());
        let current = self.scope.recorder.read(move |run| -> Result<_, Error> {
            let jobs = jobs_of(run, &of, own, &step)?;
            let step = identity(run.plan().job(jobs[0]));
            let written = run.data().step_value(step, &name).is_some();
            let planned = known(run, &of, &jobs, &name).and_then(|value| value.as_str().map(ToOwned::to_owned));
            Ok((step.to_owned(), written, planned))
        });
        let (step, written, planned) = current.await??;
        let mut warnings = Vec::new();
        let value = self.without_secrets(&value, "the value", &mut warnings);
        // The first addition is to what the pipeline says, which the log does not repeat.
        let (value, append) = match (append && !written, planned) {
            (true, planned) => (planned.unwrap_or_default() + &value, false),
            (false, _) => (value, append),
        };
        self.record(EventKind::StepUpdated { step, attribute, value, append }).await?;
        Ok((Reply::Done, warnings))
    }

    pub(super) async fn cancel_step(&self, step: StepReference) -> Answer {
        let (own, of) = (self.job, self.scope.name.run.clone());
        let running = self.scope.recorder.read(move |run| -> Result<_, Error> {
            let mut jobs = jobs_of(run, &of, own, &step)?;
            jobs.retain(|job| !run.state(*job).is_over());
            Ok(jobs.into_iter().map(|job| (job, run.plan().job(job).name.clone())).collect::<Vec<_>>())
        });
        let mut names = Vec::new();
        for (job, name) in running.await?? {
            self.record(EventKind::JobCancelRequested { job, by: self.by() }).await?;
            names.push(name);
        }
        Ok(plain(Reply::Names(names)))
    }

    pub(super) async fn cancel_run(&self) -> Answer {
        self.record(EventKind::CancelRequested { by: self.by(), now: false }).await?;
        Ok(plain(Reply::Done))
    }

    fn by(&self) -> String {
        format!("job {}", self.scope.name.job)
    }
}

/// What is known of every step.
const ATTRIBUTES: [&str; 8] = ["id", "key", "label", "type", "state", "outcome", "depends_on", "jobs"];

/// What a step's values are written down under.
fn identity(job: &Job) -> &str {
    job.step_key.as_deref().unwrap_or(&job.name)
}

fn value(run: &RunState, of: &str, jobs: &[JobId], attribute: &str) -> Result<Value, Error> {
    let written = || run.data().step_value(identity(run.plan().job(jobs[0])), attribute).map(Value::from);
    known(run, of, jobs, attribute).or_else(written).ok_or_else(|| {
        Error::NotFound(format!(
            "a step has no attribute `{}`; it has {}, and what `step update` gave it",
            attribute.chars().take(MAX_ATTRIBUTE).collect::<String>().escape_debug(),
            ATTRIBUTES.join(", ")
        ))
    })
}

fn known(run: &RunState, of: &str, jobs: &[JobId], attribute: &str) -> Option<Value> {
    let plan = run.plan();
    let first = plan.job(jobs[0]);
    let states: Vec<JobState> = jobs.iter().map(|job| run.state(*job)).collect();
    Some(match attribute {
        "id" => step_identifier(of, first).into(),
        "key" => first.step_key.clone().into(),
        "label" => run.data().step_value(identity(first), "label").unwrap_or(&first.label).into(),
        "type" => match first.kind {
            JobKind::Step(_) => "command".into(),
            JobKind::Wait => "wait".into(),
            JobKind::Gate(_) => "manual".into(),
            JobKind::Trigger(_) => "trigger".into(),
        },
        "state" => state(&states).into(),
        "outcome" => outcome(&states).into(),
        "depends_on" => {
            let names = first.depends_on.iter().map(|dependency| identity(plan.job(dependency.job)));
            json!(names.collect::<Vec<_>>())
        }
        "jobs" => {
            let job = |id: &JobId| {
                let result = run.result(*id);
                json!({
                    "name": plan.job(*id).name,
                    "attempt": run.attempt(*id),
                    "state": state(&[run.state(*id)]),
                    "exit_status": result.map(|result| result.exit_status),
                })
            };
            jobs.iter().map(job).collect()
        }
        _ => return None,
    })
}

/// The state of a step, in Buildkite's words, from the states of its jobs.
fn state(jobs: &[JobState]) -> &'static str {
    let any = |states: &[JobState]| jobs.iter().any(|job| states.contains(job));
    let all = |states: &[JobState]| jobs.iter().all(|job| states.contains(job));
    if all(&[JobState::Skipped, JobState::Removed]) {
        "ignored"
    } else if jobs.iter().all(|job| job.is_over()) {
        "finished"
    } else if any(&[JobState::Failed, JobState::Cancelled]) {
        "failing"
    } else if any(&[JobState::Running]) || jobs.iter().any(|job| job.is_over()) {
        "running"
    } else if any(&[JobState::Ready, JobState::Blocked]) {
        "ready"
    } else {
        "waiting_for_dependencies"
    }
}

/// How a step ended, in Buildkite's words; `neutral` while it has not, or when it did not run.
fn outcome(jobs: &[JobState]) -> &'static str {
    let any = |state: JobState| jobs.contains(&state);
    if !jobs.iter().all(|job| job.is_over()) {
        "neutral"
    } else if any(JobState::Failed) || any(JobState::Cancelled) {
        "hard_failed"
    } else if any(JobState::NotRun) {
        "errored"
    } else if any(JobState::SoftFailed) {
        "soft_failed"
    } else if any(JobState::Passed) {
        "passed"
    } else {
        "neutral"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_its_jobs_are() {
        use JobState::{Blocked, Failed, NotRun, Passed, Pending, Ready, Running, Skipped, SoftFailed};
        for (jobs, in_state, with_outcome) in [
            (&[Pending][..], "waiting_for_dependencies", "neutral"),
            (&[Ready], "ready", "neutral"),
            (&[Blocked], "ready", "neutral"),
            (&[Passed, Ready], "running", "neutral"),
            (&[Running, Failed], "failing", "neutral"),
            (&[Passed, Passed], "finished", "passed"),
            (&[Passed, Skipped], "finished", "passed"),
            (&[Passed, SoftFailed], "finished", "soft_failed"),
            (&[SoftFailed, Failed], "finished", "hard_failed"),
            (&[NotRun], "finished", "errored"),
            (&[Skipped], "ignored", "neutral"),
        ] {
            assert_eq!((state(jobs), outcome(jobs)), (in_state, with_outcome), "{jobs:?}");
        }
    }
}
