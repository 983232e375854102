//! AWS Systems Manager Parameter Store and AWS Secrets Manager, with the credentials found on this machine.

use super::super::{Found, SecretSource, SecretValue};
use crate::capability::aws::{AwsError, machine_config};
use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use aws_sdk_ssm::operation::get_parameter::GetParameterError;
use indexmap::IndexMap;
use serde_json::Value;
use tokio::sync::OnceCell;

/// Parameters by name, after a prefix; those that are encrypted are decrypted.
#[derive(Debug)]
pub(super) struct ParameterStore {
    prefix: String,
    names: IndexMap<String, String>,
    region: Option<String>,
    /// Read when the source is asked for the first time.
    config: OnceCell<SdkConfig>,
}

/// Secrets by name, after a prefix. `NAME#FIELD` is a field of a secret that is a JSON object.
#[derive(Debug)]
pub(super) struct SecretsManager {
    prefix: String,
    names: IndexMap<String, String>,
    region: Option<String>,
    /// Read when the source is asked for the first time.
    config: OnceCell<SdkConfig>,
}

impl ParameterStore {
    pub(super) fn new(prefix: String, names: IndexMap<String, String>, region: Option<String>) -> Self {
        Self { prefix, names, region, config: OnceCell::new() }
    }
}

impl SecretsManager {
    pub(super) fn new(prefix: String, names: IndexMap<String, String>, region: Option<String>) -> Self {
        Self { prefix, names, region, config: OnceCell::new() }
    }
}

#[async_trait]
impl SecretSource for ParameterStore {
    fn place(&self) -> String {
        "AWS Parameter Store".to_owned()
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        let (config, endpoint) = connect(&self.config, self.region.as_ref()).await?;
        let key = format!("{}{}", self.prefix, super::key(&self.names, name));
        let client = aws_sdk_ssm::Client::new(config);
        match client.get_parameter().name(&key).with_decryption(true).send().await {
            Ok(answer) => match answer.parameter.and_then(|parameter| parameter.value) {
                Some(value) => found(&format!("the parameter {key}"), value),
                None => Err(format!("the answer for the parameter {key} has no value")),
            },
            Err(error) if error.as_service_error().is_some_and(GetParameterError::is_parameter_not_found) => {
                Ok(Found::Absent(format!("has no parameter {key}")))
            }
            Err(error) => Err(explain(&key, &AwsError::from_sdk("GetParameter", &endpoint, &error))),
        }
    }
}

#[async_trait]
impl SecretSource for SecretsManager {
    fn place(&self) -> String {
        "AWS Secrets Manager".to_owned()
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        let (config, endpoint) = connect(&self.config, self.region.as_ref()).await?;
        let key = format!("{}{}", self.prefix, super::key(&self.names, name));
        let (id, field) = key.split_once('#').map_or((key.as_str(), None), |(id, field)| (id, Some(field)));
        let client = aws_sdk_secretsmanager::Client::new(config);
        match client.get_secret_value().secret_id(id).send().await {
            Ok(answer) => match (answer.secret_string, field) {
                (Some(text), Some(field)) => of_field(id, field, &text),
                (Some(text), None) => found(&format!("the secret {id}"), text),
                (None, _) => Err(format!("the secret {id} is binary; store it as text, for instance as base64")),
            },
            Err(error)
                if error.as_service_error().is_some_and(GetSecretValueError::is_resource_not_found_exception) =>
            {
                Ok(Found::Absent(format!("has no secret {id}")))
            }
            Err(error) => Err(explain(id, &AwsError::from_sdk("GetSecretValue", &endpoint, &error))),
        }
    }
}

/// The machine's configuration, and where calls go.
async fn connect<'a>(
    config: &'a OnceCell<SdkConfig>,
    region: Option<&String>,
) -> Result<(&'a SdkConfig, String), String> {
    let config = config.get_or_init(|| machine_config(region.cloned())).await;
    let Some(region) = config.region() else {
        return Err("no region is known; write `region` beside the source in runner.yml, or set AWS_REGION".to_owned());
    };
    let endpoint = config.endpoint_url().map_or_else(|| format!("AWS in {region}"), str::to_owned);
    Ok((config, endpoint))
}

/// The text of a field of a JSON object.
fn of_field(id: &str, field: &str, text: &str) -> Result<Found, String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(text) else {
        return Err(format!("the secret {id} is not a JSON object, so it has no field `{field}`"));
    };
    let what = format!("the field `{field}` of the secret {id}");
    match fields.get(field) {
        None => Ok(Found::Absent(format!("has a secret {id} without the field `{field}`"))),
        Some(Value::String(text)) => found(&what, text.clone()),
        Some(scalar @ (Value::Number(_) | Value::Bool(_))) => found(&what, scalar.to_string()),
        Some(_) => Err(format!("{what} is neither text nor a number")),
    }
}

fn found(what: &str, value: String) -> Result<Found, String> {
    SecretValue::new(value).map(Found::Value).map_err(|error| format!("{what}: {error}"))
}

fn explain(key: &str, error: &AwsError) -> String {
    let remedy = match error {
        AwsError::Service { code, .. } if code.starts_with("AccessDenied") => {
            "; the credentials lack this permission, or that to decrypt with the key (kms:Decrypt)"
        }
        AwsError::NotAws { .. } | AwsError::Unreachable { .. } => {
            "; check the network, the proxy, AWS_ENDPOINT_URL and the region"
        }
        AwsError::Credentials(_) => {
            "; set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the runner is started"
        }
        _ => "",
    };
    format!("{key}: {error}{remedy}")
}

#[cfg(test)]
mod tests;
