//! Documents to [`Pipeline`]s: recognises the kinds of steps the lenient way the format demands.
//!
//! A step that cannot be understood becomes [`StepKind::Unknown`] and a warning; only what leaves no step at all,
//! such as a number in the list of steps, is an error.

use super::decode;
use super::diagnostic::{Diagnostic, Severity, Source, Span, Spanned};
use super::document;
use super::model::{GroupStep, Pipeline, PlainStep, Step, StepKind, UnknownStep};
use super::node::{Mapping, Node, NodeKind};

/// A pipeline and what is odd about it.
#[derive(Debug, Clone, Default)]
pub struct Parsed {
    /// The pipeline, not interpolated.
    pub pipeline: Pipeline,
    /// What is odd but does not stop anything while parsing. Unknown steps are among them.
    pub warnings: Vec<Diagnostic>,
}

/// Reads the first pipeline of a text.
///
/// # Errors
/// What makes the text unreadable: not YAML, beyond a limit of [`document`], no pipeline in it.
pub fn parse(source: &Source) -> Result<Parsed, Diagnostic> {
    match document::first(source)? {
        Some(node) => pipeline(node),
        None => Err(Diagnostic::error("the file has no pipeline").help("write `steps:` and a list of steps")),
    }
}

/// Reads all pipelines of a text, one for each YAML document. A text without documents has none.
///
/// # Errors
/// As [`parse`]; the first document that cannot be read stops it.
pub fn parse_all(source: &Source) -> Result<Vec<Parsed>, Diagnostic> {
    document::all(source)?.into_iter().map(pipeline).collect()
}

fn pipeline(node: Node) -> Result<Parsed, Diagnostic> {
    let mut loader = Loader::default();
    let pipeline = match node.kind {
        NodeKind::Mapping(mapping) => loader.pipeline(*mapping)?,
        NodeKind::Sequence(items) => Pipeline { steps: loader.steps(items)?, ..Pipeline::default() },
        _ => {
            let message = format!("a pipeline cannot be {}", node.describe());
            return Err(Diagnostic::error(message).at(node.span).label("expected a mapping with `steps`"));
        }
    };
    Ok(Parsed { pipeline, warnings: loader.warnings })
}

/// The kinds a mapping can be recognised as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Command,
    Wait,
    Input,
    Trigger,
    Group,
}

impl Kind {
    /// The kind of a step; `None` when it is not understood.
    pub(super) fn of(step: &Mapping) -> Option<Self> {
        match type_of(step).ok()? {
            Some(name) => Self::by_type(name.value),
            None => Self::by_keys(step),
        }
    }

    fn by_type(name: &str) -> Option<Self> {
        match name {
            "command" | "script" => Some(Self::Command),
            "wait" | "waiter" => Some(Self::Wait),
            "block" | "input" | "manual" => Some(Self::Input),
            "trigger" => Some(Self::Trigger),
            "group" => Some(Self::Group),
            _ => None,
        }
    }

    /// The first of the telling keys decides, whatever else the step has.
    fn by_keys(mapping: &Mapping) -> Option<Self> {
        let has = |keys: &[&str]| keys.iter().any(|key| mapping.contains_key(*key));
        if has(&["command", "commands", "plugins"]) {
            Some(Self::Command)
        } else if has(&["wait", "waiter"]) {
            Some(Self::Wait)
        } else if has(&["block", "input", "manual"]) {
            Some(Self::Input)
        } else if has(&["trigger"]) {
            Some(Self::Trigger)
        } else if has(&["group"]) {
            Some(Self::Group)
        } else if has(&["uses"]) {
            Some(Self::Command)
        } else {
            None
        }
    }
}

#[derive(Default)]
struct Loader {
    warnings: Vec<Diagnostic>,
}

impl Loader {
    fn pipeline(&mut self, mut mapping: Mapping) -> Result<Pipeline, Diagnostic> {
        let steps = mapping.shift_remove("steps").map(|entry| self.step_list(entry.value)).transpose()?;
        if steps.is_none() {
            let warning = Diagnostic::warning("the pipeline has no steps");
            self.warnings.push(warning.help("write `steps:` and a list of steps"));
        }
        let mut node = |key: &str| mapping.shift_remove(key).map(|entry| entry.value);
        Ok(Pipeline {
            steps: steps.unwrap_or_default(),
            env: node("env").map(|node| decode::env(&node)).transpose()?.flatten(),
            secrets: node("secrets").map(|node| decode::secrets(&node)).transpose()?.unwrap_or_default(),
            checkout: node("checkout").map(|node| decode::checkout(&node)).transpose()?.flatten(),
            rest: mapping,
        })
    }

