//! When a job may be answered from an earlier one: what its step says, what its grants forbid, what the project sets.

use super::grant::{AwsOperation, ByteSize, Grants};
use super::job::StepJob;
use serde::{Deserialize, Deserializer, Serialize};

/// What a step's `cache` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheRule {
    /// Globs of the files the result depends on; a directory stands for everything below it.
    pub inputs: Vec<String>,
    /// Globs of the files the step makes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<String>,
    /// Names (patterns with `*`) of further variables the result depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What the step may do although it does not happen again when the step is not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowed>,
}

/// What speaks against answering a job from an earlier one, unless its step allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// Tags and pushes images.
    Push,
    /// Changes stacks.
    Deploy,
    /// Uses secrets; only their names count, never their values.
    Secrets,
}

impl Allowed {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Push, Self::Deploy, Self::Secrets];

    /// As it is written.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Deploy => "deploy",
            Self::Secrets => "secrets",
        }
    }

    /// What a step does that may do it, as the end of a sentence.
    #[must_use]
    pub fn effect(self) -> &'static str {
        match self {
            Self::Push => "may push images (`grants: { docker: { push } }`), which would not happen",
            Self::Deploy => "may change stacks (`grants: { aws }`), which would not happen",
            Self::Secrets => "uses secrets, whose values are not looked at",
        }
    }

    fn is_done_by(self, step: &StepJob) -> bool {
        let grants = || std::iter::once(&step.grants).chain(step.phases().map(|phase| &phase.grants));
        match self {
            Self::Push => {
                let pushes = |grants: &Grants| grants.docker.as_ref().is_some_and(|docker| !docker.push.is_empty());
                grants().any(pushes)
            }
            Self::Deploy => {
                let changes = |operation: &AwsOperation| *operation != AwsOperation::Read;
                grants().any(|grants| grants.aws.as_ref().is_some_and(|aws| aws.operations.iter().any(changes)))
            }
            Self::Secrets => !step.secrets.is_empty() || grants().any(|grants| !grants.secrets.is_empty()),
        }
    }
}

impl CacheRule {
    /// What the step does that speaks against a cache, and is not allowed.
    pub fn objections(&self, step: &StepJob) -> impl Iterator<Item = Allowed> {
        Allowed::ALL.into_iter().filter(|one| !self.allow.contains(one) && one.is_done_by(step))
    }
}

/// What is wrong with a glob of a cache; nothing when it stays in the workspace and away from `.git` and `.runner`.
#[must_use]
pub fn wrong_glob(glob: &str) -> Option<&'static str> {
    let parts = || glob.split('/').filter(|part| !part.is_empty() && *part != ".");
    if glob.starts_with(['/', '~']) {
        Some("is not relative to the workspace")
    } else if parts().any(|part| part == "..") {
        Some("leads upwards")
    } else if parts().next().is_none() {
        Some("is empty; write `**` for everything")
    } else if parts().any(is_kept_out) {
        Some("leads into a directory that no cache touches")
    } else {
        None
    }
}

/// Whether a part of a path names what a cache neither reads nor writes: what git and the runner keep for themselves.
#[must_use]
pub fn is_kept_out(part: &str) -> bool {
    part.eq_ignore_ascii_case(".git") || part.eq_ignore_ascii_case(".runner")
}

/// The section `cache` of `runner.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CacheSettings {
    /// The most that the results of steps may take on this machine; 10 GiB unless given.
    pub size: Option<ByteSize>,
    /// A repository in a registry, shared with others.
    pub remote: Option<RemoteName>,
    /// Name of the secret with which entries in the registry are sealed.
    pub key: Option<String>,
}

/// A repository in a registry: `registry.example.com/team/cache`. `http://` before it is for one without TLS; one on
/// this machine is spoken to without TLS in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteName {
    /// Host, with a port where it is not the usual one.
    pub registry: String,
    /// Path in the registry.
    pub repository: String,
    /// Whether to do without TLS.
    pub plain_http: bool,
}

impl RemoteName {
    /// Whether what is sent to it, such as a password, can be read by nobody on the way: it is spoken to with TLS, or is
    /// on this machine.
    #[must_use]
    pub fn keeps_secrets(&self) -> bool {
        !self.plain_http || is_loopback(host(&self.registry))
    }
}

/// The host of a registry without its port.
fn host(registry: &str) -> &str {
    let port = |port: &str| port.parse::<u16>().is_ok();
    registry.rsplit_once(':').map_or(registry, |(host, after)| if port(after) { host } else { registry })
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

impl std::fmt::Display for RemoteName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)
    }
}

