//! Reads typed values out of a mapping and collects what is wrong with them.

use indexmap::IndexMap;

use crate::pipeline::diagnostic::{Diagnostic, Span, Spanned};
use crate::pipeline::node::{Mapping, Node, NodeKind};

/// A mapping being read.
pub(super) struct Reader<'a> {
    mapping: &'a Mapping,
    findings: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(mapping: &'a Mapping) -> Self {
        Self { mapping, findings: Vec::new() }
    }

    /// The value of the first of the keys that is present, unless it is null.
    pub(super) fn node(&self, keys: &[&str]) -> Option<&'a Node> {
        self.written(keys).filter(|node| !node.is_null())
    }

    /// The value of the first of the keys that is present, even when it is null.
    pub(super) fn written(&self, keys: &[&str]) -> Option<&'a Node> {
        keys.iter().find_map(|key| self.mapping.get(*key)).map(|entry| &entry.value)
    }

    pub(super) fn text(&mut self, keys: &[&str]) -> Option<Spanned<String>> {
        let node = self.node(keys)?;
        self.keep(node.to_spanned_text())
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        let node = self.node(&[key])?;
        self.keep(boolean(node).ok_or_else(|| wrong(key, node, "true or false")))
    }

    pub(super) fn integer(&mut self, keys: &[&str]) -> Option<Spanned<i64>> {
        let node = self.node(keys)?;
        let value = integer(node).ok_or_else(|| wrong(keys[0], node, "an integer"));
        self.keep(value).map(|value| Spanned::new(value, node.span))
    }

    /// An integer that is at least `least`.
    pub(super) fn count(&mut self, keys: &[&str], least: u64) -> Option<Spanned<u64>> {
        let value = self.integer(keys)?;
        match u64::try_from(value.value) {
            Ok(count) if count >= least => Some(Spanned::new(count, value.span)),
            _ => {
                let message = format!("`{}` is {}, expected an integer of at least {least}", keys[0], value.value);
                self.report(Diagnostic::error(message).at(value.span));
                None
            }
        }
    }

    /// A string, or a list of scalars; a string counts as a list of one.
    pub(super) fn texts(&mut self, keys: &[&str]) -> Option<Spanned<Vec<Spanned<String>>>> {
        let node = self.node(keys)?;
        let items = match &node.kind {
            NodeKind::Sequence(items) => items.as_slice(),
            NodeKind::Mapping(_) => {
                self.report(wrong(keys[0], node, "a string or a list of strings"));
                return None;
            }
            _ => std::slice::from_ref(node),
        };
        let mut texts = Vec::with_capacity(items.len());
        for item in items {
            texts.extend(self.keep(item.to_spanned_text()));
        }
        Some(Spanned::new(texts, node.span))
    }

    /// A mapping of scalars.
    pub(super) fn variables(&mut self, key: &str) -> IndexMap<String, Spanned<String>> {
        let Some(node) = self.node(&[key]) else { return IndexMap::new() };
        let Some(mapping) = node.as_mapping() else {
            self.report(wrong(key, node, "a mapping"));
            return IndexMap::new();
        };
        let mut variables = IndexMap::with_capacity(mapping.len());
        for (name, entry) in mapping {
            if let Some(value) = self.keep(entry.value.to_spanned_text()) {
                variables.insert(name.clone(), value);
            }
        }
        variables
    }

    /// The nested mapping under a key, read by `read`, with its findings.
    pub(super) fn nested<T>(&mut self, key: &str, read: impl FnOnce(&mut Reader<'a>, Span) -> T) -> Option<T> {
        let node = self.node(&[key])?;
        let Some(mapping) = node.as_mapping() else {
            self.report(wrong(key, node, "a mapping"));
            return None;
        };
        Some(self.within(mapping, node.span, read))
    }

    /// Reads another mapping and takes over its findings.
    pub(super) fn within<T>(
        &mut self,
        mapping: &'a Mapping,
        span: Span,
        read: impl FnOnce(&mut Reader<'a>, Span) -> T,
    ) -> T {
        let mut nested = Reader::new(mapping);
        let value = read(&mut nested, span);
        self.findings.append(&mut nested.findings);
        value
    }

    pub(super) fn report(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    pub(super) fn keep<T>(&mut self, value: Result<T, Diagnostic>) -> Option<T> {
        value.map_err(|finding| self.report(finding)).ok()
    }

    pub(super) fn into_findings(self) -> Vec<Diagnostic> {
        self.findings
    }

    /// The value, unless something was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, Vec<Diagnostic>> {
        if self.findings.is_empty() { Ok(value) } else { Err(self.findings) }
    }
}

/// The finding that a key has a value of the wrong kind.
pub(super) fn wrong(key: &str, node: &Node, expected: &str) -> Diagnostic {
    Diagnostic::error(format!("`{key}` is {}", node.describe())).at(node.span).label(format!("expected {expected}"))
}

/// A boolean; the words count too, because interpolation only ever yields strings.
pub(super) fn boolean(node: &Node) -> Option<bool> {
    match &node.kind {
        NodeKind::Bool(value) => Some(*value),
        NodeKind::String(text) if text == "true" => Some(true),
        NodeKind::String(text) if text == "false" => Some(false),
        _ => None,
    }
}

/// An integer; its decimal digits count too, because interpolation only ever yields strings.
pub(super) fn integer(node: &Node) -> Option<i64> {
    match &node.kind {
        NodeKind::Int(value) => Some(*value),
        NodeKind::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
