//! Where the jobs of a plan come from: what running them does not need, and explaining them does.

use crate::pipeline::{Step, StepKind};

/// Where a job comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its step: the position in [`in_order`].
    pub step: usize,
    /// The group it is in, likewise.
    pub group: Option<usize>,
    /// What says which jobs it waits for.
    pub order: Order,
}

/// What says which jobs a job waits for; uses of outputs come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `depends_on` of its step.
    Step,
    /// `depends_on` of its group.
    Group,
    /// Where it stands: after the barrier before it. A barrier itself waits for everything before it.
    Place,
}

/// Every step in the order of the file. Groups are among them, each before its steps.
pub fn in_order(steps: &[Step]) -> Vec<&Step> {
    let mut found = Vec::new();
    let mut open: Vec<&Step> = steps.iter().rev().collect();
    while let Some(step) = open.pop() {
        found.push(step);
        if let StepKind::Group(group) = &step.kind {
            open.extend(group.steps.iter().rev());
        }
    }
    found
}
