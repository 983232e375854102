//! Variables in texts: `$V`, `${V}`, `${V:-d}`, `${V-d}`, `${V:?e}`, `${V?e}`, `${V:+a}`, `${V+a}` and `$$`, as the
//! Compose specification has them (section "Interpolation").

use super::problem::{Code, Findings};
use super::yaml::{Node, Value};
use std::iter::Peekable;
use std::str::CharIndices;

/// Where the values of variables come from; `None` for one that has none.
pub type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a text cannot be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A variable has no value, and the text names no default.
    Unset(String),
    /// A variable has no value, and the text says that it must.
    Required { name: String, message: String },
    /// The text after a `$` is no variable.
    Syntax(String),
}

impl Fault {
    /// Code, message and remedy for the person who wrote the text.
    pub fn explain(&self) -> (Code, String, String) {
        match self {
            Self::Unset(name) => (
                Code::Env,
                format!("the variable `{name}` has no value here"),
                format!(
                    "grant it (`grants: {{ env: [{name}] }}`), set it in `with: {{ env: {{ {name}: … }} }}`, \
                     or give a default: `${{{name}:-…}}`"
                ),
            ),
            Self::Required { name, message } => (
                Code::Env,
                format!("the variable `{name}` is required: {message}"),
                format!("grant it (`grants: {{ env: [{name}] }}`) or set it in `with: {{ env: {{ {name}: … }} }}`"),
            ),
            Self::Syntax(message) => (
                Code::Value,
                message.clone(),
                "write `$$` for a dollar sign, `${NAME}` or `${NAME:-default}` for a variable".to_owned(),
            ),
        }
    }
}

/// Completes every scalar below a node in place.
pub fn interpolate_tree(node: &mut Node, variables: &Variables<'_>, findings: &mut Findings) {
    match &mut node.value {
        Value::Null => {}
        Value::Scalar(text) => match interpolate(text, variables) {
            Ok(completed) => *text = completed,
            Err(fault) => {
                let (code, message, remedy) = fault.explain();
                findings.refuse(code, node.at, message, remedy);
            }
        },
        Value::List(items) => {
            for item in items {
                interpolate_tree(item, variables, findings);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                interpolate_tree(&mut entry.node, variables, findings);
            }
        }
    }
}

/// Completes a text.
///
/// # Errors
/// A variable without a value, or a `$` that begins no variable.
pub fn interpolate(text: &str, variables: &Variables<'_>) -> Result<String, Fault> {
    /// `${A:-${B:-…}}` this deep is no longer read by anyone.
    const MAX_DEPTH: usize = 16;
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    let mut scanner = Scanner { text, chars: text.char_indices().peekable(), variables, depth_left: MAX_DEPTH };
    scanner.until_end()
}

struct Scanner<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    variables: &'a Variables<'a>,
    depth_left: usize,
}

impl<'a> Scanner<'a> {
    fn until_end(&mut self) -> Result<String, Fault> {
        let mut completed = String::with_capacity(self.text.len());
        while let Some((start, c)) = self.chars.next() {
            if c == '$' { completed.push_str(&self.dollar(start)?) } else { completed.push(c) }
        }
        Ok(completed)
    }

    /// What follows a `$`.
    fn dollar(&mut self, start: usize) -> Result<String, Fault> {
        match self.chars.peek() {
            Some((_, '$')) => {
                self.chars.next();
                Ok("$".to_owned())
            }
            Some((_, '{')) => {
                self.chars.next();
                self.braced(start)
            }
            Some((_, c)) if starts_name(*c) => {
                let name = self.name();
                (self.variables)(name).ok_or_else(|| Fault::Unset(name.to_owned()))
            }
            _ => Err(Fault::Syntax("a `$` without the name of a variable".to_owned())),
        }
    }

