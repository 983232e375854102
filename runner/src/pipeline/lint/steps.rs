//! The steps of a file as written, those in groups too.

use crate::pipeline::load::Kind;
use crate::pipeline::node::{Mapping, Node, NodeKind};

/// A step that is a mapping.
pub(super) struct WrittenStep<'a> {
    /// `None` when it is of no known kind.
    pub(super) kind: Option<Kind>,
    pub(super) keys: &'a Mapping,
}

/// All steps that are mappings, in the order of the file.
pub(super) fn steps(root: &Node) -> Vec<WrittenStep<'_>> {
    let mut found = Vec::new();
    let mut open: Vec<&Node> = items(root).unwrap_or_else(|| root.get("steps").and_then(items).unwrap_or_default());
    while let Some(node) = open.pop() {
        let Some(keys) = node.as_mapping() else { continue };
        let kind = Kind::of(keys);
        found.push(WrittenStep { kind, keys });
        if kind == Some(Kind::Group) {
            open.extend(node.get("steps").and_then(items).unwrap_or_default());
        }
    }
    found
}

/// The items of a list, the first one last.
fn items(node: &Node) -> Option<Vec<&Node>> {
    match &node.kind {
        NodeKind::Sequence(items) => Some(items.iter().rev().collect()),
        _ => None,
    }
}
