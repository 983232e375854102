//! Image references, in the grammar of the distribution project, and how they match a grant's patterns.

use crate::capability::Error;
use crate::plan::grant::matches_pattern;
use std::fmt;

/// `registry/path:tag@digest`, complete: with a registry, and with a tag, a digest or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

const HUB: &str = "docker.io";
/// Where the Hub keeps images of a single name.
const LIBRARY: &str = "library/";
/// Characters of a name without tag and digest; the engine's own limit.
const MAX_NAME: usize = 255;

impl Reference {
    /// Reads a reference; without tag and digest it means `:latest`.
    ///
    /// # Errors
    /// `Invalid` for everything the engine would not take for a reference, and for what it would take for an
    /// identifier.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let shown: String = text.chars().take(MAX_NAME).collect();
            Error::Invalid(format!(
                "`{}` is not an image reference: {why}; expected for instance `postgres:16` or `registry.example/team/app:1.2`",
                shown.escape_debug()
            ))
        };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        if digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(wrong("a digest is `sha256:` and 64 lower-case hex digits"));
        }
        // A colon after the last slash begins the tag; before it, it begins the registry's port.
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(wrong(
                "a tag is up to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two",
            ));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, path)) if is_registry_like(first) => (first, path.to_owned()),
            Some(_) => (HUB, name.to_owned()),
            None => (HUB, format!("{LIBRARY}{name}")),
        };
        let registry = if registry == "index.docker.io" { HUB } else { registry };
        let path = if registry == HUB && !path.contains('/') { format!("{LIBRARY}{path}") } else { path };
        if !is_registry(registry) {
            return Err(wrong("its registry is no host name with an optional port"));
        }
        if !path.split('/').all(is_component) {
            return Err(wrong(
                "each part of its path is lower-case letters and digits, with `.`, `_`, `__` or `-` between them",
            ));
        }
        if registry.len() + 1 + path.len() > MAX_NAME {
            return Err(wrong("it is longer than 255 characters"));
        }
        // `sha256:…` and 64 hex digits name an image by its identifier, whatever it is called.
        let short = path.strip_prefix(LIBRARY).unwrap_or_default();
        if registry == HUB && (short == "sha256" || (short.len() == 64 && short.bytes().all(is_hex))) {
            return Err(wrong("it is an identifier"));
        }
        let tag = match (tag, digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag.map(str::to_owned),
        };
        Ok(Self { registry: registry.to_owned(), path, tag, digest: digest.map(str::to_owned) })
    }

    /// Host name and port of the registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// `registry/path`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The tag, when there is no digest to overrule it.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref().filter(|_| self.digest.is_none())
    }

    /// What the engine is asked for within the repository: the digest, or else the tag.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or("latest")
    }

    /// The name under which the engine's store has it; never taken for an identifier.
    pub fn stored(&self) -> String {
        let mark = if self.digest.is_some() { '@' } else { ':' };
        format!("{}{mark}{}", self.repository(), self.version())
    }

    /// Whether a pattern of `grants.docker.images` covers it.
    pub fn matches(&self, pattern: &str) -> bool {
        let version = self.suffix();
        let bare = self.tag() == Some("latest");
        self.names(pattern).any(|name| {
            matches_pattern(pattern, &format!("{name}{version}")) || (bare && matches_pattern(pattern, &name))
        })
    }

    /// Whether a pattern of `grants.docker.push` covers its repository.
    pub fn repository_matches(&self, pattern: &str) -> bool {
        self.names(pattern).any(|name| matches_pattern(pattern, &name))
    }

    /// The ways to write the repository that this pattern can mean. A `*` runs over `/` and `.`, so a pattern that does
    /// not name a registry (`postgres*`) must not come to match a registry (`postgres.evil.example/x`).
    fn names(&self, pattern: &str) -> impl Iterator<Item = String> {
        let head = pattern.split_once('/').map(|(head, _)| head);
        let full = match head {
            Some(head) if is_registry_like(head) => matches_pattern(head, &self.registry),
            _ => pattern == "*",
        };
        let hub = self.registry == HUB && !head.is_some_and(is_registry_like);
        let short = hub.then(|| self.path.strip_prefix(LIBRARY).unwrap_or(&self.path).to_owned());
        let long = hub.then(|| self.path.clone());
        full.then(|| self.repository()).into_iter().chain(short).chain(long)
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        format!("{tag}{digest}")
    }

    /// The repository the way people write it: without the Hub's address.
    pub fn familiar_repository(&self) -> String {
        if self.registry == HUB {
            self.path.strip_prefix(LIBRARY).unwrap_or(&self.path).to_owned()
        } else {
            self.repository()
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.familiar_repository(), self.suffix())
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// `sha256:` and 64 lower-case hex digits.
pub(super) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_hex))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

/// What tells a registry from the first part of a path.
fn is_registry_like(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_fits = port.is_none_or(|port| port.len() <= 5 && port.parse::<u16>().is_ok_and(|port| port > 0));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host_fits = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    port_fits && host_fits
}

