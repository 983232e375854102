//! What a Dockerfile would have the engine fetch: read before the build, as a fence in front of the engine's own
//! reading. Wherever readers of Dockerfiles differ from each other, the file is refused or read both ways.

mod lines;

use super::reference::Reference;
use crate::capability::Error;
use lines::{Instruction, Problem, flags, heredoc, instructions, is_blank, literal, words};
use std::collections::BTreeMap;

/// An image a build uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    /// Which.
    pub(super) reference: Reference,
    /// Where the Dockerfile says so, from 1.
    pub(super) line: usize,
}

/// The images a build with these arguments uses, each once; `name` is the Dockerfile's, for messages. `egress` permits
/// `ADD` of a URL.
///
/// # Errors
/// `Invalid` with the line for what is not permitted or cannot be checked.
pub(super) fn scan(name: &str, text: &str, args: &BTreeMap<String, String>, egress: bool) -> Result<Vec<Used>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut images: Vec<Used> = Vec::new();
    // An indented comment inside a continued instruction is a comment to some engines and a line to others.
    for indented_comments in [true, false] {
        let mut scan =
            Scan { args, egress, meta: BTreeMap::new(), stages: Vec::new(), current: None, images: Vec::new() };
        instructions(text, indented_comments)
            .and_then(|instructions| instructions.iter().try_for_each(|instruction| scan.instruction(instruction)))
            .map_err(|Problem { line, text }| Error::Invalid(format!("{name}:{line}: {text}")))?;
        for used in scan.images {
            if !images.iter().any(|known| known.reference == used.reference) {
                images.push(used);
            }
        }
    }
    Ok(images)
}

struct Scan<'a> {
    args: &'a BTreeMap<String, String>,
    egress: bool,
    /// Values of the `ARG`s before the first `FROM`, which are all that `FROM` can use; nothing when a value cannot be
    /// told.
    meta: BTreeMap<String, Option<String>>,
    /// Names of the finished stages, in lower case; empty for those without.
    stages: Vec<String>,
    /// Name of the stage being read.
    current: Option<String>,
    images: Vec<Used>,
}

