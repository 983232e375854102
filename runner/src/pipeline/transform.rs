//! Applies a change of text to every string of a pipeline in the order of the format.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::decode::Variables;
use super::diagnostic::{Diagnostic, Span, Spanned};
use super::interpolate::{Env, SetBy, interpolate_noting};
use super::model::{
    Cache, CommandStep, EnvValue, GroupStep, Matrix, MatrixAdjustment, Pipeline, PlainStep, Plugin, Secret, Step,
    StepKind,
};
use super::node::{Entry, Mapping, Node, NodeKind};

/// How much longer interpolation may make a pipeline, in bytes.
const MAX_GROWTH: usize = 64 << 20;

/// What wins where the pipeline sets a variable that the surroundings have set too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precedence {
    /// The value in the pipeline.
    #[default]
    Pipeline,
    /// The value of the surroundings.
    Surroundings,
}

impl Pipeline {
    /// Replaces the variables in all strings: keys and values, everything but signatures.
    ///
    /// First come the variables of the pipeline itself, in order; each is then set in `env`, where all later
    /// strings see it. The environment of a step is seen by no other string.
    ///
    /// # Errors
    /// The first string that cannot be interpolated, with its place. The pipeline is then half interpolated and
    /// must not be used.
    pub fn interpolate(&mut self, env: &mut Env, precedence: Precedence) -> Result<(), Diagnostic> {
        let mut growth = 0;
        if let Some(variables) = &mut self.env {
            let mut replaced = HashSet::new();
            for (written, EnvValue { key_span, value }) in std::mem::take(variables) {
                if replaced.contains(&written) {
                    continue;
                }
                let mut interpolation = Interpolation { env, growth: &mut growth };
                let name = interpolation.changed(&written, key_span)?.unwrap_or_else(|| written.clone());
                let text = interpolation.changed(&value.value, value.span)?.unwrap_or(value.value);
                if precedence == Precedence::Pipeline || env.get(&name).is_none() {
                    env.set_from(SetBy::Pipeline(value.span), &name, text.clone());
                }
                if name != written {
                    replaced.insert(name.clone());
                }
                variables.insert(name, EnvValue { key_span, value: Spanned::new(text, value.span) });
            }
        }
        let mut interpolation = Interpolation { env, growth: &mut growth };
        steps(&mut self.steps, &mut interpolation)?;
        self.secrets.iter_mut().try_for_each(|secret| secret_names(secret, &mut interpolation))?;
        if let Some(checkout) = &mut self.checkout {
            mapping(&mut checkout.settings, &mut interpolation)?;
        }
        mapping(&mut self.rest, &mut interpolation)
    }
}

/// A string in which variables were replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Where it was written.
    pub span: Span,
    /// As it was written.
    pub before: String,
    /// What it became.
    pub after: String,
    /// The names of the variables, each once, in the order they were looked up.
    pub variables: Vec<String>,
}

impl Step {
    /// Replaces the variables in the strings of this step alone as [`Pipeline::interpolate`] does when it has seen the
    /// variables of the pipeline, and says what it replaced.
    ///
    /// # Errors
    /// The first string that cannot be interpolated, with its place.
    pub fn interpolate(&mut self, env: &Env) -> Result<Vec<Replacement>, Diagnostic> {
        let mut recording =
            Recording { interpolation: Interpolation { env, growth: &mut 0 }, replacements: Vec::new() };
        steps(std::slice::from_mut(self), &mut recording)?;
        Ok(recording.replacements)
    }
}

/// Remembers what it changes.
struct Recording<'a> {
    interpolation: Interpolation<'a>,
    replacements: Vec<Replacement>,
}

impl Transform for Recording<'_> {
    fn changed(&mut self, text: &str, span: Span) -> Result<Option<String>, Diagnostic> {
        let mut variables: Vec<String> = Vec::new();
        let after = self.interpolation.replace(text, span, &mut |name| {
            if !variables.iter().any(|known| known == name) {
                variables.push(name.to_owned());
            }
        })?;
        if let Some(after) = &after {
            self.replacements.push(Replacement { span, before: text.to_owned(), after: after.clone(), variables });
        }
        Ok(after)
    }
}

/// A change of text.
pub(super) trait Transform {
    /// The changed text; `None` when it stays as it is.
    fn changed(&mut self, text: &str, span: Span) -> Result<Option<String>, Diagnostic>;
}

struct Interpolation<'a> {
    env: &'a Env,
    growth: &'a mut usize,
}

