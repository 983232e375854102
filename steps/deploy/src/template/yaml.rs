//! YAML as CloudFormation reads it ("Template formats" of its User Guide), turned into JSON.
//!
//! Short forms of functions (`!Ref X`) become long ones. Plain scalars keep their text wherever a number would lose
//! some of it: `012345678901` is an account and `1.10` a version, and the service converts texts itself.

use super::{MAX_DEPTH, Malformed};
use crate::words::closest;
use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::collections::HashMap;

/// Functions with a short form; with `Fn::` in front in the long one, but for `Ref` and `Condition`.
const FUNCTIONS: [&str; 25] = [
    "And",
    "Base64",
    "Cidr",
    "Condition",
    "Contains",
    "EachMemberEquals",
    "EachMemberIn",
    "Equals",
    "FindInMap",
    "GetAtt",
    "GetAZs",
    "GetStackOutput",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Ref",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
    "ValueOf",
];

/// The JSON of a text, and the lines of its resources.
pub fn parse(text: &str) -> Result<(Value, BTreeMap<String, usize>), Malformed> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Malformed {
            line: error.marker().line(),
            message: format!("not YAML: {}", error.info()),
        })?;
        reader.event(event, span.start.line())?;
    }
    let empty = Malformed { line: 0, message: "the file is empty".to_owned() };
    reader.document.map(|value| (value, reader.lines)).ok_or(empty)
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    document: Option<Value>,
    lines: BTreeMap<String, usize>,
}

/// A list or an object that has not ended.
struct Open {
    function: Option<&'static str>,
    line: usize,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Object { object: Map<String, Value>, lines: HashMap<String, usize>, key: Option<String> },
}

impl Reader {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Malformed> {
        let fault = |message: String| Err(Malformed { line, message });
        match event {
            Event::DocumentStart(_) if self.document.is_some() => {
                fault("a second document begins; expected one template".to_owned())
            }
            Event::Alias(_) => fault("aliases (`*name`) are not part of CloudFormation's YAML".to_owned()),
            Event::SequenceStart(_, tag) => self.begin(tag.as_deref(), line, Content::List(Vec::new())),
            Event::MappingStart(_, tag) => {
                let content = Content::Object { object: Map::new(), lines: HashMap::new(), key: None };
                self.begin(tag.as_deref(), line, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else { return Ok(()) };
                let value = match open.content {
                    Content::List(items) => Value::Array(items),
                    Content::Object { object, .. } => Value::Object(object),
                };
                self.value(wrapped(open.function, value), open.line)
            }
            Event::Scalar(text, style, _, tag) => {
                let tag = tag.as_deref();
                if let Some(Open { content: Content::Object { key: key @ None, lines, object }, .. }) =
                    self.open.last_mut()
                {
                    if let Some(tag) = tag.filter(|tag| !is_text(tag)) {
                        return fault(format!("`{}` in front of a key", shown(tag)));
                    }
                    let text = text.into_owned();
                    if object.contains_key(&text) {
                        let first = lines.get(&text).copied().unwrap_or_default();
                        return fault(format!("`{}` is written twice, first on line {first}", text.escape_debug()));
                    }
                    if text == "<<" && style == ScalarStyle::Plain {
                        return fault("merges (`<<`) are not part of CloudFormation's YAML".to_owned());
                    }
                    lines.insert(text.clone(), line);
                    *key = Some(text);
                    self.note_resource(line);
                    return Ok(());
                }
                let value = match tag {
                    Some(tag) if is_text(tag) => Value::String(text.into_owned()),
                    Some(tag) => wrapped(Some(function(tag, line)?), Value::String(text.into_owned())),
                    None if style == ScalarStyle::Plain => match plain(&text) {
                        Value::Null => return fault(self.missing_value()),
                        value => value,
                    },
                    None => Value::String(text.into_owned()),
                };
                self.value(value, line)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, tag: Option<&Tag>, line: usize, content: Content) -> Result<(), Malformed> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("more than {MAX_DEPTH} objects and lists within each other");
            return Err(Malformed { line, message });
        }
        if let Some(Open { content: Content::Object { key: None, .. }, .. }) = self.open.last() {
            return Err(Malformed { line, message: "a key is a list or an object; expected a text".to_owned() });
        }
        let collection = |tag: &&Tag| !(tag.is_yaml_core_schema() && matches!(tag.suffix.as_str(), "map" | "seq"));
        let function = tag.filter(collection).map(|tag| function(tag, line)).transpose()?;
        self.open.push(Open { function, line, content });
        Ok(())
    }

