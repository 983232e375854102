//! Dependencies by key become edges between jobs.

use super::{Builder, KeyDependency, id};
use crate::pipeline::model::PlainStep;
use crate::pipeline::similar::closest;
use crate::pipeline::{Diagnostic, Mapping, Span, Step, StepKind};
use crate::plan::job::{Dependency, Job, JobId};
use std::collections::HashSet;

impl Builder<'_> {
    /// Turns dependencies by key into edges, and puts dependencies first in the plan.
    pub(super) fn connect(&mut self, steps: &[Step]) {
        let mut written: Option<HashSet<String>> = None;
        // For each job the last one that got an edge to it.
        let mut connected: Vec<Option<usize>> = vec![None; self.jobs.len()];
        let mut edges = 0;
        let mut unknown = 0;
        for (position, dependencies) in std::mem::take(&mut self.by_key).into_iter().enumerate() {
            if !dependencies.is_empty() {
                for edge in &self.jobs[position].depends_on {
                    connected[edge.job.index()] = Some(position);
                }
            }
            for KeyDependency { step, allow_failure, output } in dependencies {
                let Some(found) = self.keys.get(&step.value) else {
                    // A step with an error of its own is there, though it has no jobs.
                    let written = written.get_or_insert_with(|| keys(steps));
                    if !self.errors.is_empty() && written.contains(&step.value) {
                        continue;
                    }
                    unknown += 1;
                    let error = Diagnostic::error(format!("no step has the key `{}`", step.value)).at(step.span);
                    // To look through all keys for each of very many mistakes would take for ever.
                    self.errors.push(if unknown <= MAX_ADVICE {
                        error.help(advice(&step.value, written))
                    } else {
                        error
                    });
                    continue;
                };
                edges += found.len();
                if edges > MAX_EDGES {
                    let message = format!("the steps name more than {MAX_EDGES} jobs in `depends_on`");
                    let help = "put a `wait` between those that are waited for and those that wait";
                    self.errors.push(Diagnostic::error(message).at(step.span).help(help));
                    return;
                }
                let found = found.clone();
                let skipped = found.iter().find_map(|job| self.jobs[job.index()].skip.as_ref());
                if let Some(reason) = skipped.filter(|_| output && self.jobs[position].skip.is_none()) {
                    let message = format!("the outputs of `{}` are used here, but that step is skipped", step.value);
                    self.errors.push(
                        Diagnostic::error(message)
                            .at(step.span)
                            .help(format!("it is skipped because {reason}; give both steps the same condition")),
                    );
                }
                for job in found {
                    if connected[job.index()].replace(position) != Some(position) {
                        self.jobs[position].depends_on.push(Dependency { job, allow_failure });
                    }
                }
            }
        }
        if let Some(cycle) = cycle(&self.jobs) {
            let names: Vec<&str> = cycle.iter().map(|job| self.jobs[job.index()].name.as_str()).collect();
            let (start, end) = self.jobs[cycle[0].index()].span;
            self.errors.push(
                Diagnostic::error(format!("the steps wait for each other: {}", names.join(" → ")))
                    .at(Span::new(start, end))
                    .help("remove one of the dependencies"),
            );
        }
    }
}

/// The keys of all steps, readable or not.
fn keys(steps: &[Step]) -> HashSet<String> {
    let mut found = HashSet::new();
    let mut open: Vec<&Step> = steps.iter().collect();
    while let Some(step) = open.pop() {
        let written = match &step.kind {
            StepKind::Command(command) => command.key.as_ref().map(|key| key.value.clone()),
            StepKind::Group(group) => {
                open.extend(&group.steps);
                group.key.as_ref().map(|key| key.value.clone())
            }
            StepKind::Wait(PlainStep::Mapping(mapping))
            | StepKind::Input(PlainStep::Mapping(mapping))
            | StepKind::Trigger(PlainStep::Mapping(mapping)) => key(mapping),
            StepKind::Unknown(unknown) => unknown.contents.as_mapping().and_then(key),
            _ => None,
        };
        found.extend(written);
    }
    found
}

fn key(step: &Mapping) -> Option<String> {
    let entry = ["key", "id", "identifier"].iter().find_map(|key| step.get(*key))?;
    entry.value.to_text().ok()
}

/// Edges from `depends_on` in one plan; each takes a job in every pass over it.
const MAX_EDGES: usize = 10_000_000;
/// Mistakes in keys for which the keys are listed.
const MAX_ADVICE: usize = 20;
/// Keys that are listed.
const MAX_KEYS: usize = 50;

/// What to write instead of a key that no step has.
fn advice(key: &str, written: &HashSet<String>) -> String {
    let mut known: Vec<&str> = written.iter().map(String::as_str).collect();
    known.sort_unstable();
    if let Some(meant) = closest(key, known.iter().copied()) {
        return format!("did you mean `{meant}`?");
    }
    let more = known.len().saturating_sub(MAX_KEYS);
    known.truncate(MAX_KEYS);
    match (known.is_empty(), more) {
        (true, _) => "give the step it depends on a `key`".to_owned(),
        (false, 0) => format!("the keys are: {}", known.join(", ")),
        (false, more) => format!("the keys are: {} and {more} more", known.join(", ")),
    }
}

/// Jobs that wait for each other in a ring, if there are any.
fn cycle(jobs: &[Job]) -> Option<Vec<JobId>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        Open,
        Done,
    }
    let mut marks = vec![Mark::New; jobs.len()];
    for start in 0..jobs.len() {
        if marks[start] != Mark::New {
            continue;
        }
        // The way from `start`, each with the position of the edge to follow next.
        let mut way = vec![(start, 0)];
        marks[start] = Mark::Open;
        while let Some((job, edge)) = way.last_mut() {
            let Some(next) = jobs[*job].depends_on.get(*edge).map(|dependency| dependency.job.index()) else {
                marks[*job] = Mark::Done;
                way.pop();
                continue;
            };
            *edge += 1;
            match marks[next] {
                Mark::New => {
                    marks[next] = Mark::Open;
                    way.push((next, 0));
                }
                Mark::Open => {
                    let from = way.iter().position(|(job, _)| *job == next).unwrap_or_default();
                    return Some(way[from..].iter().map(|(job, _)| id(*job)).chain([id(next)]).collect());
                }
                Mark::Done => {}
            }
        }
    }
    None
}