/// `[a-z0-9]+` joined by `.`, `_`, `__` or any number of `-`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().last().is_some_and(alphanumeric)
        && separators
            .into_iter()
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|byte| byte == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let pinned = format!("docker.io/library/postgres@{DIGEST}");
        for (text, stored, shown) in [
            ("postgres", "docker.io/library/postgres:latest", "postgres:latest"),
            ("postgres:16", "docker.io/library/postgres:16", "postgres:16"),
            ("docker.io/postgres:16", "docker.io/library/postgres:16", "postgres:16"),
            ("index.docker.io/library/postgres:16", "docker.io/library/postgres:16", "postgres:16"),
            ("team/app:1", "docker.io/team/app:1", "team/app:1"),
            ("localhost/app", "localhost/app:latest", "localhost/app:latest"),
            ("127.0.0.1:5050/a/b:1", "127.0.0.1:5050/a/b:1", "127.0.0.1:5050/a/b:1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest"),
            ("r.example/a__b/c--d.e_f:T-1_x.y", "r.example/a__b/c--d.e_f:T-1_x.y", "r.example/a__b/c--d.e_f:T-1_x.y"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.stored().as_str(), reference.to_string().as_str()), (stored, shown), "{text}");
        }
        let both = Reference::parse(&format!("postgres:16@{DIGEST}")).unwrap();
        assert_eq!((both.stored(), both.tag(), both.version()), (pinned, None, DIGEST));
        assert_eq!(both.to_string(), format!("postgres:16@{DIGEST}"));
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let long = format!("a/{}", "b".repeat(255));
        let tag = format!("a:{}", "b".repeat(129));
        let id = "a".repeat(64);
        let by_id = format!("sha256:{id}");
        for hostile in [
            "",
            "x/../../containers/prune?filters={}#",
            "x/kill?signal=KILL#",
            "../volumes/x",
            "a/./b",
            "a//b",
            "/a",
            "a/",
            "a:",
            "a:b:c",
            "a@b",
            "a@sha256:00",
            "Postgres",
            "team/App",
            "a b",
            "a\n",
            "a\0",
            "a\u{202e}b",
            "é",
            "a%2fb",
            "a#b",
            "a?b",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a._b",
            ":5000/a",
            "r.example:/a",
            "r.example:99999/a",
            "r.example:0/a",
            "r..example/a",
            "-r.example/a",
            "user@r.example/a",
            "http://r.example/a",
            "[::zz]/a",
            &long,
            &tag,
            &id,
            &by_id,
            "sha256:abcdef",
        ] {
            assert!(matches!(Reference::parse(hostile), Err(Error::Invalid(_))), "{hostile:?}");
        }
    }

    #[test]
    fn a_pattern_covers_every_way_to_write_the_same_image() {
        for (pattern, text, expected) in [
            ("postgres:16", "postgres:16", true),
            ("postgres:16", "docker.io/library/postgres:16", true),
            ("docker.io/library/postgres:16", "postgres:16", true),
            ("library/postgres:16", "postgres:16", true),
            ("postgres:16*", "postgres:16.4-alpine", true),
            ("postgres:16*", "postgres:15", false),
            ("postgres", "postgres", true),
            ("postgres", "postgres:latest", true),
            ("postgres:latest", "postgres", true),
            ("postgres", "postgres:16", false),
            ("r.example/team/*", "r.example/team/app:1", true),
            ("r.example/team/*", "r.example/other/app:1", false),
            ("*.example/team/*", "r.example/team/app:1", true),
            ("*", "r.example/team/app:1", true),
            ("team/app:*", "team/app-evil:1", false),
            // A star never reaches into the registry's name.
            ("postgres*", "postgres.evil.example/x:1", false),
            ("team*", "team.evil.example/app:1", false),
            ("team*/app:1", "team.evil.example/app:1", false),
            ("*/app:1", "r.example/app:1", false),
            ("r.example*", "r.example.evil/app:1", false),
            ("r.example/*", "r.example.evil/app:1", false),
            ("docker.io/*", "r.example/docker.io/x:1", false),
        ] {
            assert_eq!(Reference::parse(text).unwrap().matches(pattern), expected, "{pattern} against {text}");
        }
        let pinned = Reference::parse(&format!("postgres@{DIGEST}")).unwrap();
        assert!(pinned.matches("postgres@sha256:*") && !pinned.matches("postgres:16*"));
    }

    #[test]
    fn a_push_is_granted_for_exactly_its_repository() {
        for (pattern, text, expected) in [
            ("r.example/team/service", "r.example/team/service:1", true),
            ("r.example/team/service", "r.example/team/service-evil:1", false),
            ("r.example/team/service", "r.example/team/service/sub:1", false),
            ("r.example/team/service", "r.example:5000/team/service:1", false),
            ("r.example/team/service", "team/service:1", false),
            ("team/service", "r.example/team/service:1", false),
            ("orders", "docker.io/library/orders:1", true),
            ("orders*", "orders.evil.example/x:1", false),
        ] {
            assert_eq!(
                Reference::parse(text).unwrap().repository_matches(pattern),
                expected,
                "{pattern} against {text}"
            );
        }
    }
}
