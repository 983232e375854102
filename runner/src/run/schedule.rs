//! What happens next: a pure function of the state.

use super::state::{JobState, RunState};
use crate::event::RunResult;
use crate::pipeline::attribute::ConcurrencyMethod;
use crate::plan::{ConcurrencyGroup, JobId, JobKind};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Start an attempt of a job.
    Start {
        /// Which job.
        job: JobId,
        /// Which attempt.
        attempt: u32,
    },
    /// Have a block or input step wait for a person.
    Block {
        /// Which job.
        job: JobId,
    },
    /// Every job is over.
    Finish {
        /// The run's result.
        result: RunResult,
    },
}

/// How many jobs run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Jobs that reach outside: they start programs, containers, deployments.
    pub reaching: usize,
    /// Jobs that only compute. They are over in microseconds, and many of them share one write to the disk.
    pub computing: usize,
}

impl Slots {
    /// So many of both kinds together or apart.
    #[must_use]
    pub fn of(jobs: usize) -> Self {
        Self { reaching: jobs, computing: jobs }
    }
}

/// Everything that can be done now. Jobs in `held` wait for others outside this run: they keep their turn in their groups,
/// and take no slot from others.
#[must_use]
pub fn schedule(state: &RunState, slots: Slots, held: &BTreeSet<JobId>) -> Vec<Command> {
    if state.run_result().is_some() {
        return Vec::new();
    }
    if let Some(result) = state.outcome() {
        return vec![Command::Finish { result }];
    }
    let running = state.running_count();
    let mut reaching = slots.reaching.saturating_sub(running.reaching);
    let mut computing = slots.computing.saturating_sub(running.computing);
    let mut queues: HashMap<&str, Queue> = HashMap::new();
    let mut commands = Vec::new();
    for job in state.ready() {
        let planned = state.plan().job(job);
        if matches!(planned.kind, JobKind::Gate(_)) {
            commands.push(Command::Block { job });
            continue;
        }
        let free = if planned.only_computes() { &mut computing } else { &mut reaching };
        if *free == 0 {
            continue;
        }
        if let Some(group) = &planned.concurrency {
            let queue = queues.entry(&group.name).or_insert_with(|| Queue::of(state, &group.name));
            if !queue.lets_begin(group, job) || held.contains(&job) {
                continue;
            }
        }
        *free -= 1;
        commands.push(Command::Start { job, attempt: state.attempt(job) + 1 });
    }
    commands
}

/// Whether nothing runs and nothing can start: the run is over, or waits for a person.
#[must_use]
pub fn is_idle(state: &RunState) -> bool {
    state.running_count() == Slots::of(0) && schedule(state, Slots::of(1), &BTreeSet::new()).is_empty()
}

/// A concurrency group, as far as it has come.
struct Queue {
    running: u64,
    /// Jobs that have not begun, in their order.
    waiting: VecDeque<JobId>,
}

impl Queue {
    fn of(state: &RunState, group: &str) -> Self {
        let jobs = || state.group(group).iter().copied();
        let running = jobs().filter(|job| state.state(*job) == JobState::Running).count();
        let waits = |job: &JobId| matches!(state.state(*job), JobState::Pending | JobState::Ready);
        Self { running: u64::try_from(running).unwrap_or(u64::MAX), waiting: jobs().filter(waits).collect() }
    }

    /// Whether a job that could start may do so now; counts it then.
    fn lets_begin(&mut self, group: &ConcurrencyGroup, job: JobId) -> bool {
        let turn = match group.method {
            ConcurrencyMethod::Eager => true,
            ConcurrencyMethod::Ordered => self.waiting.front() == Some(&job),
        };
        if !turn || self.running >= group.limit {
            return false;
        }
        self.running += 1;
        self.waiting.retain(|waiting| *waiting != job);
        true
    }
}
