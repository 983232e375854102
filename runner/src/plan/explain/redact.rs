//! Keeps the values of secrets out of an explanation.

use super::{Explanation, Facts};
use crate::pipeline::interpolate::HIDDEN;
use crate::pipeline::model::EnvValue;
use crate::pipeline::{Span, Step, StepKind};
use indexmap::IndexMap;
use serde_json::Value;

/// Values shorter than this are only hidden where a variable holds them: elsewhere they would be found in anything.
const MIN_SECRET: usize = 6;

/// The lines of the step as written, without the values that its `env` gives to secrets.
pub(super) fn excerpt(facts: Facts<'_>, step: &Step) -> Vec<String> {
    let text = &facts.source.text;
    let start = text[..step.span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let mut hidden: Vec<Span> = own(step)
        .filter(|(name, variable)| (facts.secret)(name) && !variable.value.is_empty())
        .map(|(_, variable)| variable.value.span)
        .filter(|span| start <= span.start && span.end <= step.span.end)
        .collect();
    hidden.sort_unstable_by_key(|span| span.start);
    let mut shown = String::new();
    let mut from = start;
    for span in hidden {
        if from <= span.start {
            shown.push_str(&text[from..span.start]);
            shown.push_str(HIDDEN);
            from = span.end;
        }
    }
    shown.push_str(&text[from..step.span.end]);
    shown.trim_end().lines().map(ToOwned::to_owned).collect()
}

/// The environments that a step brings: its own, and of a group those of its steps.
fn own(step: &Step) -> Box<dyn Iterator<Item = (&String, &EnvValue)> + '_> {
    match &step.kind {
        StepKind::Command(command) => Box::new(command.env.iter()),
        StepKind::Group(group) => Box::new(group.steps.iter().flat_map(own)),
        _ => Box::new(std::iter::empty()),
    }
}

/// Replaces the values of secrets wherever they stand.
pub(super) fn redact(explanation: &mut Explanation, facts: Facts<'_>, step: &Step) {
    hide_by_name(&mut explanation.effective, facts.secret);
    for change in &mut explanation.changed {
        hide_by_name(&mut change.written, facts.secret);
    }
    let pipeline = facts.pipeline.env.as_ref().map(IndexMap::iter).into_iter().flatten();
    let set = pipeline.chain(own(step)).filter(|(name, _)| (facts.secret)(name));
    let mut secrets: Vec<&str> =
        facts.env.secrets(facts.secret).chain(set.map(|(_, one)| one.value.as_str())).collect();
    secrets.retain(|secret| secret.len() >= MIN_SECRET);
    // The longest first, so that a secret that contains another is replaced whole.
    secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    let clean = |text: &mut String| {
        for secret in &secrets {
            if text.contains(secret) {
                *text = text.replace(secret, HIDDEN);
            }
        }
    };
    explanation.written.iter_mut().for_each(clean);
    walk(&mut explanation.effective, &clean);
    explanation.changed.iter_mut().for_each(|change| walk(&mut change.written, &clean));
    explanation.variables.iter_mut().filter_map(|one| one.value.as_mut()).for_each(clean);
    explanation.rules.iter_mut().for_each(|rule| clean(&mut rule.text));
    for job in &mut explanation.jobs {
        [Some(&mut job.name), Some(&mut job.label), job.part.as_mut(), job.skip.as_mut()]
            .into_iter()
            .flatten()
            .for_each(clean);
    }
}

fn walk(value: &mut Value, clean: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => clean(text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, clean)),
        Value::Object(entries) => entries.values_mut().for_each(|item| walk(item, clean)),
        _ => {}
    }
}

/// Hides the text that stands under the name of a secret.
fn hide_by_name(value: &mut Value, secret: fn(&str) -> bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| hide_by_name(item, secret)),
        Value::Object(entries) => {
            for (name, item) in entries {
                match item {
                    Value::String(text) if secret(name) && !text.is_empty() => HIDDEN.clone_into(text),
                    item => hide_by_name(item, secret),
                }
            }
        }
        _ => {}
    }
}