impl Scan<'_> {
    fn instruction(&mut self, instruction: &Instruction) -> Result<(), Problem> {
        let Instruction { line, name, rest } = instruction;
        self.check(name, rest, *line).map_err(|text| Problem { line: *line, text })
    }

    fn check(&mut self, name: &str, rest: &str, line: usize) -> Result<(), String> {
        match name {
            "from" => self.from(rest, line),
            "arg" if self.current.is_none() => {
                self.meta_arg(rest);
                Ok(())
            }
            "copy" | "add" | "run" => {
                let (flags, rest) = flags(name, rest)?;
                for (flag, value) in flags {
                    self.flag(name, flag, value, line)?;
                }
                heredoc(rest)?;
                if name == "add" && !self.egress { local_sources(rest) } else { Ok(()) }
            }
            "onbuild" => {
                let (inner, rest) = rest.split_once(is_blank).unwrap_or((rest, ""));
                match inner.to_lowercase().as_str() {
                    "from" | "onbuild" => Err(format!("`ONBUILD {inner}` is not permitted")),
                    inner => self.check(inner, rest.trim(), line),
                }
            }
            _ => Ok(()),
        }
    }

    fn from(&mut self, rest: &str, line: usize) -> Result<(), String> {
        let (flags, rest) = flags("from", rest)?;
        if let Some((flag, _)) = flags.iter().find(|(flag, _)| *flag != "platform") {
            return Err(format!("`FROM --{flag}` is not known; `--platform` is"));
        }
        let words: Vec<&str> = rest.split(is_blank).filter(|word| !word.is_empty()).collect();
        let (image, stage) = match words.as_slice() {
            [image] => (image, ""),
            [image, keyword, stage] if keyword.eq_ignore_ascii_case("as") => (image, *stage),
            _ => return Err(format!("`FROM {rest}` cannot be read; expected `FROM image` or `FROM image AS name`")),
        };
        let image = self.expand(image)?;
        self.stages.extend(self.current.take());
        if image != "scratch" && !self.is_stage(&image) {
            self.uses(&image, line)?;
        }
        self.current = Some(stage.to_lowercase());
        Ok(())
    }

    fn flag(&mut self, instruction: &str, flag: &str, value: Option<&str>, line: usize) -> Result<(), String> {
        let upper = instruction.to_uppercase();
        match (instruction, flag) {
            ("copy" | "add", "from") => self.source(value.unwrap_or_default(), line),
            ("run", "mount") => {
                for field in value.unwrap_or_default().split(',') {
                    let (key, value) = field.split_once('=').unwrap_or((field, ""));
                    if key.trim().eq_ignore_ascii_case("from") {
                        self.source(value, line)?;
                    }
                }
                Ok(())
            }
            ("run", "network" | "security") => Err(format!("`{upper} --{flag}` is not permitted")),
            _ => Ok(()),
        }
    }

    /// What `--from=` names: a finished stage by name or number, or an image.
    fn source(&mut self, name: &str, line: usize) -> Result<(), String> {
        if name.is_empty() || self.is_stage(name) {
            return Ok(());
        }
        match name.parse::<usize>() {
            Ok(number) if number < self.stages.len() => Ok(()),
            Ok(number) => Err(format!("`--from={number}` is no stage before this one")),
            Err(_) => self.uses(name, line),
        }
    }

    fn is_stage(&self, name: &str) -> bool {
        !name.is_empty() && self.stages.contains(&name.to_lowercase())
    }

    fn uses(&mut self, image: &str, line: usize) -> Result<(), String> {
        let reference = Reference::parse(image).map_err(|error| error.to_string())?;
        self.images.push(Used { reference, line });
        Ok(())
    }

    /// `ARG NAME`, `ARG NAME=value`, and several of them.
    fn meta_arg(&mut self, rest: &str) {
        for word in words(rest) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            let value = match (self.args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, None) => Some(String::new()),
                (None, Some(default)) => literal(default),
            };
            self.meta.insert(name.to_owned(), value);
        }
    }

    /// The image name of a `FROM` with its variables replaced: `$NAME`, `${NAME}`, `${NAME:-default}` and
    /// `${NAME:+other}`.
    fn expand(&self, word: &str) -> Result<String, String> {
        let strange = || {
            format!(
                "`FROM {word}` cannot be checked; write the name without quotes and backslashes, with `$NAME` or `${{NAME:-default}}` at most"
            )
        };
        let plain = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte)).then(|| text.to_owned())
        };
        let mut expanded = String::new();
        let mut rest = word;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(&plain(before).ok_or_else(strange)?);
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            if let Some(inner) = after.strip_prefix('{') {
                let (inner, after) = inner.split_once('}').ok_or_else(strange)?;
                let (name, modifier) = inner.split_at(inner.find(|letter| !is_name(letter)).unwrap_or(inner.len()));
                let set = !self.variable(name, word)?.is_empty();
                let value = if let Some(default) = modifier.strip_prefix(":-") {
                    if set { self.variable(name, word)? } else { plain(default).ok_or_else(strange)? }
                } else if let Some(other) = modifier.strip_prefix(":+") {
                    if set { plain(other).ok_or_else(strange)? } else { String::new() }
                } else if modifier.is_empty() {
                    self.variable(name, word)?
                } else {
                    return Err(strange());
                };
                expanded.push_str(&value);
                rest = after;
            } else {
                let end = after.find(|letter| !is_name(letter)).unwrap_or(after.len());
                expanded.push_str(&self.variable(&after[..end], word)?);
                rest = &after[end..];
            }
        }
        expanded.push_str(&plain(rest).ok_or_else(strange)?);
        Ok(expanded)
    }

    fn variable(&self, name: &str, word: &str) -> Result<String, String> {
        match self.meta.get(name) {
            Some(Some(value)) => Ok(value.clone()),
            Some(None) => Err(format!(
                "`FROM {word}` cannot be checked: the default of `ARG {name}` is more than a plain word; write it as one, or give the build argument"
            )),
            None => Err(format!("`FROM {word}` uses `{name}`, which no ARG before the first FROM declares")),
        }
    }
}

