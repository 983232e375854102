//! What the pipeline room has to say about a file, and where in the file it says it.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// One finding about a pipeline file.
///
/// Rendering with an excerpt of the file belongs to the command line; this type only carries the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the pipeline can be used in spite of the finding.
    pub severity: Severity,
    /// What is wrong: a lowercase sentence fragment without a full stop.
    pub message: String,
    /// Where it is. `None` when the finding is about the file as a whole.
    pub span: Option<Span>,
    /// A short text under the underlined excerpt, such as what was expected there.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

/// How grave a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth telling, does not stop anything.
    Warning,
    /// The pipeline cannot be used.
    Error,
}

impl Diagnostic {
    /// A finding that makes the pipeline unusable.
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(Severity::Error, message.into())
    }

    /// A finding that does not stop anything.
    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message.into())
    }

    fn new(severity: Severity, message: String) -> Self {
        Self { severity, message, span: None, label: None, help: None }
    }

    /// Points the finding at a place in the file.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Sets the text under the underlined excerpt.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets the advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// The text of a pipeline file together with the name to show for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name as shown to people, usually the path as they typed it.
    pub name: String,
    /// The whole text, without a byte order mark.
    pub text: Arc<str>,
}

impl Source {
    /// Takes the text as it is; use [`Source::from_bytes`] for bytes of unknown origin.
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Decodes UTF-8, with or without a byte order mark.
    ///
    /// # Errors
    /// A diagnostic when the bytes are not UTF-8; it names the first offending byte. Positions in it count
    /// from the start of the bytes.
    pub fn from_bytes(name: impl Into<String>, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return Err(Diagnostic::error("the file is UTF-16, expected UTF-8").help("save the file as UTF-8"));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let line = 1 + bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
                let byte = bytes.get(error.valid_up_to()).copied().unwrap_or_default();
                Err(Diagnostic::error(format!("the file is not UTF-8: byte 0x{byte:02x} in line {line}"))
                    .help("save the file as UTF-8"))
            }
        }
    }

    /// Line and column of a byte offset. Offsets past the end give the end of the text.
    pub fn position(&self, offset: usize) -> Position {
        let mut end = offset.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &self.text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
        }
    }
}

/// A place in a text, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line number, from 1.
    pub line: usize,
    /// Column number in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A range of byte offsets in the text of a [`Source`]; `end` is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

impl Span {
    /// A span from its two ends.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

/// A value and the place in the file it was written at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written. Interpolation changes values, never spans.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value and its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl Spanned<String> {
    /// The place of the bytes `start..end` of the value, or of the whole value where that is not known.
    ///
    /// It is known for a scalar on one line whose text stands in the file as it is.
    pub fn locate(&self, start: usize, end: usize) -> Span {
        let written = self.span.end.saturating_sub(self.span.start);
        let quotes = match written.checked_sub(self.value.len()) {
            Some(0) => 0,
            Some(2) => 1,
            _ => return self.span,
        };
        let start = (self.span.start + quotes + start).min(self.span.end);
        let end = (self.span.start + quotes + end).clamp(start, self.span.end);
        Span::new(start, end)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
