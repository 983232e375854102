//! `$VAR` and its relatives in one string, byte for byte as Buildkite's own library does it.
//!
//! | written | means |
//! |---|---|
//! | `$V`, `${V}` | the value, or nothing |
//! | `${V:-text}`, `${V-text}` | the text where `V` is unset or empty, or only where it is unset |
//! | `${V:offset}`, `${V:offset:length}` | bytes of the value; negative numbers count from its end |
//! | `${V?message}` | an error where `V` is unset |
//! | `$$`, `\$` | a dollar sign that expands nothing |
//!
//! A dollar sign before anything else stays. Names begin with a letter.

use super::diagnostic::Span;
use std::borrow::Cow;
use std::collections::HashMap;

/// The longest result of one string, in bytes.
pub const MAX_RESULT: usize = 16 << 20;
/// How deep defaults may contain expansions.
const MAX_DEPTH: usize = 64;

/// The variables an interpolation sees.
#[derive(Debug, Clone, Default)]
pub struct Env {
    variables: HashMap<String, Variable>,
    /// Says of a name whether its value is shown as [`HIDDEN`].
    hides: Option<fn(&str) -> bool>,
}

#[derive(Debug, Clone)]
struct Variable {
    value: String,
    set_by: SetBy,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// The environment of the runner itself.
    Surroundings,
    /// What is built: the branch, the commit and so on.
    Build,
    /// Given for this build by hand.
    Given,
    /// The `env` of the pipeline; where its value is written.
    Pipeline(Span),
}

/// What stands in for a value that must not be shown.
pub const HIDDEN: &str = "[REDACTED]";

impl Env {
    /// The value of a variable. On Windows the case of names does not matter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let Variable { value, .. } = self.variables.get(fold(name).as_ref())?;
        let hidden = !value.is_empty() && self.hides.is_some_and(|hides| hides(name));
        Some(if hidden { HIDDEN } else { value })
    }

    /// Where the value of a variable comes from.
    pub fn set_by(&self, name: &str) -> Option<SetBy> {
        self.variables.get(fold(name).as_ref()).map(|variable| variable.set_by)
    }

    /// Sets a variable as the surroundings do.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.set_from(SetBy::Surroundings, name, value);
    }

    /// Sets a variable, and says where its value comes from.
    pub fn set_from(&mut self, set_by: SetBy, name: &str, value: impl Into<String>) {
        self.variables.insert(fold(name).into_owned(), Variable { value: value.into(), set_by });
    }

    /// The same variables, but those whose name is a secret's have the value [`HIDDEN`] unless they are empty. What is
    /// interpolated with them can be shown; it must not be run.
    #[must_use]
    pub fn hiding(mut self, secret: fn(&str) -> bool) -> Self {
        self.hides = Some(secret);
        self
    }

    /// The values of the variables whose name `secret` says is a secret's.
    pub fn secrets(&self, secret: fn(&str) -> bool) -> impl Iterator<Item = &str> {
        let secrets = self.variables.iter().filter(move |(name, _)| secret(name));
        secrets.map(|(_, variable)| variable.value.as_str())
    }
}

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for Env {
    fn from_iter<T: IntoIterator<Item = (K, V)>>(variables: T) -> Self {
        let mut env = Self::default();
        for (name, value) in variables {
            env.set(name.as_ref(), value);
        }
        env
    }
}

fn fold(name: &str) -> Cow<'_, str> {
    if cfg!(windows) { Cow::Owned(name.to_uppercase()) } else { Cow::Borrowed(name) }
}

/// Why a string cannot be interpolated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InterpolateError {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Where the offending expansion starts in the string, in bytes.
    pub start: usize,
    /// Where the offending text ends.
    pub end: usize,
}

/// Replaces the variables in a string.
///
/// # Errors
/// Something after `${` that is no expansion, `${V?…}` without `V`, or a result beyond [`MAX_RESULT`].
pub fn interpolate<'t>(text: &'t str, env: &Env) -> Result<Cow<'t, str>, InterpolateError> {
    interpolate_noting(text, env, &mut |_| {})
}

