//! Globs over paths, in the language of `if_changed` and `artifact_paths`.
//!
//! | written | matches |
//! |---|---|
//! | `?`, `*` | one character, any number of them, but no `/` |
//! | `**` | any number of characters, `/` too; `**/` in front and `/**/` also stand for no directory at all |
//! | `{a,b/c}` | one of these globs |
//! | `[abc]`, `[^abc]` | one of these characters, one other character but no `/`; there are no ranges |
//! | `\x` | the character itself |
//!
//! A glob matches whole paths.

use regex::{Regex, RegexBuilder};

/// A glob over paths with `/` between their parts.
#[derive(Debug, Clone)]
pub struct Glob(Regex);

/// Bytes of memory one glob may take when it is compiled.
const MAX_COMPILED: usize = 4 << 20;

impl Glob {
    /// Reads a glob.
    ///
    /// # Errors
    /// What is wrong with it: a bracket or brace that is not closed, or a glob that is too large.
    pub fn parse(glob: &str) -> Result<Self, String> {
        let expression = format!("^(?:{})$", translated(glob)?);
        RegexBuilder::new(&expression)
            .dot_matches_new_line(true)
            .size_limit(MAX_COMPILED)
            .build()
            .map(Self)
            .map_err(|_| "it is too large or nested too deeply".to_owned())
    }

    /// Whether it matches a path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

/// The glob as a regular expression, which is matched in linear time whatever it is.
fn translated(glob: &str) -> Result<String, String> {
    let mut out = String::with_capacity(glob.len() * 2);
    let mut braces = 0_usize;
    let mut rest = glob;
    if let Some(after) = rest.strip_prefix("**/") {
        out.push_str("(?:.*/)?");
        rest = after;
    }
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("/**/") {
            out.push_str("/(?:.*/)?");
            rest = after;
            continue;
        }
        if let Some(after) = rest.strip_prefix("**") {
            out.push_str(".*");
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '*' => out.push_str("[^/]*"),
            '?' => out.push_str("[^/]"),
            '{' => {
                braces += 1;
                out.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            ',' if braces > 0 => out.push('|'),
            '[' => rest = class(rest, &mut out)?,
            '\\' => match rest.chars().next() {
                Some(escaped) => {
                    literal(escaped, &mut out);
                    rest = &rest[escaped.len_utf8()..];
                }
                None => literal('\\', &mut out),
            },
            other => literal(other, &mut out),
        }
    }
    if braces > 0 { Err("a `{` is not closed by `}`".to_owned()) } else { Ok(out) }
}

/// Translates what follows a `[` and returns what follows its `]`.
fn class<'g>(mut rest: &'g str, out: &mut String) -> Result<&'g str, String> {
    let negated = rest.strip_prefix('^');
    rest = negated.unwrap_or(rest);
    let mut members = String::new();
    loop {
        let mut characters = rest.chars();
        let member = match characters.next() {
            None => return Err("a `[` is not closed by `]`".to_owned()),
            Some(']') => break,
            Some('\\') => characters.next().ok_or("a `[` is not closed by `]`")?,
            Some(member) => member,
        };
        literal(member, &mut members);
        rest = characters.as_str();
    }
    if members.is_empty() {
        return Err("`[]` names no characters".to_owned());
    }
    out.push_str(if negated.is_some() { "[^/" } else { "[" });
    out.push_str(&members);
    out.push(']');
    Ok(&rest[1..])
}

/// The character itself, inside or outside of a class of a regular expression.
fn literal(character: char, out: &mut String) {
    out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4])));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matching() {
        for (glob, matched, unmatched) in [
            ("", &[""][..], &["a"][..]),
            ("a*b", &["ab", "acccccb"], &["abc", "a/b", "xab"]),
            ("a?b", &["acb", "aüb"], &["ab", "accb", "a/b"]),
            ("a**b", &["ab", "acccb", "a/b", "a/c/b"], &["a/b/c"]),
            ("a/**/b", &["a/b", "a/c/b", "a/c/d/e/b"], &["a/b/c", "ab", "a/xb"]),
            ("**/b", &["b", "a/b", "a/c/b"], &["ab", "b/c"]),
            ("a/**", &["a/b", "a/b/c", "a/.hidden"], &["a", "ab/c"]),
            ("**", &["a", "a/b", ".github/x"], &[]),
            ("**.go", &["x.go", "a/b/x.go"], &["x.goo"]),
            ("foo/**.go", &["foo/x.go", "foo/a/x.go"], &["x.go"]),
            ("*.go", &["x.go", ".go"], &["a/x.go"]),
            ("go.{mod,sum}", &["go.mod", "go.sum"], &["go.{mod,sum}", "go.", "go.modsum"]),
            ("foo{,bar}.go", &["foo.go", "foobar.go"], &["foo,bar.go"]),
            ("{**.go,go.{mod,sum},fixtures/**}", &["a/x.go", "go.sum", "fixtures/a/b"], &["fixtures", "mod"]),
            ("a/{b,c/*}/d", &["a/b/d", "a/c/x/d"], &["a/c/d"]),
            ("side[AB]", &["sideA", "sideB"], &["side", "sideC", "sideAB"]),
            ("[c-g]", &["c", "-", "g"], &["d"]),
            ("log[^789]?.out", &["log1x.out"], &["log7x.out", "log/x.out"]),
            ("[\\]^&]", &["]", "^", "&"], &["\\"]),
            ("\\*\\{a\\,b\\}", &["*{a,b}"], &["x{a,b}"]),
            ("{a\\,b,c}", &["a,b", "c"], &["a"]),
            ("a,b}", &["a,b}"], &["a"]),
            ("(a|b)+.$^", &["(a|b)+.$^"], &["a"]),
            ("a b~#&-_<>\"'", &["a b~#&-_<>\"'"], &[]),
            ("end\\", &["end\\"], &["end"]),
        ] {
            let parsed = Glob::parse(glob).unwrap_or_else(|error| panic!("{glob}: {error}"));
            for path in matched {
                assert!(parsed.matches(path), "{glob} must match {path}");
            }
            for path in unmatched {
                assert!(!parsed.matches(path), "{glob} must not match {path}");
            }
        }
    }

    #[test]
    fn mistakes() {
        for glob in ["{a", "a{b,{c}", "[ab", "[", "[\\", "[]", "[^]"] {
            assert!(Glob::parse(glob).is_err(), "{glob}");
        }
        assert!(Glob::parse(&"{".repeat(100_000)).is_err());
        assert!(Glob::parse(&format!("{}{}", "{".repeat(10_000), "}".repeat(10_000))).is_err());
    }

    #[test]
    fn a_hostile_glob_stays_cheap() {
        let glob = Glob::parse(&"{a*,*a}*".repeat(200)).unwrap();
        assert!(!glob.matches(&format!("{}/", "a".repeat(4000))));
    }
}
