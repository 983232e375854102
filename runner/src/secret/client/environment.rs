//! Environment variables of the runner itself.

use super::super::{Found, SecretSource, SecretValue};
use async_trait::async_trait;
use indexmap::IndexMap;
use std::env::VarError;

/// Variables by name, after a prefix. An empty one counts as none.
#[derive(Debug, Default)]
pub(super) struct Environment {
    pub(super) prefix: String,
    pub(super) names: IndexMap<String, String>,
}

#[async_trait]
impl SecretSource for Environment {
    fn place(&self) -> String {
        "the runner's environment".to_owned()
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        let variable = format!("{}{}", self.prefix, super::key(&self.names, name));
        // The standard library panics on names that no variable can have.
        if variable.is_empty() || variable.contains(['=', '\0']) {
            return Err(format!("`{}` cannot be the name of a variable", variable.escape_debug()));
        }
        match std::env::var(&variable) {
            Ok(value) if !value.is_empty() => {
                SecretValue::new(value).map(Found::Value).map_err(|error| format!("the variable {variable}: {error}"))
            }
            Ok(_) | Err(VarError::NotPresent) => Ok(Found::Absent(format!("has no variable {variable}"))),
            Err(VarError::NotUnicode(_)) => Err(format!("the variable {variable} is not UTF-8")),
        }
    }
}
