//! YAML text to [`Node`]s: aliases copied in, merge keys merged, scalars resolved, every place kept.
//!
//! The input may be hostile: its size, its depth and what its aliases may copy are limited, and nothing here
//! recurses.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{BufferedInput, Event, Parser, ScalarStyle, ScanError, Tag as RawTag};

use super::characters::{Allowance, Characters, MAX_LOOKAHEAD};
use super::collection::{Stacks, Value, Written};
use super::diagnostic::{Diagnostic, Source, Span};
use super::node::{Node, NodeKind};
use super::scalar::{self, Tag};

/// The largest file, in bytes. The largest public pipeline has 60 KB.
pub const MAX_BYTES: usize = 64 << 20;
/// The most keys and values of a file. A pipeline of 100,000 steps has about three million.
pub const MAX_NODES: usize = 4_000_000;
/// The deepest nesting of lists and mappings. Real pipelines stay below 15.
pub const MAX_DEPTH: usize = 128;
/// How much the aliases of a file may copy, in bytes of text, each value counted as [`NODE_COST`] more.
pub const MAX_ALIAS_COPY: usize = 64 << 20;
/// What one copied value costs besides its text.
const NODE_COST: usize = 96;

/// Reads the first document; `None` when the text has none, because it is empty or only has comments.
///
/// # Errors
/// A diagnostic when the text is not YAML or breaks a limit.
pub fn first(source: &Source) -> Result<Option<Node>, Diagnostic> {
    Ok(first_document(source)?.map(|document| document.root))
}

/// [`first`] with what the rules of the format drop.
pub(super) fn first_document(source: &Source) -> Result<Option<Document>, Diagnostic> {
    Documents::new(source)?.next_document()
}

/// One document of a text.
pub(super) struct Document {
    pub(super) root: Node,
    /// Keys that stand in their mapping once more further on, and are therefore ignored.
    pub(super) repeated: Vec<(String, Span)>,
}

/// Reads all documents of a text.
///
/// # Errors
/// A diagnostic when the text is not YAML or breaks a limit.
pub fn all(source: &Source) -> Result<Vec<Node>, Diagnostic> {
    let mut documents = Documents::new(source)?;
    let mut nodes = Vec::new();
    while let Some(document) = documents.next_document()? {
        nodes.push(document.root);
    }
    Ok(nodes)
}

/// The documents of a text, read one after the other.
struct Documents<'a> {
    parser: Parser<'a, BufferedInput<Characters<'a>>>,
    allowance: Rc<Allowance>,
    text: &'a str,
    /// What to add to a position of the parser to get one of the text, both in characters.
    shift: isize,
    offsets: Offsets,
    /// Where the last value ended that the parser has reported.
    read: usize,
    nodes: usize,
    copied: usize,
}

/// What an anchor stands for.
enum Anchored {
    /// It is still being read: an alias to it now would contain itself.
    Unfinished,
    Finished(Node),
}

impl<'a> Documents<'a> {
    fn new(source: &'a Source) -> Result<Self, Diagnostic> {
        let text: &str = &source.text;
        if text.len() > MAX_BYTES {
            let message = format!("the file has {} bytes, expected at most {MAX_BYTES}", text.len());
            return Err(Diagnostic::error(message));
        }
        if let Some(start) = leading_document_end(text) {
            return Err(Diagnostic::error("the file begins with `...`, which ends a document")
                .at(Span::new(start, start + 3))
                .help("remove the line"));
        }
        let (characters, allowance, shift) = Characters::new(text);
        let parser = Parser::new_from_iter(characters);
        Ok(Self { parser, allowance, text, shift, offsets: Offsets::new(text), read: 0, nodes: 0, copied: 0 })
    }

