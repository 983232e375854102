//! What all ways of showing a plan show: the jobs of one step together, and groups as sections.

use crate::pipeline::{Pipeline, StepKind};
use crate::plan::origin::{Order, Origin, in_order};
use crate::plan::{Job, JobKind, Plan};
use crate::report::text;
use std::collections::HashMap;

/// A plan to be shown.
#[derive(Debug)]
pub struct View<'a> {
    /// The plan.
    pub plan: &'a Plan,
    pub(super) nodes: Vec<Node<'a>>,
    /// Names of the groups.
    pub(super) sections: Vec<String>,
}

/// The jobs of one step.
#[derive(Debug)]
pub(super) struct Node<'a> {
    /// At least one.
    pub(super) jobs: Vec<&'a Job>,
    /// The group it is in: a position in [`View::sections`].
    pub(super) section: Option<usize>,
    pub(super) order: Order,
    /// What people read, in a line.
    pub(super) label: String,
    /// What it waits for.
    pub(super) edges: Vec<Edge>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    /// Position in [`View::nodes`].
    pub(super) to: usize,
    pub(super) allow_failure: bool,
}

/// Characters of a label that are shown.
const MAX_LABEL: usize = 100;

impl<'a> View<'a> {
    /// `pipeline` and `origins` are what the plan was made from.
    #[must_use]
    pub fn new(plan: &'a Plan, origins: &[Origin], pipeline: &Pipeline) -> Self {
        let steps = in_order(&pipeline.steps);
        let mut sections = Vec::new();
        let mut section_of: HashMap<usize, usize> = HashMap::new();
        let mut nodes: Vec<Node<'a>> = Vec::new();
        let mut node_of = Vec::with_capacity(plan.jobs.len());
        let mut last = None;
        for (job, origin) in plan.jobs.iter().zip(origins) {
            if last == Some(origin.step)
                && let Some(node) = nodes.last_mut()
            {
                node.jobs.push(job);
                // What they have in common, if it is written.
                if let Some(StepKind::Command(command)) = steps.get(origin.step).map(|step| &step.kind)
                    && let Some(label) =
                        command.label.as_ref().map(|label| short(label)).filter(|label| !label.is_empty())
                {
                    node.label = label;
                }
            } else {
                let section = origin.group.map(|group| {
                    *section_of.entry(group).or_insert_with(|| {
                        sections.push(match steps.get(group).map(|step| &step.kind) {
                            Some(StepKind::Group(group)) => {
                                let name = group.group.as_ref().or(group.key.as_ref());
                                short(name.map_or("group", |name| &name.value))
                            }
                            _ => "group".to_owned(),
                        });
                        sections.len() - 1
                    })
                });
                let label =
                    Some(short(&job.label)).filter(|label| !label.is_empty()).unwrap_or_else(|| job.name.clone());
                nodes.push(Node { jobs: vec![job], section, order: origin.order, label, edges: Vec::new() });
            }
            last = Some(origin.step);
            node_of.push(nodes.len() - 1);
        }
        for node in &mut nodes {
            let mut position: HashMap<usize, usize> = HashMap::new();
            for dependency in node.jobs.iter().flat_map(|job| &job.depends_on) {
                let to = node_of[dependency.job.index()];
                let edge = *position.entry(to).or_insert_with(|| {
                    node.edges.push(Edge { to, allow_failure: true });
                    node.edges.len() - 1
                });
                node.edges[edge].allow_failure &= dependency.allow_failure;
            }
        }
        Self { plan, nodes, sections }
    }
}

impl Node<'_> {
    pub(super) fn job(&self) -> &Job {
        self.jobs[0]
    }

    /// The names of its jobs: `unit-1 … unit-20`.
    pub(super) fn names(&self) -> String {
        match self.jobs.as_slice() {
            [one] => one.name.clone(),
            [first, second] => format!("{}, {}", first.name, second.name),
            several => format!("{} … {}", several[0].name, several[several.len() - 1].name),
        }
    }

    /// Whether others wait at it instead of for it.
    pub(super) fn is_barrier(&self) -> bool {
        !matches!(self.job().kind, JobKind::Step(_))
    }
}

/// A label as one line of bounded length, with nothing in it that a terminal obeys.
pub(super) fn short(label: &str) -> String {
    // A terminal's colours have no place in a label either.
    let plain: String = text::label(label).chars().filter(|character| !character.is_control()).collect();
    clip(&plain, MAX_LABEL)
}

/// The beginning of a text that is too long.
pub(super) fn clip(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
