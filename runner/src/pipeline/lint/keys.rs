//! Keys and values against the table of attributes: typing errors, wrong kinds of values, values out of bounds.

use super::{Findings, Same, is_later, locate};
use crate::pipeline::condition::{Condition, Scope};
use crate::pipeline::diagnostic::{Diagnostic, Source, Span};
use crate::pipeline::interpolate::{Env, expansions, interpolate};
use crate::pipeline::load::Kind;
use crate::pipeline::node::{Entry, Mapping, Node, NodeKind};
use crate::pipeline::schema::{
    BLOCK_STEP, COMMAND_STEP, GROUP_STEP, INPUT_STEP, Keys, PIPELINE, STEP_KINDS, Shape, TRIGGER_STEP, WAIT_STEP,
    is_extension,
};
use crate::pipeline::similar::{closest, enumerate};

/// Checks the whole file.
pub(super) fn check(root: &Node, source: &Source, env: &Env, findings: &mut Findings) {
    let mut check = Check { source, env, scope: Scope::Build, in_grants: false, findings };
    match &root.kind {
        NodeKind::Mapping(mapping) => check.keys(&PIPELINE, mapping, root.span),
        NodeKind::Sequence(_) => {
            if let Some(steps) = PIPELINE.attribute("steps") {
                check.value("`steps`", root, &steps.shape);
            }
        }
        _ => {}
    }
}