impl Interpolation<'_> {
    fn replace(&mut self, text: &str, span: Span, note: &mut impl FnMut(&str)) -> Result<Option<String>, Diagnostic> {
        if !text.contains('$') {
            return Ok(None);
        }
        let result = interpolate_noting(text, self.env, note).map_err(|error| {
            let place = Spanned::new(text.to_owned(), span).locate(error.start, error.end);
            Diagnostic { help: error.help, ..Diagnostic::error(error.message).at(place) }
        })?;
        *self.growth += result.len().saturating_sub(text.len());
        if *self.growth > MAX_GROWTH {
            let message = format!("the variables make the pipeline more than {MAX_GROWTH} bytes longer");
            return Err(Diagnostic::error(message).at(span));
        }
        Ok(Some(result.into_owned()))
    }
}

impl Transform for Interpolation<'_> {
    fn changed(&mut self, text: &str, span: Span) -> Result<Option<String>, Diagnostic> {
        self.replace(text, span, &mut |_| {})
    }
}

fn steps(steps: &mut [Step], transform: &mut impl Transform) -> Result<(), Diagnostic> {
    for step in steps {
        match &mut step.kind {
            StepKind::Command(command) => {
                command_step(command, transform)?;
                variables(&mut command.env, transform)?;
                optional(&mut command.key, transform)?;
                command.matrix.as_mut().map_or(Ok(()), |matrix| matrix_values(matrix, transform))?;
            }
            StepKind::Wait(plain) | StepKind::Input(plain) | StepKind::Trigger(plain) => match plain {
                PlainStep::Word(_) => {}
                PlainStep::Mapping(contents) => mapping(contents, transform)?,
            },
            StepKind::Group(group) => group_step(group, transform)?,
            StepKind::Unknown(unknown) => node(&mut unknown.contents, transform)?,
        }
    }
    Ok(())
}

fn group_step(group: &mut GroupStep, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    optional(&mut group.key, transform)?;
    optional(&mut group.group, transform)?;
    steps(&mut group.steps, transform)?;
    mapping(&mut group.rest, transform)
}

/// The strings of a command step that both variables and matrix tokens change.
pub(super) fn command_step(step: &mut CommandStep, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    optional(&mut step.command, transform)?;
    optional(&mut step.label, transform)?;
    step.plugins.iter_mut().try_for_each(|plugin| plugin_strings(plugin, transform))?;
    step.secrets.iter_mut().try_for_each(|secret| secret_names(secret, transform))?;
    step.cache.as_mut().map_or(Ok(()), |cache| cache_strings(cache, transform))?;
    if let Some(checkout) = &mut step.checkout {
        mapping(&mut checkout.settings, transform)?;
    }
    mapping(&mut step.rest, transform)
}

fn plugin_strings(plugin: &mut Plugin, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    string(&mut plugin.source, transform)?;
    node(&mut plugin.config, transform)
}

fn secret_names(secret: &mut Secret, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    string(&mut secret.key, transform)?;
    string(&mut secret.environment_variable, transform)
}

fn cache_strings(cache: &mut Cache, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    for text in [&mut cache.name, &mut cache.size].into_iter().flatten() {
        if let Some(changed) = transform.changed(text, cache.span)? {
            *text = changed;
        }
    }
    cache.paths.iter_mut().try_for_each(|path| string(path, transform))?;
    mapping(&mut cache.rest, transform)
}

fn matrix_values(matrix: &mut Matrix, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    if let Some(setup) = &mut matrix.setup {
        rename(setup, |_| matrix.span, transform)?;
        setup.values_mut().flatten().try_for_each(|value| string(value, transform))?;
    }
    for MatrixAdjustment { with, rest, span, .. } in &mut matrix.adjustments {
        rename(with, |_| *span, transform)?;
        with.values_mut().try_for_each(|value| string(value, transform))?;
        mapping(rest, transform)?;
    }
    mapping(&mut matrix.rest, transform)
}

fn variables(variables: &mut Variables, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    rename(variables, |variable| variable.key_span, transform)?;
    variable_values(variables, transform)
}

/// The values of variables, without their names.
pub(super) fn variable_values(variables: &mut Variables, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    variables.values_mut().try_for_each(|variable| string(&mut variable.value, transform))
}

fn optional(text: &mut Option<Spanned<String>>, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    text.as_mut().map_or(Ok(()), |text| string(text, transform))
}

fn string(text: &mut Spanned<String>, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    if let Some(changed) = transform.changed(&text.value, text.span)? {
        text.value = changed;
    }
    Ok(())
}

