//! What changes the course of a run: jobs that are added, cancelled one by one, or run again.

use super::{Illegal, JobState, RunState, job_id};
use crate::plan::{Dependency, Job, JobId, JobKind, Plan};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// Jobs of one run; what a run holds in memory and on the disk is bounded by it.
const MAX_JOBS: usize = 200_000;

impl RunState {
    /// Jobs added by a running one stand behind it, and whatever waits for it waits for them too.
    pub(super) fn upload(&mut self, by: JobId, replace: bool, first: JobId, added: &[Job]) -> Result<(), Illegal> {
        let known = self.plan.jobs.len();
        if first.index() != known {
            return Err(Illegal(format!("the jobs were planned after {} others, and there are {known}", first.0)));
        }
        let all = known + added.len();
        if all > MAX_JOBS {
            return Err(Illegal(format!("a run has at most {MAX_JOBS} jobs")));
        }
        if added.iter().flat_map(|job| &job.depends_on).any(|dependency| dependency.job.index() >= all) {
            return Err(Illegal("an uploaded job depends on one that is not there".to_owned()));
        }
        if self.cancelled || self.is_cancelling(by) {
            return Err(Illegal("the run, or the job that adds them, is being cancelled".to_owned()));
        }
        let stays = |job: JobId| !replace || self.plan.job(job).notification.is_some();
        let waiting: Vec<(JobId, bool)> = self.dependents[by.index()]
            .iter()
            .copied()
            .filter(|(job, _)| self.state(*job) == JobState::Pending && stays(*job))
            .collect();
        let new = || (known..all).map(job_id);
        let mut plan = (*self.plan).clone();
        plan.jobs.extend(added.iter().cloned());
        for (job, allow_failure) in &waiting {
            let allow_failure = *allow_failure;
            plan.jobs[job.index()].depends_on.extend(new().map(|job| Dependency { job, allow_failure }));
        }
        if in_order(&plan, &self.ranks).len() < all {
            let reason = "an uploaded job depends on one that waits for the job which uploads it";
            return Err(Illegal(reason.to_owned()));
        }
        let mut again: Vec<JobId> = new().collect();
        if replace {
            let before = self.plan.clone();
            self.ready.retain(|(_, _, job)| before.job(*job).notification.is_some());
            for (id, job) in before.jobs() {
                let status = &mut self.jobs[id.index()];
                match status.state {
                    JobState::Pending if job.notification.is_some() => again.push(id),
                    state if state.is_open() && job.notification.is_none() => {
                        status.state = JobState::Removed;
                        self.unfinished -= 1;
                    }
                    _ => {}
                }
            }
        }
        self.plan = Arc::new(plan);
        self.take_in(known);
        for (job, allow_failure) in waiting {
            for one in new() {
                self.dependents[one.index()].push((job, allow_failure));
                self.jobs[job.index()].remaining += 1;
            }
        }
        for one in new() {
            self.jobs[one.index()].added_by = Some(by);
        }
        self.insert_behind(by, known);
        self.release_again(again);
        Ok(())
    }

    /// Gives the jobs from `known` on the places behind another one.
    fn insert_behind(&mut self, by: JobId, known: usize) {
        let mut order: Vec<JobId> = (0..known).map(job_id).collect();
        order.sort_unstable_by_key(|job| self.ranks[job.index()]);
        let place = order.iter().position(|job| *job == by).map_or(known, |place| place + 1);
        order.splice(place..place, (known..self.plan.jobs.len()).map(job_id));
        self.ranks.resize(order.len(), 0);
        for (rank, job) in (0..).zip(&order) {
            self.ranks[job.index()] = rank;
        }
        self.ready = std::mem::take(&mut self.ready).into_iter().map(|(_, _, job)| self.turn(job)).collect();
        self.sort_groups();
    }

    /// Puts the jobs of each concurrency group into the order of the pipeline, but what a job depends on before it:
    /// else a group that keeps this order could wait for itself.
    pub(super) fn sort_groups(&mut self) {
        if self.groups.is_empty() {
            return;
        }
        let mut places = vec![usize::MAX; self.jobs.len()];
        for (place, job) in in_order(&self.plan, &self.ranks).into_iter().enumerate() {
            places[job] = place;
        }
        for jobs in self.groups.values_mut() {
            jobs.sort_by_key(|job| places[job.index()]);
        }
    }