/// Replaces the variables in a string, and tells `note` the name of each in the order they are looked up.
///
/// # Errors
/// As [`interpolate`].
pub(super) fn interpolate_noting<'t>(
    text: &'t str,
    env: &Env,
    note: &mut impl FnMut(&str),
) -> Result<Cow<'t, str>, InterpolateError> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    let expression = Reader { text, at: 0 }.expression(false, 0)?;
    let mut out = String::with_capacity(text.len());
    expand(&expression, env, &mut out, note)?;
    Ok(Cow::Owned(out))
}

/// A variable in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expansion<'t> {
    /// The name of the variable.
    pub name: &'t str,
    /// Whether the string says what happens where the variable is not set.
    pub has_alternative: bool,
    /// Where the expansion starts in the string, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// The variables that [`interpolate`] would replace, in order, without those in defaults.
///
/// # Errors
/// Something after `${` that is no expansion.
pub fn expansions(text: &str) -> Result<Vec<Expansion<'_>>, InterpolateError> {
    let parts = Reader { text, at: 0 }.expression(false, 0)?;
    let expansions = parts.into_iter().filter_map(|part| match part {
        Part::Text(_) => None,
        Part::Expansion { name, operation, start, end } => {
            let has_alternative = !matches!(operation, Operation::Value | Operation::Substring { .. });
            Some(Expansion { name, has_alternative, start, end })
        }
    });
    Ok(expansions.collect())
}

/// A part of a string.
enum Part<'t> {
    Text(&'t str),
    Expansion { name: &'t str, operation: Operation<'t>, start: usize, end: usize },
}

