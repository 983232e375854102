//! Random plans with random outcomes: whatever happens, the invariants of a run hold.

use proptest::prelude::*;
use runner::event::{Event, EventKind, JobResult, Outcome, RunResult};
use runner::pipeline::Span;
use runner::pipeline::attribute::{AutomaticRetry, Retry, SoftFail};
use runner::plan::{BuildContext, Dependency, Gate, Job, JobId, JobKind, Plan, StepJob, grant::Grants};
use runner::run::{Command, JobState, RunState, Slots, schedule};
use std::sync::Arc;

/// A step that may start these programs.
fn step(programs: &[&str]) -> JobKind {
    JobKind::Step(Box::new(StepJob {
        uses: "echo".to_owned(),
        component: None,
        command: false,
        params: serde_json::json!({}),
        references: Vec::new(),
        grants: Grants { process: programs.iter().map(ToString::to_string).collect(), ..Grants::default() },
        env: indexmap::IndexMap::new(),
        soft_fail: SoftFail::Never,
        retry: Retry::default(),
        cancel_on_build_failing: false,
        timeout_minutes: None,
        artifact_paths: Vec::new(),
        before: Vec::new(),
        after: Vec::new(),
    }))
}

fn kinds() -> impl Strategy<Value = JobKind> {
    prop_oneof![
        3 => Just(step(&[])),
        3 => Just(step(&["make"])),
        1 => Just(JobKind::Wait),
        1 => Just(JobKind::Gate(Gate::default())),
    ]
}

/// A plan whose jobs depend on some of those before them.
fn plans() -> impl Strategy<Value = Plan> {
    let jobs = proptest::collection::vec((kinds(), any::<u64>(), any::<u64>(), 0u8..10, 0i64..3), 1..24);
    jobs.prop_map(|jobs| {
        let jobs = jobs.into_iter().enumerate().map(|(index, (kind, dependencies, tolerated, skip, priority))| Job {
            name: format!("job-{index}"),
            step_key: None,
            label: String::new(),
            group: None,
            kind,
            depends_on: (0..index)
                .filter(|before| dependencies >> (before % 64) & 0b101 == 0b101)
                .map(|before| Dependency {
                    job: JobId(u32::try_from(before).unwrap()),
                    allow_failure: tolerated >> (before % 64) & 0b11 == 0b11,
                })
                .collect(),
            skip: (skip == 0).then(|| "skipped".to_owned()),
            priority,
            concurrency: None,
            span: (0, 0),
        });
        Plan {
            pipeline: String::new(),
            context: BuildContext::default(),
            env: indexmap::IndexMap::new(),
            jobs: jobs.collect(),
        }
    })
}

/// What happens next, out of what can.
#[derive(Debug, Clone, Copy)]
struct Chance(u32);

struct Simulation {
    plan: Arc<Plan>,
    state: RunState,
    events: Vec<Event>,
    running: Vec<(JobId, u32)>,
}

impl Simulation {
    fn new(plan: Plan) -> Self {
        let plan = Arc::new(plan);
        let mut simulation = Self { state: RunState::new(plan.clone()), plan, events: Vec::new(), running: Vec::new() };
        simulation.happen(EventKind::RunCreated { plan: String::new() });
        simulation
    }

    fn happen(&mut self, kind: EventKind) {
        let event = Event { sequence: self.state.sequence() + 1, at: 0, kind };
        self.state.apply(&event).unwrap();
        self.events.push(event);
    }