    /// Whether a job may run after one that ended so. A notification tells of cancelled ones too.
    pub(super) fn lets_run(&self, ended: JobState, job: JobId, allow_failure: bool) -> bool {
        let tells = self.plan.job(job).notification.is_some();
        ended.satisfies() || allow_failure && (tells || ended != JobState::Cancelled)
    }

    /// Counts anew what a job waits for, from the states of what it depends on.
    fn count_dependencies(&mut self, job: JobId) {
        let (mut remaining, mut doomed) = (0, false);
        for dependency in &self.plan.job(job).depends_on {
            let state = self.state(dependency.job);
            remaining += u32::from(!state.is_over());
            doomed |= state.is_over() && !self.lets_run(state, job, dependency.allow_failure);
        }
        let status = &mut self.jobs[job.index()];
        (status.remaining, status.doomed) = (remaining, doomed);
    }

    /// A job whose attempt did not end well is tried again. What that attempt added goes: the next one adds it anew.
    pub(super) fn begin_anew(&mut self, job: JobId) {
        self.take_out_added(job);
        self.make_ready(job);
    }

    /// Takes out what a job added to the run and has not begun, because it waits for the job.
    fn take_out_added(&mut self, by: JobId) {
        for index in self.base.jobs.len()..self.jobs.len() {
            let status = &self.jobs[index];
            if status.added_by != Some(by) || status.attempt > 0 {
                continue;
            }
            match status.state {
                state if state.is_open() => {
                    self.ready.remove(&self.turn(job_id(index)));
                    self.settle(job_id(index), JobState::Removed);
                }
                _ => self.jobs[index].state = JobState::Removed,
            }
        }
        // One of them may have been cancelled, and the run have failed by nothing else.
        self.failed = self.failed && self.jobs.iter().any(|status| status.state.fails());
    }

    pub(super) fn cancel_job(&mut self, job: JobId) -> Result<(), Illegal> {
        match self.jobs.get_mut(job.index()).map(|status| (status.state, status)) {
            None => Err(Illegal(format!("the plan has no job {}", job.0))),
            Some((JobState::Running, status)) => {
                status.cancelling = true;
                Ok(())
            }
            Some((state, _)) if state.is_open() => {
                self.ready.remove(&self.turn(job));
                self.settle(job, JobState::Cancelled);
                Ok(())
            }
            Some(_) => Err(Illegal(format!("`{}` is over", self.plan.job(job).name))),
        }
    }

    /// Asks the jobs that want to end as soon as the run fails to do so; those that have not begun are returned.
    pub(super) fn cancel_because_failing(&mut self) -> Vec<JobId> {
        let plan = self.plan.clone();
        let mut not_begun = Vec::new();
        for (id, job) in plan.jobs() {
            if !matches!(&job.kind, JobKind::Step(step) if step.cancel_on_build_failing) {
                continue;
            }
            match self.state(id) {
                JobState::Running => self.jobs[id.index()].cancelling = true,
                JobState::Pending | JobState::Ready => {
                    self.ready.remove(&self.turn(id));
                    // Nothing that settles in the meantime may release it.
                    self.jobs[id.index()].state = JobState::Cancelled;
                    not_begun.push(id);
                }
                _ => {}
            }
        }
        not_begun
    }