    fn name(&mut self) -> &'a str {
        let start = self.position();
        while self.chars.next_if(|(_, c)| starts_name(*c) || c.is_ascii_digit()).is_some() {}
        &self.text[start..self.position()]
    }

    fn position(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    /// What follows a `${`, up to its `}`.
    fn braced(&mut self, start: usize) -> Result<String, Fault> {
        let name = if self.chars.peek().is_some_and(|(_, c)| starts_name(*c)) { self.name() } else { "" };
        if name.is_empty() {
            return Err(Fault::Syntax("a `${` without the name of a variable".to_owned()));
        }
        let colon = self.chars.next_if(|(_, c)| *c == ':').is_some();
        let value = (self.variables)(name).filter(|value| !(colon && value.is_empty()));
        let operator = match self.chars.next() {
            Some((_, '}')) if !colon => return value.ok_or_else(|| Fault::Unset(name.to_owned())),
            Some((_, c @ ('-' | '?' | '+'))) => c,
            _ => {
                let written = &self.text[start..self.position()];
                let message = format!("`{written}` is no form of a variable");
                return Err(Fault::Syntax(message));
            }
        };
        let word = self.word(start)?;
        // The word counts only when it is used: `${A:-$B}` does not need B when A is set.
        let complete = |scanner: &Self| -> Result<String, Fault> {
            let depth_left = scanner.depth_left.checked_sub(1);
            let depth_left = depth_left.ok_or_else(|| Fault::Syntax("defaults nested too deep".to_owned()))?;
            let (chars, variables) = (word.char_indices().peekable(), scanner.variables);
            Scanner { text: word, chars, variables, depth_left }.until_end()
        };
        match (operator, value) {
            ('-' | '?', Some(value)) => Ok(value),
            ('-', None) | ('+', Some(_)) => complete(self),
            ('?', None) => Err(Fault::Required { name: name.to_owned(), message: complete(self)? }),
            _ => Ok(String::new()),
        }
    }

    /// The text up to the `}` that closes the brace opened at `start`.
    fn word(&mut self, start: usize) -> Result<&'a str, Fault> {
        let from = self.position();
        let mut open = 1;
        let mut previous = ' ';
        for (at, c) in self.chars.by_ref() {
            match c {
                '{' if previous == '$' => open += 1,
                '}' => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Ok(&self.text[from..at]);
            }
            previous = c;
        }
        Err(Fault::Syntax(format!("`{}` is not closed by a `}}`", &self.text[start..])))
    }
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn every_form_is_completed() {
        for (text, expected) in [
            ("no variable", "no variable"),
            ("$A-${A}", "a-a"),
            ("$$A $${A}", "$A ${A}"),
            ("${EMPTY:-d}|${EMPTY-d}|${NONE:-d}|${NONE-d}|${A:-d}", "d||d|d|a"),
            ("${A:?e}${A?e}${EMPTY?e}", "aa"),
            ("${A:+x}|${EMPTY:+x}|${EMPTY+x}|${NONE+x}", "x||x|"),
            ("${NONE:-${NONE:-$A}/}", "a/"),
            ("${NONE:-{b}", "{b"),
            ("${A:-$NONE}", "a"),
            ("${NONE:-}", ""),
            ("é$A€", "éa€"),
        ] {
            assert_eq!(interpolate(text, &variables).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_named() {
        assert_eq!(interpolate("${NONE}", &variables), Err(Fault::Unset("NONE".to_owned())));
        assert_eq!(interpolate("$NONE", &variables), Err(Fault::Unset("NONE".to_owned())));
        let required = Fault::Required { name: "EMPTY".to_owned(), message: "say a".to_owned() };
        assert_eq!(interpolate("${EMPTY:?say $A}", &variables), Err(required));
        for text in ["$", "$1", "$(pwd)", "${", "${A", "${A:0:3}", "${A:-b", "${}", "${A!}", "${1}"] {
            assert!(matches!(interpolate(text, &variables), Err(Fault::Syntax(_))), "{text}");
        }
        let deep = "${N:-".repeat(40) + &"}".repeat(40);
        assert!(matches!(interpolate(&deep, &variables), Err(Fault::Syntax(_))));
    }
}