    fn value(&mut self, value: Value, line: usize) -> Result<(), Malformed> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.document = Some(value),
            Some(Content::List(items)) => items.push(value),
            Some(Content::Object { object, key, .. }) => {
                let message = "a key is a list or an object; expected a text".to_owned();
                let key = key.take().ok_or(Malformed { line, message })?;
                let value = if key == "Fn::GetAtt" { get_att(value) } else { value };
                object.insert(key, value);
            }
        }
        Ok(())
    }

    /// Remembers the line of a key that names a resource.
    fn note_resource(&mut self, line: usize) {
        if let [Open { content: Content::Object { key: Some(section), .. }, .. }, resources] = self.open.as_slice()
            && section == "Resources"
            && let Content::Object { key: Some(name), .. } = &resources.content
        {
            self.lines.insert(name.clone(), line);
        }
    }

    fn missing_value(&self) -> String {
        let key = match self.open.last().map(|open| &open.content) {
            Some(Content::Object { key: Some(key), .. }) => format!(" of `{}`", key.escape_debug()),
            _ => String::new(),
        };
        format!("the value{key} is missing; write `!Ref AWS::NoValue` to leave a property out")
    }
}

/// The function a tag stands for.
fn function(tag: &Tag, line: usize) -> Result<&'static str, Malformed> {
    if tag.handle == "!"
        && let Some(name) = FUNCTIONS.iter().find(|name| **name == tag.suffix)
    {
        return Ok(name);
    }
    let hint = closest(&tag.suffix, FUNCTIONS).map(|name| format!("; did you mean `!{name}`?")).unwrap_or_default();
    Err(Malformed { line, message: format!("`{}` is no function of CloudFormation{hint}", shown(tag)) })
}

fn is_text(tag: &Tag) -> bool {
    tag.is_yaml_core_schema() && tag.suffix == "str" || tag.handle.is_empty() && tag.suffix == "!"
}

fn shown(tag: &Tag) -> String {
    if tag.is_yaml_core_schema() { format!("!!{}", tag.suffix) } else { format!("{}{}", tag.handle, tag.suffix) }
}

fn wrapped(function: Option<&str>, value: Value) -> Value {
    let (name, value) = match function {
        None => return value,
        Some(name @ ("Ref" | "Condition")) => (name.to_owned(), value),
        Some("GetAtt") => ("Fn::GetAtt".to_owned(), get_att(value)),
        Some(name) => (format!("Fn::{name}"), value),
    };
    Value::Object(Map::from_iter([(name, value)]))
}

/// JSON knows `[resource, attribute]` only; the attribute may hold further dots.
fn get_att(value: Value) -> Value {
    match &value {
        Value::String(text) => match text.split_once('.') {
            Some((resource, attribute)) => vec![resource, attribute].into(),
            None => value,
        },
        _ => value,
    }
}

