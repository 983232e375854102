//! The texts of a template as the service will see them, as far as they are known beforehand: dynamic references,
//! imports and transforms in them reach outside the template.
//!
//! Texts are put together where the template does so with what is known (`Fn::Sub`, `Fn::Join`, `Ref`,
//! `Fn::FindInMap`, `Fn::Select`). What only the making of the stack tells (attributes of resources, conditions)
//! stands as [`UNKNOWN`]; a reference is refused when the grant does not permit it whatever that turns out to be.

use super::super::missing::Missing;
use super::{Given, Subject};
use crate::plan::grant::matches_pattern;
use serde_json::{Map, Value};

/// Stands for a text that is not known. Not a character (Unicode 23.7), so no pattern contains it: only a `*` covers it.
const UNKNOWN: char = '\u{FFFF}';

/// Bytes of all texts put together; a template may multiply a text by itself again and again.
const MAX_TEXT: usize = 16 << 20;

const OPENING: &str = "{{";
const RESOLVE: &str = "resolve:";
const SERVICES: [&str; 3] = ["ssm:", "ssm-secure:", "secretsmanager:"];

/// Adds every dynamic reference, import and transform that is not granted; `Err` says what cannot be checked.
pub(super) fn check(template: &Map<String, Value>, subject: &Subject<'_>, missing: &mut Missing) -> Result<(), String> {
    let mut texts = Texts { template, subject, missing, written: 0 };
    if let Some(transform) = template.get("Transform") {
        texts.transform(transform)?;
    }
    for value in subject.parameters.values() {
        if let Given::Plain(value) = value {
            texts.scan(value)?;
        }
    }
    texts.parameter_types();
    template.values().try_for_each(|value| texts.walk(value))
}

/// Names a value refers to by `Ref` and in the texts of `Fn::Sub`.
pub(super) fn references(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match value {
        Value::Array(items) => items.iter().for_each(|item| found.extend(references(item))),
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("Ref", Value::String(name)) => found.push(name.clone()),
                    ("Fn::Sub", Value::String(text)) => found.extend(variables(text)),
                    ("Fn::Sub", Value::Array(items)) => {
                        found.extend(items.first().and_then(Value::as_str).map(variables).unwrap_or_default());
                        found.extend(references(value));
                    }
                    _ => found.extend(references(value)),
                }
            }
        }
        _ => {}
    }
    found
}

fn variables(text: &str) -> Vec<String> {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split_once('}'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}

struct Texts<'a> {
    template: &'a Map<String, Value>,
    subject: &'a Subject<'a>,
    missing: &'a mut Missing,
    written: usize,
}

