//! `{{ steps.KEY.outputs.NAME }}`: parameters that come from other jobs.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One use of another job's output within a step's parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputReference {
    /// Where in the parameters: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// `key` of the other step.
    pub step: String,
    /// Name of the output; parts of an object are separated by dots.
    pub output: String,
    /// Whether it is to be text whatever the output is, as variables are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text: bool,
}

/// Every reference in the parameters, in order.
///
/// # Errors
/// A token that begins like a reference and is none: its pointer and what is wrong with it.
pub fn references(params: &Value) -> Result<Vec<OutputReference>, (String, String)> {
    let mut found = Vec::new();
    collect(params, &mut String::new(), &mut found)?;
    Ok(found)
}

fn collect(value: &Value, pointer: &mut String, found: &mut Vec<OutputReference>) -> Result<(), (String, String)> {
    let length = pointer.len();
    match value {
        Value::String(text) => {
            for token in tokens(text) {
                let (step, output) = token.parse().map_err(|problem| (pointer.clone(), problem))?;
                found.push(OutputReference { pointer: pointer.clone(), step, output, text: false });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                collect(item, pointer, found)?;
                pointer.truncate(length);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                collect(item, pointer, found)?;
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// The parameters with every reference replaced by what `outputs` gives for a step's key. A text that is one
/// reference and nothing else takes the output's own type; within a text it is written as text.
///
/// # Errors
/// A reference for which there is no output: what it asks for, and what there is.
pub fn substitute<'a>(
    params: &Value,
    outputs: &impl Fn(&str) -> Option<&'a Map<String, Value>>,
) -> Result<Value, String> {
    Ok(match params {
        Value::String(text) => substitute_text(text, outputs)?,
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| substitute(item, outputs)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => Value::Object(
            entries
                .iter()
                .map(|(key, item)| Ok((key.clone(), substitute(item, outputs)?)))
                .collect::<Result<_, String>>()?,
        ),
        other => other.clone(),
    })
}

/// Turns what references that are to be text have become into text.
pub fn as_text(params: &mut Value, references: &[OutputReference]) {
    for reference in references.iter().filter(|reference| reference.text) {
        match params.pointer_mut(&reference.pointer) {
            Some(Value::String(_)) | None => {}
            Some(other) => *other = Value::String(other.to_string()),
        }
    }
}

fn substitute_text<'a>(text: &str, outputs: &impl Fn(&str) -> Option<&'a Map<String, Value>>) -> Result<Value, String> {
    let mut replaced = String::new();
    let mut rest = 0;
    for token in tokens(text) {
        let (step, output) = token.parse()?;
        let value = lookup(&step, &output, outputs)?;
        if token.start == 0 && token.end == text.len() {
            return Ok(value.clone());
        }
        replaced.push_str(&text[rest..token.start]);
        match value {
            Value::String(value) => replaced.push_str(value),
            other => replaced.push_str(&other.to_string()),
        }
        rest = token.end;
    }
    replaced.push_str(&text[rest..]);
    Ok(Value::String(replaced))
}

fn lookup<'a>(
    step: &str,
    output: &str,
    outputs: &impl Fn(&str) -> Option<&'a Map<String, Value>>,
) -> Result<&'a Value, String> {
    let all = outputs(step).ok_or_else(|| format!("the step `{step}` has no outputs: it did not run"))?;
    let mut parts = output.split('.');
    let first = parts.next().and_then(|name| all.get(name));
    parts.fold(first, |value, name| value?.get(name)).ok_or_else(|| {
        let names: Vec<&str> = all.keys().map(String::as_str).collect();
        format!("the step `{step}` has no output `{output}`; it has: {}", names.join(", "))
    })
}

struct Token<'a> {
    start: usize,
    end: usize,
    inner: &'a str,
}

/// The parts of a text that stand between `{{` and `}}` and begin with `steps.`.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find("{{").map(|at| at + from) {
        let Some(end) = text[start..].find("}}").map(|at| at + start + 2) else { break };
        let inner = text[start + 2..end - 2].trim();
        if inner.starts_with("steps.") {
            found.push(Token { start, end, inner });
        }
        from = end;
    }
    found
}

impl Token<'_> {
    fn parse(&self) -> Result<(String, String), String> {
        let expected =
            || format!("`{{{{ {} }}}}` is not a reference; write {{{{ steps.KEY.outputs.NAME }}}}", self.inner);
        let rest = self.inner.strip_prefix("steps.").ok_or_else(expected)?;
        let (step, output) = rest.split_once(".outputs.").ok_or_else(expected)?;
        let well_formed = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
        if !well_formed(step) || !output.split('.').all(well_formed) {
            return Err(expected());
        }
        Ok((step.to_owned(), output.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_found_with_their_place() {
        let params =
            json!({"a": ["x {{ steps.image.outputs.digest }} y"], "b/c": "{{steps.t.outputs.n.m}}", "d": "{{matrix}}"});
        let found = references(&params).unwrap();
        assert_eq!(
            found.iter().map(|r| (r.pointer.as_str(), r.step.as_str(), r.output.as_str())).collect::<Vec<_>>(),
            [("/a/0", "image", "digest"), ("/b~1c", "t", "n.m")]
        );
        assert_eq!(references(&json!(["{{ steps.image.digest }}"])).unwrap_err().0, "/0");
    }

    #[test]
    fn a_whole_reference_keeps_its_type() {
        let outputs = json!({"n": 3, "o": {"p": "q"}});
        let outputs = outputs.as_object().unwrap();
        let get = |step: &str| (step == "s").then_some(outputs);
        let params = json!({"a": "{{ steps.s.outputs.n }}", "b": "v{{ steps.s.outputs.n }}-{{steps.s.outputs.o.p}}"});
        assert_eq!(substitute(&params, &get).unwrap(), json!({"a": 3, "b": "v3-q"}));
        let mut variables = substitute(&json!({"env": {"N": "{{ steps.s.outputs.n }}"}}), &get).unwrap();
        let reference = OutputReference { pointer: "/env/N".into(), step: "s".into(), output: "n".into(), text: true };
        as_text(&mut variables, &[reference]);
        assert_eq!(variables, json!({"env": {"N": "3"}}));
        let missing = substitute(&json!("{{ steps.s.outputs.x }}"), &get).unwrap_err();
        assert_eq!(missing, "the step `s` has no output `x`; it has: n, o");
        assert!(substitute(&json!("{{ steps.other.outputs.x }}"), &get).unwrap_err().contains("did not run"));
    }
}
