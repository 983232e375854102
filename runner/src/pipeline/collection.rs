//! Builds lists and mappings from the values of a document: merge keys, duplicate keys, keys as text.

use std::borrow::Cow;
use std::collections::HashSet;

use super::diagnostic::{Diagnostic, Span};
use super::document::MAX_DEPTH;
use super::node::{Entry, Mapping, Node, NodeKind};
use super::scalar;

/// A value as it comes from the text, before it is known whether it is a key.
pub(super) struct Value<'text> {
    pub(super) node: Node,
    /// Where it stands; for an alias that is not where its node was written.
    pub(super) place: Span,
    pub(super) written: Written<'text>,
}

/// How a value was written, as far as that matters should it be a key.
pub(super) enum Written<'text> {
    /// As its canonical text says.
    Canonical,
    /// As this text.
    Text(Cow<'text, str>),
    /// As `<<`.
    MergeKey,
}

/// A list or mapping that is not finished.
struct Open {
    collection: Collection,
    anchor: usize,
    start: usize,
    /// The end of what was read last in it.
    end: usize,
}

/// What is read so far lies on stacks that all open collections share, from `first` on.
enum Collection {
    Sequence { first: usize },
    Mapping { first: usize, key: Option<PendingKey> },
}

#[derive(Default)]
pub(super) struct Stacks {
    open: Vec<Open>,
    items: Vec<Node>,
    pairs: Vec<Pair>,
    repeated: Vec<(String, Span)>,
}

impl Stacks {
    pub(super) fn open(&mut self, mapping: bool, anchor: usize, span: Span) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            let message = format!("lists and mappings are nested more than {MAX_DEPTH} deep");
            return Err(Diagnostic::error(message).at(span));
        }
        let collection = if mapping {
            Collection::Mapping { first: self.pairs.len(), key: None }
        } else {
            Collection::Sequence { first: self.items.len() }
        };
        self.open.push(Open { collection, anchor, start: span.start, end: span.start });
        Ok(())
    }

    /// Finishes the innermost collection. Only a flow collection has an end of its own; a block ends with what is in it.
    pub(super) fn close(&mut self, end: Span) -> Result<Option<(Value<'static>, usize)>, Diagnostic> {
        let Some(open) = self.open.pop() else { return Ok(None) };
        let last = if end.start < end.end { end.end } else { open.end };
        let place = Span::new(open.start, last.max(open.start));
        let kind = match open.collection {
            Collection::Sequence { first } => NodeKind::Sequence(self.items.drain(first..).collect()),
            Collection::Mapping { first, .. } => {
                NodeKind::Mapping(Box::new(build(&mut self.pairs, first, &mut self.repeated)?))
            }
        };
        Ok(Some((Value { node: Node::new(kind, place), place, written: Written::Canonical }, open.anchor)))
    }

    /// Puts a value where it belongs; returns it when it is the root.
    pub(super) fn push(&mut self, value: Value<'_>) -> Result<Option<Node>, Diagnostic> {
        let Some(parent) = self.open.last_mut() else { return Ok(Some(value.node)) };
        parent.end = parent.end.max(value.place.end);
        match &mut parent.collection {
            Collection::Sequence { .. } => self.items.push(value.node),
            Collection::Mapping { key, .. } => match key.take() {
                Some(key) => self.pairs.push(key.with(value.node)),
                None => *key = Some(PendingKey::new(value)?),
            },
        }
        Ok(None)
    }

    /// The keys that were replaced by an equal one in the same mapping.
    pub(super) fn into_repeated(self) -> Vec<(String, Span)> {
        self.repeated
    }

    /// Where the key stands whose value comes next.
    pub(super) fn pending_key(&self) -> Option<Span> {
        match self.open.last().map(|open| &open.collection) {
            Some(Collection::Mapping { key, .. }) => key.as_ref().map(|key| key.span),
            _ => None,
        }
    }
}

/// A key and its value.
struct Pair {
    key: Key,
    key_span: Span,
    value: Node,
}

/// The key of a pair whose value comes next.
struct PendingKey {
    key: Key,
    /// Where it stands.
    span: Span,
}

enum Key {
    /// Its canonical text.
    Text(String),
    /// `<<`: merge the value into the mapping.
    Merge,
}

impl PendingKey {
    /// A value as a key: booleans and numbers in one spelling, everything else as written.
    fn new(value: Value<'_>) -> Result<Self, Diagnostic> {
        Ok(Self { key: canonical(value.node, value.written, value.place)?, span: value.place })
    }

    fn with(self, value: Node) -> Pair {
        Pair { key: self.key, key_span: self.span, value }
    }
}

/// Takes the pairs from `first` on for a mapping. Of equal keys the last value wins, in the place of the first. Keys that are written win over
/// merged ones, and of merged ones the first; merged keys stand where their merge key stands.
fn build(pairs: &mut Vec<Pair>, first: usize, repeated: &mut Vec<(String, Span)>) -> Result<Mapping, Diagnostic> {
    let mut mapping = Mapping::with_capacity(pairs.len() - first);
    let merges = pairs[first..].iter().any(|pair| matches!(pair.key, Key::Merge));
    let own: HashSet<String> = if merges {
        pairs[first..].iter().filter_map(|pair| pair.key.text().map(ToOwned::to_owned)).collect()
    } else {
        HashSet::new()
    };
    for Pair { key, key_span, value } in pairs.drain(first..) {
        match key {
            Key::Text(key) => {
                let (index, replaced) = mapping.insert_full(key, Entry { key_span, value });
                if let (Some(replaced), Some((key, _))) = (replaced, mapping.get_index(index)) {
                    repeated.push((key.clone(), replaced.key_span));
                }
            }
            Key::Merge => merge(value, &own, &mut mapping)?,
        }
    }
    Ok(mapping)
}

impl Key {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Merge => None,
        }
    }
}

fn canonical(node: Node, written: Written<'_>, place: Span) -> Result<Key, Diagnostic> {
    let found = node.describe();
    let text = match (node.kind, written) {
        (_, Written::MergeKey) => return Ok(Key::Merge),
        (_, Written::Text(text)) => text.into_owned(),
        (NodeKind::Timestamp(text) | NodeKind::String(text), _) => text,
        (NodeKind::Bool(value), _) => value.to_string(),
        (NodeKind::Int(value), _) => value.to_string(),
        (NodeKind::UInt(value), _) => value.to_string(),
        (NodeKind::Float(value), _) => scalar::format_float_key(value),
        (NodeKind::Null | NodeKind::Sequence(_) | NodeKind::Mapping(_), _) => {
            let finding = Diagnostic::error(format!("{found} cannot be the key of a mapping"));
            return Err(finding.at(place).label("expected text"));
        }
    };
    Ok(Key::Text(text))
}

/// Merges a mapping, or the mappings of a list, possibly nested.
fn merge(value: Node, own: &HashSet<String>, into: &mut Mapping) -> Result<(), Diagnostic> {
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        match value.kind {
            NodeKind::Mapping(merged) => {
                for (key, entry) in *merged {
                    if !own.contains(&key) && !into.contains_key(&key) {
                        into.insert(key, entry);
                    }
                }
            }
            NodeKind::Sequence(items) => values.extend(items.into_iter().rev()),
            _ => {
                let message = format!("the merge key `<<` has {}", value.describe());
                return Err(Diagnostic::error(message)
                    .at(value.span)
                    .label("expected a mapping or a list of mappings"));
            }
        }
    }
    Ok(())
}