    fn next_document(&mut self) -> Result<Option<Document>, Diagnostic> {
        while let Some((event, _)) = self.next_event()? {
            match event {
                Event::DocumentStart(_) => return self.document().map(Some),
                Event::StreamEnd => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }

    fn next_event(&mut self) -> Result<Option<(Event<'a>, Span)>, Diagnostic> {
        self.allowance.renew();
        let event = self.parser.next_event();
        if self.allowance.exceeded() {
            return Err(Diagnostic::error(format!("a value has more than {MAX_LOOKAHEAD} characters"))
                .at(Span::new(self.read, self.read))
                .help("write long lists with one item a line, each after `- `"));
        }
        let Some(event) = event else { return Ok(None) };
        let (event, span) = event.map_err(|error| self.syntax_error(&error))?;
        let span = Span::new(self.byte(span.start.index()), self.byte(span.end.index()));
        self.read = span.end;
        Ok(Some((event, span)))
    }

    /// Reads the events of one document up to its end.
    fn document(&mut self) -> Result<Document, Diagnostic> {
        let mut anchors: HashMap<usize, Anchored> = HashMap::new();
        let mut stacks = Stacks::default();
        let mut root = None;
        while let Some((event, span)) = self.next_event()? {
            self.nodes += usize::from(!matches!(event, Event::SequenceEnd | Event::MappingEnd));
            if self.nodes > MAX_NODES {
                return Err(Diagnostic::error(format!("the file has more than {MAX_NODES} keys and values")).at(span));
            }
            let (value, anchor) = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let value = self.scalar(text, style, tag.as_deref(), span, stacks.pending_key())?;
                    (value, anchor)
                }
                Event::SequenceStart(anchor, _) => {
                    stacks.open(false, anchor, span)?;
                    anchors.insert(anchor, Anchored::Unfinished);
                    continue;
                }
                Event::MappingStart(anchor, _) => {
                    stacks.open(true, anchor, span)?;
                    anchors.insert(anchor, Anchored::Unfinished);
                    continue;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let Some(closed) = stacks.close(span)? else { break };
                    closed
                }
                Event::Alias(anchor) => {
                    let node = self.alias(&anchors, anchor, span)?;
                    (Value { node, place: span, written: Written::Canonical }, 0)
                }
                Event::DocumentEnd | Event::StreamEnd => break,
                Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => continue,
            };
            if anchor > 0 {
                self.charge(&value.node).map_err(|finding| finding.at(value.place))?;
                anchors.insert(anchor, Anchored::Finished(value.node.clone()));
            }
            root = stacks.push(value)?.or(root);
        }
        let root = root.unwrap_or(Node::new(NodeKind::Null, Span::default()));
        Ok(Document { root, repeated: stacks.into_repeated() })
    }

    /// The byte offset in the text of a position of the parser.
    fn byte(&self, index: usize) -> usize {
        self.offsets.byte(self.text, index.saturating_add_signed(self.shift))
    }

