//! A run that exists already: what its log says, one more fact for it, and driving it further.

use super::cache::CacheFlags;
use super::drive::{Drive, Way, preflight, restore, slots, stop_on_signals};
use super::error::{Error, ExitStatus};
use super::leftovers::{self, Removed};
use super::prepare::{components, services, uploader};
use super::project::{Project, RunFiles};
use super::trigger;
use crate::agent::{JobLog, job_api};
use crate::event::{Event, EventKind};
use crate::host::StepEngine;
use crate::log::{EventLog, LogError, RunRecord, SqliteLog};
use crate::plan::{JobId, JobKind, Plan};
use crate::report::{History, Output, Standing};
use crate::run::{self, DriveError, RunState};
use clap::Args;
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

/// Which project, and how a run of it is driven further.
#[derive(Debug, Args)]
pub(super) struct Further {
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Jobs at once [default: twice the number of processors]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    jobs: Option<u32>,
    /// Stay and wait when the run is blocked
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    cache: CacheFlags,
}

/// A run found in the log of its project.
pub(super) struct Opened {
    pub(super) project: Project,
    pub(super) log: Arc<SqliteLog>,
    pub(super) record: RunRecord,
    pub(super) plan: Arc<Plan>,
    /// As far as the log has been read.
    state: Mutex<RunState>,
}

impl Further {
    /// Finds a run by its number or identifier; the newest one when none is named.
    pub(super) async fn open(&self, reference: Option<&str>) -> Result<Opened, Error> {
        Opened::find(&self.directory, reference).await
    }

    /// The newest run that was interrupted.
    pub(super) async fn open_interrupted(&self) -> Result<Opened, Error> {
        let mut project = Project::open(&self.directory)?;
        let log = Arc::new(project.log()?);
        let mut others = Vec::new();
        for record in log.runs(None).await?.into_iter().filter(|record| record.result.is_none()) {
            let number = record.number;
            let opened = Opened::of(project, log.clone(), &record.id).await?;
            match opened.standing().await? {
                Standing::Interrupted => return opened.with_its_parent().await,
                Standing::Passed | Standing::Failed | Standing::Cancelled => {}
                Standing::Running => others.push(format!("run {number} is driven by another process")),
                Standing::Blocked => {
                    others.push(format!("run {number} waits for a person; it goes on with: runner unblock {number}"));
                }
            }
            project = opened.project;
        }
        if others.is_empty() {
            for record in log.runs(None).await?.iter().filter(|record| job_api::is_left(&record.id)) {
                let project = project.clone();
                Opened::of(project, log.clone(), &record.id).await?.tidy_up().await?;
            }
            others.push("`runner run` makes a new run, `runner retry` runs jobs of an old one again".to_owned());
        }
        Err(Error::usage("no run of this project was interrupted").help(others.join("\n")))
    }
}

/// The number of the run made before this one, when it was interrupted.
pub(super) async fn interrupted_before(project: &Project, log: &Arc<SqliteLog>, number: u64) -> Option<u64> {
    let find = async || {
        let before =
            log.runs(Some(2)).await?.into_iter().find(|record| record.number < number && record.result.is_none());
        let Some(record) = before else { return Ok::<_, Error>(None) };
        let opened = Opened::of(project.clone(), log.clone(), &record.id).await?;
        if opened.standing().await? != Standing::Interrupted {
            return Ok(None);
        }
        Ok(Some(opened.with_its_parent().await?.record.number))
    };
    find().await.unwrap_or_else(|error| {
        tracing::debug!("the run before this one cannot be looked at: {}", error.message());
        None
    })
}

impl Opened {
    pub(super) fn new(project: Project, log: Arc<SqliteLog>, record: RunRecord, plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let state = Mutex::new(RunState::new(plan.clone()));
        Self { project, log, record, plan, state }
    }

    /// Finds a run of a project by its number or identifier; the newest one when none is named.
    pub(super) async fn find(directory: &Path, reference: Option<&str>) -> Result<Self, Error> {
        let project = Project::open(directory)?;
        let log = Arc::new(project.log()?);
        let reference = match reference {
            Some(reference) => reference.to_owned(),
            None => match log.runs(Some(1)).await?.first() {
                Some(newest) => newest.number.to_string(),
                None => return Err(Error::usage("there are no runs in this project").help("`runner run` makes one")),
            },
        };
        let (record, plan) = log.open(&reference).await?;
        Ok(Self::new(project, log, record, plan))
    }

