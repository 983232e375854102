//! The text of a condition to tokens.

use super::expression::{Operator, Place, Text};
use super::{ConditionError, ErrorKind, shell};

/// A token and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) enum TokenKind {
    Operator(Operator),
    Not,
    Question,
    Colon,
    Comma,
    Open,
    Close,
    OpenList,
    CloseList,
    True,
    False,
    Null,
    Name(String),
    Integer(String),
    Text(Text),
    Shell(String),
    Pattern { pattern: String, flags: String },
    End,
}

impl TokenKind {
    /// The token for messages.
    pub(super) fn describe(&self) -> String {
        let symbol = match self {
            Self::Operator(operator) => operator.symbol(),
            Self::Not => "!",
            Self::Question => "?",
            Self::Colon => ":",
            Self::Comma => ",",
            Self::Open => "(",
            Self::Close => ")",
            Self::OpenList => "[",
            Self::CloseList => "]",
            Self::True => "true",
            Self::False => "false",
            Self::Null => "null",
            Self::Name(text) | Self::Integer(text) | Self::Shell(text) => text,
            Self::Text(_) => return "a string".to_owned(),
            Self::Pattern { .. } => return "a regular expression".to_owned(),
            Self::End => return "the end".to_owned(),
        };
        format!("`{symbol}`")
    }
}

/// Reads all tokens; the last is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ConditionError> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        let kind = lexer.token()?;
        let end = matches!(kind, TokenKind::End);
        tokens.push(Token { kind, place: (start, lexer.at) });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest().trim_start_matches([' ', '\t', '\n', '\r']);
            self.at = self.text.len() - rest.len();
            if !rest.starts_with("//") {
                return;
            }
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
    }

    fn token(&mut self) -> Result<TokenKind, ConditionError> {
        let rest = self.rest();
        for (symbol, kind) in SYMBOLS {
            if rest.starts_with(symbol) {
                self.at += symbol.len();
                return Ok(kind.clone());
            }
        }
        match rest.as_bytes().first() {
            None => Ok(TokenKind::End),
            Some(b'"') => self.double_quoted(),
            Some(b'\'') => self.single_quoted(),
            Some(b'/') => self.pattern(),
            Some(b'$') => self.shell(),
            Some(b'0'..=b'9') => Ok(TokenKind::Integer(self.take(|byte| byte.is_ascii_digit()).to_owned())),
            Some(byte) if is_name_start(*byte) => Ok(match self.take(is_name_part) {
                "true" => TokenKind::True,
                "false" => TokenKind::False,
                "null" => TokenKind::Null,
                "includes" => TokenKind::Operator(Operator::Includes),
                name => TokenKind::Name(name.to_owned()),
            }),
            Some(_) => {
                let found = rest.chars().next().unwrap_or_default();
                let error = ConditionError::new(
                    ErrorKind::Parse,
                    (self.at, self.at + found.len_utf8()),
                    format!("unexpected character `{found}`"),
                );
                Err(match found {
                    '=' => error.help("compare with `==`"),
                    '&' => error.help("combine with `&&`"),
                    '|' => error.help("combine with `||`"),
                    _ => error,
                })
            }
        }
    }

    fn double_quoted(&mut self) -> Result<TokenKind, ConditionError> {
        let start = self.at;
        self.at += 1;
        let mut value = Vec::new();
        loop {
            match self.text.as_bytes().get(self.at) {
                None => return Err(self.unfinished(start, "string")),
                Some(b'"') => break,
                Some(b'\\') => {
                    let (bytes, next) =
                        shell::escape(self.text, self.at).map_err(|message| self.error(start, message))?;
                    value.extend(bytes);
                    self.at = next;
                }
                Some(byte) => {
                    value.push(*byte);
                    self.at += 1;
                }
            }
        }
        let written = &self.text[start + 1..self.at];
        self.at += 1;
        let template = shell::is_template(written).then(|| written.to_owned());
        Ok(TokenKind::Text(Text { value: shell::lossy(value), template }))
    }

    fn single_quoted(&mut self) -> Result<TokenKind, ConditionError> {
        let start = self.at;
        let Some((value, next)) = shell::single_quoted(self.text, start) else {
            return Err(self.unfinished(start, "string"));
        };
        self.at = next;
        Ok(TokenKind::Text(Text { value, template: None }))
    }

    fn pattern(&mut self) -> Result<TokenKind, ConditionError> {
        let start = self.at;
        let mut escaped = false;
        let body = &self.text[start + 1..];
        let length = body.bytes().position(|byte| {
            let end = byte == b'/' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        });
        let Some(length) = length else { return Err(self.unfinished(start, "regular expression")) };
        self.at = start + 1 + length + 1;
        let flags = self.take(is_name_start).to_owned();
        Ok(TokenKind::Pattern { pattern: body[..length].to_owned(), flags })
    }

    fn shell(&mut self) -> Result<TokenKind, ConditionError> {
        let start = self.at;
        match shell::expansion_end(self.text, start) {
            Some(end) => {
                self.at = end;
                Ok(TokenKind::Shell(self.text[start..end].to_owned()))
            }
            None => Err(self.error(start, "expected `$NAME` or `${NAME}`".to_owned())),
        }
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn take(&mut self, accept: impl Fn(u8) -> bool) -> &'t str {
        let rest = self.rest();
        let length = rest.bytes().position(|byte| !accept(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn unfinished(&self, start: usize, what: &str) -> ConditionError {
        ConditionError::new(ErrorKind::Parse, (start, self.text.len()), format!("the {what} has no end"))
    }

    fn error(&self, start: usize, message: String) -> ConditionError {
        ConditionError::new(ErrorKind::Parse, (start, self.text.len()), message)
    }
}

/// Longer symbols come before their beginnings.
const SYMBOLS: [(&str, TokenKind); 14] = [
    ("==", TokenKind::Operator(Operator::Equal)),
    ("=~", TokenKind::Operator(Operator::Match)),
    ("!=", TokenKind::Operator(Operator::NotEqual)),
    ("!~", TokenKind::Operator(Operator::NoMatch)),
    ("&&", TokenKind::Operator(Operator::And)),
    ("||", TokenKind::Operator(Operator::Or)),
    ("!", TokenKind::Not),
    ("?", TokenKind::Question),
    (":", TokenKind::Colon),
    (",", TokenKind::Comma),
    ("(", TokenKind::Open),
    (")", TokenKind::Close),
    ("[", TokenKind::OpenList),
    ("]", TokenKind::CloseList),
];

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.'
}
