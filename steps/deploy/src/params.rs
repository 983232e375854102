//! What a deployment is given in the pipeline.

use runner_sdk::Failure;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// The parameters of a deployment.
#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Name of the environment, for people; the stack gets it as the tag `environment`.
    #[serde(default)]
    pub environment: Option<String>,
    /// Name of the stack: letters, digits and `-`, beginning with a letter.
    pub stack: String,
    /// Path of the template in the workspace: YAML or JSON.
    pub template: String,
    /// Values of the template's parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, ParameterValue>,
    /// Tags of the stack and of what it makes.
    #[serde(default)]
    pub tags: BTreeMap<String, Scalar>,
    /// Capabilities to acknowledge; those that the template's IAM resources need unless given.
    #[serde(default)]
    pub capabilities: Option<Vec<String>>,
    /// Digest the template file must have: `sha256:` and 64 hex digits.
    #[serde(default)]
    pub template_digest: Option<String>,
}

/// A text, a number or a truth value, as a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar(pub String);

/// A parameter's value: a scalar, or the name of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    /// This text.
    Plain(String),
    /// The value of the secret of this name, which this component does not see.
    Secret(String),
}

impl Params {
    /// Refuses what makes no sense before anything is asked. Parameters for which `known` says no are left out.
    pub fn check(&self, known: impl Fn(&str) -> bool) -> Result<(), Failure> {
        if known("/stack") && !is_name(&self.stack) {
            let message = format!("`{}` is not a name of a stack", self.stack.escape_debug());
            return Err(Failure::new(message).remedy("Use letters, digits and `-`, beginning with a letter."));
        }
        let beneath = !self.template.starts_with('/') && !self.template.split('/').any(|part| part == "..");
        if known("/template") && (!beneath || self.template.is_empty()) {
            let message = format!("the template `{}` is not in the workspace", self.template.escape_debug());
            return Err(Failure::new(message).remedy("Give its path relative to the workspace, without `..`."));
        }
        if let Some(digest) = self.template_digest.as_ref().filter(|_| known("/template_digest")) {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            if hex.len() != 64 || !hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                let message = format!("`{}` is no digest of a template", digest.escape_debug());
                return Err(
                    Failure::new(message).remedy("Write sha256: and 64 hex digits, as `sha256sum` prints them.")
                );
            }
        }
        Ok(())
    }

    /// The tags, with the environment among them.
    pub fn all_tags(&self) -> Vec<(String, String)> {
        let mut tags: BTreeMap<String, String> =
            self.tags.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
        if let Some(environment) = &self.environment {
            tags.entry("environment".to_owned()).or_insert_with(|| environment.clone());
        }
        tags.into_iter().collect()
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = ParameterValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false or `secret: NAME`")
    }

    fn visit_str<E>(self, text: &str) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Plain(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<ParameterValue, E> {
        Ok(ParameterValue::Plain(value.to_string()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ParameterValue, A::Error> {
        let entry: Option<(String, String)> = map.next_entry()?;
        match entry {
            Some((key, name)) if key == "secret" && map.next_key::<String>()?.is_none() => {
                Ok(ParameterValue::Secret(name))
            }
            _ => Err(A::Error::custom("expected `secret: NAME` and nothing else")),
        }
    }
}

impl<'de> Deserialize<'de> for ParameterValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_any(ValueVisitor)? {
            ParameterValue::Plain(text) => Ok(Self(text)),
            ParameterValue::Secret(_) => Err(D::Error::custom("expected a text, a number, true or false")),
        }
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "number", "boolean"]})
    }
}

impl JsonSchema for ParameterValue {
    fn schema_name() -> Cow<'static, str> {
        "ParameterValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [
            {"type": ["string", "number", "boolean"]},
            {
                "type": "object",
                "properties": {"secret": {"type": "string", "description": "Name of a granted secret."}},
                "required": ["secret"],
                "additionalProperties": false,
            },
        ]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params(more: serde_json::Value) -> Result<Params, String> {
        let mut all = json!({"stack": "orders-test", "template": "infra/service.yml"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_scalars_or_secrets() {
        let read = params(json!({"parameters": {
            "A": "x", "B": 2, "C": true, "D": -1, "E": 0.5, "F": {"secret": "password"},
        }}));
        let values: Vec<_> = read.unwrap().parameters.into_values().collect();
        let plain = |text: &str| ParameterValue::Plain(text.to_owned());
        assert_eq!(
            values,
            [
                plain("x"),
                plain("2"),
                plain("true"),
                plain("-1"),
                plain("0.5"),
                ParameterValue::Secret("password".into())
            ]
        );
        for wrong in
            [json!({"A": ["x"]}), json!({"A": null}), json!({"A": {}}), json!({"A": {"secret": "a", "b": "c"}})]
        {
            assert!(params(json!({"parameters": wrong})).is_err(), "{wrong}");
        }
        assert!(params(json!({"tags": {"a": {"secret": "x"}}})).is_err());
    }

    #[test]
    fn the_environment_is_a_tag_unless_there_is_one() {
        let tags = |more| params(more).unwrap().all_tags();
        assert_eq!(tags(json!({"environment": "test"})), [("environment".into(), "test".into())]);
        assert_eq!(
            tags(json!({"environment": "test", "tags": {"environment": "other", "team": 7}})),
            [("environment".into(), "other".into()), ("team".into(), "7".into())]
        );
    }

    #[test]
    fn names_paths_and_digests_are_checked_when_they_are_known() {
        for wrong in [
            json!({"stack": "orders/test"}),
            json!({"stack": "arn:aws:cloudformation:x:1:stack/a/b"}),
            json!({"template": "/etc/passwd"}),
            json!({"template": "a/../../b"}),
            json!({"template_digest": "sha256:abc"}),
        ] {
            let params = params(wrong.clone()).unwrap();
            assert!(params.check(|_| true).is_err(), "{wrong}");
            params.check(|_| false).unwrap();
        }
        params(json!({"template_digest": format!("sha256:{}", "0".repeat(64))})).unwrap().check(|_| true).unwrap();
    }
}