/// A plain scalar by the rules of YAML 1.1, which CloudFormation follows, but for numbers (see the module).
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => true.into(),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => false.into(),
        _ => match text.parse::<i64>() {
            Ok(number) if number.to_string() == text => number.into(),
            _ => match text.parse::<f64>() {
                Ok(number) if number.is_finite() && number.to_string() == text => number.into(),
                _ => text.into(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Value {
        parse(text).map_or_else(|error| panic!("{text}: {error:?}"), |(value, _)| value)
    }

    fn message(text: &str) -> (usize, String) {
        parse(text).map_err(|error| (error.line, error.message)).unwrap_err()
    }

    #[test]
    fn short_forms_become_long_ones() {
        for (short, long) in [
            ("!Ref A", json!({"Ref": "A"})),
            ("!Ref 'AWS::Region'", json!({"Ref": "AWS::Region"})),
            ("!Condition C", json!({"Condition": "C"})),
            ("!GetAtt A.B.C", json!({"Fn::GetAtt": ["A", "B.C"]})),
            ("!GetAtt [A, B]", json!({"Fn::GetAtt": ["A", "B"]})),
            ("!Sub 'x-${A}'", json!({"Fn::Sub": "x-${A}"})),
            ("!Sub ['x-${A}', {A: !Ref B}]", json!({"Fn::Sub": ["x-${A}", {"A": {"Ref": "B"}}]})),
            ("!GetAZs ''", json!({"Fn::GetAZs": ""})),
            ("!GetAZs", json!({"Fn::GetAZs": ""})),
            ("!Select [0, !GetAZs '']", json!({"Fn::Select": [0, {"Fn::GetAZs": ""}]})),
            ("!Not [!Equals [!Ref A, '']]", json!({"Fn::Not": [{"Fn::Equals": [{"Ref": "A"}, ""]}]})),
            ("!FindInMap [M, !Ref E, K]", json!({"Fn::FindInMap": ["M", {"Ref": "E"}, "K"]})),
            ("!If [C, !Ref A, !Ref 'AWS::NoValue']", json!({"Fn::If": ["C", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]})),
            ("!Join\n  - ','\n  - [a, b]", json!({"Fn::Join": [",", ["a", "b"]]})),
            ("!Transform {Name: 'AWS::Include'}", json!({"Fn::Transform": {"Name": "AWS::Include"}})),
            ("{'Fn::GetAtt': A.B}", json!({"Fn::GetAtt": ["A", "B"]})),
            (
                "\n  Fn::Base64: !Sub |\n    #!/bin/sh\n    x ${A}",
                json!({"Fn::Base64": {"Fn::Sub": "#!/bin/sh\nx ${A}\n"}}),
            ),
        ] {
            assert_eq!(read(&format!("x: {short}\n")), json!({"x": long}), "{short}");
        }
    }

    #[test]
    fn scalars_keep_what_they_say() {
        for (text, value) in [
            ("2010-09-09", json!("2010-09-09")),
            ("012345678901", json!("012345678901")),
            ("123456789012", json!(123_456_789_012_i64)),
            ("1.10", json!("1.10")),
            ("0.5", json!(0.5)),
            ("1e3", json!("1e3")),
            ("0x1F", json!("0x1F")),
            ("22:22", json!("22:22")),
            ("-1", json!(-1)),
            ("+1", json!("+1")),
            ("true", json!(true)),
            ("Yes", json!(true)),
            ("off", json!(false)),
            ("y", json!("y")),
            ("'true'", json!("true")),
            ("\"1\"", json!("1")),
            ("!!str 1", json!("1")),
            ("nan", json!("nan")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("0.0.0.0/0", json!("0.0.0.0/0")),
        ] {
            assert_eq!(read(&format!("x: {text}\n")), json!({"x": value}), "{text}");
        }
    }

    #[test]
    fn what_the_service_would_misread_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a: 1\nb:\n  c: 1\n  c: 2\n", 4, "`c` is written twice, first on line 3"),
            ("a: &x 1\nb: *x\n", 2, "aliases"),
            ("a: &x {b: 1}\nc:\n  <<: y\n", 3, "merges"),
            ("a: !Reff B\n", 1, "`!Reff` is no function of CloudFormation; did you mean `!Ref`?"),
            ("a: !!binary aGk=\n", 1, "`!!binary` is no function"),
            ("a:\nb: 1\n", 1, "the value of `a` is missing"),
            ("a: 1\n---\nb: 1\n", 2, "a second document"),
            ("? [a]\n: 1\n", 1, "expected a text"),
            ("a: [1\n", 2, "not YAML"),
            ("", 0, "empty"),
        ] {
            let (at, message) = message(text);
            assert!(message.contains(part), "{text:?}: {message}");
            assert_eq!(at, line, "{text:?}: {message}");
        }
        let deep = format!("a: {}{}\n", "[".repeat(120), "]".repeat(120));
        assert!(message(&deep).1.contains("within each other"));
    }
}
