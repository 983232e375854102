//! Trigger steps: a run of another pipeline of the same project, in this process.

use super::context::ContextFlags;
use super::drive::{Drive, Way, preflight};
use super::error::Error;
use super::opened::Opened;
use super::prepare::{PipelineFlags, Prepared, uploader};
use super::project::Project;
use super::run::Created;
use crate::agent::{Ending, JobLog, Triggers};
use crate::cache::Caching;
use crate::event::{Event, EventKind, JobResult, RunResult};
use crate::log::{EventLog, RunRecord, SqliteLog};
use crate::plan::{BuildContext, Job, TriggerJob};
use crate::report::Output;
use crate::run::{self, Finished, Slots, Stop};
use serde_json::json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// Starts runs of other pipelines of one project.
pub(super) struct LocalTriggers {
    pub(super) directory: PathBuf,
    /// The run whose steps trigger them.
    pub(super) parent: RunRecord,
    /// What that run builds.
    pub(super) context: BuildContext,
    /// How many runs have triggered one another to get there.
    pub(super) depth: u32,
    pub(super) slots: Slots,
    /// How the process is asked to end: what nobody waits for hears it still when its job is over.
    pub(super) stop: watch::Receiver<Stop>,
    /// Whether results of steps are taken from the cache.
    pub(super) caching: Caching,
    /// Runs that nobody waits for.
    pub(super) detached: TaskTracker,
}

/// Runs that may trigger one another; Buildkite's limit.
const MAX_DEPTH: u32 = 10;

#[async_trait::async_trait]
impl Triggers for LocalTriggers {
    async fn start(&self, job: &Job, begun_in: u32, trigger: &TriggerJob, log: &JobLog, ending: Ending) -> JobResult {
        if self.depth >= MAX_DEPTH {
            let message = format!("pipelines trigger one another more than {MAX_DEPTH} times");
            return JobResult::failed(1, message, "Look for a pipeline that triggers itself, directly or by others.");
        }
        let output = if trigger.detached { JobLog::discard() } else { log.clone() };
        let way = Way {
            slots: self.slots,
            wait: false,
            shown: 0,
            output: Output::Log(output),
            depth: self.depth + 1,
            stop: if trigger.detached { self.stop.clone() } else { stop(ending) },
            caching: self.caching,
            detached: self.detached.clone(),
        };
        let id = identifier(&self.parent, job, begun_in);
        match self.begin(id, job, trigger, way).await {
            Ok(Begun::Over(number, _)) if trigger.detached => JobResult::passed(outputs(number)),
            Ok(Begun::Over(number, ended)) => result(number, Finished::Over(ended)),
            Ok(Begun::Driven(drive)) => {
                let number = drive.record.number;
                if trigger.detached {
                    log.line(&format!("run {number} of {} has started", trigger.pipeline));
                    self.detached.spawn(async move {
                        if let Err(error) = drive.drive().await {
                            tracing::error!(run = number, "{}", error.render());
                        }
                    });
                    return JobResult::passed(outputs(number));
                }
                match drive.drive().await {
                    Ok(finished) => result(number, finished),
                    Err(error) => failed(trigger, &error),
                }
            }
            Err(error) => failed(trigger, &error),
        }
    }
}

impl LocalTriggers {
    /// The run of this identifier, which is there already when an attempt that was lost has made it.
    async fn begin(&self, id: String, job: &Job, trigger: &TriggerJob, way: Way) -> Result<Begun, Error> {
        let project = Project::open(&self.directory)?;
        let log = Arc::new(project.log()?);
        let Some(opened) = Opened::if_there(project, log.clone(), &id).await? else {
            return Ok(Begun::Driven(Box::new(self.prepare(id, job, trigger, way).await?)));
        };
        let state = opened.state().await?;
        if let Some(result) = state.run_result() {
            opened.remove_leftovers().await?;
            return Ok(Begun::Over(opened.record.number, result));
        }
        if state.sequence() == 1 {
            hand_over(&log, &id, trigger).await?;
        }
        let (drive, removed) = opened.taken_up(way).await?;
        tracing::debug!(run = drive.record.number, %removed, "a triggered run goes on");
        Ok(Begun::Driven(Box::new(drive)))
    }

