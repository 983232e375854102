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
        for (position, dependencies) in std::mem::take(&mut self.by_key).into_iter().enumerate() {
            for KeyDependency { step, allow_failure, output } in dependencies {
                let Some(found) = self.keys.get(&step.value) else {
                    // A step with an error of its own is there, though it has no jobs.
                    let written = written.get_or_insert_with(|| keys(steps));
                    if !self.errors.is_empty() && written.contains(&step.value) {
                        continue;
                    }
                    let mut known: Vec<&str> = written.iter().map(String::as_str).collect();
                    known.sort_unstable();
                    let error = Diagnostic::error(format!("no step has the key `{}`", step.value)).at(step.span);
                    self.errors.push(match (closest(&step.value, known.iter().copied()), known.as_slice()) {
                        (Some(meant), _) => error.help(format!("did you mean `{meant}`?")),
                        (None, []) => error.help("give the step it depends on a `key`"),
                        (None, known) => error.help(format!("the keys are: {}", known.join(", "))),
                    });
                    continue;
                };
                for job in found.clone() {
                    if output && self.jobs[job.index()].skip.is_some() && self.jobs[position].skip.is_none() {
                        let message =
                            format!("the outputs of `{}` are used here, but that step is skipped", step.value);
                        let reason = self.jobs[job.index()].skip.clone().unwrap_or_default();
                        self.errors.push(
                            Diagnostic::error(message)
                                .at(step.span)
                                .help(format!("it is skipped because {reason}; give both steps the same condition")),
                        );
                    }
                    let edges = &mut self.jobs[position].depends_on;
                    if !edges.iter().any(|edge| edge.job == job) {
                        edges.push(Dependency { job, allow_failure });
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
