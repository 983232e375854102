//! One attempt of a job, from its assignment to its result.

use super::artifact::{self, Reach};
use super::cached::{LookedUp, time_left};
use super::environment::{JobFacts, RunFacts, is_secret_name, job_environment, own_environment};
use super::job_api::{Caller, JobApi};
use super::log::JobLog;
use super::trigger::{Ending, Triggers};
use super::upload::Uploader;
use crate::cache::StepCache;
use crate::capability::process::Programs;
use crate::capability::{JobName, JobScope, SharedEnvironment, Workspace};
use crate::component::{Asked, Loaded};
use crate::event::{JobResult, Outcome};
use crate::host::{self, Ended, Invocation, LoadedComponent, Services, StepEngine};
use crate::plan::{Job, JobKind, SecretVariable, StepJob, as_text, substitute};
use crate::run::{Assignment, Executor};
use crate::secret::{Redactions, SecretValue};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Runs jobs in this process.
pub struct LocalAgent {
    /// Runs components.
    pub engine: StepEngine,
    /// The plan's components.
    pub components: Loaded,
    /// Takes in the steps that jobs add to the run.
    pub uploader: Arc<Uploader>,
    /// Starts other pipelines.
    pub triggers: Arc<dyn Triggers>,
    /// The outside.
    pub services: Services,
    /// What processes of commands can ask.
    pub job_api: JobApi,
    /// Results of earlier jobs; `None` when there is nowhere to keep them.
    pub cache: Option<Arc<StepCache>>,
    /// What is known of the run.
    pub facts: RunFacts,
    /// Directory of the workspace.
    pub workspace: PathBuf,
    /// Directory for the logs of the run's jobs.
    pub logs: PathBuf,
    /// Told when a log has grown.
    pub appended: Option<mpsc::Sender<Arc<Path>>>,
    /// The values that jobs of the run have met, which no job's log shows.
    pub redactions: Redactions,
    /// Time a job gets for cleaning up once it is asked to end.
    pub grace: Duration,
}

impl LocalAgent {
    /// The log file of one attempt of a job.
    #[must_use]
    pub fn log_file(logs: &Path, job: &Job, attempt: u32) -> PathBuf {
        logs.join(format!("{}.{attempt}.log", job.name))
    }

    /// What comes before the step, the step, and what comes after it whether it passed or not. The first failure counts.
    /// The job's time began to count at `begun`.
    async fn run(
        &self,
        job: &Job,
        step: &StepJob,
        assignment: &Assignment,
        log: &JobLog,
        begun: Instant,
    ) -> Result<Ended, String> {
        for phase in &step.before {
            let ended = self.run_one(job, &step.as_step(phase), assignment, log, begun).await?;
            if !matches!(ended, Ended::Passed(_)) {
                return Ok(ended);
            }
        }
        let mut ended = self.run_one(job, step, assignment, log, begun).await?;
        for phase in &step.after {
            if assignment.cancelled.is_cancelled() || matches!(ended, Ended::TimedOut) {
                break;
            }
            let after = self.run_one(job, &step.as_step(phase), assignment, log, begun).await?;
            if matches!(ended, Ended::Passed(_)) && !matches!(after, Ended::Passed(_)) {
                ended = after;
            }
        }
        Ok(ended)
    }