struct Check<'a> {
    source: &'a Source,
    env: &'a Env,
    /// What conditions may ask for.
    scope: Scope,
    /// Within `grants` the ordinary check knows all keys itself.
    in_grants: bool,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn keys(&mut self, keys: &'static Keys, mapping: &Mapping, span: Span) {
        for (key, entry) in mapping {
            let Some(attribute) = keys.attribute(key) else {
                if !keys.open && !is_extension(key) && !is_later(key) {
                    self.unknown(key, entry, keys.what, keys.names(), std::slice::from_ref(&keys));
                }
                continue;
            };
            let winner = attribute.names.iter().find(|name| mapping.contains_key(**name)).copied().unwrap_or(key);
            if winner != key {
                let message = format!("`{key}` means the same as `{winner}`, which stands here too and wins");
                let finding = Diagnostic::error(message).at(entry.key_span).label("ignored");
                self.findings.report(finding.help("remove one of the two"), Same::Nowhere);
            }
            let (scope, in_grants) = (self.scope, self.in_grants);
            if key == "notify" && !keys.is(&PIPELINE) {
                self.scope = Scope::Step;
            }
            self.in_grants |= key == "grants";
            self.value(&format!("`{key}`"), &entry.value, &attribute.shape);
            (self.scope, self.in_grants) = (scope, in_grants);
        }
        for required in keys.required {
            let names = keys.attribute(required).map_or(std::slice::from_ref(required), |attribute| attribute.names);
            let misspelt = |key: &String| keys.attribute(key).is_none() && closest(key, [*required]).is_some();
            if !names.iter().any(|name| mapping.contains_key(*name)) && !mapping.keys().any(misspelt) {
                let message = format!("{} has no `{required}`", keys.what);
                self.findings.report(Diagnostic::error(message).at(first_line(self.source, span)), Same::At(span));
            }
        }
    }

    fn unknown(
        &mut self,
        key: &str,
        entry: &Entry,
        what: &str,
        known: impl Iterator<Item = &'static str>,
        here: &[&'static Keys],
    ) {
        if self.findings.is_full() {
            return;
        }
        let finding = Diagnostic::error(format!("unknown key `{key}` in {what}")).at(entry.key_span);
        let elsewhere: Vec<&str> = STEP_KINDS
            .iter()
            .copied()
            .chain([&PIPELINE])
            .filter(|keys| !here.iter().any(|here| here.is(keys)) && keys.attribute(key).is_some())
            .map(|keys| keys.what)
            .collect();
        let finding = match closest(key, known) {
            Some(meant) => finding.help(format!("did you mean `{meant}`?")),
            None if !elsewhere.is_empty() => finding.help(format!("it is a key of {}", enumerate(&elsewhere))),
            None => finding.help("it has no effect; begin keys of your own with `x-`"),
        };
        let whole = Span::new(entry.key_span.start, entry.value.span.end.max(entry.key_span.end));
        self.findings.report(finding, if self.in_grants { Same::Within(whole) } else { Same::Nowhere });
    }

    fn value(&mut self, what: &str, node: &Node, shape: &'static Shape) {
        let shapes = match shape {
            Shape::Either(alternatives) => *alternatives,
            one => std::slice::from_ref(one),
        };
        let fits = match &node.kind {
            NodeKind::Sequence(items) => self.list(what, node, items, shapes),
            NodeKind::Mapping(mapping) => self.mapping(mapping, node.span, shapes),
            _ => self.scalar(node, shapes),
        };
        let finding = match fits {
            Fit::Yes => return,
            Fit::Almost(finding) => finding.at(node.span),
            Fit::No if node.is_null() => Diagnostic::error(format!("{what} has no value")).at(node.span),
            Fit::No => Diagnostic::error(format!("{what} is {}", node.describe())).at(node.span),
        };
        let finding = Diagnostic { label: finding.label.or(Some(format!("expected {}", expected(shapes)))), ..finding };
        self.findings.report(finding, Same::Within(node.span));
    }

    fn list(&mut self, what: &str, node: &Node, items: &[Node], shapes: &'static [Shape]) -> Fit {
        for shape in shapes {
            match shape {
                Shape::Any => return Fit::Yes,
                Shape::Filled(_) if items.is_empty() => {
                    let finding = Diagnostic::error(format!("{what} is empty")).at(node.span);
                    return Fit::Almost(finding.label("expected at least one"));
                }
                Shape::List(item) | Shape::Filled(item) => {
                    let what = if what == "`steps`" { "the step".to_owned() } else { format!("an item of {what}") };
                    for node in items {
                        self.value(&what, node, item);
                    }
                    return Fit::Yes;
                }
                _ => {}
            }
        }
        Fit::No
    }

    fn mapping(&mut self, mapping: &Mapping, span: Span, shapes: &'static [Shape]) -> Fit {
        for shape in shapes {
            match shape {
                Shape::Any => return Fit::Yes,
                Shape::Map(value) => {
                    for (key, entry) in mapping {
                        self.value(&format!("`{key}`"), &entry.value, value);
                    }
                    return Fit::Yes;
                }
                Shape::Keys(keys) => {
                    self.keys(keys, mapping, span);
                    return Fit::Yes;
                }
                Shape::Variant(variants) => {
                    let told = |keys: &&&'static Keys| keys.telling.iter().any(|key| mapping.contains_key(*key));
                    match variants.iter().find(told) {
                        Some(keys) => self.keys(keys, mapping, span),
                        None => self.undecided(mapping, span, variants, None),
                    }
                    return Fit::Yes;
                }
                Shape::Step(kinds) => {
                    self.step(mapping, span, kinds);
                    return Fit::Yes;
                }
                _ => {}
            }
        }
        Fit::No
    }

    fn step(&mut self, step: &Mapping, span: Span, kinds: &'static [&'static Keys]) {
        let keys = match Kind::of(step) {
            Some(Kind::Command) => &COMMAND_STEP,
            Some(Kind::Wait) => &WAIT_STEP,
            Some(Kind::Input) if is_input(step) => &INPUT_STEP,
            Some(Kind::Input) => &BLOCK_STEP,
            Some(Kind::Trigger) => &TRIGGER_STEP,
            Some(Kind::Group) => &GROUP_STEP,
            None => return self.undecided(step, span, kinds, Some("the step")),
        };
        if kinds.iter().any(|kind| kind.is(keys)) {
            return self.keys(keys, step, span);
        }
        let message = format!("{} cannot stand in a group", keys.what);
        self.findings.report(Diagnostic::error(message).at(first_line(self.source, span)), Same::At(span));
    }

    /// Checks the keys of a mapping that could be any of several: a step of no known kind, or something else.
    fn undecided(
        &mut self,
        mapping: &Mapping,
        span: Span,
        variants: &'static [&'static Keys],
        step: Option<&'static str>,
    ) {
        let mut unknown = 0;
        for (key, entry) in mapping {
            match variants.iter().find_map(|keys| keys.attribute(key)) {
                Some(attribute) => self.value(&format!("`{key}`"), &entry.value, &attribute.shape),
                None if is_extension(key) || is_later(key) => {}
                None => {
                    unknown += 1;
                    let names = variants.iter().flat_map(|keys| keys.names());
                    self.unknown(key, entry, step.unwrap_or("this mapping"), names, variants);
                }
            }
        }
        // The ordinary check reports steps without a kind.
        if unknown == 0 && step.is_none() {
            let telling: Vec<String> =
                variants.iter().flat_map(|keys| keys.telling).map(|key| format!("`{key}`")).collect();
            let finding = Diagnostic::error("none of the keys says what this is").at(first_line(self.source, span));
            self.findings.report(finding.help(format!("it needs one of {}", telling.join(", "))), Same::At(span));
        }
    }

    fn scalar(&mut self, node: &Node, shapes: &[Shape]) -> Fit {
        let text = node.to_text().unwrap_or_default();
        if shapes.iter().any(|shape| matches!(shape, Shape::Condition)) && !node.is_null() {
            self.condition(node, &text);
            return Fit::Yes;
        }
        if is_later(&text) {
            return Fit::Yes;
        }
        let mut best = Fit::No;
        for shape in shapes {
            match fit(node, &text, shape) {
                Fit::Yes => return Fit::Yes,
                Fit::No => {}
                almost @ Fit::Almost(_) => best = almost,
            }
        }
        best
    }

    fn condition(&mut self, node: &Node, text: &str) {
        // What cannot be interpolated is reported for itself, and with a variable missing it is not all there.
        let (Ok(condition), Ok(expansions)) = (interpolate(text, self.env), expansions(text)) else { return };
        let missing = expansions.iter().any(|one| !one.has_alternative && self.env.get(one.name).is_none());
        if missing || condition.trim().is_empty() {
            return;
        }
        if let Err(error) = Condition::parse(&condition, self.scope) {
            let place = locate(self.source, node.span, &condition, error.start, error.end);
            let finding = Diagnostic::error(format!("in the condition: {}", error.message)).at(place);
            self.findings.report(Diagnostic { help: error.help, ..finding }, Same::Within(node.span));
        }
    }
}

