//! The state of a run: the fold of its events over its plan. [`RunState::apply`] alone decides what is legal.

mod change;
mod data;
mod notice;

pub use data::RunData;

use super::schedule::Slots;
use crate::event::{Event, EventKind, JobResult, Outcome, RunResult};
use crate::pipeline::attribute::Ended;
use crate::plan::{Job, JobId, JobKind, Plan, StepJob};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Everything that is known of a run. Equal logs give equal states.
#[derive(Debug, Clone)]
pub struct RunState {
    /// The plan the run was created with.
    base: Arc<Plan>,
    /// The same with what running jobs have added.
    plan: Arc<Plan>,
    sequence: u64,
    jobs: Vec<JobStatus>,
    /// Per job, the jobs that depend on it and whether its failure is no reason for them not to run.
    dependents: Vec<Vec<(JobId, bool)>>,
    /// Per job, how many jobs stand before it in the pipeline: uploaded ones stand behind the job that added them.
    ranks: Vec<u32>,
    /// Jobs that may start: the highest priority first, then the order of the pipeline.
    ready: BTreeSet<Turn>,
    running: Slots,
    /// Per concurrency group, its jobs in the order of the pipeline.
    groups: HashMap<String, Vec<JobId>>,
    unfinished: usize,
    failed: bool,
    cancelled: bool,
    /// Jobs that run are to end without their grace time.
    killed: bool,
    result: Option<RunResult>,
    data: RunData,
}

/// Whose turn it is.
type Turn = (Reverse<i64>, u32, JobId);

#[derive(Debug, Clone)]
struct JobStatus {
    state: JobState,
    attempt: u32,
    /// The attempt whose work the current one goes on with.
    begun_in: u32,
    /// The last attempt was lost.
    lost: bool,
    /// Dependencies that are not over.
    remaining: u32,
    /// A dependency ended in a way that keeps this job from running.
    doomed: bool,
    /// How often each retry rule has been used.
    retries: Vec<u32>,
    /// It is asked to end.
    cancelling: bool,
    /// The job that added it to the run.
    added_by: Option<JobId>,
    result: Option<JobResult>,
}

/// What state a job is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Something it depends on is not over.
    Pending,
    /// It may start.
    Ready,
    /// An attempt runs.
    Running,
    /// It waits for a person.
    Blocked,
    /// It passed.
    Passed,
    /// It failed, which its step allows.
    SoftFailed,
    /// It failed.
    Failed,
    /// It did not run: `if`, `branches` or `skip`.
    Skipped,
    /// It did not run: something it depends on failed.
    NotRun,
    /// It did not run: an upload took its place.
    Removed,
    /// It was stopped, or did not start, because it or the run was cancelled.
    Cancelled,
}

impl JobState {
    /// Whether nothing more happens to it.
    #[must_use]
    pub fn is_over(self) -> bool {
        !self.is_open() && self != Self::Running
    }

    /// Whether nothing has happened to it yet, or nothing since it was last retried.
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Ready | Self::Blocked)
    }

    /// Whether the run fails by it.
    fn fails(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled)
    }

    /// Whether jobs that depend on it may run.
    fn satisfies(self) -> bool {
        matches!(self, Self::Passed | Self::SoftFailed | Self::Skipped | Self::Removed)
    }
}

/// An event that cannot happen in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegal(pub String);