    /// Jobs that are over run again; what did not run because of them waits for them again.
    pub(super) fn retry(&mut self, jobs: &[JobId]) -> Result<(), Illegal> {
        if jobs.is_empty() {
            return Err(Illegal("nothing is to be retried".to_owned()));
        }
        for job in jobs {
            self.may_retry(*job)?;
        }
        // First they are open again, so that nothing passes them when what they have added is taken out.
        for job in jobs {
            let status = &mut self.jobs[job.index()];
            // What a person asks for begins anew, also where an attempt was lost.
            (status.state, status.lost) = (JobState::Pending, false);
        }
        self.count_waiting(jobs);
        for job in jobs {
            self.take_out_added(*job);
        }
        let mut reopened = Vec::new();
        let mut way: Vec<JobId> = jobs.to_vec();
        let mut seen = vec![false; self.jobs.len()];
        while let Some(job) = way.pop() {
            if std::mem::replace(&mut seen[job.index()], true) {
                continue;
            }
            reopened.push(job);
            let waiting = self.dependents[job.index()].iter().map(|(dependent, _)| *dependent);
            // One that could have begun, and has not, waits once more.
            let waits = [JobState::NotRun, JobState::Cancelled, JobState::Ready];
            way.extend(waiting.filter(|one| {
                let state = self.state(*one);
                // What was told is no longer so.
                let told = self.plan.job(*one).notification.is_some() && state.is_over();
                waits.contains(&state) || told
            }));
        }
        for job in &reopened {
            self.ready.remove(&self.turn(*job));
            let status = &mut self.jobs[job.index()];
            (status.state, status.cancelling) = (JobState::Pending, false);
        }
        self.count_waiting(&reopened);
        self.go_on_with(reopened);
        Ok(())
    }

    /// Jobs that are over run again, and everything that depends on them, what has passed included.
    pub(super) fn retry_from(&mut self, jobs: &[JobId]) -> Result<(), Illegal> {
        let all = self.may_retry_from(jobs)?;
        let mut again = vec![false; self.jobs.len()];
        for job in &all {
            again[job.index()] = true;
        }
        // What one of them has added depends on it; its next attempt adds it anew.
        let added = |state: &Self, job: JobId| {
            let by = state.jobs[job.index()].added_by;
            by.is_some_and(|by| again[by.index()])
        };
        let (added, reopened): (Vec<JobId>, Vec<JobId>) = all.into_iter().partition(|job| added(self, *job));
        for (jobs, state) in [(&added, JobState::Removed), (&reopened, JobState::Pending)] {
            for job in jobs {
                self.ready.remove(&self.turn(*job));
                let status = &mut self.jobs[job.index()];
                (status.state, status.cancelling) = (state, false);
            }
        }
        self.go_on_with(reopened);
        Ok(())
    }

    /// The run, which may be over, goes on with jobs that are open again.
    fn go_on_with(&mut self, reopened: Vec<JobId>) {
        self.result = None;
        (self.cancelled, self.killed) = (false, false);
        self.unfinished = self.jobs.iter().filter(|status| !status.state.is_over()).count();
        self.failed = self.jobs.iter().any(|status| status.state.fails());
        self.release_again(reopened);
    }

    /// Counts anew what those wait for that wait for these jobs.
    fn count_waiting(&mut self, jobs: &[JobId]) {
        let waiting = jobs.iter().flat_map(|job| &self.dependents[job.index()]).map(|(job, _)| *job);
        let waiting: Vec<JobId> = waiting.filter(|job| self.state(*job) == JobState::Pending).collect();
        for job in waiting {
            self.count_dependencies(job);
        }
    }

    /// Counts anew what jobs wait for, and releases those that wait for nothing.
    pub(super) fn release_again(&mut self, jobs: Vec<JobId>) {
        for job in &jobs {
            self.count_dependencies(*job);
            let status = &mut self.jobs[job.index()];
            // What a job depends on has let it run before.
            status.doomed &= status.attempt == 0;
        }
        for job in jobs {
            let status = &self.jobs[job.index()];
            if status.state == JobState::Pending
                && status.remaining == 0
                && let Some(state) = self.release(job)
            {
                self.settle(job, state);
            }
        }
    }