enum Operation<'t> {
    Value,
    /// `:-`
    IfEmpty(Vec<Part<'t>>),
    /// `-`
    IfUnset(Vec<Part<'t>>),
    /// `?`
    Required(Vec<Part<'t>>),
    /// `:offset` and `:offset:length`
    Substring {
        offset: i64,
        length: Option<i64>,
    },
}

fn expand(
    parts: &[Part<'_>],
    env: &Env,
    out: &mut String,
    note: &mut impl FnMut(&str),
) -> Result<(), InterpolateError> {
    for part in parts {
        let (name, operation, start, end) = match part {
            Part::Text(text) => {
                append(text, out, 0, 0)?;
                continue;
            }
            Part::Expansion { name, operation, start, end } => (*name, operation, *start, *end),
        };
        note(name);
        let value = env.get(name);
        match (operation, value) {
            (Operation::IfEmpty(default), None | Some("")) | (Operation::IfUnset(default), None) => {
                expand(default, env, out, note)?;
            }
            (Operation::Required(message), None) => {
                let mut reason = String::new();
                expand(message, env, &mut reason, note)?;
                let reason = if reason.is_empty() { "not set" } else { reason.as_str() };
                let message = format!("${name}: {reason}");
                let help = Some(format!("set the variable `{name}` or give it a default: `${{{name}:-DEFAULT}}`"));
                return Err(InterpolateError { message, help, start, end });
            }
            (Operation::Substring { offset, length }, value) => {
                substring(value.unwrap_or_default(), *offset, *length, |text| append(text, out, start, end))?;
            }
            (_, value) => append(value.unwrap_or_default(), out, start, end)?,
        }
    }
    Ok(())
}

fn append(text: &str, out: &mut String, start: usize, end: usize) -> Result<(), InterpolateError> {
    if out.len() + text.len() > MAX_RESULT {
        let message = format!("the string with its variables has more than {MAX_RESULT} bytes");
        return Err(InterpolateError { message, help: None, start, end });
    }
    out.push_str(text);
    Ok(())
}

/// Hands out a range of bytes. Bytes cut from a character become replacement characters.
fn substring<E>(
    value: &str,
    offset: i64,
    length: Option<i64>,
    mut take: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let size = i64::try_from(value.len()).unwrap_or(i64::MAX);
    let from = if offset < 0 { offset.saturating_add(size).max(0) } else { offset.min(size) };
    let to = match length {
        None => size,
        Some(length) if length < 0 => length.saturating_add(size).max(from),
        Some(length) => length.saturating_add(from).min(size),
    };
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    for chunk in value.as_bytes().get(range).unwrap_or_default().utf8_chunks() {
        take(chunk.valid())?;
        for _ in chunk.invalid() {
            take("\u{fffd}")?;
        }
    }
    Ok(())
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    /// Reads text and expansions to the end, or in a default to the first `}`.
    fn expression(&mut self, in_braces: bool, depth: usize) -> Result<Vec<Part<'t>>, InterpolateError> {
        let mut parts = Vec::new();
        let mut plain = self.at;
        while let Some(next) = self.peek() {
            if in_braces && next == '}' {
                break;
            }
            let rest = &self.text[self.at..];
            if rest.starts_with(r"\\") {
                self.at += 2;
            } else if rest.starts_with(r"\$") || rest.starts_with("$$") {
                self.flush(plain, &mut parts);
                parts.push(Part::Text("$"));
                self.at += 2;
                plain = self.at;
            } else if next == '$' && rest[1..].starts_with(|after: char| after == '{' || after.is_alphabetic()) {
                self.flush(plain, &mut parts);
                parts.push(self.expansion(depth)?);
                plain = self.at;
            } else {
                self.at += next.len_utf8();
            }
        }
        self.flush(plain, &mut parts);
        Ok(parts)
    }

    fn flush(&self, plain: usize, parts: &mut Vec<Part<'t>>) {
        if plain < self.at {
            parts.push(Part::Text(&self.text[plain..self.at]));
        }
    }

    fn expansion(&mut self, depth: usize) -> Result<Part<'t>, InterpolateError> {
        let start = self.at;
        self.at += 1;
        let (name, operation) = if self.skip('{') {
            if depth >= MAX_DEPTH {
                return Err(self.error(start, format!("expansions are nested more than {MAX_DEPTH} deep"), None));
            }
            (self.name(start)?, self.operation(start, depth)?)
        } else {
            (self.name(start)?, Operation::Value)
        };
        Ok(Part::Expansion { name, operation, start, end: self.at })
    }

    fn name(&mut self, start: usize) -> Result<&'t str, InterpolateError> {
        if !self.peek().is_some_and(char::is_alphabetic) {
            let message =
                format!("expected the name of a variable, which begins with a letter, found {}", self.found());
            return Err(self.error(start, message, LEAVE_TO_SHELL));
        }
        Ok(self.scan(|next| next.is_alphabetic() || next.is_numeric() || next == '_'))
    }

    /// Reads what follows a name in braces, up to and with the closing brace.
    fn operation(&mut self, start: usize, depth: usize) -> Result<Operation<'t>, InterpolateError> {
        if self.skip('}') {
            return Ok(Operation::Value);
        }
        let operation = if self.skip(':') {
            if self.skip('-') { Operation::IfEmpty(self.expression(true, depth + 1)?) } else { self.substring(start)? }
        } else if self.skip('-') {
            Operation::IfUnset(self.expression(true, depth + 1)?)
        } else if self.skip('?') {
            Operation::Required(self.expression(true, depth + 1)?)
        } else {
            let message = format!("expected `}}`, `:-`, `-`, `:` or `?` after the name, found {}", self.found());
            return Err(self.error(start, message, LEAVE_TO_SHELL));
        };
        if self.skip('}') {
            Ok(operation)
        } else {
            Err(self.error(start, format!("expected `}}`, found {}", self.found()), None))
        }
    }

    fn substring(&mut self, start: usize) -> Result<Operation<'t>, InterpolateError> {
        let offset = self.integer(start, "offset", |next| next != ':' && next != '}')?;
        let length = match self.peek() {
            Some(':') => {
                self.at += 1;
                Some(self.integer(start, "length", |next| next != '}')?)
            }
            _ => None,
        };
        Ok(Operation::Substring { offset, length })
    }

    fn integer(&mut self, start: usize, what: &str, accept: impl Fn(char) -> bool) -> Result<i64, InterpolateError> {
        let written = self.scan(accept);
        written.trim().parse().map_err(|_| {
            let message = format!("expected an integer as {what}, found `{written}`");
            let help = match written.chars().next() {
                Some('?') => Some("write `${VAR?message}`, which is an error only when the variable is unset"),
                _ => LEAVE_TO_SHELL,
            };
            self.error(start, message, help)
        })
    }

    fn scan(&mut self, accept: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        let length = rest.find(|next| !accept(next)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip(&mut self, expected: char) -> bool {
        let skip = self.peek() == Some(expected);
        if skip {
            self.at += expected.len_utf8();
        }
        skip
    }

    fn found(&self) -> String {
        self.peek().map_or("the end".to_owned(), |next| format!("`{next}`"))
    }

    fn error(&self, start: usize, message: String, help: Option<&str>) -> InterpolateError {
        let end = self.at + self.peek().map_or(0, char::len_utf8);
        InterpolateError { message, help: help.map(ToOwned::to_owned), start, end }
    }
}

const LEAVE_TO_SHELL: Option<&str> = Some("to leave the expansion to the shell of the job, write `$$` instead of `$`");

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Env {
        [("A", "1"), ("EMPTY", ""), ("WORD", "buildkite"), ("WIDE", "héllo")].into_iter().collect()
    }

    #[test]
    fn expansions() {
        let cases = [
            ("plain", "plain"),
            ("$A-${A}", "1-1"),
            ("$A_", ""),
            ("${MISSING:-${EMPTY:-$A}}", "1"),
            ("${EMPTY-x}", ""),
            ("${WORD:0:5}", "build"),
            ("${WORD: -4}", "kite"),
            ("${WORD:5:-1}", "kit"),
            ("${WORD:99}", ""),
            ("${WIDE:0:2}", "h\u{fffd}"),
            ("$$A \\$A \\\\$A", "$A $A \\\\1"),
            ("$(cmd $A) $1 $? $", "$(cmd 1) $1 $? $"),
            ("${MISSING:-a}b}", "ab}"),
            ("$_A", "$_A"),
        ];
        for (text, expected) in cases {
            assert_eq!(interpolate(text, &env()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_expansion() {
        let error = interpolate("x ${A%y} z", &env()).unwrap_err();
        assert_eq!((error.start, error.end), (2, 6));
        let error = interpolate("${MISSING?need $A}", &env()).unwrap_err();
        assert_eq!(error.message, "$MISSING: need 1");
        for text in ["${", "${}", "${A", "${A:-x", "${A:?}", "${A:+x}", "${1}", "${A:x}", "${A:0:1:2}"] {
            assert!(interpolate(text, &env()).is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_hidden_by_name_however_they_are_used() {
        let secret = |name: &str| name.ends_with("_TOKEN");
        let mut env: Env = [("A_TOKEN", "s3cret"), ("B_TOKEN", ""), ("C", "c")].into_iter().collect();
        env.set_from(SetBy::Build, "D", "d");
        let env = env.hiding(secret);
        assert_eq!(interpolate("$A_TOKEN-${A_TOKEN:1:3}-${B_TOKEN:-b}-$C", &env).unwrap(), "[REDACTED]-RED-b-c");
        assert_eq!(env.secrets(secret).filter(|value| !value.is_empty()).collect::<Vec<_>>(), ["s3cret"]);
        assert_eq!(
            (env.set_by("C"), env.set_by("D"), env.set_by("E")),
            (Some(SetBy::Surroundings), Some(SetBy::Build), None)
        );
    }

    #[test]
    fn limits() {
        let deep = "${A:-".repeat(10_000);
        assert!(interpolate(&deep, &env()).unwrap_err().message.contains("nested"));
        let mut env = env();
        env.set("BIG", "x".repeat(MAX_RESULT));
        assert!(interpolate("${BIG}$BIG", &env).unwrap_err().message.contains("bytes"));
    }
}