/// How a value fits what is expected.
enum Fit {
    Yes,
    /// It has the right kind, but is not right.
    Almost(Diagnostic),
    No,
}

fn fit(node: &Node, text: &str, shape: &Shape) -> Fit {
    let is_text = !node.is_null() && !matches!(node.kind, NodeKind::Timestamp(_));
    let fits = match shape {
        Shape::Any => true,
        Shape::Null => node.is_null(),
        Shape::Boolean => matches!(node.kind, NodeKind::Bool(_)) || matches!(node.as_str(), Some("true" | "false")),
        Shape::Text => is_text,
        Shape::Name(name) if is_text => {
            if text.len() > name.most {
                let message = format!("the text has {} bytes", text.len());
                return Fit::Almost(Diagnostic::error(message).label(format!("expected at most {}", name.most)));
            }
            let legal = |also: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c));
            if let Some(also) = name.also.filter(|also| !legal(also)) {
                let message = format!("`{text}` has characters that cannot stand here");
                return Fit::Almost(Diagnostic::error(message).label(format!("expected letters, digits and {also}")));
            }
            true
        }
        Shape::Integer { least, most } => match node.kind {
            NodeKind::Int(_) | NodeKind::UInt(_) | NodeKind::String(_) => match text.trim().parse::<i128>() {
                Ok(number) if (i128::from(*least)..=i128::from(*most)).contains(&number) => true,
                Ok(number) => return Fit::Almost(Diagnostic::error(format!("{number} is out of bounds"))),
                Err(_) => false,
            },
            _ => false,
        },
        Shape::Number { least } => match node.kind {
            NodeKind::Int(_) | NodeKind::Float(_) => text.parse::<f64>().is_ok_and(|number| number >= *least),
            _ => false,
        },
        Shape::Word(words) if node.as_str().is_some() => {
            if words.contains(&text) {
                return Fit::Yes;
            }
            if words.len() < 2 {
                return Fit::No;
            }
            let finding = Diagnostic::error(format!("unknown word `{text}`"));
            return Fit::Almost(match closest(text, words.iter().copied()) {
                Some(meant) => finding.help(format!("did you mean `{meant}`?")),
                None => finding,
            });
        }
        _ => false,
    };
    if fits { Fit::Yes } else { Fit::No }
}

/// What may be a value, in words.
fn expected(shapes: &[Shape]) -> String {
    let mut words: Vec<String> = Vec::new();
    for shape in shapes {
        let word = match shape {
            Shape::Any => "anything".to_owned(),
            Shape::Null => continue,
            Shape::Boolean => "true or false".to_owned(),
            Shape::Text | Shape::Name(_) => "a string".to_owned(),
            Shape::Condition => "a condition".to_owned(),
            Shape::Integer { least, most } => match (*least, *most) {
                (i64::MIN, _) => "an integer".to_owned(),
                (least, i64::MAX) => format!("an integer of at least {least}"),
                (least, most) => format!("an integer from {least} to {most}"),
            },
            Shape::Number { least } => format!("a number of at least {least}"),
            Shape::Word(known) => known.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
            Shape::List(item) | Shape::Filled(item) => match item {
                Shape::Text | Shape::Name(_) => "a list of strings".to_owned(),
                _ => "a list".to_owned(),
            },
            Shape::Map(_) | Shape::Keys(_) | Shape::Variant(_) | Shape::Step(_) => "a mapping".to_owned(),
            Shape::Either(inner) => expected(inner),
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    words.join(" or ")
}

/// Whether a block or input step is an input step.
fn is_input(step: &Mapping) -> bool {
    match step.get("type").and_then(|entry| entry.value.as_str()) {
        Some(kind) => kind == "input",
        None => !step.contains_key("block") && step.contains_key("input"),
    }
}

/// The first line of a mapping, which is enough to find it.
fn first_line(source: &Source, span: Span) -> Span {
    let written = source.text.get(span.start..span.end).unwrap_or_default();
    Span::new(span.start, span.start + written.lines().next().unwrap_or_default().len())
}
