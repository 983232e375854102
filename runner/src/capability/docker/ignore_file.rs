//! `.dockerignore`, with Docker's meaning: every pattern is anchored at the context's root, the last one that matches
//! a path or a directory above it decides.

use crate::capability::Error;
use regex::Regex;

/// The rules of one file; the default excludes nothing.
#[derive(Debug, Default)]
pub(super) struct IgnoreFile {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    pattern: Regex,
    /// Written with `!`: what matches is included.
    includes: bool,
}

/// Which rules match a path or a directory above it.
#[derive(Debug, Clone, Default)]
pub(super) struct Matches(Vec<bool>);

impl IgnoreFile {
    /// Reads the file's text.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (number, line) in text.split('\n').enumerate() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let wrong = |why: &str| {
                Error::Invalid(format!(".dockerignore:{}: `{}` {why}", number + 1, line.trim().escape_debug()))
            };
            let (includes, pattern) = match line.trim().strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line.trim()),
            };
            if pattern.is_empty() {
                return Err(wrong("is no pattern; write what to include after the `!`"));
            }
            let pattern = clean(pattern);
            let pattern = expression(&pattern)
                .and_then(|expression| Regex::new(&expression).ok())
                .ok_or_else(|| wrong("is not a pattern; expected names with `*`, `?`, `[a-z]` and `**`"))?;
            rules.push(Rule { pattern, includes });
        }
        Ok(Self { rules })
    }

    /// Whether a path (relative to the context) stays out, and the matches to pass on for what is below it.
    pub(super) fn excludes(&self, path: &str, above: &Matches) -> (bool, Matches) {
        let mut excluded = false;
        let mut matches = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let matched = above.0.get(index) == Some(&true) || rule.pattern.is_match(path);
            if matched {
                excluded = !rule.includes;
            }
            matches.push(matched);
        }
        (excluded, Matches(matches))
    }

    /// Whether something below an excluded directory may be included again.
    pub(super) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.includes)
    }
}

/// The path in its shortest form, relative to the root.
fn clean(pattern: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in pattern.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Above the root is the root.
            ".." if pattern.starts_with('/') => {}
            other => parts.push(other),
        }
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join("/") }
}

/// The regular expression of a pattern; nothing when it is malformed.
fn expression(pattern: &str) -> Option<String> {
    let mut expression = String::from("(?s)^");
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                letters.next_if_eq(&'/');
                expression.push_str(if letters.peek().is_none() { ".*" } else { "(?:.*/)?" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => expression.push_str(&class(&mut letters)?),
            '\\' => expression.push_str(&regex::escape(letters.next()?.encode_utf8(&mut [0; 4]))),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression.push('$');
    Some(expression)
}

/// A character class after its `[`; never empty, never matching `/`.
fn class(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let negated = letters.next_if_eq(&'^').is_some();
    let one = |letters: &mut std::iter::Peekable<std::str::Chars<'_>>| match letters.next()? {
        '\\' => letters.next(),
        ']' | '-' => None,
        other => Some(other),
    };
    let mut set = String::new();
    while letters.next_if_eq(&']').is_none() {
        let low = one(letters)?;
        let high = if letters.next_if_eq(&'-').is_some() { one(letters)? } else { low };
        if low > high {
            return None;
        }
        set.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high)));
    }
    if set.is_empty() {
        return None;
    }
    Some(if negated { format!("[^/{set}]") } else { format!("[{set}&&[^/]]") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a file stays out, asked the way a walk does: from the top down.
    fn excluded(rules: &str, path: &str) -> bool {
        let file = IgnoreFile::parse(rules).unwrap();
        let mut matches = Matches::default();
        let mut excluded = false;
        for (at, _) in path.match_indices('/').chain([(path.len(), "")]) {
            (excluded, matches) = file.excludes(&path[..at], &matches);
        }
        excluded
    }

    #[test]
    fn patterns_mean_what_docker_says() {
        for (rules, path, expected) in [
            // Anchored at the root, unlike .gitignore.
            ("secret.key", "secret.key", true),
            ("secret.key", "sub/secret.key", false),
            ("/secret.key", "secret.key", true),
            ("*/temp*", "a/temporary.txt", true),
            ("*/temp*", "a/b/temporary.txt", false),
            ("*/*/temp*", "a/b/temporary.txt", true),
            ("temp?", "tempa", true),
            ("temp?", "temp", false),
            ("**/*.key", "secret.key", true),
            ("**/*.key", "a/b/secret.key", true),
            ("**/*.key", "a/b/secret.keys", false),
            ("a/**", "a/b/c", true),
            ("a/**", "a", false),
            ("a/**/c", "a/c", true),
            ("a/**/c", "a/b/b/c", true),
            ("a/**/c", "ac", false),
            ("**", "anything/at/all", true),
            // A directory takes what is below it along.
            ("node_modules", "node_modules/x/y", true),
            ("node_modules/", "node_modules/x", true),
            ("node_modules", "node_modules2/x", false),
            // The last match decides.
            ("*.md\n!README.md", "README.md", false),
            ("*.md\n!README.md", "CHANGES.md", true),
            ("!README.md\n*.md", "README.md", true),
            ("*\n!src", "src/main.rs", false),
            ("*\n!src", "target/x", true),
            ("*\n!src\nsrc/secret", "src/secret", true),
            ("a\n!a/b", "a/b/c", false),
            ("a\n!a/b", "a/c", true),
            // Lines.
            ("# x\n\n  x  \r\n", "x", true),
            ("# x", "x", false),
            (" #x", "#x", true),
            ("\u{feff}x", "x", true),
            ("! x\n", "x", false),
            ("*\n! x", "x", false),
            ("./a/../b/./c", "b/c", true),
            ("/../x", "x", true),
            ("../x", "x", false),
            (".", "x", false),
            // Letters that mean something to a regular expression.
            ("a.b", "axb", false),
            ("a+(b)|{c}$^", "a+(b)|{c}$^", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[^a-c]x", "dx", true),
            ("[^a]x", "/x", false),
            ("[[&&]x", "&x", true),
            (r"[\]]x", "]x", true),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            ("ä*", "äpfel", true),
        ] {
            assert_eq!(excluded(rules, path), expected, "{rules:?} on {path:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_its_line() {
        for (rules, place) in [("a\n!", ".dockerignore:2:"), ("[", ".dockerignore:1:"), ("[]a", ".dockerignore:1:")] {
            let error = IgnoreFile::parse(rules).unwrap_err().to_string();
            assert!(error.starts_with(place), "{rules:?}: {error}");
        }
        for rules in ["[b-a]", "[a", "[a-]", "x\\"] {
            assert!(IgnoreFile::parse(rules).is_err(), "{rules:?}");
        }
    }
}
