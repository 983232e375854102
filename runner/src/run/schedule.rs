//! What happens next: a pure function of the state.

use super::state::RunState;
use crate::event::RunResult;
use crate::plan::{JobId, JobKind};

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

/// Everything that can be done now.
#[must_use]
pub fn schedule(state: &RunState, slots: Slots) -> Vec<Command> {
    if state.run_result().is_some() {
        return Vec::new();
    }
    if let Some(result) = state.outcome() {
        return vec![Command::Finish { result }];
    }
    let running = state.running_count();
    let mut reaching = slots.reaching.saturating_sub(running.reaching);
    let mut computing = slots.computing.saturating_sub(running.computing);
    let mut groups = state.running_groups();
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
            let running = groups.entry(&group.name).or_default();
            if *running >= group.limit {
                continue;
            }
            *running += 1;
        }
        *free -= 1;
        commands.push(Command::Start { job, attempt: state.attempt(job) + 1 });
    }
    commands
}
