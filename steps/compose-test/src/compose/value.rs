//! Values of the types Compose knows. Each reader refuses another type and says what was expected.

use super::interpolate::Variables;
use super::name;
use super::problem::{Code, Findings, Mark};
use super::yaml::{Entry, Node, Value};
use super::{quantity, words};

/// Refuses a value of another form than expected.
pub fn unexpected<T>(node: &Node, expected: &str, findings: &mut Findings) -> Option<T> {
    let found = match &node.value {
        Value::Scalar(text) => format!("`{}`", text.chars().take(80).collect::<String>().escape_debug()),
        _ => node.describe().to_owned(),
    };
    findings.refuse(Code::Value, node.at, format!("expected {expected}, found {found}"), "");
    None
}

pub fn text(node: &Node, findings: &mut Findings) -> Option<String> {
    match &node.value {
        Value::Scalar(text) => Some(text.clone()),
        _ => unexpected(node, "a text", findings),
    }
}

pub fn boolean(node: &Node, findings: &mut Findings) -> Option<bool> {
    match &node.value {
        Value::Scalar(text) if matches!(text.as_str(), "true" | "True" | "TRUE") => Some(true),
        Value::Scalar(text) if matches!(text.as_str(), "false" | "False" | "FALSE") => Some(false),
        _ => unexpected(node, "`true` or `false`", findings),
    }
}

pub fn number(node: &Node, findings: &mut Findings) -> Option<u32> {
    converted(node, "a whole number", |text| text.parse().ok(), findings)
}

/// Milliseconds.
pub fn duration(node: &Node, findings: &mut Findings) -> Option<u64> {
    converted(node, "a duration such as `1m30s` or `500ms`", quantity::milliseconds, findings)
}

/// Bytes.
pub fn size(node: &Node, findings: &mut Findings) -> Option<u64> {
    converted(node, "a size such as `512m` or `1g`", quantity::bytes, findings)
}

/// Thousandths.
pub fn cpus(node: &Node, findings: &mut Findings) -> Option<u32> {
    converted(node, "a number of CPUs such as `0.5`", quantity::milli_cpus, findings)
}

fn converted<T>(node: &Node, expected: &str, convert: fn(&str) -> Option<T>, findings: &mut Findings) -> Option<T> {
    match &node.value {
        Value::Scalar(text) => convert(text).or_else(|| unexpected(node, expected, findings)),
        _ => unexpected(node, expected, findings),
    }
}

pub fn list<'a>(node: &'a Node, findings: &mut Findings) -> &'a [Node] {
    match &node.value {
        Value::List(items) => items,
        _ => unexpected(node, "a list", findings).unwrap_or(&[]),
    }
}

/// The entries; none for an empty value.
pub fn map<'a>(node: &'a Node, findings: &mut Findings) -> &'a [Entry] {
    match &node.value {
        Value::Map(entries) => entries,
        Value::Null => &[],
        _ => unexpected(node, "a mapping", findings).unwrap_or(&[]),
    }
}

/// One value, or a list of them.
pub fn one_or_many(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

/// Texts with their places.
pub fn texts<'a>(nodes: &'a [Node], findings: &mut Findings) -> Vec<(&'a str, Mark)> {
    let mut texts = Vec::with_capacity(nodes.len());
    for node in nodes {
        match &node.value {
            Value::Scalar(text) => texts.push((text.as_str(), node.at)),
            _ => unexpected(node, "a text", findings).unwrap_or(()),
        }
    }
    texts
}

/// A program and its arguments: a list as it is, a text taken apart into words. Empty keeps the image's.
pub fn command(node: &Node, findings: &mut Findings) -> Vec<String> {
    let words = match &node.value {
        Value::Null => return Vec::new(),
        Value::List(items) => texts(items, findings).into_iter().map(|(text, _)| text.to_owned()).collect(),
        Value::Scalar(text) => match words::split(text) {
            Ok(split) => {
                if let Some(operator) = split.operator {
                    let shell = "write `[\"sh\", \"-c\", \"…\"]` for a shell";
                    findings.warn(
                        node.at,
                        format!("no shell runs this: the program gets the `{operator}` as it is; {shell}"),
                    );
                }
                split.words
            }
            Err(reason) => {
                let remedy = "write a list, or a shell: `[\"sh\", \"-c\", \"…\"]`";
                findings.refuse(Code::Value, node.at, reason, remedy);
                return Vec::new();
            }
        },
        Value::Map(_) => return unexpected(node, "a text or a list of texts", findings).unwrap_or_default(),
    };
    if words.is_empty() {
        let remedy = "leave the key out to keep the image's, or name a program";
        findings.refuse(Code::Value, node.at, "an empty command: the image's own cannot be taken away", remedy);
    }
    words
}

/// `NAME: value` mappings and `NAME=value` lists. A name alone takes its value from the step's variables and is left
/// out, with a warning, when it has none there.
pub fn key_values(node: &Node, variables: &Variables<'_>, findings: &mut Findings) -> Vec<(String, String)> {
    let mut written: Vec<(&str, Option<&str>, Mark)> = Vec::new();
    match &node.value {
        Value::List(items) => {
            for (text, at) in texts(items, findings) {
                let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
                written.push((key, value, at));
            }
        }
        _ => {
            for entry in map(node, findings) {
                match &entry.node.value {
                    Value::Null => written.push((&entry.key, None, entry.at)),
                    Value::Scalar(text) => written.push((&entry.key, Some(text), entry.at)),
                    _ => unexpected(&entry.node, "a text", findings).unwrap_or(()),
                }
            }
        }
    }
    let mut pairs = Vec::with_capacity(written.len());
    for (key, value, at) in written {
        if !name::is_variable(key) {
            let message = format!("`{}` is no name of a variable", key.escape_debug());
            findings.refuse(Code::Name, at, message, "expected a name without `=` and spaces");
            continue;
        }
        match value.map(str::to_owned).or_else(|| variables(key)) {
            Some(value) => pairs.push((key.to_owned(), value)),
            None => findings
                .warn(at, format!("`{key}` is not set: the step has no value for it (`grants.env`, `with.env`)")),
        }
    }
    pairs
}
