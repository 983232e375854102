//! A plan as a graph for Graphviz.

use super::view::{Node, View};
use crate::plan::JobKind;

/// The graph. Dashed are skipped steps, and edges whose failure is no reason not to run.
#[must_use]
pub fn dot(view: &View<'_>) -> String {
    let mut out = String::from("digraph plan {\n  node [shape=box];\n");
    let node = |position: usize, node: &Node<'_>| {
        let label = escape(&node.label);
        let count = if node.jobs.len() > 1 { format!(" ×{}", node.jobs.len()) } else { String::new() };
        let shape = match node.job().kind {
            JobKind::Step(_) => "",
            JobKind::Trigger(_) => ", shape=cds",
            JobKind::Wait => ", shape=oval",
            JobKind::Gate(_) => ", shape=hexagon",
        };
        let style = if node.job().skip.is_some() { ", style=dashed" } else { "" };
        format!("n{position} [label=\"{label}{count}\"{shape}{style}];\n")
    };
    for (position, one) in view.nodes.iter().enumerate().filter(|(_, one)| one.section.is_none()) {
        out.push_str(&format!("  {}", node(position, one)));
    }
    for (section, name) in view.sections.iter().enumerate() {
        out.push_str(&format!("  subgraph cluster_{section} {{\n    label=\"{}\";\n", escape(name)));
        for (position, one) in view.nodes.iter().enumerate().filter(|(_, one)| one.section == Some(section)) {
            out.push_str(&format!("    {}", node(position, one)));
        }
        out.push_str("  }\n");
    }
    for (position, node) in view.nodes.iter().enumerate() {
        for edge in &node.edges {
            let style = if edge.allow_failure { " [style=dashed]" } else { "" };
            out.push_str(&format!("  n{} -> n{position}{style};\n", edge.to));
        }
    }
    out.push_str("}\n");
    out
}

/// Text for a quoted label, where `\` begins an escape and `&` an entity.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            control if control.is_control() => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}
