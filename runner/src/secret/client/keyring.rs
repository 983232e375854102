//! The keyring of the operating system: the Secret Service (GNOME Keyring, `KWallet`) on Linux, the Keychain on macOS.

use super::super::{Found, SecretSource, SecretValue};
use async_trait::async_trait;
use indexmap::IndexMap;
use keyring::v1::{Entry, Error};

/// Entries of one service, by user name.
#[derive(Debug)]
pub(super) struct Keyring {
    pub(super) service: String,
    pub(super) names: IndexMap<String, String>,
}

#[async_trait]
impl SecretSource for Keyring {
    fn place(&self) -> String {
        format!("the keyring's service `{}`", self.service)
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        let (service, key) = (self.service.clone(), super::key(&self.names, name).to_owned());
        // May wait for a person who unlocks the keyring.
        let found = tokio::task::spawn_blocking(move || find(&service, &key)).await;
        found.unwrap_or_else(|error| Err(format!("the question broke: {error}")))
    }
}

fn find(service: &str, key: &str) -> Result<Found, String> {
    let value = match Entry::new(service, key).and_then(|entry| entry.get_password()) {
        Ok(value) => value,
        Err(Error::NoEntry) => return Ok(Found::Absent(format!("has no entry {key}"))),
        Err(error) => return Err(explain(key, &error)),
    };
    SecretValue::new(value).map(Found::Value).map_err(|error| format!("the entry {key}: {error}"))
}

/// Some errors have the value in them, though not in their text; only texts that are known go further.
fn explain(key: &str, error: &Error) -> String {
    match error {
        Error::BadEncoding(_) | Error::BadDataFormat(..) => format!("the entry {key} is not UTF-8 text"),
        Error::Ambiguous(found) => format!("{} entries are called {key}; remove all but one", found.len()),
        Error::NoDefaultStore => match Entry::store_status() {
            Err(reason) => unreachable(reason),
            Ok(()) => unreachable(error),
        },
        other => unreachable(other),
    }
}

fn unreachable(error: &Error) -> String {
    format!("no keyring can be reached: {error}; start it, or take `keyring` out of `secrets` in runner.yml")
}