    async fn prepare(&self, id: String, job: &Job, trigger: &TriggerJob, way: Way) -> Result<Drive, Error> {
        let project = Project::open(&self.directory)?;
        let flags = PipelineFlags {
            file: Some(project.triggered(&project.settings()?, &trigger.pipeline)?),
            directory: self.directory.clone(),
            env: trigger.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            context: ContextFlags::triggered(trigger, &self.context),
        };
        let Prepared { project, mut plan, components, settings, .. } = flags.prepare().await?;
        // The surrounding CI system counts the run that triggers.
        plan.context.number = None;
        plan.context.url.clear();
        plan.context.triggered_from_build_id.clone_from(&self.parent.id);
        plan.context.triggered_from_build_number = self.parent.number.to_string();
        plan.context.triggered_from_pipeline_slug.clone_from(&self.context.pipeline_slug);
        plan.context.triggered_from_pull_request = self.context.pull_request_number().map(str::to_owned);
        plan.context.pipeline_slug.clone_from(&trigger.pipeline);
        plan.context.pipeline_name.clone_from(&trigger.pipeline);
        preflight(&plan).await?;
        let uploader = uploader(&project, components, settings);
        let created = Created::new(project, plan, id).await?;
        hand_over(&created.log, &created.record.id, trigger).await?;
        tracing::debug!(job = job.name, run = created.record.number, "triggered");
        Ok(Drive {
            project: created.project,
            log: created.log,
            record: created.record,
            state: created.state,
            files: created.files,
            lock: None,
            uploader,
            answers: HashMap::new(),
            way,
        })
    }
}

/// A run that was triggered.
enum Begun {
    /// It was over already.
    Over(u64, RunResult),
    /// It is to be driven.
    Driven(Box<Drive>),
}

/// What the run is called that a job triggers: the same for an attempt and those after it when it was lost, so that they
/// find it again.
pub(super) fn identifier(parent: &RunRecord, job: &Job, begun_in: u32) -> String {
    let parent = Uuid::try_parse(&parent.id).unwrap_or_default();
    Uuid::new_v5(&parent, format!("triggered by {} {begun_in}", job.name).as_bytes()).to_string()
}

/// Cancels the run that a lost attempt has triggered, when its job is not tried again, and removes what it has left.
pub(super) async fn cancel_triggered(opened: Opened, way: Way) -> Result<(), Error> {
    if opened.state().await?.run_result().is_some() || opened.is_driven()? {
        return Ok(());
    }
    opened.append(|_| Ok(EventKind::CancelRequested { by: run::user(), now: false })).await?;
    let (drive, _) = Box::pin(opened.taken_up(way)).await?;
    Box::pin(drive.drive()).await?;
    Ok(())
}

/// Gives a new run the meta-data of the step that triggers it.
async fn hand_over(log: &SqliteLog, run: &str, trigger: &TriggerJob) -> Result<(), Error> {
    let meta_data = (2..).zip(&trigger.meta_data).map(|(sequence, (key, value))| {
        let kind = EventKind::MetaDataSet { key: key.clone(), value: value.clone() };
        Event { sequence, at: run::now(), kind }
    });
    let meta_data: Vec<Event> = meta_data.collect();
    if !meta_data.is_empty() {
        log.append(run, &meta_data).await?;
    }
    Ok(())
}

fn result(number: u64, finished: Finished) -> JobResult {
    let failed = |message: String| JobResult { outputs: outputs(number), ..JobResult::failed(1, message, "") };
    match finished {
        Finished::Over(RunResult::Failed) => failed(format!("run {number} failed")),
        Finished::Over(RunResult::Cancelled) => failed(format!("run {number} was cancelled")),
        // A run that waits for a person where that does not count as passed is not let go of before it is over.
        Finished::Over(RunResult::Passed) | Finished::Blocked => JobResult::passed(outputs(number)),
    }
}

/// What later jobs can read.
fn outputs(number: u64) -> serde_json::Map<String, serde_json::Value> {
    [("run".to_owned(), json!(number))].into_iter().collect()
}

fn failed(trigger: &TriggerJob, error: &Error) -> JobResult {
    let message = format!("the pipeline `{}` cannot be run:\n{}", trigger.pipeline, error.render().trim_end());
    JobResult::failed(1, message, "")
}

/// The job's way of ending as the run's.
fn stop(ending: Ending) -> watch::Receiver<Stop> {
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        tokio::select! {
            () = ending.cancelled.cancelled() => {
                sender.send_replace(Stop::Graceful);
                tokio::select! {
                    () = ending.killed.cancelled() => drop(sender.send_replace(Stop::Now)),
                    () = sender.closed() => return,
                }
            }
            () = sender.closed() => return,
        }
        sender.closed().await;
    });
    receiver
}
