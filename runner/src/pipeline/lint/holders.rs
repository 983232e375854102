//! Unknown keys at the top of a file: a mistake, unless the file keeps its anchors there.

use super::{Findings, Same};
use crate::pipeline::diagnostic::{Diagnostic, Span};
use crate::pipeline::node::{Entry, Mapping, Node, NodeKind};
use crate::pipeline::schema::{PIPELINE, STEP_KINDS, is_extension};
use crate::pipeline::similar::{closest, enumerate};

/// Reports the unknown keys whose values nothing else in the file refers to.
pub(super) fn check(root: &Node, findings: &mut Findings) {
    let Some(mapping) = root.as_mapping() else { return };
    let unknown: Vec<_> = mapping
        .iter()
        .filter(|(key, _)| PIPELINE.attribute(key).is_none() && !is_extension(key) && !key.contains('$'))
        .collect();
    // What came through an alias itself holds nothing.
    let holds = |entry: &Entry| entry.key_span.start < entry.value.span.start;
    let places = unknown.iter().filter(|(_, entry)| holds(entry)).map(|(_, entry)| entry.value.span).collect();
    let used = used(mapping, places);
    for (key, entry) in unknown {
        if holds(entry) && used.contains(&entry.value.span) {
            continue;
        }
        let finding = Diagnostic::error(format!("unknown key `{key}` at the top of the file")).at(entry.key_span);
        let kinds: Vec<&str> =
            STEP_KINDS.iter().filter(|kind| kind.attribute(key).is_some()).map(|kind| kind.what).collect();
        let finding = match closest(key, PIPELINE.names()) {
            Some(meant) => finding.help(format!("did you mean `{meant}`?")),
            None if kinds.len() > 2 => finding.help("it is a key of steps"),
            None if !kinds.is_empty() => finding.help(format!("it is a key of {}", enumerate(&kinds))),
            None => finding.help("it has no effect; begin keys of your own with `x-`"),
        };
        findings.report(finding, Same::Nowhere);
    }
}

/// Those of the places in which something was written that also stands elsewhere: what comes through an alias knows
/// where its anchor is.
fn used(mapping: &Mapping, mut places: Vec<Span>) -> Vec<Span> {
    places.sort_by_key(|place| place.start);
    let mut used = Vec::new();
    for entry in mapping.values() {
        let own = Span::new(entry.key_span.start, entry.value.span.end);
        let mut refers = |to: Span| {
            let before = places.partition_point(|place| place.start <= to.start);
            let Some(place) = before.checked_sub(1).and_then(|index| places.get(index)) else { return };
            let inside = to.start < place.end && to.end <= place.end;
            if inside && !(own.start <= to.start && to.end <= own.end) && used.last() != Some(place) {
                used.push(*place);
            }
        };
        let mut open = vec![&entry.value];
        while let Some(node) = open.pop() {
            refers(node.span);
            match &node.kind {
                NodeKind::Sequence(items) => open.extend(items),
                NodeKind::Mapping(mapping) => {
                    for entry in mapping.values() {
                        refers(entry.key_span);
                        open.push(&entry.value);
                    }
                }
                _ => {}
            }
        }
    }
    used.sort_by_key(|place| place.start);
    used.dedup();
    used
}
