//! `secrets` in `runner.yml`: where the values of secrets come from.

use indexmap::IndexMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// One source of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSetting {
    /// What it is, and where.
    pub kind: SourceKind,
    /// What secrets are called in this source, by the name that pipelines use. Others are called there as in
    /// pipelines.
    pub names: IndexMap<String, String>,
    /// The region of a source at AWS; `None` for the one of the machine's own settings.
    pub region: Option<String>,
}

/// The kinds of sources, each with what comes before a secret's name in it, or where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// Environment variables of the runner, with what their names begin with.
    Environment(String),
    /// A YAML file of names and values: its path, from the project's directory or from `~/`.
    File(String),
    /// The keyring of the operating system: the service its entries are of.
    Keyring(String),
    /// AWS Systems Manager Parameter Store: what the parameters' names begin with.
    AwsSsm(String),
    /// AWS Secrets Manager: what the secrets' names begin with.
    AwsSecretsManager(String),
}

const KINDS: &str = "`environment`, `file`, `keyring`, `aws-ssm` and `aws-secrets-manager`";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    environment: Option<String>,
    file: Option<String>,
    keyring: Option<String>,
    #[serde(rename = "aws-ssm")]
    parameter_store: Option<String>,
    #[serde(rename = "aws-secrets-manager")]
    secrets_manager: Option<String>,
    #[serde(default)]
    names: IndexMap<String, String>,
    region: Option<String>,
}

impl Written {
    fn check<E: Error>(self) -> Result<SourceSetting, E> {
        let kinds = [
            self.environment.map(SourceKind::Environment),
            self.file.map(SourceKind::File),
            self.keyring.map(SourceKind::Keyring),
            self.parameter_store.map(SourceKind::AwsSsm),
            self.secrets_manager.map(SourceKind::AwsSecretsManager),
        ];
        let mut kinds = kinds.into_iter().flatten();
        let (Some(kind), None) = (kinds.next(), kinds.next()) else {
            return Err(E::custom(format!("a source of secrets is one of {KINDS}")));
        };
        let is_empty = |text: &str| text.trim().is_empty();
        if matches!(&kind, SourceKind::File(path) if is_empty(path)) {
            return Err(E::custom("`file` needs the path of a file"));
        }
        if matches!(&kind, SourceKind::Keyring(service) if is_empty(service)) {
            return Err(E::custom("`keyring` needs the name of a service, under which the keyring has the secrets"));
        }
        if self.region.is_some() && !matches!(kind, SourceKind::AwsSsm(_) | SourceKind::AwsSecretsManager(_)) {
            return Err(E::custom("`region` is only for `aws-ssm` and `aws-secrets-manager`"));
        }
        if let Some((name, _)) = self.names.iter().find(|(name, key)| is_empty(name) || is_empty(key)) {
            return Err(E::custom(format!("`names` has an empty name or value at `{name}`")));
        }
        Ok(SourceSetting { kind, names: self.names, region: self.region })
    }
}

impl<'de> Deserialize<'de> for SourceSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = SourceSetting;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`environment`, or a mapping such as `file: PATH`")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<SourceSetting, E> {
                match word {
                    "environment" => Ok(SourceSetting {
                        kind: SourceKind::Environment(String::new()),
                        names: IndexMap::new(),
                        region: None,
                    }),
                    "file" | "keyring" | "aws-ssm" | "aws-secrets-manager" => {
                        Err(E::custom(format!("`{word}` needs more: write `{word}: ...`")))
                    }
                    _ => Err(E::custom(format!("`{word}` is no source of secrets; there are {KINDS}"))),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SourceSetting, A::Error> {
                Written::deserialize(MapAccessDeserializer::new(map))?.check()
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sources_are_a_word_or_a_mapping() {
        let read = |value| serde_json::from_value::<SourceSetting>(value).map_err(|error| error.to_string());
        let source = read(json!("environment")).unwrap();
        assert_eq!((source.kind, source.region), (SourceKind::Environment(String::new()), None));
        let source = read(json!({"aws-ssm": "/orders/", "region": "eu-west-1", "names": {"A": "b/c"}})).unwrap();
        assert_eq!(source.names, IndexMap::from([("A".to_owned(), "b/c".to_owned())]));
        assert_eq!((source.kind, source.region.as_deref()), (SourceKind::AwsSsm("/orders/".into()), Some("eu-west-1")));
        for (value, expected) in [
            (json!("vault"), "`vault` is no source of secrets; there are `environment`"),
            (json!({}), "a source of secrets is one of"),
            (json!({"file": " "}), "needs the path"),
            (json!({"keyring": ""}), "needs the name of a service"),
            (json!({"environment": "CI_", "names": {"A": ""}}), "at `A`"),
            (json!(["environment"]), "expected `environment`, or a mapping"),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
