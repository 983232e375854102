//! Dependencies by key become edges between jobs.

use super::{Builder, KeyDependency, id};
use crate::pipeline::{Diagnostic, Span};
use crate::plan::job::{Dependency, Job, JobId};

impl Builder<'_> {
    /// Turns dependencies by key into edges, and puts dependencies first in the plan.
    pub(super) fn connect(&mut self) {
        for (position, dependencies) in std::mem::take(&mut self.by_key).into_iter().enumerate() {
            for KeyDependency { step, allow_failure, output } in dependencies {
                let Some(found) = self.keys.get(&step.value) else {
                    let mut known: Vec<&str> = self.keys.keys().map(String::as_str).collect();
                    known.sort_unstable();
                    let error = Diagnostic::error(format!("no step has the key `{}`", step.value)).at(step.span);
                    self.errors.push(match known.as_slice() {
                        [] => error.help("give the step it depends on a `key`"),
                        known => error.help(format!("the keys are: {}", known.join(", "))),
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