fn mapping(mapping: &mut Mapping, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    rename(mapping, |entry: &Entry| entry.key_span, transform)?;
    mapping.values_mut().try_for_each(|entry| node(&mut entry.value, transform))
}

fn node(value: &mut Node, transform: &mut impl Transform) -> Result<(), Diagnostic> {
    match &mut value.kind {
        NodeKind::String(text) => {
            if let Some(changed) = transform.changed(text, value.span)? {
                *text = changed;
            }
            Ok(())
        }
        NodeKind::Sequence(items) => items.iter_mut().try_for_each(|item| node(item, transform)),
        NodeKind::Mapping(entries) => mapping(entries, transform),
        _ => Ok(()),
    }
}

/// Changes the keys of a mapping. A changed key that meets an equal one replaces it.
fn rename<V>(
    mapping: &mut IndexMap<String, V>,
    span: impl Fn(&V) -> Span,
    transform: &mut impl Transform,
) -> Result<(), Diagnostic> {
    let mut new_keys = Vec::new();
    for (index, (key, value)) in mapping.iter().enumerate() {
        if let Some(changed) = transform.changed(key, span(value))? {
            new_keys.push((index, changed));
        }
    }
    if new_keys.is_empty() {
        return Ok(());
    }
    let mut new_keys = new_keys.into_iter().peekable();
    // Slots instead of removals keep this linear however many keys meet.
    let mut slots: Vec<Option<(String, V)>> = Vec::with_capacity(mapping.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(mapping.len());
    let mut replaced: HashSet<String> = HashSet::new();
    for (index, (key, value)) in std::mem::take(mapping).into_iter().enumerate() {
        let key = match new_keys.next_if(|(place, _)| *place == index) {
            Some((_, changed)) if changed != key => {
                if let Some(place) = places.remove(&changed) {
                    slots[place] = None;
                }
                replaced.insert(changed.clone());
                changed
            }
            _ if replaced.contains(&key) => continue,
            _ => key,
        };
        places.insert(key.clone(), slots.len());
        slots.push(Some((key, value)));
    }
    mapping.extend(slots.into_iter().flatten());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::{Source, parse};

    fn interpolated(text: &str, env: &[(&str, &str)], precedence: Precedence) -> Result<String, Diagnostic> {
        let mut pipeline = parse(&Source::new("p.yml", text)).unwrap().pipeline;
        pipeline.interpolate(&mut env.iter().copied().collect(), precedence)?;
        Ok(pipeline.to_json().to_string())
    }

    #[test]
    fn variables_are_seen_in_order() {
        let text = "{env: {B: '${A}2', A: '1', C: $A}, steps: [{command: '$B $C', env: {C: x, '$A': $C}}]}";
        assert_eq!(
            interpolated(text, &[], Precedence::Pipeline).unwrap(),
            r#"{"env":{"B":"2","A":"1","C":"1"},"steps":[{"command":"2 1","env":{"1":"1","C":"x"}}]}"#
        );
    }

    #[test]
    fn precedence() {
        let text = "{env: {A: mine}, steps: [{command: $A}]}";
        let command = |precedence| interpolated(text, &[("A", "theirs")], precedence).unwrap();
        assert!(command(Precedence::Pipeline).contains(r#""command":"mine""#));
        assert!(command(Precedence::Surroundings).contains(r#""command":"theirs""#));
    }

    #[test]
    fn keys_that_meet_replace_each_other() {
        let text = "{steps: [{command: x, foo: {a: 1, '$A': 2, c: 3, '$C': 4}}]}";
        let json = interpolated(text, &[("A", "c"), ("C", "a")], Precedence::Pipeline).unwrap();
        assert!(json.contains(r#""foo":{"c":2,"a":4}"#), "{json}");
    }

    #[test]
    fn errors_point_into_the_string() {
        let text = "steps:\n  - command: echo ${NOPE?need it} now\n";
        let error = interpolated(text, &[], Precedence::Pipeline).unwrap_err();
        assert_eq!(error.message, "$NOPE: need it");
        let span = error.span.unwrap();
        assert_eq!(&text[span.start..span.end], "${NOPE?need it}");
    }

    #[test]
    fn growth_is_bounded() {
        let mut text = "env:\n  A0: xxxxxxxxxx\n".to_owned();
        for level in 1..40 {
            text += &format!("  A{level}: '{}'\n", format!("$A{}", level - 1).repeat(10));
        }
        assert!(interpolated(&text, &[], Precedence::Pipeline).unwrap_err().message.contains("bytes"));
    }
}
