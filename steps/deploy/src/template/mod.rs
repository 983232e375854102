//! A CloudFormation template: YAML or JSON in, JSON out, with what the deployment needs to know of it.

mod json;
mod yaml;

use runner_sdk::Failure;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Bytes of a template file; the service takes far less.
const MAX_FILE: usize = 1 << 20;

/// Objects and lists within each other.
const MAX_DEPTH: usize = 96;

/// A template as read.
#[derive(Debug)]
pub struct Template {
    /// `sha256:` and 64 hex digits of the file's bytes, as `sha256sum` prints them.
    pub digest: String,
    value: Value,
    /// Line of each resource; empty for JSON.
    lines: BTreeMap<String, usize>,
}

/// What a template says of one of its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Whether a value is chosen when none is given.
    pub has_default: bool,
}

/// Text that could not be read, and where.
#[derive(Debug, PartialEq, Eq)]
struct Malformed {
    /// From 1; 0 when it is not known.
    line: usize,
    message: String,
}

impl Template {
    /// Reads a file's content; `path` is for messages.
    pub fn read(path: &str, content: &[u8]) -> Result<Self, Failure> {
        let fault = |line: usize, message: String| {
            let place = if line == 0 { path.to_owned() } else { format!("{path}:{line}") };
            Failure::new(format!("{place}: {message}"))
        };
        if content.len() > MAX_FILE {
            return Err(fault(0, format!("the template has {} bytes, expected at most {MAX_FILE}", content.len())));
        }
        let text = std::str::from_utf8(content).map_err(|error| fault(0, format!("not UTF-8: {error}")))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (value, lines) = if text.trim_start().starts_with('{') {
            (json::parse(text).map_err(|error| fault(error.line, error.message))?, BTreeMap::new())
        } else {
            yaml::parse(text).map_err(|error| fault(error.line, error.message))?
        };
        let template = Self { digest: format!("sha256:{:x}", Sha256::digest(content)), value, lines };
        if template.section("Resources").is_none_or(Map::is_empty) {
            return Err(fault(0, "the template has no `Resources`".to_owned()));
        }
        Ok(template)
    }

    /// As compact JSON.
    pub fn json(&self) -> String {
        self.value.to_string()
    }

    /// Its parameters by name.
    pub fn parameters(&self) -> BTreeMap<String, Declared> {
        let parameters = self.section("Parameters").into_iter().flatten();
        let declared = |value: &Value| Declared { has_default: value.get("Default").is_some() };
        parameters.map(|(name, value)| (name.clone(), declared(value))).collect()
    }

    /// The capability its IAM resources need.
    pub fn capability(&self) -> Option<&'static str> {
        let resources = self.section("Resources").into_iter().flat_map(Map::values);
        let mut needed = None;
        for resource in resources {
            let kind = resource.get("Type").and_then(Value::as_str).unwrap_or_default();
            let own_name = match kind {
                "AWS::IAM::Group" => "GroupName",
                "AWS::IAM::InstanceProfile" => "InstanceProfileName",
                "AWS::IAM::ManagedPolicy" => "ManagedPolicyName",
                "AWS::IAM::Role" => "RoleName",
                "AWS::IAM::User" => "UserName",
                other if other.starts_with("AWS::IAM::") => "",
                _ => continue,
            };
            let named = resource.get("Properties").is_some_and(|properties| properties.get(own_name).is_some());
            if named {
                return Some("CAPABILITY_NAMED_IAM");
            }
            needed = Some("CAPABILITY_IAM");
        }
        needed
    }

    /// The line a resource begins on, when it is known.
    pub fn line_of(&self, logical_id: &str) -> Option<usize> {
        self.lines.get(logical_id).copied()
    }

    fn section(&self, name: &str) -> Option<&Map<String, Value>> {
        self.value.get(name).and_then(Value::as_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_that_of_the_file() {
        let template = Template::read("t.yml", b"Resources: {T: {Type: 'AWS::SNS::Topic'}}\n").unwrap();
        assert_eq!(template.digest, "sha256:fb6ed35a46a3f110b40ffb85863b79e18634e676be190864cdd034fb91714a95");
    }

    #[test]
    fn the_needed_capability_is_that_of_the_strongest_resource() {
        let capability = |resources: &str| {
            Template::read("t.yml", format!("Resources:\n{resources}").as_bytes()).unwrap().capability()
        };
        assert_eq!(capability("  A: {Type: AWS::SNS::Topic}"), None);
        assert_eq!(capability("  A: {Type: AWS::IAM::Role}"), Some("CAPABILITY_IAM"));
        assert_eq!(
            capability("  A: {Type: AWS::IAM::Policy, Properties: {PolicyName: p}}\n  B: {Type: AWS::SNS::Topic}"),
            Some("CAPABILITY_IAM")
        );
        assert_eq!(
            capability("  A: {Type: AWS::IAM::Role, Properties: {RoleName: r}}\n  B: {Type: AWS::IAM::Role}"),
            Some("CAPABILITY_NAMED_IAM")
        );
    }

    #[test]
    fn messages_name_file_and_line() {
        for (text, message) in [
            ("Resources:\n  A: {Type: X}\n  A: {Type: Y}\n", "t.yml:3: `A` is written twice, first on line 2"),
            ("{\"Resources\": {\"A\": 1,\n \"A\": 2}}", "t.yml:2: `A` is written twice"),
            ("Resources: {}\n", "t.yml: the template has no `Resources`"),
        ] {
            assert_eq!(Template::read("t.yml", text.as_bytes()).unwrap_err().message, message);
        }
        assert!(Template::read("t.yml", b"\xff").unwrap_err().message.contains("not UTF-8"));
        assert!(Template::read("t.yml", &vec![b' '; 2 << 20]).unwrap_err().message.contains("bytes"));
    }

    #[test]
    fn resources_know_their_lines() {
        let template = Template::read("t.yml", b"Resources:\n\n  A:\n    Type: X\n  B: {Type: Y}\n").unwrap();
        assert_eq!((template.line_of("A"), template.line_of("B"), template.line_of("C")), (Some(3), Some(5), None));
    }
}
