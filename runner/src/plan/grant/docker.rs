//! `grants.docker`: which build contexts, images, pushes and containers a step may use.

use super::{ByteSize, GrantError, one_or_many};
use serde::{Deserialize, Serialize};

/// What a step may do with the Docker Engine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DockerGrant {
    /// Directories of the workspace that may be sent as a build context.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub build: Vec<BuildContext>,
    /// References (patterns with `*`) that may be pulled, run, and named by `FROM`.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub images: Vec<String>,
    /// Repositories without tag (patterns with `*`) that may be tagged and pushed to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub push: Vec<String>,
    /// Containers may be run, within these bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainersGrant>,
    /// How the host logs in to registries, where that is not what Docker's own configuration says.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub login: Vec<RegistryLogin>,
}

/// Credentials for a registry: a user name and a secret, or a credential helper. The host uses them; the component
/// never sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RegistryLogin {
    /// Host and port, as `registry.example.com:5000`; `docker.io` for the Hub. With a helper, a pattern with `*`.
    pub registry: String,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Name of the secret that holds the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// `NAME` of the program `docker-credential-NAME`, such as `ecr-login`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
}

impl RegistryLogin {
    /// Whether these credentials are for this registry.
    #[must_use]
    pub fn is_for(&self, registry: &str) -> bool {
        match self.helper {
            Some(_) => super::matches_pattern(&self.registry, registry),
            None => self.registry == registry,
        }
    }

    fn problem(&self) -> Option<&'static str> {
        let name = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        match (&self.username, &self.password, &self.helper) {
            _ if self.registry.is_empty() => Some("`registry` is missing"),
            (Some(_), Some(_), None) if self.registry.contains('*') => {
                Some("a password goes to one registry; write its name without `*`")
            }
            (Some(_), Some(_), None) => None,
            (None, None, Some(helper)) if name(helper) => None,
            (None, None, Some(_)) => Some("a helper's name has letters, digits, `-` and `_`"),
            _ => Some("expected `username` and `password` (the name of a secret), or `helper`"),
        }
    }
}

/// One directory that may be built: written as its path, or as a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildContext {
    /// Path below the workspace; `.` is all of it.
    pub context: String,
    /// What `RUN` instructions may reach.
    pub network: BuildNetwork,
}

/// What a build's `RUN` instructions may reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildNetwork {
    /// Loopback only.
    #[default]
    None,
    /// Addresses outside, through the engine's default bridge.
    Egress,
}

/// Bounds on the containers of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ContainersGrant {
    /// How many may exist at once.
    pub max: u32,
    /// Memory of each.
    pub memory: ByteSize,
    /// CPUs of each.
    pub cpus: f64,
    /// Processes of each.
    pub pids: u32,
    /// Whether their networks may reach addresses outside.
    pub egress: bool,
    /// Container ports that may be published on 127.0.0.1.
    #[serde(deserialize_with = "one_or_many")]
    pub publish: Vec<u16>,
}

impl Default for ContainersGrant {
    fn default() -> Self {
        Self { max: 8, memory: ByteSize(1 << 30), cpus: 2.0, pids: 512, egress: false, publish: Vec::new() }
    }
}

impl DockerGrant {
    pub(super) fn validate(&self) -> Result<(), GrantError> {
        if let Some(containers) = &self.containers {
            let wrong = |field: &str, message: &str| {
                Err(GrantError { pointer: format!("/docker/containers/{field}"), message: message.to_owned() })
            };
            if !containers.cpus.is_finite() || containers.cpus < 0.01 {
                return wrong("cpus", "expected a number of CPUs, at least 0.01");
            }
            if containers.memory.0 < 6 << 20 {
                return wrong("memory", "expected at least 6MiB, the engine's own minimum");
            }
            if containers.max == 0 {
                return wrong("max", "expected at least 1; leave `containers` out to permit none");
            }
        }
        for (index, login) in self.login.iter().enumerate() {
            if let Some(problem) = login.problem() {
                return Err(GrantError { pointer: format!("/docker/login/{index}"), message: problem.to_owned() });
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for BuildContext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Mapping {
            context: String,
            #[serde(default)]
            network: BuildNetwork,
        }
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = BuildContext;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a directory of the workspace, or a mapping of `context` and `network`")
            }
            fn visit_str<E: serde::de::Error>(self, context: &str) -> Result<BuildContext, E> {
                Ok(BuildContext { context: context.to_owned(), network: BuildNetwork::None })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<BuildContext, A::Error> {
                let Mapping { context, network } =
                    Mapping::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(BuildContext { context, network })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