    /// The project it is a run of.
    pub(super) fn project(&self) -> &Project {
        &self.project
    }

    /// The plan it was created with.
    pub(super) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Its files.
    pub(super) fn files(&self) -> Result<RunFiles, Error> {
        self.project.run_files(&self.record.id)
    }

    /// Everything in its log.
    pub(super) async fn events(&self) -> Result<Vec<Event>, Error> {
        Ok(self.log.read(&self.record.id, 0).await?)
    }

    /// What has happened to it.
    pub(super) async fn history(&self) -> Result<History, Error> {
        Ok(History::replay(self.plan.clone(), &self.events().await?).map_err(DriveError::from)?)
    }

    /// The run of this identifier.
    async fn of(project: Project, log: Arc<SqliteLog>, id: &str) -> Result<Self, Error> {
        let (record, plan) = log.open(id).await?;
        Ok(Self::new(project, log, record, plan))
    }

    /// The run of this identifier, if there is one.
    pub(super) async fn if_there(project: Project, log: Arc<SqliteLog>, id: &str) -> Result<Option<Self>, Error> {
        match log.open(id).await {
            Ok((record, plan)) => Ok(Some(Self::new(project, log, record, plan))),
            Err(LogError::NoSuchRun(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The run that has triggered this one, and goes on with it, when that was interrupted as well; else this one.
    async fn with_its_parent(self) -> Result<Self, Error> {
        let mut found = self;
        loop {
            let parent = &found.plan.context.triggered_from_build_id;
            let project = Project { directory: found.project.directory.clone() };
            // Another system's run may have triggered it, or none.
            match Self::if_there(project, found.log.clone(), parent).await? {
                Some(parent) if parent.standing().await? == Standing::Interrupted => found = parent,
                _ => return Ok(found),
            }
        }
    }

    /// Removes what is left of a run that is over, and says so: its process may have been killed between the run's last
    /// event and its own end.
    pub(super) async fn tidy_up(&self) -> Result<(), Error> {
        tell(&self.remove_leftovers().await?)
    }

    /// Removes what a killed process has left of the run; nothing when one drives it.
    pub(super) async fn remove_leftovers(&self) -> Result<Removed, Error> {
        let files = self.project.run_files(&self.record.id)?;
        let Some(_lock) = files.lock()? else { return Ok(Removed::default()) };
        leftovers::remove(&self.record.id, &files, &self.state().await?, &*self.log).await
    }

    /// How the run stands.
    pub(super) async fn standing(&self) -> Result<Standing, Error> {
        Ok(Standing::of_run(&self.state().await?, self.is_driven()?))
    }

    /// Where the run stands. What was read before is not read again.
    pub(super) async fn state(&self) -> Result<RunState, Error> {
        let mut state = self.state.lock().await;
        run::catch_up(&*self.log, &self.record.id, &mut state).await?;
        Ok(state.clone())
    }

    /// Appends the fact that follows from the run's state, however often that changes meanwhile; the state before.
    pub(super) async fn append(
        &self,
        mut fact: impl FnMut(&RunState) -> Result<EventKind, Error>,
    ) -> Result<RunState, Error> {
        let mut state = self.state.lock().await;
        let mut before = None;
        run::append(&*self.log, &self.record.id, &mut state, |state| {
            before = Some(state.clone());
            fact(state)
        })
        .await?;
        Ok(before.unwrap_or_else(|| state.clone()))
    }

    /// Whether another process drives the run.
    pub(super) fn is_driven(&self) -> Result<bool, Error> {
        self.project.run_files(&self.record.id)?.is_taken()
    }

    /// Drives the run to its end, or to where it waits for a person. What a process that was killed has left behind is
    /// removed first.
    /// What happened up to the event `shown` is not reported again.
    pub(super) async fn go_on(self, further: &Further, shown: u64) -> Result<ExitStatus, Error> {
        let way = Way {
            slots: slots(further.jobs),
            wait: further.wait,
            shown,
            output: Output::Stdout,
            depth: 0,
            stop: stop_on_signals()?,
            caching: further.cache.caching(),
            detached: TaskTracker::new(),
        };
        let (drive, removed) = self.taken_up(way).await?;
        tell(&removed)?;
        drive.run().await
    }

    /// The run, taken for this process and ready to be driven, and what was removed of lost attempts.
    pub(super) async fn taken_up(self, way: Way) -> Result<(Drive, Removed), Error> {
        let files = self.project.run_files(&self.record.id)?;
        let Some(lock) = files.take().await? else {
            return Err(Error::environment(format!("another process is driving run {}", self.record.number)));
        };
        let state = self.state().await?;
        // What is cancelled needs nothing any more.
        if !state.is_cancelled() {
            preflight(state.plan()).await?;
        }
        let removed = leftovers::remove(&self.record.id, &files, &state, &*self.log).await?;
        for job in state.running_jobs().filter(|job| state.is_cancelling(*job)) {
            let id = trigger::identifier(&self.record, state.plan().job(job), state.begun_in(job));
            let project = Project { directory: self.project.directory.clone() };
            if let Some(triggered) = Self::if_there(project, self.log.clone(), &id).await? {
                let output = Output::Log(JobLog::discard());
                let way = Way { output, shown: 0, depth: way.depth + 1, wait: false, ..way.clone() };
                trigger::cancel_triggered(triggered, way).await?;
            }
        }
        let engine = StepEngine::new().map_err(|error| Error::environment(error.to_string()))?;
        let mut components = components(engine, &self.project, services(PathBuf::new()));
        restore(&mut components, state.plan())?;
        let uploader = uploader(&self.project, components, self.project.settings()?);
        let drive = Drive {
            project: self.project,
            log: self.log,
            record: self.record,
            state,
            files,
            lock: Some(lock),
            uploader,
            answers: HashMap::new(),
            way,
        };
        Ok((drive, removed))
    }
}

/// The jobs that are meant, each by its name or by the key of its step. Of the several jobs of a step those that fit, if
/// any do; `what` can be done to those that fit.
pub(super) fn jobs_named(
    state: &RunState,
    named: &[String],
    what: &str,
    fits: impl Fn(&RunState, JobId) -> bool,
) -> Result<Vec<JobId>, Error> {
    let mut jobs = Vec::new();
    for name in named {
        let by_name = state.plan().jobs().find(|(_, job)| job.name == *name).map(|(id, _)| vec![id]);
        let mut found = by_name.unwrap_or_else(|| state.jobs_of(name).map(|(id, _)| id).collect());
        if found.is_empty() {
            return Err(Error::usage(format!("the run has no job `{name}`")).help(candidates(state, what, fits)));
        }
        if found.len() > 1 && found.iter().any(|job| fits(state, *job)) {
            found.retain(|job| fits(state, *job));
        }
        jobs.extend(found);
    }
    jobs.sort_unstable();
    jobs.dedup();
    Ok(jobs)
}

/// A sentence that names the jobs to which something can be done.
pub(super) fn candidates(state: &RunState, what: &str, fits: impl Fn(&RunState, JobId) -> bool) -> String {
    const SHOWN: usize = 20;
    let fitting = state.plan().jobs().filter(|(id, job)| fits(state, *id) && !matches!(job.kind, JobKind::Wait));
    let names: Vec<&str> = fitting.map(|(_, job)| job.name.as_str()).collect();
    let more = if names.len() > SHOWN { format!(" and {} more", names.len() - SHOWN) } else { String::new() };
    match names.as_slice() {
        [] => format!("none of its jobs can be {what}"),
        names => format!("those that can be {what} are: {}{more}", names[..names.len().min(SHOWN)].join(", ")),
    }
}

fn tell(removed: &Removed) -> Result<(), Error> {
    if removed.is_nothing() {
        return Ok(());
    }
    writeln!(anstream::stdout(), "removed what the process that was lost has left: {removed}")
        .map_err(|error| Error::environment(error.to_string()))
}