impl RunState {
    /// The state before the first event.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        let mut state = Self {
            sequence: 0,
            jobs: Vec::new(),
            dependents: Vec::new(),
            ranks: Vec::new(),
            ready: BTreeSet::new(),
            running: Slots::of(0),
            groups: HashMap::new(),
            unfinished: 0,
            failed: false,
            cancelled: false,
            killed: false,
            result: None,
            data: RunData::default(),
            base: plan.clone(),
            plan,
        };
        state.take_in(0);
        state.ranks = (0..state.plan.jobs.len()).map(|index| job_id(index).0).collect();
        state.sort_groups();
        state
    }

    /// Makes room for the jobs of the plan from this position on.
    fn take_in(&mut self, first: usize) {
        let plan = self.plan.clone();
        self.dependents.resize(plan.jobs.len(), Vec::new());
        for (id, job) in plan.jobs().skip(first) {
            for dependency in &job.depends_on {
                self.dependents[dependency.job.index()].push((id, dependency.allow_failure));
            }
            if let Some(group) = &job.concurrency {
                self.groups.entry(group.name.clone()).or_default().push(id);
            }
            self.jobs.push(JobStatus {
                state: JobState::Pending,
                attempt: 0,
                begun_in: 0,
                lost: false,
                remaining: u32::try_from(job.depends_on.len()).unwrap_or(u32::MAX),
                doomed: false,
                retries: Vec::new(),
                cancelling: false,
                added_by: None,
                result: None,
            });
            self.unfinished += 1;
        }
    }

    /// The state after these events.
    ///
    /// # Errors
    /// The first event that cannot have happened.
    pub fn replay<'a>(plan: Arc<Plan>, events: impl IntoIterator<Item = &'a Event>) -> Result<Self, Illegal> {
        let mut state = Self::new(plan);
        for event in events {
            state.apply(event)?;
        }
        Ok(state)
    }

    /// Takes the next event, or refuses it and stays as it is.
    ///
    /// # Errors
    /// When the event cannot happen now.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        if event.sequence != self.sequence + 1 {
            return Err(Illegal(format!("event {} cannot follow event {}", event.sequence, self.sequence)));
        }
        let created = self.sequence > 0;
        if created == matches!(event.kind, EventKind::RunCreated { .. }) {
            return Err(Illegal("a run is created by its first event and by no other".to_owned()));
        }
        if self.result.is_some() && !matches!(event.kind, EventKind::JobsRetried { .. }) {
            return Err(Illegal("the run is over".to_owned()));
        }
        match &event.kind {
            EventKind::RunCreated { .. } => self.begin(),
            EventKind::JobStarted { job, attempt } => self.start(*job, *attempt)?,
            EventKind::JobFinished { job, attempt, result } => self.finish(*job, *attempt, result)?,
            EventKind::JobInterrupted { job, attempt } => self.interrupt(*job, *attempt)?,
            EventKind::JobCancelRequested { job, .. } => self.cancel_job(*job)?,
            EventKind::JobsRetried { jobs, dependents: false, .. } => self.retry(jobs)?,
            EventKind::JobsRetried { jobs, dependents: true, .. } => self.retry_from(jobs)?,
            EventKind::StepsUploaded { job, attempt, replace, first, jobs } => {
                self.expect_attempt(*job, *attempt)?;
                self.upload(*job, *replace, *first, jobs)?;
            }
            EventKind::Blocked { job } => self.block(*job)?,
            EventKind::Unblocked { job, by, fields, .. } => {
                self.expect(*job, JobState::Blocked)?;
                self.data.unblocked(by, fields);
                self.settle(*job, JobState::Passed);
            }
            EventKind::CacheChecked { job, attempt, .. } | EventKind::CacheWritten { job, attempt, .. } => {
                self.expect_attempt(*job, *attempt)?;
            }
            EventKind::GrantDecided { .. } => {}
            EventKind::CancelRequested { now, .. } => self.cancel(*now),
            EventKind::RunFinished { result } => {
                if self.outcome() != Some(*result) {
                    return Err(Illegal(format!("the run cannot end as {result:?} now")));
                }
                self.result = Some(*result);
            }
            EventKind::MetaDataSet { .. }
            | EventKind::ArtifactStored { .. }
            | EventKind::Annotated { .. }
            | EventKind::AnnotationRemoved { .. }
            | EventKind::StepUpdated { .. } => self.data.apply(&event.kind)?,
        }
        self.sequence = event.sequence;
        Ok(())
    }

    fn begin(&mut self) {
        for job in (0..self.jobs.len()).map(job_id) {
            let status = &self.jobs[job.index()];
            if status.remaining == 0
                && status.state == JobState::Pending
                && let Some(state) = self.release(job)
            {
                self.settle(job, state);
            }
        }
    }

    fn start(&mut self, job: JobId, attempt: u32) -> Result<(), Illegal> {
        self.expect(job, JobState::Ready)?;
        let status = &mut self.jobs[job.index()];
        if attempt != status.attempt + 1 {
            return Err(Illegal(format!("attempt {attempt} cannot follow attempt {}", status.attempt)));
        }
        status.attempt = attempt;
        if !std::mem::take(&mut status.lost) {
            status.begun_in = attempt;
        }
        status.state = JobState::Running;
        *self.running(job) += 1;
        self.ready.remove(&self.turn(job));
        Ok(())
    }

    fn finish(&mut self, job: JobId, attempt: u32, result: &JobResult) -> Result<(), Illegal> {
        self.expect_attempt(job, attempt)?;
        self.jobs[job.index()].result = Some(result.clone());
        *self.running(job) -= 1;
        let plan = self.plan.clone();
        let status = &mut self.jobs[job.index()];
        let again = !self.cancelled
            && !status.cancelling
            && result.outcome == Outcome::Failed
            && matches!(&plan.job(job).kind, JobKind::Step(step) if retry(step, result, &mut status.retries));
        if again {
            self.begin_anew(job);
            return Ok(());
        }
        let state = match result.outcome {
            Outcome::Passed => JobState::Passed,
            Outcome::SoftFailed => JobState::SoftFailed,
            Outcome::Failed => JobState::Failed,
            Outcome::Cancelled => JobState::Cancelled,
        };
        self.settle(job, state);
        Ok(())
    }

    fn interrupt(&mut self, job: JobId, attempt: u32) -> Result<(), Illegal> {
        self.expect_attempt(job, attempt)?;
        *self.running(job) -= 1;
        self.jobs[job.index()].lost = true;
        if self.cancelled || self.jobs[job.index()].cancelling {
            self.settle(job, JobState::Cancelled);
        } else {
            self.begin_anew(job);
        }
        Ok(())
    }

    fn block(&mut self, job: JobId) -> Result<(), Illegal> {
        self.expect(job, JobState::Ready)?;
        if !matches!(self.plan.job(job).kind, JobKind::Gate(_)) {
            return Err(Illegal(format!("`{}` is not a block or input step", self.plan.job(job).name)));
        }
        self.jobs[job.index()].state = JobState::Blocked;
        self.ready.remove(&self.turn(job));
        Ok(())
    }

    fn cancel(&mut self, now: bool) {
        self.cancelled = true;
        self.killed |= now;
        let mut notifications = Vec::new();
        self.ready.clear();
        for (position, status) in self.jobs.iter_mut().enumerate() {
            match status.state {
                state if state.is_open() && self.plan.jobs[position].notification.is_some() => {
                    status.state = JobState::Pending;
                    notifications.push(job_id(position));
                }
                state if state.is_open() => {
                    status.state = JobState::Cancelled;
                    self.unfinished -= 1;
                }
                JobState::Running => status.cancelling = true,
                _ => {}
            }
        }
        self.release_again(notifications);
    }

    fn expect_attempt(&self, job: JobId, attempt: u32) -> Result<(), Illegal> {
        self.expect(job, JobState::Running)?;
        let current = self.attempt(job);
        if attempt == current {
            return Ok(());
        }
        Err(Illegal(format!("attempt {attempt} is stale: attempt {current} runs")))
    }

    fn expect(&self, job: JobId, state: JobState) -> Result<(), Illegal> {
        match self.jobs.get(job.index()) {
            None => Err(Illegal(format!("the plan has no job {}", job.0))),
            Some(status) if status.state == state => Ok(()),
            Some(status) => Err(Illegal(format!("`{}` is {:?}, not {state:?}", self.plan.job(job).name, status.state))),
        }
    }

    /// Everything a job depends on is over: it may start, or the state it ends in without running.
    fn release(&mut self, job: JobId) -> Option<JobState> {
        let planned = self.plan.job(job);
        if self.jobs[job.index()].doomed {
            Some(JobState::NotRun)
        } else if planned.skip.is_some()
            || planned.notification.as_ref().is_some_and(|notification| !self.is_wanted(job, notification))
        {
            Some(JobState::Skipped)
        } else if matches!(planned.kind, JobKind::Wait) {
            Some(JobState::Passed)
        } else {
            self.make_ready(job);
            None
        }
    }

    /// What a job's end counts as: that of a notification changes nothing.
    fn end(&self, job: JobId, state: JobState) -> JobState {
        match (self.plan.job(job).notification.is_some() && state.fails(), self.attempt(job)) {
            (false, _) => state,
            (true, 0) => JobState::Skipped,
            (true, _) => JobState::SoftFailed,
        }
    }

    fn make_ready(&mut self, job: JobId) {
        self.jobs[job.index()].state = JobState::Ready;
        self.ready.insert(self.turn(job));
    }

    /// A job is over: tells the jobs that depend on it, and those that depend on what that settles.
    fn settle(&mut self, job: JobId, state: JobState) {
        let mut settled = vec![(job, state)];
        while let Some((job, state)) = settled.pop() {
            let state = self.end(job, state);
            self.jobs[job.index()].state = state;
            self.unfinished -= 1;
            if state.fails() && !self.failed {
                self.failed = true;
                settled.extend(self.cancel_because_failing().into_iter().map(|job| (job, JobState::Cancelled)));
            }
            for position in 0..self.dependents[job.index()].len() {
                let (dependent, allow_failure) = self.dependents[job.index()][position];
                let lets_run = self.lets_run(state, dependent, allow_failure);
                let status = &mut self.jobs[dependent.index()];
                if status.state != JobState::Pending {
                    continue;
                }
                status.remaining -= 1;
                // A skipped job keeps nobody from running, and neither does a failed one that is allowed to.
                status.doomed |= !lets_run;
                if status.remaining > 0 {
                    continue;
                }
                settled.extend(self.release(dependent).map(|state| (dependent, state)));
            }
        }
    }

    fn running(&mut self, job: JobId) -> &mut usize {
        if self.plan.job(job).only_computes() { &mut self.running.computing } else { &mut self.running.reaching }
    }

    fn turn(&self, job: JobId) -> Turn {
        (Reverse(self.plan.job(job).priority), self.ranks[job.index()], job)
    }

    /// The run's result once every job is over; `None` before.
    #[must_use]
    pub fn outcome(&self) -> Option<RunResult> {
        (self.sequence > 0 && self.unfinished == 0).then_some(if self.cancelled {
            RunResult::Cancelled
        } else if self.failed {
            RunResult::Failed
        } else {
            RunResult::Passed
        })
    }

    /// The plan the run was created with: the one to replay its events over.
    #[must_use]
    pub fn base(&self) -> &Arc<Plan> {
        &self.base
    }

    /// The plan, with what running jobs have added.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Sequence of the last event.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What state a job is in.
    #[must_use]
    pub fn state(&self, job: JobId) -> JobState {
        self.jobs[job.index()].state
    }

    /// The attempt that runs or ran last; 0 before the first.
    #[must_use]
    pub fn attempt(&self, job: JobId) -> u32 {
        self.jobs[job.index()].attempt
    }

    /// The attempt that began what the current one does: an earlier one when that, and all since, were lost.
    #[must_use]
    pub fn begun_in(&self, job: JobId) -> u32 {
        self.jobs[job.index()].begun_in
    }

    /// How a job's last attempt ended.
    #[must_use]
    pub fn result(&self, job: JobId) -> Option<&JobResult> {
        self.jobs[job.index()].result.as_ref()
    }

    /// Jobs that may start, in the order in which they should.
    pub fn ready(&self) -> impl Iterator<Item = JobId> + '_ {
        self.ready.iter().map(|(_, _, job)| *job)
    }

    /// Jobs of which an attempt runs.
    pub fn running_jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        self.in_state(JobState::Running)
    }

    /// How many attempts run.
    #[must_use]
    pub fn running_count(&self) -> Slots {
        self.running
    }

    /// The jobs of a concurrency group, in the order of the pipeline.
    pub fn group(&self, name: &str) -> &[JobId] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a job is asked to end.
    #[must_use]
    pub fn is_cancelling(&self, job: JobId) -> bool {
        self.jobs[job.index()].cancelling
    }

    /// Whether a job has failed, and not softly, while the run goes on or not.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failed
    }

    /// Jobs that wait for a person.
    pub fn blocked(&self) -> impl Iterator<Item = JobId> + '_ {
        self.in_state(JobState::Blocked)
    }

    fn in_state(&self, state: JobState) -> impl Iterator<Item = JobId> + '_ {
        (0..self.jobs.len()).map(job_id).filter(move |job| self.state(*job) == state)
    }

    /// Whether the run was asked to end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Whether running jobs are to end at once.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        self.killed
    }

    /// The recorded result; `None` while the run is not over.
    #[must_use]
    pub fn run_result(&self) -> Option<RunResult> {
        self.result
    }

    /// What jobs have written down for each other and for people.
    #[must_use]
    pub fn data(&self) -> &RunData {
        &self.data
    }

    /// The outputs of a step that has run, by its key.
    #[must_use]
    pub fn outputs(&self, step: &str) -> Option<&serde_json::Map<String, serde_json::Value>> {
        let (job, _) = self.jobs_of(step).next()?;
        self.result(job).map(|result| &result.outputs)
    }

    /// The jobs of a step, by its key, but for those that were taken out.
    pub fn jobs_of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (JobId, &'a Job)> {
        self.plan.jobs_of(key).filter(|(job, _)| self.state(*job) != JobState::Removed)
    }
}

fn job_id(index: usize) -> JobId {
    JobId(u32::try_from(index).unwrap_or(u32::MAX))
}

/// Whether the first rule that fits the failure has a try left; counts it.
fn retry(step: &StepJob, result: &JobResult, used: &mut Vec<u32>) -> bool {
    used.resize(step.retry.automatic.len(), 0);
    let named = |text: &'_ str| (!text.is_empty()).then(|| text.to_owned());
    let (signal, signal_reason) = (named(&result.signal), named(&result.signal_reason));
    let ended = Ended {
        exit_status: result.exit_status.into(),
        signal: signal.as_deref(),
        signal_reason: signal_reason.as_deref(),
    };
    let Some((position, rule)) = step.retry.rule_for(ended) else { return false };
    let again = u64::from(used[position]) < rule.limit;
    used[position] += u32::from(again);
    again
}