/// Refuses sources of an `ADD` that the engine would fetch, or that cannot be told from such.
fn local_sources(rest: &str) -> Result<(), String> {
    let sources = match serde_json::from_str::<Vec<String>>(rest) {
        Ok(words) => words,
        Err(_) => rest.split(is_blank).map(str::to_owned).collect(),
    };
    for source in &sources {
        let lower = source.to_lowercase();
        if lower.contains("://") || lower.starts_with("git@") {
            return Err(format!(
                "`ADD {}` has the engine fetch a URL, which needs a build with `network: egress`",
                source.escape_debug()
            ));
        }
        if lower.contains(['$', '\\', '`', '"', '\'']) {
            return Err(format!("`ADD {}` may be a URL; use COPY for files, which never is", source.escape_debug()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Result<Vec<String>, Error> {
        let args = BTreeMap::from([("VERSION".to_owned(), "16".to_owned())]);
        Ok(scan("Dockerfile", text, &args, false)?.iter().map(|used| used.reference.to_string()).collect())
    }

    #[test]
    fn images_are_found_wherever_they_are_named() {
        for (text, expected) in [
            ("FROM a", vec!["a:latest"]),
            ("from\ta:1 As x\nFROM X\n", vec!["a:1"]),
            ("FROM a\nFROM b\nCOPY --from=0 / /\nCOPY --from=c:1 / /", vec!["a:latest", "b:latest", "c:1"]),
            ("FROM a AS one\nFROM b\nCOPY --chown=1:1 --from=ONE / /", vec!["a:latest", "b:latest"]),
            // A stage is no stage within itself, nor before it.
            ("FROM a AS one\nCOPY --from=one / /", vec!["a:latest", "one:latest"]),
            ("FROM one\nFROM a AS one", vec!["one:latest", "a:latest"]),
            ("FROM scratch", vec![]),
            ("FROM a\nRUN --mount=type=bind,from=b,target=/x true", vec!["a:latest", "b:latest"]),
            ("FROM a\nONBUILD COPY --from=b / /", vec!["a:latest", "b:latest"]),
            ("# comment\n\n  FROM \\\n# between\n\n  a:\\\n1", vec!["a:1"]),
            ("FROM --platform=linux/amd64 a", vec!["a:latest"]),
            ("\u{feff}FROM a\r\nRUN x\r\n", vec!["a:latest"]),
            ("RUN x \\", vec![]),
            // Arguments.
            ("ARG VERSION=15\nFROM p:$VERSION", vec!["p:16"]),
            ("ARG VERSION\nFROM p:${VERSION}-x", vec!["p:16-x"]),
            ("ARG OTHER=15 MORE=x\nFROM p:$OTHER-$MORE", vec!["p:15-x"]),
            ("ARG OTHER=\"15\"\nFROM p:$OTHER", vec!["p:15"]),
            ("ARG OTHER\nFROM p:${OTHER:-15}", vec!["p:15"]),
            ("ARG OTHER=a\nFROM p:${OTHER:+b}", vec!["p:b"]),
            // Two readings of an indented comment.
            ("FROM a\nRUN x \\\n  # y\nFROM b", vec!["a:latest", "b:latest"]),
        ] {
            assert_eq!(images(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused_with_its_line() {
        for (text, line, part) in [
            ("# syntax=evil/frontend\nFROM a", 1, "syntax"),
            ("#Syntax = evil/frontend\nFROM a", 1, "syntax"),
            ("# x\n# escape=`\nFROM a", 2, "escape character"),
            ("FROM a\nADD http://127.0.0.1:5000/ /x", 2, "fetch a URL"),
            ("FROM a\nADD [\"http:\\/\\/127.0.0.1\", \"/x\"]", 2, "fetch a URL"),
            ("FROM a\nADD [\"\\u0068ttp://127.0.0.1\", \"/x\"]", 2, "fetch a URL"),
            ("FROM a\nADD HTTP://x /", 2, "fetch a URL"),
            ("FROM a\nADD git@github.com:a/b /", 2, "fetch a URL"),
            ("FROM a\nADD --chown=1 \\\n  http://x /", 2, "fetch a URL"),
            ("FROM a\nENV U=http://x\nADD $U /", 3, "may be a URL"),
            ("FROM a\nADD ht\\tp:/\\/x /", 2, "may be a URL"),
            ("FROM a\nADD http:'//'x /", 2, "may be a URL"),
            ("FROM a\nONBUILD ADD http://x /", 2, "fetch a URL"),
            ("FROM a\nCOPY --from=\"evil\" / /", 2, "without quotes"),
            ("FROM a\nCOPY --fr\\om=evil / /", 2, "without quotes"),
            ("FROM a\nCOPY --from=$X / /", 2, "without quotes"),
            ("FROM a\nCOPY --from=7 / /", 2, "no stage"),
            ("FROM a\nCOPY --from=x/../../y / /", 2, "not an image reference"),
            ("FROM a\nRUN --network=host true", 2, "not permitted"),
            ("FROM a\nRUN --security=insecure true", 2, "not permitted"),
            ("FROM a\nRUN <<EOF\nx\nEOF", 2, "here-document"),
            ("FROM a\nRUN cat <<'EOF\\'\nx\nEOF\\\nFROM evil", 2, "here-document"),
            ("FROM a\nCOPY <<-EOF /x\nEOF", 2, "here-document"),
            ("FROM a\nRUN x \\\\\nFROM evil", 2, "two backslashes"),
            ("FROM \"evil\"", 1, "cannot be checked"),
            ("FROM e\\vil", 1, "cannot be checked"),
            ("FROM a b", 1, "cannot be read"),
            ("FROM --x=y a", 1, "is not known"),
            ("FROM $UNKNOWN", 1, "no ARG"),
            ("FROM a\nARG X=b\nFROM $X", 3, "no ARG"),
            ("ARG X=$Y\nFROM $X", 2, "more than a plain word"),
            ("ARG X=a\\b\nFROM $X", 2, "more than a plain word"),
            ("ARG X=a\nFROM ${X%b}", 2, "cannot be checked"),
            ("FROM Upper", 1, "not an image reference"),
            ("FROM sha256:abcdef", 1, "identifier"),
            ("FROM a\nONBUILD FROM evil", 2, "not permitted"),
        ] {
            let error = images(text).expect_err(text).to_string();
            assert!(error.starts_with(&format!("Dockerfile:{line}: ")), "{text:?}: {error}");
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn ordinary_lines_pass() {
        let text = "# escape=\\\nFROM a\n# syntax=x\nRUN echo $((1 << 2)) <<< x && ls --from=x\nCOPY --chown=a:b . .\n\
                    ADD rootfs.tar.gz /\nADD [\"a b\", \"/\"]\nHEALTHCHECK --interval=\"5s\" CMD true\nRUN apt-get install \\\n    # tools\n    curl\n";
        assert_eq!(images(text).unwrap(), ["a:latest"]);
        assert!(scan("Dockerfile", "FROM a\nADD http://x /", &BTreeMap::new(), true).is_ok());
    }
}
