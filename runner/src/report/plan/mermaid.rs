//! A plan as a Mermaid flowchart, as GitHub and GitLab draw it within Markdown.

use super::view::{Node, View};
use crate::plan::JobKind;

/// The flowchart. Dashed are skipped steps, and edges whose failure is no reason not to run.
#[must_use]
pub fn mermaid(view: &View<'_>) -> String {
    let mut out = String::from("flowchart TD\n");
    let node = |position: usize, node: &Node<'_>| {
        let label = escape(&node.label);
        let count = if node.jobs.len() > 1 { format!(" ×{}", node.jobs.len()) } else { String::new() };
        let (open, close) = match node.job().kind {
            JobKind::Step(_) => ("[", "]"),
            JobKind::Trigger(_) => ("[[", "]]"),
            JobKind::Wait => ("([", "])"),
            JobKind::Gate(_) => ("{{", "}}"),
        };
        format!("n{position}{open}\"{label}{count}\"{close}\n")
    };
    for (position, one) in view.nodes.iter().enumerate().filter(|(_, one)| one.section.is_none()) {
        out.push_str(&format!("  {}", node(position, one)));
    }
    for (section, name) in view.sections.iter().enumerate() {
        out.push_str(&format!("  subgraph g{section}[\"{}\"]\n", escape(name)));
        for (position, one) in view.nodes.iter().enumerate().filter(|(_, one)| one.section == Some(section)) {
            out.push_str(&format!("    {}", node(position, one)));
        }
        out.push_str("  end\n");
    }
    for (position, node) in view.nodes.iter().enumerate() {
        for edge in &node.edges {
            let arrow = if edge.allow_failure { "-.->" } else { "-->" };
            out.push_str(&format!("  n{} {arrow} n{position}\n", edge.to));
        }
    }
    let skipped = view.nodes.iter().enumerate().filter(|(_, node)| node.job().skip.is_some());
    let skipped: Vec<String> = skipped.map(|(position, _)| format!("n{position}")).collect();
    if !skipped.is_empty() {
        out.push_str("  classDef skipped stroke-dasharray: 5 5\n");
        out.push_str(&format!("  class {} skipped\n", skipped.join(",")));
    }
    out
}

/// Everything that could mean something to Mermaid, to Markdown or to a browser becomes an entity.
pub(super) fn escape(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let inside = |at: usize| {
        let letter =
            |at: Option<usize>| at.and_then(|at| characters.get(at)).is_some_and(|next| next.is_alphanumeric());
        letter(at.checked_sub(1)) && letter(Some(at + 1))
    };
    let mut escaped = String::with_capacity(text.len());
    for (at, character) in characters.iter().enumerate() {
        match character {
            ' ' | ',' => escaped.push(*character),
            '.' | '-' | '/' if inside(at) => escaped.push(*character),
            character if character.is_alphanumeric() => escaped.push(*character),
            character if character.is_control() => escaped.push(' '),
            character => escaped.push_str(&format!("#{};", u32::from(*character))),
        }
    }
    escaped
}
