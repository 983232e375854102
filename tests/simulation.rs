//! Random plans with random outcomes, cancellations, uploads, retries and crashes: whatever happens, the invariants of
//! a run hold, and a run that was interrupted ends like one that was not.

use crate::project::tell;
use futures_util::FutureExt;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use runner::event::{Event, EventKind, JobResult, Outcome, RunResult};
use runner::pipeline::Span;
use runner::pipeline::attribute::{AutomaticRetry, ConcurrencyMethod};
use runner::plan::{
    BuildContext, ConcurrencyGroup, Dependency, Gate, Job, JobId, JobKind, Notification, Plan, StepJob, grant::Grants,
};
use runner::queue::{Attempt, Lease, MemoryQueue, Offer, Queue, QueueError};
use runner::run::{Command, JobState, RunState, Slots, schedule};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A step that may start these programs.
fn step(programs: &[&str]) -> StepJob {
    StepJob {
        uses: "echo".to_owned(),
        params: serde_json::json!({}),
        grants: Grants { process: programs.iter().map(ToString::to_string).collect(), ..Grants::default() },
        ..StepJob::default()
    }
}

/// What is random about one job.
#[derive(Debug, Clone)]
struct Draw {
    kind: u8,
    dependencies: u64,
    tolerated: u64,
    skip: bool,
    priority: i64,
    /// A concurrency group and its limit; eager when the limit is even.
    group: Option<(u8, u64)>,
    retries: u64,
    cancel_on_build_failing: bool,
    /// It tells how everything before it has ended.
    tells: bool,
}

