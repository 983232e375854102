//! Secrets that the step may read.

use super::caller::{Answer, Caller, plain};
use super::protocol::Reply;
use crate::capability::Error;

/// Secrets in one call.
const MAX_NAMES: usize = 100;

impl Caller {
    /// The values, all of them replaced in the log from now on. Like Buildkite's, names are looked for in capitals
    /// too.
    pub(super) async fn secret_values(&self, names: &[String]) -> Answer {
        if names.len() > MAX_NAMES {
            return Err(Error::Limit(format!("at most {MAX_NAMES} secrets can be read at once")));
        }
        let mut values = Vec::with_capacity(names.len());
        for name in names {
            let granted = self.secrets.iter().find(|granted| *granted == name);
            let granted = granted.or_else(|| self.secrets.iter().find(|granted| granted.eq_ignore_ascii_case(name)));
            let Some(granted) = granted else {
                let shown = name.chars().take(64).collect::<String>().escape_debug().to_string();
                let reason = format!("the secret `{shown}` is not granted; add to the step: secrets: [{shown}]");
                return Err(self.scope.deny("secrets", "get", name, reason).await);
            };
            let value = self.secret_source.open(&self.scope, "get", granted).await?;
            values.push(value.expose().to_owned());
        }
        Ok(plain(Reply::Secrets(values)))
    }
}
