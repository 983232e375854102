//! The page about the format has one row for every attribute there is, and none for what does not exist.

use crate::project::root;
use runner::pipeline::schema::json_schema;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Where attributes stand, as the page says it, and the definition in the JSON Schema.
const PLACES: [(&str, &str); 7] = [
    ("pipeline", "pipeline"),
    ("command", "command_step"),
    ("wait", "wait_step"),
    ("block", "block_step"),
    ("input", "input_step"),
    ("trigger", "trigger_step"),
    ("group", "group_step"),
];
/// All places but the pipeline.
const EVERY_STEP: &str = "every step";
/// Attributes whose contents are no rows: grants have a page of their own, steps are places of their own.
const ELSEWHERE: [&str; 2] = ["grants", "steps"];
/// The first line of a table of attributes.
const HEADER: &str = "| attribute | of | status |";
/// What a status begins with.
const STATUSES: [&str; 3] = ["works", "read, no effect", "refused"];

/// An attribute by its place and its path, such as `retry.manual.reason`.
type Attribute = (&'static str, String);

/// Every attribute of the format.
fn attributes() -> BTreeSet<Attribute> {
    fn walk(definitions: &Value, way: &mut Vec<String>, prefix: &str, found: &mut Vec<String>) {
        let properties = definitions[way.last().unwrap()]["properties"].as_object().unwrap();
        for (name, property) in properties {
            let path = format!("{prefix}{name}");
            found.push(path.clone());
            if ELSEWHERE.contains(&name.as_str()) {
                continue;
            }
            let mut references = Vec::new();
            collect_references(property, &mut references);
            for reference in references {
                // The kinds of steps may stand in themselves.
                if !way.contains(&reference) {
                    way.push(reference);
                    walk(definitions, way, &format!("{path}."), found);
                    way.pop();
                }
            }
        }
    }
    let schema = json_schema();
    let of = |(place, definition): &(&'static str, &str)| {
        let mut found = Vec::new();
        walk(&schema["definitions"], &mut vec![(*definition).to_owned()], "", &mut found);
        let place = *place;
        found.into_iter().map(move |path| (place, path))
    };
    PLACES.iter().flat_map(of).collect()
}

/// The definitions that a value refers to, in it and in all that it holds.
fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                found.push(reference.trim_start_matches("#/definitions/").to_owned());
            }
            members.values().for_each(|member| collect_references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

/// The attributes that have a row, with the numbers of their lines.
fn rows(page: &str) -> BTreeMap<Attribute, Vec<usize>> {
    let mut rows: BTreeMap<Attribute, Vec<usize>> = BTreeMap::new();
    let mut inside = false;
    for (number, line) in (1..).zip(page.lines()) {
        inside = line == HEADER || (inside && line.starts_with('|'));
        if !inside || line == HEADER || line.starts_with("| ---") {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [names, places, status] = cells[..] else { panic!("line {number} has not three cells: {line}") };
        assert!(STATUSES.iter().any(|known| status.starts_with(known)), "line {number}: no status: {status}");
        let places: Vec<&str> = match places {
            EVERY_STEP => PLACES[1..].iter().map(|(place, _)| *place).collect(),
            places => places.split(", ").collect(),
        };
        for written in places {
            let known = PLACES.iter().find(|(place, _)| *place == written);
            let (place, _) = known.unwrap_or_else(|| panic!("line {number}: `{written}` is no place of attributes"));
            for name in names.split('`').skip(1).step_by(2) {
                rows.entry((place, name.to_owned())).or_default().push(number);
            }
        }
    }
    rows
}

#[test]
fn every_attribute_has_its_row() {
    let page = std::fs::read_to_string(root().join("docs/pipeline.md")).unwrap();
    let (attributes, rows) = (attributes(), rows(&page));
    assert!(attributes.len() > 150, "the schema has only {} attributes", attributes.len());
    let mut problems = Vec::new();
    for (place, name) in &attributes {
        match rows.get(&(*place, name.clone())).map(Vec::as_slice) {
            None => problems.push(format!("there is no row for `{name}` of {place}")),
            Some([_]) => {}
            Some(several) => problems.push(format!("`{name}` of {place} has several rows, in the lines {several:?}")),
        }
    }
    for ((place, name), lines) in &rows {
        if !attributes.contains(&(*place, name.clone())) {
            problems.push(format!("line {}: there is no attribute `{name}` of {place}", lines[0]));
        }
    }
    assert!(problems.is_empty(), "docs/pipeline.md:\n{}", problems.join("\n"));
}
