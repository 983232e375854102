//! The fields of block and input steps: answers that overwrite each other, defaults nobody can choose.

use std::collections::HashSet;

use indexmap::IndexSet;

use super::steps::steps;
use super::{Findings, Same, is_later, settled};
use crate::pipeline::diagnostic::Diagnostic;
use crate::pipeline::load::Kind;
use crate::pipeline::node::{Mapping, Node};

/// Checks the fields of every step.
pub(super) fn check(root: &Node, findings: &mut Findings) {
    for step in steps(root).iter().filter(|step| step.kind == Some(Kind::Input)) {
        let mut keys: HashSet<String> = HashSet::new();
        for field in items(step.keys, "fields").filter_map(Node::as_mapping) {
            if let Some((key, place)) = settled(field, "key")
                && !keys.insert(key.clone())
            {
                let message = format!("another field of the step has the key `{key}`");
                let finding = Diagnostic::error(message).at(place).label("overwrites its answer");
                findings.report(finding, Same::At(place));
            }
            options(field, findings);
        }
    }
}

fn options(field: &Mapping, findings: &mut Findings) {
    let mut values: IndexSet<String> = IndexSet::new();
    for option in items(field, "options").filter_map(Node::as_mapping) {
        let Some(value) = option.get("value").map(|entry| &entry.value) else { continue };
        let Ok(text) = value.to_text() else { continue };
        if is_later(&text) {
            // What can be chosen is not known yet.
            return;
        }
        if !values.insert(text.clone()) {
            let finding = Diagnostic::error(format!("another option has the value `{text}`"));
            findings.report(finding.at(value.span), Same::At(value.span));
        }
    }
    if values.is_empty() {
        return;
    }
    let Some(default) = field.get("default").map(|entry| &entry.value) else { return };
    for chosen in default.as_sequence().unwrap_or(std::slice::from_ref(default)) {
        let Ok(text) = chosen.to_text() else { continue };
        if !text.is_empty() && !is_later(&text) && !values.contains(&text) {
            let known: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            let finding = Diagnostic::error(format!("the default `{text}` is none of the options")).at(chosen.span);
            findings.report(finding.help(format!("the values are {}", known.join(", "))), Same::At(chosen.span));
        }
    }
}

fn items<'a>(mapping: &'a Mapping, key: &str) -> impl Iterator<Item = &'a Node> {
    mapping.get(key).and_then(|entry| entry.value.as_sequence()).unwrap_or_default().iter()
}
