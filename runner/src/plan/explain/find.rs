//! Finds the step that a person means.

use super::Facts;
use crate::pipeline::similar::closest;
use crate::pipeline::{Spanned, Step, StepKind};
use crate::plan::origin::in_order;

/// Why no step is explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFound {
    /// None has that name.
    Unknown {
        /// The name most like it, when one is like it.
        close: Option<String>,
        /// The names there are: keys where there are keys.
        known: Vec<String>,
    },
    /// Several have that label: the names of their jobs.
    Several(Vec<String>),
}

/// The position of the step with this key, or with a job of this name, or with this label.
///
/// # Errors
/// When there is none, or the label is that of several.
pub fn find(facts: &Facts<'_>, name: &str) -> Result<usize, NotFound> {
    // A notification is not a step.
    let jobs = || facts.plan.jobs.iter().zip(facts.origins).filter(|(job, _)| job.notification.is_none());
    let steps = in_order(&facts.pipeline.steps);
    let groups: Vec<(usize, &str, &str)> = steps
        .iter()
        .enumerate()
        .filter_map(|(position, step)| match &step.kind {
            StepKind::Group(group) => Some((position, text(group.key.as_ref()), text(group.group.as_ref()))),
            _ => None,
        })
        .collect();
    let by_key = jobs().find(|(job, _)| job.step_key.as_deref() == Some(name)).map(|(_, origin)| origin.step);
    let by_key =
        by_key.or_else(|| groups.iter().find(|(_, key, _)| !key.is_empty() && *key == name).map(|group| group.0));
    let by_name = || jobs().find(|(job, _)| job.name == name).map(|(_, origin)| origin.step);
    if let Some(found) = by_key.or_else(by_name) {
        return Ok(found);
    }
    // A label also counts as it was before `%n` and the matrix, and before its variables.
    let written = in_order(&facts.written.steps);
    let labelled = [&steps, &written].into_iter().flat_map(|steps| steps.iter().enumerate());
    let labelled = labelled.filter(|(_, step)| label(step) == Some(name)).map(|(position, _)| position);
    let mut found: Vec<usize> =
        jobs().filter(|(job, _)| job.label == name).map(|(_, origin)| origin.step).chain(labelled).collect();
    found.sort_unstable();
    found.dedup();
    match found.as_slice() {
        [one] => return Ok(*one),
        [] => {}
        several => {
            let first = |step: &usize| jobs().find(|(_, origin)| origin.step == *step).map(|(job, _)| job.name.clone());
            return Err(NotFound::Several(several.iter().filter_map(first).collect()));
        }
    }
    // One name a step: its key, or the name of its first job.
    let mut known: Vec<String> = Vec::new();
    let mut last = None;
    for (job, origin) in jobs() {
        if last.replace(origin.step) != Some(origin.step) {
            known.push(job.step_key.as_ref().unwrap_or(&job.name).clone());
        }
    }
    known.extend(groups.iter().map(|(_, key, label)| if key.is_empty() { *label } else { *key }.to_owned()));
    known.retain(|name| !name.is_empty());
    let labels = jobs().map(|(job, _)| job.label.as_str());
    let close = closest(name, known.iter().map(String::as_str).chain(labels)).map(ToOwned::to_owned);
    Err(NotFound::Unknown { close, known })
}

/// What the step itself says it is called.
fn label(step: &Step) -> Option<&str> {
    match &step.kind {
        StepKind::Command(command) => command.label.as_ref().map(|label| label.value.as_str()),
        StepKind::Group(group) => group.group.as_ref().map(|label| label.value.as_str()),
        _ => None,
    }
}

fn text(text: Option<&Spanned<String>>) -> &str {
    text.map_or("", |text| &text.value)
}