    fn scalar<'text>(
        &self,
        text: Cow<'text, str>,
        style: ScalarStyle,
        tag: Option<&RawTag>,
        span: Span,
        key: Option<Span>,
    ) -> Result<Value<'text>, Diagnostic> {
        let plain = style == ScalarStyle::Plain;
        let tag = tag.and_then(known_tag);
        let place = self.tighten(span, key);
        let resolved = scalar::resolve(&text, plain, tag).map_err(|message| Diagnostic::error(message).at(place))?;
        let written = match &resolved {
            // Of the other kinds only a date can be a key that is not its canonical text.
            Some(NodeKind::Timestamp(_)) => Written::Text(text.clone()),
            None if plain && tag.is_none() && text == "<<" => Written::MergeKey,
            _ => Written::Canonical,
        };
        let kind = resolved.unwrap_or_else(|| NodeKind::String(text.into_owned()));
        Ok(Value { node: Node::new(kind, place), place, written })
    }

    /// Cuts the line break off a block scalar; gives a value that was left out the place of its key.
    fn tighten(&self, span: Span, key: Option<Span>) -> Span {
        if span.start == span.end {
            return key.unwrap_or(span);
        }
        let written = self.text.get(span.start..span.end).unwrap_or_default();
        Span::new(span.start, span.start + written.trim_end().len())
    }

    fn alias(&mut self, anchors: &HashMap<usize, Anchored>, anchor: usize, span: Span) -> Result<Node, Diagnostic> {
        match anchors.get(&anchor) {
            Some(Anchored::Finished(node)) => {
                self.charge(node).map_err(|finding| finding.at(span))?;
                Ok(node.clone())
            }
            Some(Anchored::Unfinished) => {
                Err(Diagnostic::error("the alias stands for something that contains the alias itself").at(span))
            }
            None => Err(Diagnostic::error("the alias has no anchor in this document").at(span)),
        }
    }

    /// Counts a copy of a value against the limit.
    fn charge(&mut self, node: &Node) -> Result<(), Diagnostic> {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            self.copied += NODE_COST;
            match &node.kind {
                NodeKind::String(text) | NodeKind::Timestamp(text) => self.copied += text.len(),
                NodeKind::Sequence(items) => open.extend(items),
                NodeKind::Mapping(mapping) => {
                    for (key, entry) in mapping.iter() {
                        self.copied += key.len();
                        open.push(&entry.value);
                    }
                }
                _ => {}
            }
            if self.copied > MAX_ALIAS_COPY {
                return Err(Diagnostic::error("the anchors and aliases of the file expand to more than 64 MiB")
                    .help("use fewer aliases of large values"));
            }
        }
        Ok(())
    }

    fn syntax_error(&self, error: &ScanError) -> Diagnostic {
        let start = self.byte(error.marker().index());
        let found = self.text[start..].chars().next();
        let end = start + found.map_or(0, char::len_utf8);
        let line = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let tab = self.text[line..].chars().take_while(|c| matches!(c, ' ' | '\t')).any(|c| c == '\t');
        let info = error.info();
        let finding = Diagnostic::error(format!("invalid YAML: {info}")).at(Span::new(start, end));
        match found {
            _ if tab => finding.help("indent with spaces, not with tabs"),
            Some('*' | '&' | '!' | '@' | '`' | '%') => {
                finding.help(format!("text that begins with `{}` must be in quotes", &self.text[start..end]))
            }
            Some(':') => finding.help("text that contains `: ` must be in quotes; otherwise check the indentation"),
            _ if info.contains("trailing content") => {
                finding.help("inside quotes write a single quote twice and a double quote as `\\\"`")
            }
            _ if info.contains("block") => finding.help("check the indentation of this line and of the one before"),
            _ => finding,
        }
    }
}

/// The place of a line `...` that comes before anything else.
fn leading_document_end(text: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim();
        if !content.is_empty() && !content.starts_with('#') {
            let end =
                line.strip_prefix("...").is_some_and(|rest| rest.trim_start().is_empty() || rest.starts_with(' '));
            return end.then_some(start);
        }
        start += line.len();
    }
    None
}

fn known_tag(tag: &RawTag) -> Option<Tag> {
    let core = "tag:yaml.org,2002:";
    let name = if tag.handle == core { Some(tag.suffix.as_str()) } else { tag.suffix.strip_prefix(core) };
    // The tag `!` alone says nothing about the type.
    let unspecific = (tag.handle.as_str(), tag.suffix.as_str());
    match name {
        Some(name) => Some(Tag::core(name)),
        None if unspecific == ("!", "") || unspecific == ("", "!") => None,
        None => Some(Tag::Other),
    }
}

/// Turns positions counted in characters into positions counted in bytes.
enum Offsets {
    /// They are the same.
    Ascii,
    /// The byte position of every [`STRIDE`]th character.
    Table(Vec<u32>),
}

const STRIDE: usize = 64;

