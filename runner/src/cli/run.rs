//! `runner run`

use super::cache::CacheFlags;
use super::diagnostic;
use super::drive::{Drive, Way, preflight, slots, stop_on_signals};
use super::error::{Error, ExitStatus};
use super::opened::interrupted_before;
use super::prepare::{PipelineFlags, Prepared, uploader};
use super::project::{Project, RunFiles};
use super::unblock::signed;
use crate::event::{Event, EventKind};
use crate::log::{EventLog, RunRecord, SqliteLog, plan_digest};
use crate::pipeline::{Diagnostic, Source};
use crate::plan::{JobId, JobKind, Plan};
use crate::report::Output;
use crate::run::{self, Answer, RunState};
use clap::Args;
use indexmap::IndexMap;
use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Run a pipeline.
///
/// Everything is checked first: the file, the components, their parameters and grants. Then jobs run as their
/// dependencies allow. At a block step a person at the terminal is asked; without a terminal the run ends as blocked
/// (exit status 5) and goes on with `runner unblock`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Answer this block or input step (its key) in advance; can be repeated
    #[arg(long, value_name = "STEP")]
    unblock: Vec<String>,
    /// Jobs at once [default: twice the number of processors]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Stay and wait when the run is blocked
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    cache: CacheFlags,
    #[command(flatten)]
    pipeline: PipelineFlags,
}

impl Run {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let Prepared { project, source, plan, warnings, components, settings, .. } = self.pipeline.prepare().await?;
        warn(&source, &warnings);
        let answers = answers(&project, &plan, &self.unblock)?;
        preflight(&plan).await?;
        let uploader = uploader(&project, components, settings);
        let id = uuid::Uuid::now_v7().to_string();
        let created = Created::new(project, plan, id).await?;
        let number = created.record.number;
        if let Some(before) = interrupted_before(&created.project, &created.log, number).await {
            // A closed standard error is no reason not to run.
            drop(writeln!(std::io::stderr(), "run {before} was interrupted; go on with: runner resume {before}"));
        }
        let drive = Drive {
            project: created.project,
            log: created.log,
            record: created.record,
            state: created.state,
            files: created.files,
            lock: None,
            uploader,
            answers,
            way: Way {
                slots: slots(self.jobs),
                wait: self.wait,
                shown: 0,
                output: Output::Stdout,
                depth: 0,
                stop: stop_on_signals()?,
                caching: self.cache.caching(),
                detached: TaskTracker::new(),
            },
        };
        drive.run().await
    }
}

/// A run that is in the log and has not begun.
pub(super) struct Created {
    pub(super) project: Project,
    pub(super) log: Arc<SqliteLog>,
    pub(super) record: RunRecord,
    pub(super) state: RunState,
    pub(super) files: RunFiles,
}

impl Created {
    pub(super) async fn new(project: Project, plan: Plan, id: String) -> Result<Self, Error> {
        let log = Arc::new(project.log()?);
        let plan = Arc::new(plan);
        let json = serde_json::to_vec(&*plan).map_err(|error| Error::environment(error.to_string()))?;
        let kind = EventKind::RunCreated { plan: plan_digest(&json) };
        let first = Event { sequence: 1, at: run::now(), kind };
        let record = log.create(&id, &plan, &first).await?;
        let state = RunState::replay(plan, [&first])?;
        let files = project.run_files(&id)?;
        Ok(Self { project, log, record, state, files })
    }
}

/// Prints warnings about a pipeline.
pub(super) fn warn(source: &Source, warnings: &[Diagnostic]) {
    let mut stderr = anstream::stderr().lock();
    for warning in warnings.iter().take(diagnostic::MAX_SHOWN) {
        // A closed standard error is no reason not to run.
        drop(writeln!(stderr, "{}", diagnostic::render(source, warning)));
    }
    if let more @ 1.. = warnings.len().saturating_sub(diagnostic::MAX_SHOWN) {
        // As above.
        drop(writeln!(stderr, "{}", diagnostic::render_plain("warning", &format!("there are {more} more"), "")));
    }
}

/// The answers to the steps named on the command line.
fn answers(project: &Project, plan: &Plan, unblock: &[String]) -> Result<HashMap<JobId, Answer>, Error> {
    let mut answers = HashMap::new();
    for key in unblock {
        let found = plan.jobs().find_map(|(id, job)| match &job.kind {
            JobKind::Gate(gate) if job.step_key.as_ref() == Some(key) || job.name == *key => Some((id, job, gate)),
            _ => None,
        });
        let Some((id, job, gate)) = found else {
            let gates: Vec<&str> = plan
                .jobs
                .iter()
                .filter(|job| matches!(job.kind, JobKind::Gate(_)))
                .map(|job| job.name.as_str())
                .collect();
            let help = match gates.as_slice() {
                [] => "this pipeline has no block or input steps".to_owned(),
                gates => format!("the block and input steps are: {}", gates.join(", ")),
            };
            return Err(Error::usage(format!("there is no block or input step `{key}`")).help(help));
        };
        let answer = signed(project, job, gate, None, IndexMap::new())?;
        let fields = run::answer(gate, &IndexMap::new()).map_err(|problems| {
            Error::usage(format!("`{key}` cannot be answered in advance: {}", problems.join("; ")))
                .help("leave it out, and give the fields to `runner unblock` with --field KEY=VALUE")
        })?;
        answers.insert(id, Answer { fields, ..answer });
    }
    Ok(answers)
}
