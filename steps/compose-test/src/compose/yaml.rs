//! YAML text to a tree of values that know where they were written: aliases copied in, merge keys merged.
//!
//! The text may be hostile: its size, its depth and what its aliases copy are limited.

use super::problem::{Code, Findings, Mark};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use std::collections::{HashMap, HashSet};

/// The largest file, in bytes; the largest Compose file in public repositories has some 100 KB.
pub const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting of lists and mappings: Compose needs 7.
const MAX_DEPTH: usize = 64;
/// What the anchors of a file may hold and its aliases may copy, in bytes of text and 64 for each value.
const MAX_COPIED: usize = 16 << 20;

/// A value and the place of its first character. One that came through an alias has the place of its anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub value: Value,
    pub at: Mark,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// Any other scalar as it was written: which type is meant depends on the key.
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub at: Mark,
    pub node: Node,
}

impl Node {
    /// The kind in words.
    pub fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    fn cost(&self) -> usize {
        64 + match &self.value {
            Value::Null => 0,
            Value::Scalar(text) => text.len(),
            Value::List(items) => items.iter().map(Self::cost).sum(),
            Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + entry.node.cost()).sum(),
        }
    }
}

/// The only document of a text; `None`, with a problem, when there is none or it cannot be read.
pub fn parse(text: &str, findings: &mut Findings) -> Option<Node> {
    let start = Mark { line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, expected at most {MAX_BYTES}", text.len());
        findings.refuse(Code::Yaml, start, message, "move what is no Compose out of it");
        return None;
    }
    let mut reader =
        Reader { findings, anchors: HashMap::new(), copied: 0, open: Vec::new(), root: None, documents: 0 };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => reader.event(event, mark(span.start)),
            Err(error) => Err((mark(*error.marker()), error.info().to_owned(), "correct the YAML")),
        };
        if let Err((at, message, remedy)) = step {
            reader.findings.refuse(Code::Yaml, at, message, remedy);
            return None;
        }
    }
    let root = reader.root.take();
    if root.is_none() {
        findings.refuse(Code::Yaml, start, "the file is empty", "write the services under `services:`");
    }
    root
}

fn mark(marker: Marker) -> Mark {
    Mark { line: marker.line().max(1), column: marker.col() + 1 }
}

/// Place, message and remedy of what ends the reading.
type Stop = (Mark, String, &'static str);

struct Reader<'a> {
    findings: &'a mut Findings,
    /// Finished anchors by number, with what a copy costs.
    anchors: HashMap<usize, (Node, usize)>,
    copied: usize,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
}

/// A list or mapping that is not finished.
struct Open {
    at: Mark,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, keys: HashSet<String>, merges: Vec<Node>, key: Option<Key> },
}

enum Key {
    Text(String, Mark),
    Merge,
}

