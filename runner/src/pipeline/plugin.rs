//! Where a plugin comes from.

use std::borrow::Cow;

use super::model::Plugin;

impl Plugin {
    /// The whole reference of the plugin: `docker#v1` is `github.com/buildkite-plugins/docker-buildkite-plugin#v1`
    /// and `org/x#v1` is `github.com/org/x-buildkite-plugin#v1`. Paths, URLs and longer names stay as they are.
    pub fn full_source(&self) -> String {
        expand(&self.source).unwrap_or_else(|| self.source.value.clone())
    }

    /// The short name by which a table of plugins knows it: `docker` for all spellings of the docker plugin.
    pub fn name(&self) -> String {
        let full = self.full_source();
        let path = full.split('#').next().unwrap_or_default();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.strip_suffix(".git").unwrap_or(last);
        last.strip_suffix("-buildkite-plugin").unwrap_or(last).to_owned()
    }

    /// The version behind the `#`: a tag, a branch or a commit.
    pub fn version(&self) -> Option<&str> {
        self.source.split_once('#').map(|(_, version)| version).filter(|version| !version.is_empty())
    }
}

fn expand(source: &str) -> Option<String> {
    if source.is_empty() || source.starts_with(['/', '.', '\\']) || source.contains(|c: char| c.is_ascii_control()) {
        return None;
    }
    let (reference, version) = source.split_once('#').unwrap_or((source, ""));
    let path = reference.split('?').next().unwrap_or_default();
    // A colon before the first slash belongs to a scheme, a drive or `git@host:`.
    if path.split('/').next().is_some_and(|first| first.contains(':')) {
        return None;
    }
    let (path, version) = (decode_percent(path)?, decode_percent(version)?);
    let parts: Vec<&str> = path.split('/').collect();
    let (owner, name) = match parts.as_slice() {
        [name] => ("buildkite-plugins", name),
        [owner, name] => (*owner, name),
        _ => return None,
    };
    let version = if version.is_empty() { String::new() } else { format!("#{version}") };
    Some(format!("github.com/{owner}/{name}-buildkite-plugin{version}"))
}

/// Decodes `%41` and the like; `None` when a percent sign is not followed by two digits or the result is not text.
fn decode_percent(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use crate::pipeline::{Node, NodeKind, Span, Spanned};

    use super::Plugin;

    fn plugin(source: &str) -> Plugin {
        let span = Span::default();
        Plugin { source: Spanned::new(source.to_owned(), span), config: Node::new(NodeKind::Null, span) }
    }

    #[test]
    fn sources() {
        let cases = [
            ("docker", "github.com/buildkite-plugins/docker-buildkite-plugin", "docker"),
            ("docker#v1", "github.com/buildkite-plugins/docker-buildkite-plugin#v1", "docker"),
            ("org/x#v1", "github.com/org/x-buildkite-plugin#v1", "x"),
            ("github.com/o/r-buildkite-plugin#v1", "github.com/o/r-buildkite-plugin#v1", "r"),
            ("./local", "./local", "local"),
            ("https://h/x.git#v1", "https://h/x.git#v1", "x"),
            ("git@github.com:o/r-buildkite-plugin.git#v1", "git@github.com:o/r-buildkite-plugin.git#v1", "r"),
            ("a%2", "a%2", "a%2"),
        ];
        for (source, full, name) in cases {
            assert_eq!(plugin(source).full_source(), full);
            assert_eq!(plugin(source).name(), name);
        }
        assert_eq!(plugin("docker#v5.0.0").version(), Some("v5.0.0"));
    }
}