fn draws(jobs: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Draw>> {
    let group = proptest::option::weighted(0.4, (0u8..2, 1u64..4));
    let chances = (0u8..10, 0u8..6, 0u8..8);
    let draw = (0u8..8, any::<u64>(), any::<u64>(), 0i64..3, group, 0u64..3, chances);
    let draw =
        draw.prop_map(|(kind, dependencies, tolerated, priority, group, retries, (skip, failing, tells))| Draw {
            kind,
            dependencies,
            tolerated,
            skip: skip == 0,
            priority,
            group,
            retries,
            cancel_on_build_failing: failing == 0,
            tells: tells == 0,
        });
    proptest::collection::vec(draw, jobs)
}

/// The job of a draw, at a position behind jobs it may depend on.
fn job(name: String, index: usize, draw: &Draw) -> Job {
    let kind = match draw.kind {
        0 => JobKind::Wait,
        1 => JobKind::Gate(Gate::default()),
        kind => {
            let mut step = step(if kind % 2 == 0 { &["make"] } else { &[] });
            let everything = AutomaticRetry::everything(Span::default());
            step.retry.automatic = vec![AutomaticRetry { limit: draw.retries, ..everything }];
            step.cancel_on_build_failing = draw.cancel_on_build_failing;
            JobKind::Step(Box::new(step))
        }
    };
    let is_step = matches!(kind, JobKind::Step(_));
    let tells = draw.tells && is_step;
    let depends = |before: &usize| tells || draw.dependencies >> (before % 64) & 0b101 == 0b101;
    Job {
        name,
        step_key: None,
        label: String::new(),
        group: None,
        group_label: None,
        kind,
        depends_on: (0..index)
            .filter(depends)
            .map(|before| Dependency {
                job: JobId(u32::try_from(before).unwrap()),
                allow_failure: tells || draw.tolerated >> (before % 64) & 0b11 == 0b11,
            })
            .collect(),
        skip: draw.skip.then(|| "skipped".to_owned()),
        notification: tells.then(Notification::default),
        priority: draw.priority,
        concurrency: draw.group.filter(|_| is_step).map(|(group, limit)| ConcurrencyGroup {
            name: format!("group-{group}-{limit}"),
            limit,
            method: if limit % 2 == 0 { ConcurrencyMethod::Eager } else { ConcurrencyMethod::Ordered },
        }),
        span: (0, 0),
    }
}

fn plan(draws: &[Draw]) -> Plan {
    let jobs = draws.iter().enumerate().map(|(index, draw)| job(format!("job-{index}"), index, draw));
    Plan {
        pipeline: String::new(),
        context: BuildContext::default(),
        env: indexmap::IndexMap::new(),
        jobs: jobs.collect(),
    }
}

struct Simulation {
    state: RunState,
    events: Vec<Event>,
    running: Vec<(JobId, u32)>,
    slots: Slots,
}

impl Simulation {
    fn new(plan: Plan, slots: Slots) -> Self {
        let state = RunState::new(Arc::new(plan));
        let mut simulation = Self { state, events: Vec::new(), running: Vec::new(), slots };
        simulation.happen(EventKind::RunCreated { plan: String::new() });
        simulation
    }

    fn happen(&mut self, kind: EventKind) {
        let event = Event { sequence: self.state.sequence() + 1, at: 0, kind };
        self.state.apply(&event).unwrap();
        self.events.push(event);
    }

    /// Tells a fact that may not fit into the run's course.
    fn offer(&mut self, kind: EventKind) {
        let event = Event { sequence: self.state.sequence() + 1, at: 0, kind };
        if self.state.apply(&event).is_ok() {
            self.events.push(event);
        }
    }

    /// Does what can be done.
    fn act(&mut self) {
        loop {
            let commands = schedule(&self.state, self.slots, &BTreeSet::new());
            if commands.is_empty() {
                break;
            }
            for command in commands {
                match command {
                    Command::Start { job, attempt } => {
                        self.check_dependencies(job);
                        self.happen(EventKind::JobStarted { job, attempt });
                        self.running.push((job, attempt));
                    }
                    Command::Block { job } => {
                        self.check_dependencies(job);
                        self.happen(EventKind::Blocked { job });
                    }
                    Command::Finish { result } => self.happen(EventKind::RunFinished { result }),
                }
            }
        }
        let running = self.state.running_count();
        assert!(running.computing <= self.slots.computing && running.reaching <= self.slots.reaching);
        self.check_groups();
        let waits_for_nothing = self.running.is_empty() && self.state.blocked().next().is_none();
        assert!(self.state.run_result().is_some() || !waits_for_nothing, "the run stands still");
    }

    fn finish(&mut self, chance: usize, outcome: impl Fn(&Job) -> Outcome) {
        let (job, attempt) = self.running.swap_remove(chance % self.running.len());
        let outcome =
            if self.state.is_cancelling(job) { Outcome::Cancelled } else { outcome(self.state.plan().job(job)) };
        let result = JobResult { outcome, ..JobResult::failed(i32::from(outcome != Outcome::Passed), "", "") };
        self.happen(EventKind::JobFinished { job, attempt, result });
    }

    /// A running job adds steps to the run.
    fn upload(&mut self, chance: usize, replace: bool, draws: &[Draw]) {
        let (by, attempt) = self.running[chance % self.running.len()];
        if !self.state.is_cancelling(by) {
            self.upload_from(by, attempt, replace, draws);
        }
    }

    fn upload_from(&mut self, by: JobId, attempt: u32, replace: bool, draws: &[Draw]) {
        let known = self.state.plan().jobs.len();
        let parent = self.state.plan().job(by).name.clone();
        let mut jobs = Vec::new();
        for (index, draw) in draws.iter().enumerate() {
            let mut job = job(format!("{parent}+{index}"), index, draw);
            for dependency in &mut job.depends_on {
                dependency.job = JobId(u32::try_from(known + dependency.job.index()).unwrap());
            }
            job.depends_on.push(Dependency { job: by, allow_failure: false });
            jobs.push(job);
        }
        let first = JobId(u32::try_from(known).unwrap());
        self.happen(EventKind::StepsUploaded { job: by, attempt, replace, first, jobs });
    }

    /// A person wants a job again, and everything that depends on it.
    fn retry_from(&mut self, job: JobId) {
        let again: BTreeSet<JobId> = self.state.may_retry_from(&[job]).unwrap().into_iter().collect();
        let before: Vec<JobState> = self.state.plan().jobs().map(|(id, _)| self.state.state(id)).collect();
        self.happen(EventKind::JobsRetried { jobs: vec![job], by: String::new(), dependents: true });
        assert!(!self.state.is_cancelled() && !self.state.is_killed());
        for (id, planned) in self.state.plan().jobs() {
            let (before, now) = (before[id.index()], self.state.state(id));
            let on_its_way = planned.depends_on.iter().any(|dependency| again.contains(&dependency.job));
            assert!(again.contains(&id) || now == before, "{} has nothing to do with it", planned.name);
            assert!(!on_its_way || again.contains(&id) || before == JobState::Removed, "{} is left out", planned.name);
            // What waits for a job that runs again has not passed, and is not taken for passed, before it does.
            let waits = planned.depends_on.iter().any(|dependency| !self.state.state(dependency.job).is_over());
            assert!(!on_its_way || !waits || matches!(now, JobState::Pending | JobState::Removed), "{now:?}");
        }
    }

    /// The process that drives the run is gone; another one goes on from the log.
    fn crash(&mut self) {
        self.state = RunState::replay(self.state.base().clone(), &self.events).unwrap();
        for (job, attempt) in std::mem::take(&mut self.running) {
            self.happen(EventKind::JobInterrupted { job, attempt });
        }
    }

    /// No job starts before everything it depends on is over, and well enough.
    fn check_dependencies(&self, job: JobId) {
        // A job that has begun before may begin again whatever has become of what it depends on.
        if self.state.attempt(job) > 0 {
            return;
        }
        for dependency in &self.state.plan().job(job).depends_on {
            let state = self.state.state(dependency.job);
            assert!(state.is_over(), "{job:?} starts before {:?}", dependency.job);
            let well = matches!(state, JobState::Passed | JobState::SoftFailed | JobState::Skipped | JobState::Removed);
            assert!(well || dependency.allow_failure, "{job:?} starts after {state:?} of {:?}", dependency.job);
        }
    }

    fn check_groups(&self) {
        let mut running: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for (job, _) in &self.running {
            if let Some(group) = &self.state.plan().job(*job).concurrency {
                running.entry(&group.name).or_insert((0, group.limit)).0 += 1;
            }
        }
        assert!(running.values().all(|(running, limit)| running <= limit), "{running:?}");
    }

    /// What a run's end must be like, and that its log alone gives the same.
    fn check_end(&self) {
        let mut failed = false;
        for (id, job) in self.state.plan().jobs() {
            assert!(self.state.state(id).is_over(), "{} has not ended", job.name);
            failed |= matches!(self.state.state(id), JobState::Failed | JobState::Cancelled);
        }
        let expected = match (self.state.is_cancelled(), failed) {
            (true, _) => RunResult::Cancelled,
            (false, true) => RunResult::Failed,
            (false, false) => RunResult::Passed,
        };
        assert_eq!(self.state.run_result(), Some(expected));
        let recovered = RunState::replay(self.state.base().clone(), &self.events).unwrap();
        assert_eq!(recovered.plan(), self.state.plan());
        for (id, _) in self.state.plan().jobs() {
            assert_eq!(recovered.state(id), self.state.state(id));
        }
        assert_eq!(recovered.run_result(), self.state.run_result());
    }

    /// What became of each job that was not taken out, by name.
    fn ends(&self) -> BTreeMap<String, JobState> {
        let all = self.state.plan().jobs().map(|(id, job)| (job.name.clone(), self.state.state(id)));
        all.filter(|(_, state)| *state != JobState::Removed).collect()
    }
}

fn unblocked(job: JobId) -> EventKind {
    EventKind::Unblocked {
        job,
        by: String::new(),
        fields: indexmap::IndexMap::new(),
        account: String::new(),
        host: String::new(),
    }
}

fn slots() -> impl Strategy<Value = Slots> {
    (1usize..5, 1usize..5).prop_map(|(reaching, computing)| Slots { reaching, computing })
}

/// An outcome that depends on the job's name and nothing else.
fn fate(job: &Job) -> Outcome {
    let sum = job.name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    match sum % 8 {
        0 => Outcome::Failed,
        1 => Outcome::SoftFailed,
        _ => Outcome::Passed,
    }
}

/// Random runs of each kind.
const CASES: u32 = 3000;

static ENDED: AtomicU32 = AtomicU32::new(0);
static RESUMED: AtomicU32 = AtomicU32::new(0);

/// Says in the end how many runs there were.
fn count(counter: &AtomicU32, what: &str) {
    if counter.fetch_add(1, Ordering::Relaxed) + 1 == CASES {
        tell(&format!("simulation: {CASES} runs {what}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_as_its_jobs_do_and_its_log_says_the_same(
        draws in draws(1..24),
        uploaded in draws(1..4),
        slots in slots(),
        chances in proptest::collection::vec(any::<u32>(), 1500),
    ) {
        let mut run = Simulation::new(plan(&draws), slots);
        let mut retried = 0;
        for (left, chance) in chances.into_iter().map(|chance| chance as usize).enumerate() {
            run.act();
            if let Some(result) = run.state.run_result() {
                run.check_end();
                if retried == 3 {
                    break;
                }
                let jobs = || run.state.plan().jobs().map(|(id, _)| id);
                let again = jobs().find(|id| run.state.may_retry(*id).is_ok());
                let from = jobs().skip(chance % 5).find(|id| run.state.may_retry_from(&[*id]).is_ok());
                match (again, from) {
                    (_, Some(job)) if chance.is_multiple_of(2) => run.retry_from(job),
                    (Some(job), _) if result != RunResult::Passed => {
                        run.happen(EventKind::JobsRetried { jobs: vec![job], by: String::new(), dependents: false });
                    }
                    _ => break,
                }
                retried += 1;
                continue;
            }
            let blocked: Vec<JobId> = run.state.blocked().collect();
            let some_job = JobId(u32::try_from(chance % run.state.plan().jobs.len()).unwrap());
            // Late in the day nothing new comes up, so that every run can end.
            let early = left < 300;
            match chance / 64 % 32 {
                0 if early => run.crash(),
                1 if early && !run.running.is_empty() && !run.state.is_cancelled() => {
                    run.upload(chance, chance.is_multiple_of(5), &uploaded);
                }
                2 if early => run.offer(EventKind::JobCancelRequested { job: some_job, by: String::new() }),
                3 if early && chance.is_multiple_of(3) => {
                    run.happen(EventKind::CancelRequested { by: String::new(), now: run.state.is_cancelled() });
                }
                4 if early => {
                    run.offer(EventKind::JobsRetried { jobs: vec![some_job], by: String::new(), dependents: false });
                }
                5 if early && run.state.may_retry_from(&[some_job]).is_ok() => run.retry_from(some_job),
                _ if !run.running.is_empty() && (!chance.is_multiple_of(3) || blocked.is_empty()) => {
                    run.finish(chance, |_| match chance / 7 % 8 {
                        0 => Outcome::Failed,
                        1 => Outcome::SoftFailed,
                        _ => Outcome::Passed,
                    });
                }
                _ => {
                    if let Some(job) = blocked.get(chance % blocked.len().max(1)) {
                        run.happen(unblocked(*job));
                    }
                }
            }
        }
        prop_assert!(run.state.run_result().is_some(), "the run does not end");
        count(&ENDED, "ended as their jobs did");
    }

    #[test]
    fn a_run_that_was_interrupted_ends_like_one_that_was_not(
        draws in draws(1..16),
        uploaded in draws(1..4),
        slots in slots(),
        chances in proptest::collection::vec(any::<u32>(), 800),
    ) {
        let ends = |crashes: bool| {
            // Whether a job is cancelled because another has failed depends on which of them is faster.
            let patient = |draws: &[Draw]| -> Vec<Draw> {
                draws.iter().map(|draw| Draw { cancel_on_build_failing: false, ..draw.clone() }).collect()
            };
            let (draws, uploaded) = (patient(&draws), patient(&uploaded));
            let mut run = Simulation::new(plan(&draws), slots);
            let mut uploads = BTreeSet::new();
            for (left, chance) in chances.iter().map(|chance| *chance as usize).enumerate() {
                run.act();
                if run.state.run_result().is_some() {
                    break;
                }
                // Some jobs add steps, in each of their attempts.
                for (job, attempt) in run.running.clone() {
                    let name = run.state.plan().job(job).name.clone();
                    if name.ends_with('2') && !name.contains('+') && uploads.insert((job, attempt)) {
                        run.upload_from(job, attempt, false, &uploaded);
                    }
                }
                if crashes && left < 200 && chance.is_multiple_of(5) {
                    run.crash();
                } else if run.running.is_empty() {
                    let blocked = run.state.blocked().next();
                    run.happen(unblocked(blocked.unwrap()));
                } else {
                    run.finish(chance, fate);
                }
            }
            assert!(run.state.run_result().is_some(), "the run does not end");
            run.check_end();
            (run.ends(), run.state.run_result())
        };
        prop_assert_eq!(ends(false), ends(true));
        count(&RESUMED, "that were interrupted ended like ones that were not");
    }
}

#[test]
fn a_stale_attempt_cannot_end_a_job() {
    let draw = Draw {
        kind: 3,
        dependencies: 0,
        tolerated: 0,
        skip: false,
        priority: 0,
        group: None,
        retries: 1,
        cancel_on_build_failing: false,
        tells: false,
    };
    let mut run = Simulation::new(plan(&[draw]), Slots::of(1));
    let failure = JobResult::failed(1, "", "");
    let job = JobId(0);
    run.happen(EventKind::JobStarted { job, attempt: 1 });
    run.happen(EventKind::JobFinished { job, attempt: 1, result: failure.clone() });
    assert_eq!(run.state.state(job), JobState::Ready, "the rule has a try left");
    run.happen(EventKind::JobStarted { job, attempt: 2 });
    let stale = Event {
        sequence: run.state.sequence() + 1,
        at: 0,
        kind: EventKind::JobFinished { job, attempt: 1, result: failure.clone() },
    };
    assert!(run.state.apply(&stale).unwrap_err().to_string().contains("stale"));
    run.happen(EventKind::JobFinished { job, attempt: 2, result: failure });
    assert_eq!(run.state.state(job), JobState::Failed);
}

#[test]
fn what_could_never_begin_is_not_taken_in() {
    let draw = Draw {
        kind: 3,
        dependencies: 0,
        tolerated: 0,
        skip: false,
        priority: 0,
        group: None,
        retries: 0,
        cancel_on_build_failing: false,
        tells: false,
    };
    let mut plan = plan(&[draw.clone(), draw.clone()]);
    plan.jobs[1].depends_on = vec![Dependency { job: JobId(0), allow_failure: false }];
    let mut run = Simulation::new(plan, Slots::of(1));
    run.happen(EventKind::JobStarted { job: JobId(0), attempt: 1 });
    let mut added = job("added".to_owned(), 0, &draw);
    let upload = |added: &Job| EventKind::StepsUploaded {
        job: JobId(0),
        attempt: 1,
        replace: false,
        first: JobId(2),
        jobs: vec![added.clone()],
    };
    let event = |run: &Simulation, kind| Event { sequence: run.state.sequence() + 1, at: 0, kind };
    // It waits for a job that waits for the one that uploads it.
    added.depends_on = [0, 1].map(|job| Dependency { job: JobId(job), allow_failure: false }).to_vec();
    let ring = event(&run, upload(&added));
    assert!(run.state.apply(&ring).unwrap_err().to_string().contains("waits for the job which uploads it"));
    added.depends_on.pop();
    run.happen(EventKind::CancelRequested { by: String::new(), now: false });
    let late = event(&run, upload(&added));
    assert!(run.state.apply(&late).unwrap_err().to_string().contains("cancelled"));
}

/// A run whose attempts go through a queue that another run uses as well.
struct Queued {
    run: Simulation,
    queue: MemoryQueue,
    leases: HashMap<(JobId, u32), Lease>,
    foreign: Vec<Lease>,
    held: BTreeSet<JobId>,
    /// How many more steps until the process is lost.
    left: usize,
    counts: [usize; 4],
}

const FOREVER: std::time::Duration = std::time::Duration::from_hours(1);

/// A queue in memory answers at once.
fn at_once<T>(answer: impl Future<Output = Result<T, QueueError>>) -> T {
    answer.now_or_never().unwrap().unwrap()
}

impl Queued {
    /// The process is lost after so many steps; whether that is now.
    fn is_lost(&mut self, point: usize) -> bool {
        self.left = self.left.saturating_sub(1);
        self.counts[point] += usize::from(self.left == 0);
        self.left == 0
    }

    /// Does what can be done, until the process is lost.
    fn act(&mut self) -> Option<()> {
        self.held.clear();
        loop {
            let commands = schedule(&self.run.state, self.run.slots, &self.held);
            if commands.is_empty() {
                return Some(());
            }
            for command in commands {
                match command {
                    Command::Start { job, attempt } => self.start(job, attempt)?,
                    Command::Block { job } => self.run.happen(EventKind::Blocked { job }),
                    Command::Finish { result } => self.run.happen(EventKind::RunFinished { result }),
                }
            }
        }
    }

    /// Offers, leases and records an attempt; the process may be lost after each of them.
    fn start(&mut self, job: JobId, attempt: u32) -> Option<()> {
        let group = self.run.state.plan().job(job).concurrency.clone();
        let offer = Offer { attempt: Attempt { run: "run".to_owned(), job, attempt }, group };
        at_once(self.queue.offer(&offer, FOREVER));
        if self.is_lost(0) {
            return None;
        }
        let Some(lease) = at_once(self.queue.lease(&offer.attempt, "run", FOREVER)) else {
            self.held.insert(job);
            self.counts[3] += 1;
            return Some(());
        };
        self.leases.insert((job, attempt), lease);
        if self.is_lost(1) {
            return None;
        }
        self.run.happen(EventKind::JobStarted { job, attempt });
        self.run.running.push((job, attempt));
        if self.is_lost(2) { None } else { Some(()) }
    }

    /// Another process goes on from the log.
    fn recover(&mut self) {
        at_once(self.queue.withdraw("run", None));
        self.leases.clear();
        self.run.crash();
    }

    /// Gives back what is over.
    fn settle(&mut self) {
        let running = &self.run.running;
        for (_, lease) in self.leases.extract_if(|attempt, _| !running.contains(attempt)) {
            at_once(self.queue.settle(&lease));
        }
    }

    /// The other run takes a place in a group, or gives one back.
    fn others(&mut self, chance: usize) {
        let groups: Vec<_> = self.run.state.plan().jobs.iter().filter_map(|job| job.concurrency.clone()).collect();
        if chance.is_multiple_of(2) && !self.foreign.is_empty() {
            at_once(self.queue.settle(&self.foreign.swap_remove(chance / 2 % self.foreign.len())));
        } else if let Some(group) = groups.get(chance / 2 % groups.len().max(1)) {
            let attempt = Attempt { run: "other".to_owned(), job: JobId(0), attempt: u32::try_from(chance).unwrap() };
            at_once(self.queue.offer(&Offer { attempt: attempt.clone(), group: Some(group.clone()) }, FOREVER));
            match at_once(self.queue.lease(&attempt, "other", FOREVER)) {
                Some(lease) => self.foreign.push(lease),
                None => at_once(self.queue.withdraw("other", Some(&attempt))),
            }
        }
    }

    fn check(&self) {
        for attempt in &self.run.running {
            assert!(self.leases.contains_key(attempt), "{attempt:?} runs without a lease");
        }
        let mut groups: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for group in self.leases.values().chain(&self.foreign).filter_map(|lease| lease.offer.group.as_ref()) {
            groups.entry(&group.name).or_insert((0, group.limit)).0 += 1;
        }
        assert!(groups.values().all(|(leased, limit)| leased <= limit), "{groups:?}");
    }
}

/// The process is lost after it has offered an attempt, leased it, or recorded it, while another run uses the same groups.
#[test]
fn nothing_is_lost_between_offer_lease_and_append() {
    const CASES: u32 = 1500;
    let total = std::cell::RefCell::new([0; 4]);
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let strategy = (draws(1..16), slots(), proptest::collection::vec(any::<u32>(), 600));
    let tested = TestRunner::new(config).run(&strategy, |(draws, slots, chances)| {
        let mut queued = Queued {
            run: Simulation::new(plan(&draws), slots),
            queue: MemoryQueue::default(),
            leases: HashMap::new(),
            foreign: Vec::new(),
            held: BTreeSet::new(),
            left: usize::MAX,
            counts: [0; 4],
        };
        for (round, chance) in chances.iter().map(|chance| *chance as usize).enumerate() {
            let early = round < 150;
            queued.left = if early && chance.is_multiple_of(3) { 1 + chance / 3 % 6 } else { usize::MAX };
            if queued.act().is_none() {
                queued.recover();
                continue;
            }
            queued.check();
            if queued.run.state.run_result().is_some() {
                break;
            }
            if early {
                queued.others(chance / 64);
            } else {
                queued.foreign.drain(..).for_each(|lease| at_once(queued.queue.settle(&lease)));
            }
            let blocked = queued.run.state.blocked().next();
            if !queued.run.running.is_empty() && (blocked.is_none() || chance.is_multiple_of(5)) {
                queued.run.finish(chance / 7, fate);
            } else if let Some(job) = blocked {
                queued.run.happen(EventKind::Unblocked {
                    job,
                    by: String::new(),
                    fields: indexmap::IndexMap::new(),
                    account: String::new(),
                    host: String::new(),
                });
            } else {
                assert!(!queued.held.is_empty(), "the run stands still");
            }
            queued.settle();
            queued.check();
        }
        prop_assert!(queued.run.state.run_result().is_some(), "the run does not end");
        queued.run.check_end();
        prop_assert!(queued.leases.is_empty(), "a lease is left");
        for (sum, count) in total.borrow_mut().iter_mut().zip(queued.counts) {
            *sum += count;
        }
        Ok(())
    });
    tested.unwrap();
    let [offered, leased, recorded, full] = total.into_inner();
    tell(&format!(
        "simulation: {CASES} runs, lost {offered} times after an offer, {leased} after a lease, {recorded} after an \
         append; {full} times a group was full"
    ));
    assert!([offered, leased, recorded, full].iter().all(|count| *count > 100));
}
