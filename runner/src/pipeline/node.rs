//! The tree of a YAML document after aliases, merges and scalar rules: values that know where they were written.

use indexmap::IndexMap;

use super::diagnostic::{Diagnostic, Span, Spanned};

/// One value of a document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it was written. A value that came through an alias points to its anchor.
    pub span: Span,
}

/// The kinds of values, as `yaml.v3` resolves them. A mapping is boxed because it is twice as large as the others.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of the signed range.
    Int(i64),
    /// An integer beyond the signed range.
    UInt(u64),
    /// A floating-point number, `.inf` and `.nan` included.
    Float(f64),
    /// An unquoted date or time, in RFC 3339 with the shortest fraction.
    Timestamp(String),
    /// Text.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping with keys in the order of the document.
    Mapping(Box<Mapping>),
}

/// A mapping: canonical key to entry, in the order of the document.
pub type Mapping = IndexMap<String, Entry>;

/// One value of a mapping and the place of its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where the key was written.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl Node {
    /// Joins a kind and its place.
    pub fn new(kind: NodeKind, span: Span) -> Self {
        Self { kind, span }
    }

    /// The text, when it is text.
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            NodeKind::String(text) => Some(text),
            _ => None,
        }
    }

    /// The list, when it is one.
    pub fn as_sequence(&self) -> Option<&[Node]> {
        match &self.kind {
            NodeKind::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The mapping, when it is one.
    pub fn as_mapping(&self) -> Option<&Mapping> {
        match &self.kind {
            NodeKind::Mapping(mapping) => Some(mapping),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, NodeKind::Null)
    }

    /// The value of a key, when it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_mapping()?.get(key).map(|entry| &entry.value)
    }

    /// Follows a JSON pointer (RFC 6901) as far as it goes and returns the last value on the way.
    ///
    /// For a pointer to something missing that is the value in which it is missing, which is the place to show
    /// for it.
    pub fn nearest(&self, pointer: &str) -> &Node {
        let mut node = self;
        for segment in pointer.split('/').skip(1) {
            let segment = segment.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                NodeKind::Mapping(mapping) => mapping.get(&segment).map(|entry| &entry.value),
                NodeKind::Sequence(items) => segment.parse::<usize>().ok().and_then(|index| items.get(index)),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The kind in words for error messages, with its article.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Null => "null",
            NodeKind::Bool(_) => "a boolean",
            NodeKind::Int(_) | NodeKind::UInt(_) => "an integer",
            NodeKind::Float(_) => "a number",
            NodeKind::Timestamp(_) => "a date",
            NodeKind::String(_) => "a string",
            NodeKind::Sequence(_) => "a list",
            NodeKind::Mapping(_) => "a mapping",
        }
    }

    /// The scalar as text, the way the format stringifies scalars: `true`, `8`, `1.1`, and `null` as nothing.
    ///
    /// # Errors
    /// Lists, mappings, dates and integers beyond the signed range have no text form.
    pub fn to_text(&self) -> Result<String, Diagnostic> {
        Ok(match &self.kind {
            NodeKind::Null => String::new(),
            NodeKind::Bool(value) => value.to_string(),
            NodeKind::Int(value) => value.to_string(),
            NodeKind::Float(value) => super::scalar::format_float(*value),
            NodeKind::String(text) => text.clone(),
            NodeKind::Timestamp(_) => {
                return Err(Diagnostic::error("an unquoted date is not a string")
                    .at(self.span)
                    .label("expected a string")
                    .help("put the date in quotes"));
            }
            NodeKind::UInt(_) => {
                return Err(Diagnostic::error("the integer is too large")
                    .at(self.span)
                    .label("expected at most 9223372036854775807")
                    .help("put the number in quotes"));
            }
            NodeKind::Sequence(_) | NodeKind::Mapping(_) => {
                return Err(Diagnostic::error(format!("expected a string, found {}", self.describe())).at(self.span));
            }
        })
    }

    /// [`Node::to_text`] with the place of the value.
    ///
    /// # Errors
    /// As [`Node::to_text`].
    pub fn to_spanned_text(&self) -> Result<Spanned<String>, Diagnostic> {
        Ok(Spanned::new(self.to_text()?, self.span))
    }
}