    fn step_list(&mut self, node: Node) -> Result<Vec<Step>, Diagnostic> {
        match node.kind {
            NodeKind::Null => Ok(Vec::new()),
            NodeKind::Sequence(items) => self.steps(items),
            _ => Err(not_a_list(&node)),
        }
    }

    fn steps(&mut self, items: Vec<Node>) -> Result<Vec<Step>, Diagnostic> {
        items.into_iter().map(|item| self.step(item)).collect()
    }

    fn step(&mut self, node: Node) -> Result<Step, Diagnostic> {
        let span = node.span;
        let kind = match node.kind {
            NodeKind::String(word) => self.word(Spanned::new(word, span)),
            NodeKind::Mapping(mapping) => self.mapping(*mapping, span)?,
            _ => return Err(not_a_step(&node)),
        };
        Ok(Step { kind, span })
    }

    fn word(&mut self, word: Spanned<String>) -> StepKind {
        match word.as_str() {
            "wait" | "waiter" => StepKind::Wait(PlainStep::Word(word)),
            "block" | "input" | "manual" => StepKind::Input(PlainStep::Word(word)),
            _ => {
                let reason = Diagnostic::error(format!("unknown step `{}`", word.value))
                    .at(word.span)
                    .label("expected `wait`, `block` or `input`")
                    .help(format!("to run a command, write `- command: {}`", word.value));
                self.unknown(Node::new(NodeKind::String(word.value), word.span), reason)
            }
        }
    }

    fn mapping(&mut self, mut mapping: Mapping, span: Span) -> Result<StepKind, Diagnostic> {
        let kind = match type_of(&mapping)? {
            Some(name) => Kind::by_type(name.value).ok_or_else(|| unknown_type(&name)),
            None => Kind::by_keys(&mapping).ok_or_else(|| unknown_keys(&mapping, span)),
        };
        Ok(match kind {
            Err(reason) => self.unknown(Node::new(NodeKind::Mapping(Box::new(mapping)), span), reason),
            Ok(Kind::Wait) => StepKind::Wait(PlainStep::Mapping(mapping)),
            Ok(Kind::Input) => StepKind::Input(PlainStep::Mapping(mapping)),
            Ok(Kind::Trigger) => StepKind::Trigger(PlainStep::Mapping(mapping)),
            Ok(Kind::Command) => match decode::command(&mapping) {
                Ok((mut step, taken)) => {
                    mapping.retain(|key, _| !taken.contains(&key.as_str()));
                    mapping.shrink_to_fit();
                    step.rest = mapping;
                    StepKind::Command(Box::new(step))
                }
                Err(reason) => self.unknown(Node::new(NodeKind::Mapping(Box::new(mapping)), span), reason),
            },
            Ok(Kind::Group) => match check_group(&mapping) {
                Ok(()) => StepKind::Group(self.group(mapping)?),
                Err(reason) => self.unknown(Node::new(NodeKind::Mapping(Box::new(mapping)), span), reason),
            },
        })
    }

    /// Takes a group apart that [`check_group`] has found sound.
    fn group(&mut self, mut mapping: Mapping) -> Result<GroupStep, Diagnostic> {
        let steps = match mapping.shift_remove("steps") {
            Some(entry) => self.step_list(entry.value)?,
            None => Vec::new(),
        };
        let mut text = |keys: &[&str]| match decode::take(&mut mapping, keys) {
            Some(entry) if !entry.value.is_null() => entry.value.to_spanned_text().map(Some),
            _ => Ok(None),
        };
        Ok(GroupStep {
            key: text(&["key", "id", "identifier"])?.filter(|key| !key.is_empty()),
            group: text(&["group", "label", "name"])?,
            steps,
            rest: mapping,
        })
    }

    fn unknown(&mut self, contents: Node, reason: Diagnostic) -> StepKind {
        self.warnings.push(Diagnostic { severity: Severity::Warning, ..reason.clone() });
        StepKind::Unknown(UnknownStep { contents, reason })
    }
}