    /// Whether a person may have a job run again.
    ///
    /// # Errors
    /// Why not.
    pub fn may_retry(&self, job: JobId) -> Result<(), Illegal> {
        let Some(status) = self.jobs.get(job.index()) else {
            return Err(Illegal(format!("the plan has no job {}", job.0)));
        };
        let planned = self.plan.job(job);
        let name = &planned.name;
        match status.state {
            // It was never tried, and what it waits for may be retried with it.
            JobState::Cancelled if status.attempt == 0 => return Ok(()),
            _ if status.state.is_over() && status.attempt == 0 => {
                return Err(Illegal(format!("`{name}` did not run; retry what it waited for")));
            }
            JobState::Failed | JobState::SoftFailed | JobState::Cancelled | JobState::Passed => {}
            _ => return Err(Illegal(format!("`{name}` is not over"))),
        }
        self.allows_retry(job)?;
        match &planned.kind {
            JobKind::Step(step) if status.state == JobState::Passed && !step.retry.manual.permit_on_passed => {
                Err(Illegal(format!(
                    "`{name}` has passed, and its step does not allow to run it again: \
                     retry: {{ manual: {{ permit_on_passed: true }} }}"
                )))
            }
            JobKind::Trigger(_) if status.state == JobState::Passed => Err(Illegal(format!("`{name}` has passed"))),
            JobKind::Step(_) | JobKind::Trigger(_) => Ok(()),
            JobKind::Wait | JobKind::Gate(_) => Err(Illegal(format!("`{name}` is not a step that runs"))),
        }
    }

    /// Whether a person may have jobs run again with everything that depends on them: all of these jobs, in the order of
    /// the plan.
    ///
    /// # Errors
    /// Why not.
    pub fn may_retry_from(&self, jobs: &[JobId]) -> Result<Vec<JobId>, Illegal> {
        if jobs.is_empty() {
            return Err(Illegal("nothing is to be retried".to_owned()));
        }
        let mut found = vec![false; self.jobs.len()];
        let mut way = jobs.to_vec();
        while let Some(job) = way.pop() {
            let Some(status) = self.jobs.get(job.index()) else {
                return Err(Illegal(format!("the plan has no job {}", job.0)));
            };
            if status.state == JobState::Removed || std::mem::replace(&mut found[job.index()], true) {
                continue;
            }
            let name = &self.plan.job(job).name;
            if status.state == JobState::Running {
                return Err(Illegal(format!("`{name}` is running; wait until it has ended, or cancel it")));
            }
            // What has not run is not run again.
            if status.attempt > 0 {
                self.allows_retry(job)?;
            }
            way.extend(self.dependents[job.index()].iter().map(|(dependent, _)| *dependent));
        }
        for job in jobs {
            let status = &self.jobs[job.index()];
            if !status.state.is_over() || status.state == JobState::Removed {
                return Err(Illegal(format!("`{}` is not over", self.plan.job(*job).name)));
            }
        }
        Ok((0..found.len()).filter(|job| found[*job]).map(job_id).collect())
    }

    /// Whether the step of a job lets a person run it again at all.
    fn allows_retry(&self, job: JobId) -> Result<(), Illegal> {
        match &self.plan.job(job).kind {
            JobKind::Step(step) if !step.retry.manual.allowed => {
                let name = &self.plan.job(job).name;
                let reason = step.retry.manual.reason.as_deref().unwrap_or("its step does not allow it");
                Err(Illegal(format!("`{name}` cannot be retried: {reason}")))
            }
            _ => Ok(()),
        }
    }
}

/// The jobs in the order of their ranks, but what a job depends on before it. Jobs that wait for each other in a ring, and
/// what waits for them, are not in it.
fn in_order(plan: &Plan, ranks: &[u32]) -> Vec<usize> {
    let mut waits: Vec<usize> = plan.jobs.iter().map(|job| job.depends_on.len()).collect();
    let mut dependents = vec![Vec::new(); plan.jobs.len()];
    for (id, job) in plan.jobs() {
        for dependency in &job.depends_on {
            dependents[dependency.job.index()].push(id.index());
        }
    }
    let turn = |job: usize| Reverse((ranks.get(job), job));
    let mut free: BinaryHeap<_> = (0..waits.len()).filter(|job| waits[*job] == 0).map(turn).collect();
    let mut order = Vec::with_capacity(waits.len());
    while let Some(Reverse((_, job))) = free.pop() {
        order.push(job);
        for dependent in &dependents[job] {
            waits[*dependent] -= 1;
            if waits[*dependent] == 0 {
                free.push(turn(*dependent));
            }
        }
    }
    order
}
