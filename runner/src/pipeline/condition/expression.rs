//! The tree of a condition.

use fancy_regex::Regex;

/// Where something stands in the text of a condition: start and end in bytes.
pub(super) type Place = (usize, usize);

/// A part of a condition.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) kind: Kind,
    pub(super) place: Place,
    /// How many parts are nested in it, itself included. The parser limits it, so that recursion is safe.
    pub(super) depth: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Text),
    /// `$name` or `${…}`, as written.
    Shell(String),
    Pattern(Box<Regex>),
    Variable(String),
    List(Vec<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<[Expression; 2]>),
    /// Condition, consequence, alternative.
    Choice(Box<[Expression; 3]>),
    Call(String, Vec<Expression>),
}

/// A string literal.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// The string with its escapes replaced.
    pub(super) value: String,
    /// The text between the quotes as written, when it has shell expansions to be made at evaluation.
    pub(super) template: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Equal,
    NotEqual,
    Match,
    NoMatch,
    Includes,
}

impl Expression {
    pub(super) fn new(kind: Kind, place: Place) -> Self {
        let inner = match &kind {
            Kind::List(items) | Kind::Call(_, items) => items.iter().map(|item| item.depth).max(),
            Kind::Not(inner) => Some(inner.depth),
            Kind::Binary(_, sides) => sides.iter().map(|side| side.depth).max(),
            Kind::Choice(parts) => parts.iter().map(|part| part.depth).max(),
            _ => None,
        };
        Self { kind, place, depth: 1 + inner.unwrap_or(0) }
    }

    /// Whether its value depends on the build.
    pub(super) fn asks(&self) -> bool {
        match &self.kind {
            Kind::Shell(_) | Kind::Variable(_) | Kind::Call(..) => true,
            Kind::Text(text) => text.template.is_some(),
            Kind::Null | Kind::Bool(_) | Kind::Integer(_) | Kind::Pattern(_) => false,
            Kind::List(items) => items.iter().any(Self::asks),
            Kind::Not(inner) => inner.asks(),
            Kind::Binary(_, sides) => sides.iter().any(Self::asks),
            Kind::Choice(parts) => parts.iter().any(Self::asks),
        }
    }
}

impl Operator {
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Match => "=~",
            Self::NoMatch => "!~",
            Self::Includes => "includes",
        }
    }
}