    /// Runs one component; `begun` is when the job's time began to count.
    async fn run_one(
        &self,
        job: &Job,
        step: &StepJob,
        assignment: &Assignment,
        log: &JobLog,
        begun: Instant,
    ) -> Result<Ended, String> {
        let component = step.component.as_ref().and_then(|pin| self.components.get(&pin.digest));
        let component = &component.ok_or_else(|| format!("the component `{}` was not found before", step.uses))?;
        let outputs = |key: &str| assignment.outputs.get(key);
        let mut params = substitute(&step.params, &outputs)?;
        as_text(&mut params, &step.references);
        if let Some(notice) = &assignment.notice {
            params["build"] = notice.clone();
            params["build"]["number"] = self.facts.number.into();
        }
        if !step.references.is_empty() {
            self.check_known(component, step, &params).await?;
        }
        let workspace = Workspace::open(&self.workspace, step.grants.workspace.clone())
            .map_err(|error| format!("cannot open the workspace {}: {error}", self.workspace.display()))?;
        let scope = JobScope {
            name: Arc::new(JobName {
                run: self.facts.run.clone(),
                job: job.name.clone(),
                attempt: assignment.attempt,
                step_key: job.step_key.clone().unwrap_or_default(),
                label: job.label.clone(),
            }),
            workspace: Arc::new(workspace),
            log: log.clone(),
            recorder: assignment.recorder.clone(),
            cancelled: assignment.cancelled.child_token(),
            decisions: Arc::default(),
        };
        let secrets = self.secrets(step, &scope).await?;
        let facts = JobFacts {
            plan: &assignment.plan,
            job,
            step,
            attempt: assignment.attempt,
            grace: self.grace,
            secrets: &secrets,
            unblocker: Some(assignment.unblocked_by.as_str()).filter(|by| !by.is_empty()),
        };
        let mut env = job_environment(&facts, &self.facts, own_environment());
        let mut entrance = None;
        if step.command {
            let opened = self.job_api.entrance().await.map_err(|error| error.to_string())?;
            opened.announce(&mut env);
            entrance = Some(opened);
        }
        let by_name = env.iter().filter(|(name, _)| is_secret_name(name)).map(|(_, value)| value.as_str());
        log.redact_quietly(by_name).map_err(|error| error.to_string())?;
        let programs = match (step.command, step.grants.process.is_empty()) {
            (true, _) => Some(Programs::CommandLine),
            (false, true) => None,
            (false, false) => Some(Programs::Listed(step.grants.process.clone())),
        };
        let env = SharedEnvironment::from(env);
        // What came before it has used up its part.
        let (limit, timeout) = watch::channel(time_left(step, begun));
        // Until the attempt has ended, however it ends.
        let _admission = entrance.map(|entrance| {
            let granted = step.grants.secrets.iter().chain(step.secrets.iter().map(|secret| &secret.name));
            let (scope, env, secrets) = (scope.clone(), env.clone(), granted.cloned().collect());
            let (services, uploader) = (&self.services, self.uploader.clone());
            entrance.admit(Caller::new(scope, assignment.job, env, secrets, services, uploader, limit))
        });
        let invocation = Invocation {
            component,
            grants: Arc::new(step.grants.clone()),
            programs,
            scope: scope.clone(),
            env,
            params: params.to_string(),
            timeout,
            grace: self.grace,
            killed: assignment.killed.clone(),
        };
        let ended = host::run(&self.engine, &self.services, invocation).await.map_err(|error| error.to_string())?;
        // A command uploads its artifacts between its hooks.
        if !step.command && !step.artifact_paths.is_empty() {
            let kept = artifact::keep(&self.services.artifacts, &scope, &step.artifact_paths, Reach::Workspace).await;
            if let (Ended::Passed(_), Err(error)) = (&ended, &kept) {
                return Err(format!("cannot keep the artifacts: {error}"));
            }
            if let Err(error) = kept {
                scope.log.line(&format!("error: cannot keep the artifacts: {error}"));
            }
        }
        Ok(ended)
    }
}

impl LocalAgent {
    /// The values of the step's secrets by variable, each recorded as used and replaced in the log from now on. That
    /// they are named in the step is the permission.
    async fn secrets(&self, step: &StepJob, scope: &JobScope) -> Result<Vec<(String, SecretValue)>, String> {
        let mut values = Vec::with_capacity(step.secrets.len());
        for SecretVariable { variable, name } in &step.secrets {
            let value = self.services.secrets.open(scope, "set", name).await.map_err(|error| error.to_string())?;
            values.push((variable.clone(), value));
        }
        Ok(values)
    }

    /// The checks that had to wait until the outputs of other jobs were known.
    async fn check_known(&self, component: &LoadedComponent, step: &StepJob, params: &Value) -> Result<(), String> {
        let mut asked = Asked::start(&self.engine, &self.services, component).await?;
        match asked.check(params, &[], &step.grants, step.command).await.as_slice() {
            [] => Ok(()),
            [first, ..] if first.help.is_empty() => Err(first.message.clone()),
            [first, ..] => Err(format!("{}; {}", first.message, first.help)),
        }
    }
}