impl Offsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        let table = text.char_indices().step_by(STRIDE);
        Self::Table(table.map(|(byte, _)| u32::try_from(byte).unwrap_or(u32::MAX)).collect())
    }

    fn byte(&self, text: &str, index: usize) -> usize {
        match self {
            Self::Ascii => index.min(text.len()),
            Self::Table(table) => {
                let Some(start) = table.get(index / STRIDE).and_then(|start| usize::try_from(*start).ok()) else {
                    return text.len();
                };
                text[start..].char_indices().nth(index % STRIDE).map_or(text.len(), |(byte, _)| start + byte)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Diagnostic> {
        first(&Source::new("p.yml", text)).map(Option::unwrap)
    }

    fn json(text: &str) -> String {
        read(text).unwrap().to_json().to_string()
    }

    #[test]
    fn aliases_and_merges() {
        let cases = [
            ("a: &a {x: 1}\nb: *a", r#"{"a":{"x":1},"b":{"x":1}}"#),
            ("{b: &b {x: 1, y: 1}, m: {y: 2, <<: *b, z: 3}}", r#"{"b":{"x":1,"y":1},"m":{"y":2,"x":1,"z":3}}"#),
            (
                "{a: &a {x: 1}, b: &b {x: 2, y: 2}, m: {<<: [*a, *b]}}",
                r#"{"a":{"x":1},"b":{"x":2,"y":2},"m":{"x":1,"y":2}}"#,
            ),
            ("{a: &a {x: 1}, m: {<<: *a, <<: {y: 2}}}", r#"{"a":{"x":1},"m":{"x":1,"y":2}}"#),
            ("{'<<': 1}", r#"{"<<":1}"#),
            ("{a: 1, b: 2, a: 3}", r#"{"a":3,"b":2}"#),
            (
                "{1: a, true: b, 1.5: c, 2020-01-01: d, &k x: 1, *k : 2}",
                r#"{"1":"a","true":"b","1.500000e+00":"c","2020-01-01":"d","x":2}"#,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(json(text), expected, "{text}");
        }
        let tags = "[! 5, !x 5, !!str 5, !!float 010, !<tag:yaml.org,2002:int> '7', !!binary aGk=, !!seq [1]]";
        assert_eq!(json(tags), r#"[5,"5","5",8,7,"hi",[1]]"#);
        for text in ["a: &a [*a]", "a: *b", "<<: 1", "{~: 1}", "{[a]: 1}", "a: !!int x"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn places() {
        let text = "é: ü\nlist:\n  - one\n  - 'two'\nblock: |\n  x\n  y\n\nnone:\nflow: {a: [1, 2]}\n";
        let node = read(text).unwrap();
        let written = |pointer: &str| {
            let span = node.nearest(pointer).span;
            &text[span.start..span.end]
        };
        assert_eq!(written("/é"), "ü");
        let json = " \n{\"é\": [1, {\"a\": ü}]}";
        let span = read(json).unwrap().nearest("/é/1/a").span;
        assert_eq!(&json[span.start..span.end], "ü");
        assert_eq!(written("/list"), "- one\n  - 'two'");
        assert_eq!(written("/list/1"), "'two'");
        assert_eq!(written("/none"), "none");
        assert_eq!(written("/flow"), "{a: [1, 2]}");
        assert_eq!(written("/flow/a/1"), "2");
        assert_eq!(written("/flow/missing"), "{a: [1, 2]}");
        assert!(written("/block").ends_with("x\n  y"));
    }

    #[test]
    fn documents() {
        let source = Source::new("p.yml", "a\n--- \nb\n");
        assert_eq!(all(&source).unwrap().len(), 2);
        assert!(first(&Source::new("p.yml", "# nothing\n")).unwrap().is_none());
        assert!(first(&Source::new("p.yml", "a: &a 1\n---\nb: *a\n")).is_ok());
        assert!(all(&Source::new("p.yml", "a: &a 1\n---\nb: *a\n")).is_err());
        assert!(read("# why\n...\na: b\n").is_err());
    }

    #[test]
    fn hostile_documents() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..40 {
            let aliases = vec![format!("*a{}", level - 1); 8].join(", ");
            laughs += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        let cases = [
            (laughs, "64 MiB"),
            (format!("a: &a {}\nb: [{}]", "x".repeat(1 << 19), "*a,".repeat(1000)), "64 MiB"),
            ("- ".repeat(100_000), "nested"),
            ("{a: ".repeat(100_000), "nested"),
            ("#".repeat(MAX_BYTES + 1), "bytes"),
            (format!("- [{}]", "a,".repeat(MAX_LOOKAHEAD)), "characters"),
            ("a: \0".to_owned(), "invalid YAML"),
        ];
        for (text, expected) in cases {
            let error = first(&Source::new("p.yml", text)).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
        assert!(Source::from_bytes("p.yml", b"steps:\n- \xff").unwrap_err().message.contains("line 2"));
        assert!(Source::from_bytes("p.yml", b"\xff\xfes\0").unwrap_err().message.contains("UTF-16"));
    }

    #[test]
    fn mistakes_come_with_advice() {
        let help = |text: &str| read(text).unwrap_err().help.unwrap_or_default();
        assert!(help("a: *.log").contains("quotes"));
        assert!(help("a:\n\t- b").contains("tabs"));
        assert!(help("a: b: c").contains("quotes"));
    }
}
