//! The table as a JSON Schema (draft 07), which editors check and complete files with.

use serde_json::{Map, Value, json};

use super::{Attribute, Keys, Name, PIPELINE, Shape};

/// A value that is known only later, because a variable or a matrix token stands in it.
const LATER: &str = r"\$|\{\{";

/// The JSON Schema of a pipeline file.
pub fn json_schema() -> Value {
    let definitions: Map<String, Value> =
        reachable(&PIPELINE).into_iter().map(|keys| (keys.name.to_owned(), mapping(keys))).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Delivery pipeline",
        "description": "Buildkite's pipeline format, and the keys that runner adds to it.",
        "anyOf": [
            reference(&PIPELINE),
            { "title": "a list of steps", "type": "array", "items": shape(&super::pipeline::STEP) },
        ],
        "definitions": definitions,
    })
}

/// The mapping and all that can stand in it, each once.
pub(super) fn reachable(root: &'static Keys) -> Vec<&'static Keys> {
    let mut found: Vec<&'static Keys> = Vec::new();
    let mut open = vec![root];
    while let Some(keys) = open.pop() {
        if found.iter().any(|known| std::ptr::eq(*known, keys)) {
            continue;
        }
        found.push(keys);
        let mut shapes: Vec<&'static Shape> = keys.attributes.iter().map(|attribute| &attribute.shape).collect();
        while let Some(shape) = shapes.pop() {
            match shape {
                Shape::Keys(keys) => open.push(keys),
                Shape::Variant(variants) | Shape::Step(variants) => open.extend(*variants),
                Shape::List(item) | Shape::Filled(item) | Shape::Map(item) => shapes.push(item),
                Shape::Either(alternatives) => shapes.extend(*alternatives),
                _ => {}
            }
        }
    }
    found
}

fn reference(keys: &Keys) -> Value {
    json!({ "$ref": format!("#/definitions/{}", keys.name) })
}

fn mapping(keys: &Keys) -> Value {
    let mut properties = Map::new();
    for attribute in keys.attributes {
        for (index, name) in attribute.names.iter().enumerate() {
            properties.insert((*name).to_owned(), property(attribute, index));
        }
    }
    let mut schema = Map::new();
    schema.insert("title".to_owned(), keys.what.into());
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    if !keys.required.is_empty() {
        schema.insert("required".to_owned(), json!(keys.required));
    }
    if !keys.open {
        schema.insert("patternProperties".to_owned(), json!({ r"^x-|\$": true }));
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema.into()
}

/// The schema of an attribute under its name of this position.
fn property(attribute: &Attribute, position: usize) -> Value {
    let about = match position {
        0 => attribute.about.to_owned(),
        _ => format!("{} The same as `{}`.", attribute.about, attribute.names[0]),
    };
    let mut schema = Map::new();
    schema.insert("description".to_owned(), about.into());
    match shape(&attribute.shape) {
        // Beside a reference everything else would be ignored.
        Value::Object(members) if members.contains_key("$ref") => {
            schema.insert("allOf".to_owned(), json!([members]));
        }
        Value::Object(members) => schema.extend(members),
        _ => {}
    }
    schema.into()
}

fn shape(shape: &Shape) -> Value {
    match shape {
        Shape::Any => json!({}),
        Shape::Null => json!({ "type": "null" }),
        Shape::Boolean => {
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": format!("^(true|false)$|{LATER}") }] })
        }
        Shape::Text | Shape::Condition => json!({ "type": ["string", "number", "boolean"] }),
        Shape::Name(Name { most, also }) => {
            let mut schema = json!({ "type": ["string", "number", "boolean"], "maxLength": most });
            if let Some(also) = also {
                let also = also.replace('-', r"\-");
                schema["pattern"] = format!(r"^[a-zA-Z0-9{also}]*$|{LATER}").into();
            }
            schema
        }
        Shape::Integer { least, most } => {
            let mut integer = json!({ "type": "integer" });
            for (keyword, bound, unbounded) in [("minimum", *least, i64::MIN), ("maximum", *most, i64::MAX)] {
                if bound != unbounded {
                    integer[keyword] = bound.into();
                }
            }
            json!({ "anyOf": [integer, { "type": "string", "pattern": format!(r"^\s*[+-]?\d+\s*$|{LATER}") }] })
        }
        Shape::Number { least } => {
            json!({ "anyOf": [{ "type": "number", "minimum": least }, { "type": "string", "pattern": LATER }] })
        }
        Shape::Word(words) => json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": LATER }] }),
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item) }),
        Shape::Filled(item) => json!({ "type": "array", "items": self::shape(item), "minItems": 1 }),
        Shape::Map(item) => json!({ "type": "object", "additionalProperties": self::shape(item) }),
        Shape::Keys(keys) => reference(keys),
        Shape::Variant(variants) | Shape::Step(variants) => {
            json!({ "anyOf": variants.iter().map(|keys| reference(keys)).collect::<Vec<_>>() })
        }
        Shape::Either(alternatives) => {
            let mut flat = Vec::new();
            for schema in alternatives.iter().map(self::shape) {
                match schema.as_object().filter(|members| members.len() == 1).and_then(|members| members.get("anyOf")) {
                    Some(Value::Array(inner)) => flat.extend(inner.iter().cloned()),
                    _ => flat.push(schema),
                }
            }
            json!({ "anyOf": flat })
        }
    }
}