#[async_trait::async_trait]
impl Executor for LocalAgent {
    async fn execute(&self, mut assignment: Assignment) -> JobResult {
        let plan = assignment.plan.clone();
        let job = plan.job(assignment.job);
        let path = Self::log_file(&self.logs, job, assignment.attempt);
        let log = JobLog::sharing(path, self.appended.clone(), self.redactions.clone());
        let (begun, mut keeping) = (Instant::now(), None);
        let mut result = match &job.kind {
            JobKind::Step(step) => match self.look_up(job, step, &mut assignment, &log, begun).await {
                LookedUp::Answered(result) => result,
                LookedUp::Runs(to_keep) => {
                    let ended = self.run(job, step, &assignment, &log, begun).await;
                    keeping = to_keep.map(|keeping| (keeping, time_left(step, begun)));
                    job_result(ended, step)
                }
            },
            JobKind::Trigger(trigger) => {
                let end = Ending { cancelled: assignment.cancelled.clone(), killed: assignment.killed.clone() };
                self.triggers.start(job, assignment.begun_in, trigger, &log, end).await
            }
            JobKind::Wait | JobKind::Gate(_) => {
                JobResult::failed(-1, format!("`{}` is not a step that runs", job.name), "")
            }
        };
        result.message = log.redacted(&result.message);
        result.remedy = log.redacted(&result.remedy);
        result.outputs = redacted(&log, result.outputs);
        if result.outcome == Outcome::Failed {
            if assignment.cancelled.is_cancelled() {
                result.outcome = Outcome::Cancelled;
                "cancel".clone_into(&mut result.signal_reason);
            } else if job.fails_softly(result.exit_status) {
                result.outcome = Outcome::SoftFailed;
            }
        }
        log.finish();
        if let Err(reason) = log.keep().await {
            let parts = [result.message.as_str(), &format!("its log is incomplete: {reason}")];
            result.message = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n");
        }
        if let Some((keeping, left)) = keeping
            && result.outcome == Outcome::Passed
        {
            self.keep(keeping, &result, job, &assignment, &log, left).await;
        }
        result
    }
}

/// Outputs are stored and shown: a secret that a component puts into them is replaced as in its log.
fn redacted(log: &JobLog, outputs: Map<String, Value>) -> Map<String, Value> {
    fn clear(log: &JobLog, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(log.redacted(&text)),
            Value::Array(items) => items.into_iter().map(|item| clear(log, item)).collect(),
            Value::Object(entries) => Value::Object(redacted(log, entries)),
            other => other,
        }
    }
    outputs.into_iter().map(|(name, value)| (log.redacted(&name), clear(log, value))).collect()
}

/// What became of a step.
fn job_result(ended: Result<Ended, String>, step: &StepJob) -> JobResult {
    match ended {
        Ok(Ended::Passed(outputs)) => JobResult::passed(outputs),
        Ok(Ended::Failed { message, remedy, exit_status, signal }) => {
            JobResult { signal, ..JobResult::failed(exit_status.into(), message, remedy) }
        }
        Ok(Ended::Stopped(reason)) => JobResult { signal: "SIGKILL".to_owned(), ..JobResult::failed(137, reason, "") },
        Ok(Ended::Broken(reason)) => JobResult::failed(-1, format!("the component broke: {reason}"), ""),
        Ok(Ended::TimedOut) => {
            let message = format!("the step was ended after {} min", step.timeout_minutes.unwrap_or_default());
            let remedy = "Raise `timeout_in_minutes`, or find out what takes so long.";
            let (signal, signal_reason) = ("SIGTERM".to_owned(), "cancel".to_owned());
            JobResult { signal, signal_reason, ..JobResult::failed(143, message, remedy) }
        }
        Err(reason) => JobResult { signal_reason: "process_run_error".to_owned(), ..JobResult::failed(-1, reason, "") },
    }
}
