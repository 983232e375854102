//! The characters of a text on their way to the YAML parser, counted.
//!
//! The parser keeps everything it has read of a list or mapping in brackets until it knows that no `:` follows, at
//! some 170 bytes a character, before anybody can look at it. So the characters it may read at a time are limited.
//! A text that is one such list or mapping, as JSON is, gets an explicit start of the document before it: after
//! that no key can stand, and the parser keeps nothing.

use std::cell::Cell;
use std::iter::Chain;
use std::rc::Rc;
use std::str::Chars;

/// How many characters the parser may read until it has something to say.
pub(super) const MAX_LOOKAHEAD: usize = 1 << 20;

const DOCUMENT_START: &str = "--- ";

/// The characters for the parser.
pub(super) struct Characters<'a> {
    characters: Chain<Chars<'a>, Chars<'a>>,
    allowance: Rc<Allowance>,
}

/// What is left of the characters that may be read.
pub(super) struct Allowance {
    left: Cell<usize>,
    exceeded: Cell<bool>,
}

impl Allowance {
    /// Allows [`MAX_LOOKAHEAD`] more characters.
    pub(super) fn renew(&self) {
        self.left.set(MAX_LOOKAHEAD);
    }

    /// Whether the parser wanted more than it was allowed, so that it did not see the whole text.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.get()
    }
}

impl<'a> Characters<'a> {
    /// The characters of a text, and the difference between a position in the text and what the parser takes it for.
    pub(super) fn new(text: &'a str) -> (Self, Rc<Allowance>, isize) {
        let trimmed = text.trim_start();
        let (start, rest) = if trimmed.starts_with(['{', '[']) { (DOCUMENT_START, trimmed) } else { ("", text) };
        let skipped = text[..text.len() - rest.len()].chars().count();
        let allowance = Rc::new(Allowance { left: Cell::new(MAX_LOOKAHEAD), exceeded: Cell::new(false) });
        let characters = Self { characters: start.chars().chain(rest.chars()), allowance: Rc::clone(&allowance) };
        (characters, allowance, skipped.cast_signed() - start.len().cast_signed())
    }
}

impl Iterator for Characters<'_> {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self.allowance.left.get() {
            0 => {
                self.allowance.exceeded.set(true);
                None
            }
            left => {
                self.allowance.left.set(left - 1);
                self.characters.next()
            }
        }
    }
}