impl Reader<'_> {
    fn event(&mut self, event: Event<'_>, at: Mark) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    let remedy = "put the services of all documents into one";
                    return Err((at, "a second document, expected one".to_owned(), remedy));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let plain = style == ScalarStyle::Plain && tag.is_none();
                if plain && text == "<<" && self.at_key() {
                    return self.key(Key::Merge);
                }
                let null = plain && matches!(text.as_ref(), "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar(text.into_owned()) };
                return self.value(Node { value, at }, anchor);
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                return self.push(Open { at, anchor, content: Content::List(Vec::new()) });
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), at);
                let content = Content::Map { entries: Vec::new(), keys: HashSet::new(), merges: Vec::new(), key: None };
                return self.push(Open { at, anchor, content });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Open { at, anchor, content }) = self.open.pop() {
                    let value = match content {
                        Content::List(items) => Value::List(items),
                        Content::Map { entries, keys, merges, .. } => Value::Map(merge(entries, keys, merges)?),
                    };
                    return self.value(Node { value, at }, anchor);
                }
            }
            Event::Alias(anchor) => {
                let Some((node, cost)) = self.anchors.get(&anchor) else {
                    let message = "the alias names an anchor that contains it".to_owned();
                    return Err((at, message, "move the anchor out of what refers to it"));
                };
                let (node, cost) = (node.clone(), *cost);
                self.charge(cost, at)?;
                return self.value(node, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    /// A value is complete: it belongs to what is open.
    fn value(&mut self, node: Node, anchor: usize) -> Result<(), Stop> {
        if anchor > 0 {
            let cost = node.cost();
            self.charge(cost, node.at)?;
            self.anchors.insert(anchor, (node.clone(), cost));
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, merges, key, .. }) => match key.take() {
                Some(Key::Merge) => merges.push(node),
                Some(Key::Text(key, at)) => entries.push(Entry { key, at, node }),
                None => {
                    let at = node.at;
                    return match node.value {
                        Value::Scalar(text) => self.key(Key::Text(text, at)),
                        Value::Null => self.key(Key::Text("null".to_owned(), at)),
                        Value::List(_) | Value::Map(_) => {
                            let message = format!("the key is {}, expected a text", node.describe());
                            Err((at, message, "write keys as plain texts"))
                        }
                    };
                }
            },
        }
        Ok(())
    }

    fn at_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, new: Key) -> Result<(), Stop> {
        if let Some(Open { content: Content::Map { keys, key, .. }, .. }) = self.open.last_mut() {
            if let Key::Text(text, at) = &new
                && !keys.insert(text.clone())
            {
                let message = format!("the key `{text}` stands here a second time");
                return Err((*at, message, "remove one of the two"));
            }
            *key = Some(new);
        }
        Ok(())
    }

    fn push(&mut self, open: Open) -> Result<(), Stop> {
        if self.open.len() == MAX_DEPTH {
            let message = format!("lists and mappings more than {MAX_DEPTH} deep");
            return Err((open.at, message, "nest less"));
        }
        self.open.push(open);
        Ok(())
    }

    fn charge(&mut self, cost: usize, at: Mark) -> Result<(), Stop> {
        self.copied = self.copied.saturating_add(cost);
        if self.copied > MAX_COPIED {
            let message = format!("the aliases copy more than {} MiB", MAX_COPIED >> 20);
            return Err((at, message, "use fewer aliases of aliases"));
        }
        Ok(())
    }

    fn check_tag(&mut self, tag: Option<&Tag>, at: Mark) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema() && !tag.suffix.is_empty()) {
            let message = format!("the tag `{tag}` is not available");
            let remedy = "write the value that is meant; `!reset` and `!override` need a second file";
            self.findings.refuse(Code::UnsupportedKey, at, message, remedy);
        }
    }
}

/// Adds what `<<` refers to: a key of the mapping itself is stronger, and so is an earlier one of those merged.
fn merge(mut entries: Vec<Entry>, mut keys: HashSet<String>, merges: Vec<Node>) -> Result<Vec<Entry>, Stop> {
    let sources = merges.into_iter().flat_map(|node| match node.value {
        Value::List(items) => items,
        value => vec![Node { value, at: node.at }],
    });
    for source in sources {
        let Value::Map(added) = source.value else {
            let message = format!("`<<` refers to {}, expected a mapping", source.describe());
            return Err((source.at, message, "merge a mapping or a list of mappings"));
        };
        entries.extend(added.into_iter().filter(|entry| keys.insert(entry.key.clone())));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problem;
    use super::*;

    fn plain(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Scalar(text) => format!("{text:?}"),
            Value::List(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let entries: Vec<_> = entries.iter().map(|e| format!("{}: {}", e.key, plain(&e.node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn outcome(text: &str) -> String {
        let mut findings = Findings::default();
        let node = parse(text, &mut findings);
        let problem = |Problem { at, message, .. }: &Problem| format!("{}:{} {message}", at.line, at.column);
        node.map_or_else(|| problem(&findings.problems[0]), |node| plain(&node))
    }

    #[test]
    fn values_stay_as_written() {
        assert_eq!(
            outcome("a: 1.10\nb: ~\nc: 'null'\nd:\ne: [yes, \"x\"]"),
            r#"{a: "1.10", b: null, c: "null", d: null, e: ["yes", "x"]}"#
        );
    }

    #[test]
    fn merges_give_way_to_own_keys_and_to_earlier_ones() {
        let text = "x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\nw: {<<: *y}";
        assert!(outcome(text).ends_with(r#"z: {a: "0", b: "1", c: "2"}, w: {b: "2", c: "2"}}"#), "{}", outcome(text));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        assert_eq!(outcome("a: 1\na: 2"), "2:1 the key `a` stands here a second time");
        assert_eq!(outcome("a: 1\n---\nb: 2"), "2:1 a second document, expected one");
        assert_eq!(outcome("# nothing"), "1:1 the file is empty");
        assert_eq!(outcome("a: {<<: 1}"), "1:9 `<<` refers to a text, expected a mapping");
        assert_eq!(outcome("a: &a [*a]"), "1:8 the alias names an anchor that contains it");
        assert_eq!(outcome("? [a]\n: b"), "1:3 the key is a list, expected a text");
        assert!(outcome(&"[".repeat(100)).ends_with("more than 64 deep"));
    }
}
