//! Why a step is what it is in the plan: every rule that applied to it, with its place in the file.
//!
//! Nothing is decided here. What was decided is in the plan and its [`Origin`]s; what led there is asked of the same
//! functions that the planner asks. Values of variables whose name is a secret's are in none of it.

mod find;
mod redact;
mod rules;

pub use find::{NotFound, find};

use super::origin::{Origin, in_order};
use super::{Job, Plan};
use crate::pipeline::interpolate::{Env, SetBy};
use crate::pipeline::{Diagnostic, Pipeline, Precedence, Replacement, Source, Span, Step, StepKind};
use serde::Serialize;
use serde_json::Value;

/// What explanations are made from.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The pipeline file.
    pub source: &'a Source,
    /// The pipeline as it was written.
    pub written: &'a Pipeline,
    /// The same, interpolated.
    pub pipeline: &'a Pipeline,
    /// The variables with which it was interpolated, without its own.
    pub env: &'a Env,
    /// What it became.
    pub plan: &'a Plan,
    /// Where the plan's jobs come from.
    pub origins: &'a [Origin],
    /// Says of the name of a variable whether its value is a secret.
    pub secret: fn(&str) -> bool,
}

/// Everything that made a step what it is.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The name of the pipeline file.
    pub file: String,
    /// Number of the line the step begins in, from 1.
    pub line: usize,
    /// The lines of the step as written.
    pub written: Vec<String>,
    /// The step with its variables replaced, as Buildkite's agent would upload it.
    pub effective: Value,
    /// The attributes that variables changed, as written.
    pub changed: Vec<Change>,
    /// The variables that were replaced.
    pub variables: Vec<Variable>,
    /// The rules that applied, in the order in which they apply.
    pub rules: Vec<Rule>,
    /// What the step became.
    pub jobs: Vec<ExplainedJob>,
}

/// An attribute that variables changed.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Its key.
    pub attribute: String,
    /// Its value before that; null when the key itself was changed.
    pub written: Value,
}

/// A variable that was replaced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value; null when it is not set.
    pub value: Option<String>,
    /// Where its value comes from, in words; null when it is not set.
    pub from: Option<String>,
    /// Where it is used: `file:line:column`.
    pub places: Vec<String>,
}

/// A rule that applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// What it is about: the attribute, or what becomes of it.
    pub subject: String,
    /// What it came to, in a sentence.
    pub text: String,
    /// Where it is written: `file:line:column`; null when it is written nowhere.
    pub place: Option<String>,
}

/// A job the step became.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedJob {
    /// Its name.
    pub name: String,
    /// What people read.
    pub label: String,
    /// Which of several it is: the values of the matrix, or its number.
    pub part: Option<String>,
    /// Why it will not run.
    pub skip: Option<String>,
}

/// Explains the step at a position in [`in_order`].
///
/// # Errors
/// When there is no such step, or it cannot be interpolated; neither happens after [`find`] and a plan.
pub fn explain(facts: Facts<'_>, position: usize) -> Result<Explanation, Diagnostic> {
    let absent = || Diagnostic::error(format!("the pipeline has no step at position {position}"));
    let mut env = facts.env.clone().hiding(facts.secret);
    let mut shown = facts.written.clone();
    shown.interpolate(&mut env, Precedence::Pipeline)?;
    let written = *in_order(&facts.written.steps).get(position).ok_or_else(absent)?;
    let step = *in_order(&facts.pipeline.steps).get(position).ok_or_else(absent)?;
    let mut effective = written.clone();
    let replacements = effective.interpolate(&env)?;
    let jobs: Vec<(&Job, &Origin)> =
        facts.plan.jobs.iter().zip(facts.origins).filter(|(_, origin)| belongs(step, position, origin)).collect();
    let places = Places(facts.source);
    let first = facts.source.position(step.span.start).line;
    let mut explanation = Explanation {
        file: facts.source.name.clone(),
        line: first,
        written: redact::excerpt(facts, written),
        effective: effective.to_json(),
        changed: changes(&written.to_json(), &effective.to_json()),
        variables: variables(places, &env, &replacements),
        rules: rules::rules(facts, &shown, position, step, &jobs)?,
        jobs: explained(step, &jobs),
    };
    redact::redact(&mut explanation, facts, step);
    Ok(explanation)
}

/// Whether a job is the step's own, or its member when it is a group.
fn belongs(step: &Step, position: usize, origin: &Origin) -> bool {
    match &step.kind {
        StepKind::Group(group) => (position + 1..=position + in_order(&group.steps).len()).contains(&origin.step),
        _ => origin.step == position,
    }
}

/// Writes places as people read them.
#[derive(Clone, Copy)]
struct Places<'a>(&'a Source);

impl Places<'_> {
    fn at(self, span: Span) -> String {
        format!("{}:{}", self.0.name, self.0.position(span.start))
    }
}

fn changes(written: &Value, effective: &Value) -> Vec<Change> {
    let (Value::Object(before), Value::Object(after)) = (written, effective) else { return Vec::new() };
    let differs = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    differs
        .map(|(key, _)| Change { attribute: key.clone(), written: before.get(key).cloned().unwrap_or_default() })
        .collect()
}

fn variables(places: Places<'_>, env: &Env, replacements: &[Replacement]) -> Vec<Variable> {
    let mut found: Vec<Variable> = Vec::new();
    for replacement in replacements {
        for name in &replacement.variables {
            let place = places.at(replacement.span);
            if let Some(known) = found.iter_mut().find(|variable| variable.name == *name) {
                if !known.places.contains(&place) {
                    known.places.push(place);
                }
                continue;
            }
            let from = env.set_by(name).map(|set_by| match set_by {
                SetBy::Surroundings => "the environment of the runner".to_owned(),
                SetBy::Build => "what is built".to_owned(),
                SetBy::Given => "--env".to_owned(),
                SetBy::Pipeline(span) => format!("the pipeline's `env` at {}", places.at(span)),
            });
            let value = env.get(name).map(ToOwned::to_owned);
            found.push(Variable { name: name.clone(), value, from, places: vec![place] });
        }
    }
    found
}

fn explained(step: &Step, jobs: &[(&Job, &Origin)]) -> Vec<ExplainedJob> {
    let parts: Vec<String> = match &step.kind {
        StepKind::Command(command) => match &command.matrix {
            Some(matrix) => matrix.permutations().unwrap_or_default().iter().map(rules::combination).collect(),
            None if jobs.len() > 1 => (1..=jobs.len()).map(|number| format!("{number} of {}", jobs.len())).collect(),
            None => Vec::new(),
        },
        _ => Vec::new(),
    };
    let mut parts = parts.into_iter();
    jobs.iter()
        .map(|(job, _)| ExplainedJob {
            name: job.name.clone(),
            label: job.label.clone(),
            part: parts.next(),
            skip: job.skip.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
