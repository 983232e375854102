//! Refusals as findings about the pipeline, each at the place it is about.

use super::admit::{Refusal, RefusalKind};
use crate::pipeline::{CommandStep, Diagnostic, Pipeline, Span, Step, StepKind};
use crate::plan::Job;

/// What is wrong with the steps of a pipeline, whose jobs these are. Jobs of one step repeat its mistakes; they are
/// told once.
#[must_use]
pub fn diagnose(refusals: Vec<Refusal>, pipeline: &Pipeline, jobs: &[Job]) -> Vec<Diagnostic> {
    let mut findings: Vec<Diagnostic> = Vec::new();
    for refusal in refusals {
        let job = &jobs[refusal.job];
        let place = place(&pipeline.steps, Span::new(job.span.0, job.span.1), refusal.kind, &refusal.pointer);
        let finding = Diagnostic::error(refusal.message).at(place);
        let help = Some(refusal.help).filter(|help| !help.is_empty());
        let finding = Diagnostic { help, ..finding };
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

/// Where in a step an attribute stands; the step itself when it does not have it.
fn place(steps: &[Step], span: Span, kind: RefusalKind, pointer: &str) -> Span {
    let Some(step) = find(steps, span) else { return span };
    let key = match kind {
        RefusalKind::Component => "uses",
        RefusalKind::Parameter => "with",
        RefusalKind::Grant => "grants",
    };
    let entry = step.rest.get(key).or_else(|| step.rest.get("uses"));
    // What a plugin or `image` stands for has its permissions from there.
    let stands_for = step.plugins.first().map(|plugin| plugin.source.span);
    let stands_for = stands_for.or_else(|| step.rest.get("image").map(|image| image.value.span));
    entry.map_or(stands_for.unwrap_or(span), |entry| match pointer {
        "" if kind != RefusalKind::Component => entry.key_span,
        pointer => entry.value.nearest(pointer).span,
    })
}

fn find(steps: &[Step], span: Span) -> Option<&CommandStep> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Command(command) if step.span == span => Some(&**command),
        StepKind::Group(group) => find(&group.steps, span),
        _ => None,
    })
}