impl std::str::FromStr for RemoteName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no repository in a registry; write for instance registry.example.com/team/cache");
        let (plain_http, rest) = match text.strip_prefix("http://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("https://").unwrap_or(text)),
        };
        let (registry, repository) = rest.split_once('/').ok_or_else(wrong)?;
        let host = host(registry);
        let is_host = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.[]:".contains(&byte))
        };
        let named = host == "localhost" || host.contains('.') || registry.contains(':');
        let is_part = |part: &str| {
            let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
            let ends = part.bytes().next().zip(part.bytes().last());
            let outer = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            ends.is_some_and(|(first, last)| outer(first) && outer(last)) && part.bytes().all(inner)
        };
        if !named || !is_host(host) || !repository.split('/').all(is_part) {
            return Err(wrong());
        }
        Ok(Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            plain_http: plain_http || is_loopback(host),
        })
    }
}

impl<'de> Deserialize<'de> for RemoteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn step(value: &Value) -> StepJob {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn effects_have_to_be_allowed_one_by_one() {
        let docker = |docker: Value| json!({"uses": "x", "params": {}, "grants": {"docker": docker}});
        let aws = |operations: Value| {
            let aws = json!({"account": "1", "region": "r", "operations": operations});
            json!({"uses": "x", "params": {}, "grants": {"aws": aws}})
        };
        let phase = json!({"uses": "x", "params": {}, "grants": {},
            "after": [{"uses": "y", "params": {}, "grants": {"docker": {"push": ["r/x"]}}}]});
        let secret = json!({"uses": "x", "params": {}, "grants": {}, "secrets": [{"variable": "T", "name": "T"}]});
        for (written, expected) in [
            (docker(json!({"images": ["x"], "build": ["."], "containers": {}})), vec![]),
            (docker(json!({"push": ["r/x"]})), vec![Allowed::Push]),
            (phase, vec![Allowed::Push]),
            (aws(json!(["read"])), vec![]),
            (aws(json!(["read", "plan"])), vec![Allowed::Deploy]),
            (secret, vec![Allowed::Secrets]),
            (json!({"uses": "x", "params": {}, "grants": {"secrets": ["T"]}}), vec![Allowed::Secrets]),
        ] {
            let step = step(&written);
            assert_eq!(CacheRule::default().objections(&step).collect::<Vec<_>>(), expected, "{written}");
            let all = CacheRule { allow: expected, ..CacheRule::default() };
            assert_eq!(all.objections(&step).next(), None, "{written}");
        }
    }

    #[test]
    fn globs_stay_in_the_workspace() {
        for glob in ["src/**", "./a", "**", "a.git/x", "Cargo.lock", "{a,b}/*.c"] {
            assert_eq!(wrong_glob(glob), None, "{glob}");
        }
        for glob in ["/etc/passwd", "../x", "a/../../b", "", ".", ".git/config", "a/.GIT/hooks/x", ".runner", "~/x"] {
            assert!(wrong_glob(glob).is_some(), "{glob}");
        }
    }

    #[test]
    fn passwords_go_over_tls_or_to_this_machine() {
        for (text, expected) in [
            ("registry.example.com/a", true),
            ("127.0.0.1:5050/a", true),
            ("http://localhost:5050/a", true),
            ("http://registry:5000/a", false),
            ("http://127.0.0.1.example/a", false),
            ("http://localhost.example:80/a", false),
        ] {
            assert_eq!(text.parse::<RemoteName>().unwrap().keeps_secrets(), expected, "{text}");
        }
    }

    #[test]
    fn repositories_are_named_with_their_registry() {
        for (text, registry, repository, http) in [
            ("registry.example.com/team/cache", "registry.example.com", "team/cache", false),
            ("https://r.example:8443/a", "r.example:8443", "a", false),
            ("http://registry:5000/a", "registry:5000", "a", true),
            ("127.0.0.1:5050/a/b", "127.0.0.1:5050", "a/b", true),
            ("[::1]:5050/a", "[::1]:5050", "a", true),
            ("localhost/a", "localhost", "a", true),
        ] {
            let name: RemoteName = text.parse().unwrap();
            assert_eq!(
                (name.registry.as_str(), name.repository.as_str(), name.plain_http),
                (registry, repository, http)
            );
        }
        for text in [
            "",
            "cache",
            "team/cache",
            "r.example/",
            "r.example/A",
            "r.example/a:tag",
            "r.example/../a",
            "user@r.example/a",
        ] {
            assert!(text.parse::<RemoteName>().is_err(), "{text}");
        }
    }
}