    /// One step of the driver: does what can be done, then lets one of the things happen that can.
    fn step(&mut self, slots: Slots, Chance(chance): Chance) {
        for command in schedule(&self.state, slots) {
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
        let running = self.state.running_count();
        assert!(running.computing <= slots.computing && running.reaching <= slots.reaching);
        let chance = chance as usize;
        let blocked: Vec<JobId> = self.state.blocked().collect();
        if self.state.run_result().is_some() {
        } else if chance.is_multiple_of(97) && !self.state.is_cancelled() {
            self.happen(EventKind::CancelRequested { by: String::new() });
        } else if !self.running.is_empty() && (!chance.is_multiple_of(3) || blocked.is_empty()) {
            let (job, attempt) = self.running.swap_remove(chance % self.running.len());
            let outcome = match chance / 7 % 8 {
                0 => Outcome::Failed,
                1 => Outcome::SoftFailed,
                _ if self.state.is_cancelled() => Outcome::Cancelled,
                _ => Outcome::Passed,
            };
            let result = JobResult { outcome, ..JobResult::failed(i32::from(outcome != Outcome::Passed), "", "") };
            self.happen(EventKind::JobFinished { job, attempt, result });
        } else if let Some(job) = blocked.get(chance % blocked.len().max(1)) {
            self.happen(EventKind::Unblocked { job: *job, by: String::new(), fields: indexmap::IndexMap::new() });
        }
    }

    /// No job starts before everything it depends on is over, and well enough.
    fn check_dependencies(&self, job: JobId) {
        for dependency in &self.plan.job(job).depends_on {
            let state = self.state.state(dependency.job);
            assert!(state.is_over(), "{job:?} starts before {:?}", dependency.job);
            let well = matches!(state, JobState::Passed | JobState::SoftFailed | JobState::Skipped);
            assert!(well || dependency.allow_failure, "{job:?} starts after {state:?} of {:?}", dependency.job);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_any_prefix_of_its_log_gives_the_same_state(
        plan in plans(),
        slots in (1usize..5, 1usize..5).prop_map(|(reaching, computing)| Slots { reaching, computing }),
        chances in proptest::collection::vec(any::<u32>().prop_map(Chance), 400),
    ) {
        let mut simulation = Simulation::new(plan);
        let mut chances = chances.into_iter();
        while simulation.state.run_result().is_none() {
            let chance = chances.next();
            prop_assert!(chance.is_some(), "the run does not end");
            simulation.step(slots, chance.unwrap_or(Chance(0)));
        }
        let Simulation { plan, state, events, .. } = simulation;
        let mut failed = false;
        for (id, job) in plan.jobs() {
            prop_assert!(state.state(id).is_over(), "{} has not ended", job.name);
            failed |= state.state(id) == JobState::Failed;
        }
        let expected = match (state.is_cancelled(), failed) {
            (true, _) => RunResult::Cancelled,
            (false, true) => RunResult::Failed,
            (false, false) => RunResult::Passed,
        };
        prop_assert_eq!(state.run_result(), Some(expected));
        // Recovery is the fold of the same events, wherever it begins.
        for cut in [0, events.len() / 3, events.len() - 1, events.len()] {
            let mut recovered = RunState::replay(plan.clone(), &events[..cut]).unwrap();
            for event in &events[cut..] {
                recovered.apply(event).unwrap();
            }
            for (id, _) in plan.jobs() {
                prop_assert_eq!(recovered.state(id), state.state(id));
            }
            prop_assert_eq!(recovered.run_result(), state.run_result());
        }
    }
}

#[test]
fn a_stale_attempt_cannot_end_a_job() {
    let JobKind::Step(mut work) = step(&[]) else { unreachable!() };
    work.retry.automatic = vec![AutomaticRetry { limit: 1, ..AutomaticRetry::everything(Span::default()) }];
    let mut plan = Plan {
        pipeline: String::new(),
        context: BuildContext::default(),
        env: indexmap::IndexMap::new(),
        jobs: Vec::new(),
    };
    plan.jobs.push(Job {
        name: "job".to_owned(),
        step_key: None,
        label: String::new(),
        group: None,
        kind: JobKind::Step(work),
        depends_on: Vec::new(),
        skip: None,
        priority: 0,
        concurrency: None,
        span: (0, 0),
    });
    let mut simulation = Simulation::new(plan);
    let failure = JobResult::failed(1, "", "");
    let job = JobId(0);
    simulation.happen(EventKind::JobStarted { job, attempt: 1 });
    simulation.happen(EventKind::JobFinished { job, attempt: 1, result: failure.clone() });
    assert_eq!(simulation.state.state(job), JobState::Ready, "the rule has a try left");
    simulation.happen(EventKind::JobStarted { job, attempt: 2 });
    let stale = Event {
        sequence: simulation.state.sequence() + 1,
        at: 0,
        kind: EventKind::JobFinished { job, attempt: 1, result: failure.clone() },
    };
    assert!(simulation.state.apply(&stale).unwrap_err().to_string().contains("stale"));
    simulation.happen(EventKind::JobFinished { job, attempt: 2, result: failure });
    assert_eq!(simulation.state.state(job), JobState::Failed);
}
