//! Grants: the permissions a step is given in the pipeline file, and the comparison of what a component
//! needs with what it was given. Absence means no.

mod aws;
mod compare;
mod docker;
mod size;

pub use aws::{AwsGrant, AwsOperation, AwsRole};
pub use compare::{Excess, excess};
pub use docker::{BuildContext, BuildNetwork, ContainersGrant, DockerGrant, RegistryLogin};
pub use size::ByteSize;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything one step is permitted. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Grants {
    /// Files of the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<WorkspaceGrant>,
    /// Names (patterns with `*`) of the job's environment variables the component may see.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub env: Vec<String>,
    /// Names of secrets.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub secrets: Vec<String>,
    /// Programs: absolute paths, or names looked up on the PATH.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub process: Vec<String>,
    /// The Docker Engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker: Option<DockerGrant>,
    /// AWS CloudFormation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsGrant>,
    /// Files kept with the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts: Option<Access>,
    /// Data shared by the jobs of a run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<Access>,
    /// Whether annotations of the run may be written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub annotations: bool,
}

/// Reading, or reading and writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// Which part of the workspace, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkspaceGrant {
    /// Paths below the workspace, `/` between parts; `.` is all of it.
    pub read: Vec<String>,
    /// Likewise; a path that may be written may be read.
    pub write: Vec<String>,
}

impl WorkspaceGrant {
    /// Whether a normalised path below the workspace (`.` for its root) may be accessed.
    #[must_use]
    pub fn permits(&self, path: &str, access: Access) -> bool {
        let within = |granted: &String| covers_path(granted, path);
        match access {
            Access::Read => self.read.iter().any(within) || self.write.iter().any(within),
            Access::Write => self.write.iter().any(within),
        }
    }
}

/// Whether `path` is `granted` itself or below it; both relative to the workspace.
#[must_use]
pub fn covers_path(granted: &str, path: &str) -> bool {
    let granted = normalise(granted);
    let path = normalise(path);
    granted.is_empty() || path == granted || path.strip_prefix(&granted).is_some_and(|rest| rest.starts_with('/'))
}

/// The parts of a relative path without `.` and empty parts, joined by `/`; `..` stays, so that it never matches.
fn normalise(path: &str) -> String {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

impl<'de> Deserialize<'de> for WorkspaceGrant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields, default)]
        #[derive(Default)]
        struct Paths {
            #[serde(deserialize_with = "one_or_many")]
            read: Vec<String>,
            #[serde(deserialize_with = "one_or_many")]
            write: Vec<String>,
        }
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = WorkspaceGrant;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`read`, `write`, a list of paths to read, or a mapping of `read` and `write` to paths")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WorkspaceGrant, E> {
                match text {
                    "read" => Ok(WorkspaceGrant { read: vec![".".into()], write: vec![] }),
                    "write" => Ok(WorkspaceGrant { read: vec![], write: vec![".".into()] }),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<WorkspaceGrant, A::Error> {
                let mut read = Vec::new();
                while let Some(path) = seq.next_element()? {
                    read.push(path);
                }
                Ok(WorkspaceGrant { read, write: vec![] })
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<WorkspaceGrant, A::Error> {
                let paths = Paths::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(WorkspaceGrant { read: paths.read, write: paths.write })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What is wrong with a grant as written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantError {
    /// JSON Pointer (RFC 6901) below the step's `grants`; empty for `grants` itself.
    pub pointer: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Grants {
    /// Reads the value of a step's `grants`.
    ///
    /// # Errors
    /// The first thing that is not a grant, with its place.
    pub fn from_json(value: &Value) -> Result<Self, GrantError> {
        let grants = Self::from_needs(value)?;
        grants.validate()?;
        Ok(grants)
    }

    /// Reads what a component says it needs: the same shape, without what a component cannot know (the account and
    /// the region of AWS).
    ///
    /// # Errors
    /// The first thing that is not a grant, with its place.
    pub fn from_needs(value: &Value) -> Result<Self, GrantError> {
        serde_path_to_error::deserialize(value).map_err(|error| {
            let pointer = pointer_of(error.path());
            GrantError { pointer, message: error.into_inner().to_string() }
        })
    }

    pub(in crate::plan) fn validate(&self) -> Result<(), GrantError> {
        if let Some(aws) = &self.aws {
            aws.validate()?;
        }
        if let Some(docker) = &self.docker {
            docker.validate()?;
        }
        Ok(())
    }
}

/// The JSON Pointer (RFC 6901) of a place serde found something wrong at.
pub(in crate::plan) fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters and everything else for itself.
#[must_use]
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

/// A list, or one element standing for a list of itself.
fn one_or_many<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Visitor<T>(std::marker::PhantomData<T>);
    impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visitor<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a list")
        }
        fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<T>, E> {
            Ok(Vec::new())
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(serde::de::value::StrDeserializer::new(text)).map(|one| vec![one])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = seq.next_element()? {
                all.push(one);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_any(Visitor(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, expected) in [
            ("postgres:16*", "postgres:16", true),
            ("postgres:16*", "postgres:16.4-alpine", true),
            ("postgres:16*", "postgres:15", false),
            ("*", "", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("a*a", "a", false),
            ("team/service", "team/service-evil", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn a_path_is_covered_by_itself_and_its_parents_only() {
        for (granted, path, expected) in [
            (".", "a/b", true),
            ("a", "a", true),
            ("a", "a/b", true),
            ("a", "ab", false),
            ("./a/", "a//b", true),
            ("a", "a/../b", true),
            ("a", "../a", false),
        ] {
            assert_eq!(covers_path(granted, path), expected, "{granted} against {path}");
        }
    }

    #[test]
    fn a_login_is_a_password_for_one_registry_or_a_helper() {
        let login = |login: Value| Grants::from_json(&serde_json::json!({"docker": {"login": login}}));
        let hub = serde_json::json!([{"registry": "docker.io", "username": "ci", "password": "HUB_PASSWORD"}]);
        let granted = login(hub).unwrap().docker.unwrap().login;
        assert!(granted[0].is_for("docker.io") && !granted[0].is_for("docker.io.evil.example"));
        let ecr = serde_json::json!([{"registry": "*.dkr.ecr.*.amazonaws.com", "helper": "ecr-login"}]);
        let granted = login(ecr).unwrap().docker.unwrap().login;
        assert!(granted[0].is_for("1.dkr.ecr.us-east-1.amazonaws.com") && !granted[0].is_for("docker.io"));
        for wrong in [
            serde_json::json!([{"registry": "*", "username": "ci", "password": "P"}]),
            serde_json::json!([{"registry": "r.example", "username": "ci"}]),
            serde_json::json!([{"registry": "r.example", "helper": "../x"}]),
            serde_json::json!([{"username": "ci", "password": "P"}]),
        ] {
            assert_eq!(login(wrong.clone()).unwrap_err().pointer, "/docker/login/0", "{wrong}");
        }
    }

    #[test]
    fn unknown_grants_are_refused_with_their_place() {
        let error = Grants::from_json(&serde_json::json!({"docker": {"privileged": true}})).unwrap_err();
        assert_eq!(error.pointer, "/docker/privileged");
        assert!(error.message.contains("unknown field `privileged`"), "{}", error.message);
    }
}