impl Texts<'_> {
    fn walk(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.scan(text),
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            Value::Object(object) => object.iter().try_for_each(|(key, inner)| self.member(value, key, inner)),
            _ => Ok(()),
        }
    }

    fn member(&mut self, whole: &Value, key: &str, inner: &Value) -> Result<(), String> {
        match key {
            "Fn::Transform" => self.transform(inner)?,
            "Fn::ImportValue" => self.import(inner)?,
            "Fn::Sub" | "Fn::Join" => {
                let text = self.text_of(whole)?;
                self.scan(&text)?;
                // Their literal pieces mean nothing alone, the functions among them do.
                return self.walk_functions(inner);
            }
            _ => self.scan(key)?,
        }
        self.walk(inner)
    }

    fn walk_functions(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.walk_functions(item)),
            Value::Object(object) if object.keys().any(|key| key == "Ref" || key.starts_with("Fn::")) => {
                self.walk(value)
            }
            Value::Object(object) => object.values().try_for_each(|value| self.walk_functions(value)),
            _ => Ok(()),
        }
    }

    /// What a value is as a text.
    fn text_of(&mut self, value: &Value) -> Result<String, String> {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Object(object) => match object.iter().next() {
                Some((name, argument)) if object.len() == 1 => self.function(name, argument)?,
                _ => UNKNOWN.to_string(),
            },
            _ => UNKNOWN.to_string(),
        };
        self.written += text.len();
        if self.written > MAX_TEXT {
            return Err("multiplies its own texts beyond what can be checked".to_owned());
        }
        Ok(text)
    }

    fn function(&mut self, name: &str, argument: &Value) -> Result<String, String> {
        let unknown = Ok(UNKNOWN.to_string());
        match (name, argument) {
            ("Ref", Value::String(name)) => Ok(self.reference(name)),
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &Map::new()),
            ("Fn::Sub", Value::Array(items)) => match items.as_slice() {
                [Value::String(text), Value::Object(variables)] => self.substitute(text, variables),
                _ => unknown,
            },
            ("Fn::Join", Value::Array(items)) => match items.as_slice() {
                [Value::String(delimiter), Value::Array(pieces)] => {
                    let pieces: Result<Vec<_>, _> = pieces.iter().map(|piece| self.text_of(piece)).collect();
                    Ok(pieces?.join(delimiter))
                }
                _ => unknown,
            },
            ("Fn::FindInMap", Value::Array(keys)) => {
                let mut found = self.template.get("Mappings");
                for key in keys {
                    let key = self.text_of(key)?;
                    found = found.and_then(|mapping| mapping.get(&key));
                }
                match found {
                    Some(value @ (Value::String(_) | Value::Number(_) | Value::Bool(_))) => self.text_of(value),
                    _ => unknown,
                }
            }
            ("Fn::Select", Value::Array(items)) => match items.as_slice() {
                [index, Value::Array(choices)] => {
                    let index = self.text_of(index)?.parse::<usize>().ok();
                    match index.and_then(|index| choices.get(index)) {
                        Some(choice) => self.text_of(choice),
                        None => unknown,
                    }
                }
                _ => unknown,
            },
            _ => unknown,
        }
    }

    /// The text of `Fn::Sub` (CloudFormation User Guide): `${Name}` is replaced, `${!Name}` stands for `${Name}`.
    fn substitute(&mut self, text: &str, variables: &Map<String, Value>) -> Result<String, String> {
        let mut result = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            result.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                result.push_str("${");
                rest = after;
                continue;
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                result.push_str(&format!("${{{literal}}}"));
            } else {
                let replacement = match variables.get(name.trim()) {
                    Some(value) => self.text_of(value)?,
                    None => self.reference(name.trim()),
                };
                result.push_str(&replacement);
            }
            if result.len() > MAX_TEXT {
                return Err("multiplies its own texts beyond what can be checked".to_owned());
            }
        }
        result.push_str(rest);
        Ok(result)
    }

    fn reference(&self, name: &str) -> String {
        let grant = self.subject.grant;
        match name {
            "AWS::AccountId" => return grant.account.clone(),
            "AWS::Region" => return grant.region.clone(),
            "AWS::StackName" => return self.subject.stack.to_owned(),
            _ => {}
        }
        let known = match self.subject.parameters.get(name) {
            Some(Given::Plain(value)) => Some((*value).to_owned()),
            Some(Given::Secret | Given::Previous) => None,
            None => self.default_of(name),
        };
        // A parameter that names an SSM parameter stands for what is stored there.
        known.filter(|_| self.ssm_type(name).is_none()).unwrap_or_else(|| UNKNOWN.to_string())
    }

    fn parameter(&self, name: &str) -> Option<&Value> {
        self.template.get("Parameters").and_then(|parameters| parameters.get(name))
    }

    fn default_of(&self, name: &str) -> Option<String> {
        match self.parameter(name)?.get("Default")? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    fn ssm_type(&self, name: &str) -> Option<&str> {
        let kind = self.parameter(name)?.get("Type")?.as_str()?;
        kind.starts_with("AWS::SSM::Parameter::Value<").then_some(kind)
    }

    /// A parameter of an SSM type reads the SSM parameter its value names, just as a dynamic reference does.
    fn parameter_types(&mut self) {
        let Some(Value::Object(parameters)) = self.template.get("Parameters") else { return };
        for name in parameters.keys() {
            if self.ssm_type(name).is_none() {
                continue;
            }
            let stored = match self.subject.parameters.get(name.as_str()) {
                Some(Given::Plain(value)) => Some((*value).to_owned()),
                Some(Given::Secret) => Some(UNKNOWN.to_string()),
                // It was permitted when it was set.
                Some(Given::Previous) => None,
                None => self.default_of(name),
            };
            // What AWS publishes for everybody, for instance the newest machine image.
            if let Some(stored) = stored.filter(|stored| !stored.starts_with("/aws/service/")) {
                self.permit_reference(&format!("ssm:{stored}"));
            }
        }
    }

    /// Looks for dynamic references (`{{resolve:SERVICE:KEY}}`), and for pieces of one.
    fn scan(&mut self, text: &str) -> Result<(), String> {
        for (at, _) in text.match_indices('{') {
            let Some(inside) = text[at..].strip_prefix(OPENING).map(str::trim_start) else { continue };
            if let Some(body) = inside.strip_prefix(RESOLVE) {
                match body.split_once("}}") {
                    Some((body, _)) => self.permit_reference(body),
                    None => return Err(broken(text)),
                }
            } else {
                // What follows the known part may complete the word.
                let known = inside.split(UNKNOWN).next().unwrap_or_default();
                if RESOLVE.starts_with(known) {
                    return Err(broken(text));
                }
            }
        }
        for (at, _) in text.match_indices(RESOLVE) {
            let before = text[..at].trim_end();
            if before.ends_with(OPENING) {
                continue;
            }
            let before = before.strip_suffix('{').unwrap_or(before);
            let after = &text[at + RESOLVE.len()..];
            let names_a_service =
                after.is_empty() || after.starts_with(UNKNOWN) || SERVICES.iter().any(|one| after.starts_with(one));
            if names_a_service && (before.is_empty() || before.ends_with(UNKNOWN)) {
                return Err(broken(text));
            }
        }
        Ok(())
    }

    fn permit_reference(&mut self, body: &str) {
        let body = body.trim();
        // A version at the end: `ssm:/orders/key:3`.
        let unversioned = body
            .rsplit_once(':')
            .filter(|(name, version)| name.contains(':') && version.bytes().all(|byte| byte.is_ascii_digit()));
        let unversioned = unversioned.map_or(body, |(name, _)| name);
        let permitted = |pattern: &String| matches_pattern(pattern, body) || matches_pattern(pattern, unversioned);
        if !self.subject.grant.references.iter().any(permitted) {
            let what = format!("the template reads `{}`, which is not granted", open_ended(body));
            self.missing.add(what, "references", open_ended(unversioned));
        }
    }

    fn import(&mut self, argument: &Value) -> Result<(), String> {
        let name = self.text_of(argument)?;
        if !self.subject.grant.imports.iter().any(|pattern| matches_pattern(pattern, &name)) {
            let what = format!("the template imports `{}`, which is not granted", open_ended(&name));
            self.missing.add(what, "imports", open_ended(&name));
        }
        Ok(())
    }

    /// A transform, in any of its forms: a name, an object with a name, a list of these.
    fn transform(&mut self, transform: &Value) -> Result<(), String> {
        let name = match transform {
            Value::Array(items) => return items.iter().try_for_each(|item| self.transform(item)),
            Value::Object(object) => object.get("Name").and_then(Value::as_str),
            other => other.as_str(),
        };
        let name = name.ok_or("has a transform without a name; expected a text such as AWS::LanguageExtensions")?;
        if !self.subject.grant.transforms.iter().any(|granted| granted == name) {
            let what = format!("the template is changed by the transform `{}`, which is not granted", open_ended(name));
            self.missing.add(what, "transforms", open_ended(name));
        }
        Ok(())
    }
}

/// For messages and YAML: no control characters, and a `*` for what is not known.
fn open_ended(text: &str) -> String {
    super::shown(&text.replace(UNKNOWN, "*"))
}

fn broken(text: &str) -> String {
    let excerpt: String = text.chars().take(60).collect();
    format!(
        "has a text with a piece of a dynamic reference: `{}`; write the reference whole, as {{{{resolve:ssm:/name}}}}, \
         in one text",
        open_ended(&excerpt)
    )
}
