//! The attributes of block and input steps and of their fields.

use serde::{Deserialize, Serialize};

use super::reader::{Reader, wrong};
use super::shared::{Shared, plain};
use super::step::{contents, label_behind};
use crate::pipeline::diagnostic::{Diagnostic, Span, Spanned};
use crate::pipeline::model::PlainStep;
use crate::pipeline::node::{Node, NodeKind};

/// The attributes of a block or input step.
#[derive(Debug, Clone, PartialEq)]
pub struct InputAttributes {
    /// Whether the steps after it wait for it, as they do for `block` and `manual`, but not for `input`.
    pub barrier: bool,
    /// Key, label, condition, branches, dependencies.
    pub shared: Shared,
    /// `prompt`: what to say to the person.
    pub prompt: Option<String>,
    /// `submit`: the text of the button.
    pub submit: Option<String>,
    /// `fields`: what to ask for.
    pub fields: Vec<Field>,
    /// `blocked_state`: what the build counts as while it waits.
    pub blocked_state: BlockedState,
    /// `allowed_teams`: who may unblock; empty means everybody.
    pub allowed_teams: Vec<String>,
}

/// What a build counts as while it waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockedState {
    /// As passed.
    #[default]
    Passed,
    /// As failed.
    Failed,
    /// As running.
    Running,
}

/// One question to the person who unblocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The meta-data key of the answer.
    pub key: Spanned<String>,
    /// The question.
    pub label: String,
    /// More about the question.
    pub hint: Option<String>,
    /// Whether an answer is needed.
    pub required: bool,
    /// How it is answered.
    pub kind: FieldKind,
}

/// How a question is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// With text.
    Text {
        /// The answer when there is none.
        default: Option<String>,
        /// A regular expression that must match the whole answer.
        format: Option<Spanned<String>>,
    },
    /// By choosing.
    Select {
        /// What there is to choose from, at least one.
        options: Vec<Choice>,
        /// Whether more than one may be chosen; the answer then has one value a line.
        multiple: bool,
        /// The values chosen when there is no answer.
        default: Vec<String>,
    },
}

/// One thing to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What the person sees.
    pub label: String,
    /// What the meta-data gets.
    pub value: String,
    /// More about it.
    pub hint: Option<String>,
}

impl PlainStep {
    /// Reads the attributes of a block or input step.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn input_attributes(&self) -> Result<InputAttributes, Vec<Diagnostic>> {
        let words = ["block", "input", "manual"];
        let contents = contents(self, &words);
        let mut reader = Reader::new(&contents.mapping);
        let mut shared = Shared::read(&mut reader);
        shared.label = label_behind(&mut reader, &words).or(shared.label);
        let kind = match reader.node(&["type"]).and_then(Node::as_str) {
            Some(kind) => kind,
            None => contents.word,
        };
        let attributes = InputAttributes {
            barrier: kind != "input",
            shared,
            prompt: reader.text(&["prompt"]).map(|text| text.value),
            submit: reader.text(&["submit"]).map(|text| text.value),
            fields: fields(&mut reader),
            blocked_state: blocked_state(&mut reader),
            allowed_teams: reader.texts(&["allowed_teams"]).map(plain).unwrap_or_default().value,
        };
        reader.finish(attributes)
    }
}

fn blocked_state(reader: &mut Reader<'_>) -> BlockedState {
    let Some(state) = reader.text(&["blocked_state"]) else { return BlockedState::default() };
    match state.as_str() {
        "passed" => BlockedState::Passed,
        "failed" => BlockedState::Failed,
        "running" => BlockedState::Running,
        other => {
            let message = format!("unknown `blocked_state` `{other}`");
            reader.report(Diagnostic::error(message).at(state.span).label("expected `passed`, `failed` or `running`"));
            BlockedState::default()
        }
    }
}

fn fields(reader: &mut Reader<'_>) -> Vec<Field> {
    let Some(node) = reader.node(&["fields"]) else { return Vec::new() };
    let Some(items) = node.as_sequence() else {
        reader.report(wrong("fields", node, "a list of fields"));
        return Vec::new();
    };
    let mut fields = Vec::with_capacity(items.len());
    for item in items {
        match &item.kind {
            NodeKind::Mapping(mapping) => fields.extend(reader.within(mapping, item.span, field)),
            _ => reader.report(wrong("fields", item, "a mapping with `key` and `text` or `select`")),
        }
    }
    fields
}

fn field(reader: &mut Reader<'_>, span: Span) -> Option<Field> {
    let key = reader.text(&["key"]);
    if key.is_none() {
        reader.report(
            Diagnostic::error("the field has no `key`").at(span).help("add `key: NAME`; the answer is stored under it"),
        );
    }
    let select = reader.written(&["select"]).is_some() || reader.written(&["options"]).is_some();
    Some(Field {
        label: reader.text(&[if select { "select" } else { "text" }]).map(|label| label.value).unwrap_or_default(),
        hint: reader.text(&["hint"]).map(|hint| hint.value),
        required: reader.boolean("required").unwrap_or(true),
        kind: if select { select_kind(reader, span) } else { text_kind(reader) },
        key: key?,
    })
}

fn text_kind(reader: &mut Reader<'_>) -> FieldKind {
    let format = reader.text(&["format"]);
    if let Some(format) = &format
        && let Err(error) = answer_format(&format.value)
    {
        let message = format!("`format` is not a regular expression: {error}");
        reader.report(Diagnostic::error(message).at(format.span));
    }
    FieldKind::Text { default: reader.text(&["default"]).map(|default| default.value), format }
}

/// The regular expression that a `format` stands for: the whole answer has to match.
///
/// # Errors
/// When it is none.
pub fn answer_format(format: &str) -> Result<fancy_regex::Regex, Box<fancy_regex::Error>> {
    fancy_regex::Regex::new(&format!("^(?:{format})$")).map_err(Box::new)
}

fn select_kind(reader: &mut Reader<'_>, span: Span) -> FieldKind {
    let mut options = Vec::new();
    match reader.node(&["options"]) {
        None => reader.report(Diagnostic::error("the field has no `options`").at(span)),
        Some(node) => match node.as_sequence() {
            Some(items) => {
                for item in items {
                    match &item.kind {
                        NodeKind::Mapping(mapping) => options.extend(reader.within(mapping, item.span, choice)),
                        _ => reader.report(wrong("options", item, "a mapping with `label` and `value`")),
                    }
                }
            }
            None => reader.report(wrong("options", node, "a list of options")),
        },
    }
    FieldKind::Select {
        options,
        multiple: reader.boolean("multiple").unwrap_or(false),
        default: reader.texts(&["default"]).map(plain).unwrap_or_default().value,
    }
}

fn choice(reader: &mut Reader<'_>, span: Span) -> Option<Choice> {
    let value = reader.text(&["value"]);
    let label = reader.text(&["label"]).or_else(|| value.clone());
    let Some(value) = value else {
        reader.report(Diagnostic::error("the option has no `value`").at(span));
        return None;
    };
    Some(Choice { label: label?.value, value: value.value, hint: reader.text(&["hint"]).map(|hint| hint.value) })
}
