//! A pipeline as JSON, in the form in which Buildkite's agent uploads it.

use serde_json::{Map, Number, Value};

use super::model::{
    Cache, Checkout, CommandStep, GroupStep, Matrix, MatrixAdjustment, Pipeline, PlainStep, Plugin, Secret, Signature,
    Step, StepKind,
};
use super::node::{Mapping, Node, NodeKind};
use super::scalar;

impl Pipeline {
    /// The pipeline as JSON. The keys of steps are in alphabetical order, all others in the order of the file.
    pub fn to_json(&self) -> Value {
        let mut out = members(&self.rest);
        if let Some(env) = &self.env {
            out.push("env", env.iter().map(|(name, variable)| (name.clone(), text(&variable.value))).collect());
        }
        out.push_some("secrets", list(&self.secrets, secret));
        out.push_some("checkout", self.checkout.as_ref().map(checkout));
        out.push("steps", self.steps.iter().map(step).collect());
        out.sorted()
    }
}

impl Step {
    /// The step as JSON, as [`Pipeline::to_json`] has it.
    pub fn to_json(&self) -> Value {
        step(self)
    }
}

impl Node {
    /// The value as JSON. Numbers that JSON does not have become strings.
    pub fn to_json(&self) -> Value {
        match &self.kind {
            NodeKind::Null => Value::Null,
            NodeKind::Bool(value) => Value::Bool(*value),
            NodeKind::Int(value) => Value::from(*value),
            NodeKind::UInt(value) => Value::from(*value),
            NodeKind::Float(value) => float(*value),
            NodeKind::Timestamp(text) | NodeKind::String(text) => text.clone().into(),
            NodeKind::Sequence(items) => items.iter().map(Node::to_json).collect(),
            NodeKind::Mapping(mapping) => {
                mapping.iter().map(|(key, entry)| (key.clone(), entry.value.to_json())).collect()
            }
        }
    }
}

fn float(value: f64) -> Value {
    // A whole number is written without a fraction, as far as integers reach exactly.
    #[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or_else(|| Value::String(scalar::format_float(value)), Value::Number)
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

/// The members of an object on the way to alphabetical order; of two of one name the later wins.
struct Members(Vec<(String, Value)>);

fn members(mapping: &Mapping) -> Members {
    Members(mapping.iter().map(|(key, entry)| (key.clone(), entry.value.to_json())).collect())
}

impl Members {
    fn push(&mut self, name: &str, value: Value) {
        self.0.push((name.to_owned(), value));
    }

    fn push_some(&mut self, name: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.push(name, value);
        }
    }

    /// Adds text unless it is empty.
    fn push_text(&mut self, name: &str, value: Option<&str>) {
        self.push_some(name, value.filter(|value| !value.is_empty()).map(text));
    }

    fn sorted(mut self) -> Value {
        self.0.sort_by(|left, right| left.0.cmp(&right.0));
        Value::Object(self.0.into_iter().collect())
    }
}

fn list<T>(items: &[T], to_json: impl Fn(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| items.iter().map(to_json).collect())
}

fn step(step: &Step) -> Value {
    match &step.kind {
        StepKind::Command(command) => command_step(command),
        StepKind::Wait(plain) | StepKind::Input(plain) | StepKind::Trigger(plain) => match plain {
            PlainStep::Word(word) => text(word),
            PlainStep::Mapping(mapping) => members(mapping).sorted(),
        },
        StepKind::Group(group) => group_step(group),
        StepKind::Unknown(unknown) => unknown.contents.to_json(),
    }
}