/// Finds what would make a group unreadable. Its steps are looked at no deeper than their own readers would fail.
fn check_group(mapping: &Mapping) -> Result<(), Diagnostic> {
    for key in ["key", "id", "identifier", "group", "label", "name"] {
        if let Some(entry) = mapping.get(key) {
            entry.value.to_text()?;
        }
    }
    let Some(entry) = mapping.get("steps") else { return Ok(()) };
    let items = match &entry.value.kind {
        NodeKind::Null => return Ok(()),
        NodeKind::Sequence(items) => items,
        _ => return Err(not_a_list(&entry.value)),
    };
    for item in items {
        match &item.kind {
            NodeKind::String(_) => {}
            NodeKind::Mapping(step) => type_of(step).map(|_| ())?,
            _ => return Err(not_a_step(item)),
        }
    }
    Ok(())
}

/// The `type` of a step, if it has one.
fn type_of(step: &Mapping) -> Result<Option<Spanned<&str>>, Diagnostic> {
    let Some(entry) = step.get("type") else { return Ok(None) };
    let Some(name) = entry.value.as_str() else {
        let message = format!("the `type` of the step is {}", entry.value.describe());
        return Err(Diagnostic::error(message).at(entry.value.span).label("expected a string"));
    };
    Ok(Some(Spanned::new(name, entry.value.span)))
}

fn not_a_list(steps: &Node) -> Diagnostic {
    Diagnostic::error(format!("`steps` is {}", steps.describe()))
        .at(steps.span)
        .label("expected a list of steps")
        .help("begin each step with `- `")
}

fn not_a_step(item: &Node) -> Diagnostic {
    Diagnostic::error(format!("a step cannot be {}", item.describe()))
        .at(item.span)
        .label("expected a mapping, or one of the words `wait`, `block` and `input`")
}

fn unknown_type(name: &Spanned<&str>) -> Diagnostic {
    Diagnostic::error(format!("unknown type of step `{}`", name.value))
        .at(name.span)
        .label("expected `command`, `wait`, `block`, `input`, `trigger` or `group`")
}

fn unknown_keys(step: &Mapping, span: Span) -> Diagnostic {
    // The first key is enough to find the step; the whole of it may be long.
    let place = step.first().map_or(span, |(_, entry)| entry.key_span);
    Diagnostic::error("the step has nothing to do")
        .at(place)
        .label("none of the keys of this step says what kind of step it is")
        .help("add `command`, `uses`, `plugins`, `wait`, `block`, `input`, `trigger` or `group`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Position;

    fn load(text: &str) -> Parsed {
        parse(&Source::new("p.yml", text)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn kinds(text: &str) -> Vec<&'static str> {
        let kind = |step: &Step| match step.kind {
            StepKind::Command(_) => "command",
            StepKind::Wait(_) => "wait",
            StepKind::Input(_) => "input",
            StepKind::Trigger(_) => "trigger",
            StepKind::Group(_) => "group",
            StepKind::Unknown(_) => "unknown",
        };
        load(text).pipeline.steps.iter().map(kind).collect()
    }

    #[test]
    fn kinds_of_steps() {
        assert_eq!(
            kinds("[wait, block, {wait: ~}, {input: i}, {trigger: t}, {group: g}]"),
            ["wait", "input", "wait", "input", "trigger", "group"]
        );
        assert_eq!(
            kinds("[{uses: a@1}, {uses: a@1, wait: ~}, {type: script}, {plugins: []}]"),
            ["command", "wait", "command", "command"]
        );
        assert_eq!(kinds("[nonsense, {}, {type: nope}, {command: {a: b}}, {group: g, steps: [5]}]"), ["unknown"; 5]);
    }

    #[test]
    fn warnings_point_at_their_place() {
        let source = Source::new("p.yml", "steps:\n  - command: x\n    env:\n      A: [1]\n");
        let warnings = parse(&source).unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert_eq!(warnings[0].severity, Severity::Warning);
        assert_eq!(source.position(warnings[0].span.unwrap().start), Position { line: 4, column: 10 });
    }

    #[test]
    fn components_keep_their_keys() {
        let json = load("steps: [{uses: a@1, with: {x: 1}, grants: {workspace: read}}]").pipeline.to_json();
        assert_eq!(json.to_string(), r#"{"steps":[{"grants":{"workspace":"read"},"uses":"a@1","with":{"x":1}}]}"#);
    }

    #[test]
    fn unreadable_pipelines() {
        for text in [
            "",
            "# nothing",
            "5",
            "steps: x",
            "steps: [5]",
            "steps: [{type: 5}]",
            "env: [A]",
            "secrets: ~",
            "env: {A: [b]}",
        ] {
            assert!(parse(&Source::new("p.yml", text)).is_err(), "{text}");
        }
    }
}