fn command_step(step: &CommandStep) -> Value {
    let mut out = members(&step.rest);
    // Without a command there is an empty one, except in a step that is nothing but a component.
    if step.command.is_some() || !step.plugins.is_empty() || !step.rest.contains_key("uses") {
        out.push("command", text(step.command.as_ref().map_or("", |command| command)));
    }
    out.push_text("key", step.key.as_ref().map(|key| key.as_str()));
    out.push_text("label", step.label.as_ref().map(|label| label.as_str()));
    out.push_some("plugins", list(&step.plugins, plugin));
    out.push_some("secrets", list(&step.secrets, secret));
    if !step.env.is_empty() {
        let env = step.env.iter().map(|(name, variable)| (name.clone(), text(&variable.value)));
        out.push("env", Members(env.collect()).sorted());
    }
    out.push_some("signature", step.signature.as_deref().map(signature));
    out.push_some("matrix", step.matrix.as_deref().map(matrix));
    out.push_some("cache", step.cache.as_deref().map(cache));
    out.push_some("checkout", step.checkout.as_deref().map(checkout));
    out.sorted()
}

fn group_step(group: &GroupStep) -> Value {
    let mut out = members(&group.rest);
    out.push_text("key", group.key.as_ref().map(|key| key.as_str()));
    out.push("group", group.group.as_ref().map_or(Value::Null, |name| text(name)));
    out.push("steps", group.steps.iter().map(step).collect());
    out.sorted()
}

fn plugin(plugin: &Plugin) -> Value {
    let config = match &plugin.config.kind {
        NodeKind::Sequence(items) if items.is_empty() => Value::Null,
        NodeKind::Mapping(mapping) if mapping.is_empty() => Value::Null,
        _ => alphabetical(plugin.config.to_json()),
    };
    Value::Object(Map::from_iter([(plugin.full_source(), config)]))
}

/// Puts the keys in alphabetical order at every depth.
fn alphabetical(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            Members(map.into_iter().map(|(key, value)| (key, alphabetical(value))).collect()).sorted()
        }
        Value::Array(items) => items.into_iter().map(alphabetical).collect(),
        other => other,
    }
}

fn secret(secret: &Secret) -> Value {
    let mut out = Members(Vec::new());
    out.push("key", text(&secret.key));
    out.push_text("environment_variable", Some(&secret.environment_variable));
    out.sorted()
}

fn signature(signature: &Signature) -> Value {
    serde_json::json!({
        "algorithm": signature.algorithm,
        "signed_fields": signature.signed_fields,
        "value": signature.value,
    })
}

fn cache(cache: &Cache) -> Value {
    if cache.disabled {
        return Value::Bool(false);
    }
    let mut out = members(&cache.rest);
    out.push_text("name", cache.name.as_deref());
    out.push_text("size", cache.size.as_deref());
    out.push_some("paths", list(&cache.paths, |path| text(path)));
    out.sorted()
}

fn checkout(checkout: &Checkout) -> Value {
    let mut out = members(&checkout.settings);
    // The settings that have a type of their own are left out when they are null.
    out.0.retain(|(name, value)| !value.is_null() || !matches!(name.as_str(), "skip" | "submodules"));
    out.sorted()
}

fn matrix(matrix: &Matrix) -> Value {
    let list = |values: &Vec<super::Spanned<String>>| values.iter().map(|value| text(value)).collect();
    let setup = match &matrix.setup {
        None => Value::Null,
        Some(setup) => match setup.get("") {
            Some(values) if setup.len() == 1 && !values.is_empty() => list(values),
            _ => Members(setup.iter().map(|(name, values)| (name.clone(), list(values))).collect()).sorted(),
        },
    };
    if setup.is_array() && matrix.adjustments.is_empty() && matrix.rest.is_empty() {
        return setup;
    }
    let mut out = members(&matrix.rest);
    out.push("setup", setup);
    if !matrix.adjustments.is_empty() {
        out.push("adjustments", matrix.adjustments.iter().map(adjustment).collect());
    }
    out.sorted()
}

fn adjustment(adjustment: &MatrixAdjustment) -> Value {
    let with = &adjustment.with;
    let mut out = members(&adjustment.rest);
    out.push(
        "with",
        match with.get("") {
            Some(value) if with.len() == 1 => text(value),
            _ => Members(with.iter().map(|(name, value)| (name.clone(), text(value))).collect()).sorted(),
        },
    );
    let skip = adjustment.skip.as_ref().map(Node::to_json);
    out.push_some("skip", skip.filter(|skip| !matches!(skip, Value::Null | Value::Bool(false)) && skip != ""));
    out.sorted()
}
