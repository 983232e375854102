//! Secrets by name: where their values come from, the one way by which they are handed out, and what keeps them out of
//! everything that is written.

mod client;
mod redact;
mod value;

pub use client::sources;
pub use redact::{MIN_VALUE, Redaction, Redactions, Stream, TooLarge};
pub use value::{BadValue, MAX_VALUE, SecretValue};

use crate::capability::{Error, JobScope};
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The secrets of a run: its sources, asked in order, each value once.
pub struct Secrets {
    sources: Arc<[Box<dyn SecretSource>]>,
    fetches: Mutex<HashMap<String, Fetch>>,
    /// Time one source may take for an answer.
    wait: Duration,
}

/// A place that knows secrets.
#[async_trait]
pub trait SecretSource: std::fmt::Debug + Send + Sync {
    /// Where it is, as people call it: `the environment of the runner`, `the file /home/me/secrets.yml`.
    fn place(&self) -> String;

    /// Looks for a secret.
    ///
    /// # Errors
    /// Why the source cannot be asked, or what it has cannot be used, and what to do about it; never the value.
    async fn find(&self, name: &str) -> Result<Found, String>;
}

/// What a source says about a name.
#[derive(Debug, Clone)]
pub enum Found {
    /// The value.
    Value(SecretValue),
    /// It has none; in words, such as `has no variable API_TOKEN`.
    Absent(String),
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No source has it.
    #[error("the secret `{name}` is not set: {}; set it there, or list another source in runner.yml", reasons.join("; "))]
    NotSet {
        /// What was asked for.
        name: String,
        /// Every source that was asked, and what it said.
        reasons: Vec<String>,
    },
    /// A source cannot be asked. Those after it are not: what one of them has may be another value.
    #[error("the secret `{name}` cannot be read: {place}: {reason}")]
    Broken {
        /// What was asked for.
        name: String,
        /// The source.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

type Fetch = Shared<BoxFuture<'static, Result<Located, SecretError>>>;

/// A value and the place it comes from.
#[derive(Clone)]
struct Located {
    value: SecretValue,
    place: String,
}

/// See [`Secrets::wait`].
const MAX_WAIT: Duration = Duration::from_mins(1);

impl Secrets {
    /// The secrets of these sources.
    #[must_use]
    pub fn of(sources: Vec<Box<dyn SecretSource>>) -> Self {
        Self { sources: sources.into(), fetches: Mutex::default(), wait: MAX_WAIT }
    }

    /// Hands a value to a job that may have it: the use is recorded before, and the value is replaced in everything
    /// the run writes from then on. `operation` is what becomes of it, for instance `set` as a variable.
    ///
    /// # Errors
    /// `NotFound` when no source has it, `Failed` when one cannot be asked, `Cancelled`, or that the use cannot be
    /// recorded.
    pub async fn open(&self, scope: &JobScope, operation: &str, name: &str) -> Result<SecretValue, Error> {
        scope.allow("secrets", operation, name).await?;
        let fetched = async { self.fetch(name).await.map_err(Error::from) };
        let value = scope.or_cancelled(fetched).await?.value;
        scope.log.redact(&format!("the secret `{name}`"), value.expose())?;
        Ok(value)
    }

    /// A value that the runner needs itself and no job gets; it is replaced in everything from then on.
    ///
    /// # Errors
    /// `NotFound` when no source has it, `Failed` when one cannot be asked, `Limit` when there is too much to look for.
    pub async fn own(&self, name: &str, redactions: &Redactions) -> Result<SecretValue, Error> {
        let value = self.fetch(name).await?.value;
        redactions.add([value.expose()])?;
        Ok(value)
    }

    /// The place that has a secret, without handing out its value.
    ///
    /// # Errors
    /// That no source has it, or that one cannot be asked.
    pub async fn place(&self, name: &str) -> Result<String, SecretError> {
        Ok(self.fetch(name).await?.place)
    }

    /// Everybody who asks for a name shares one fetch. A value is kept, a failure is told to those who wait for it.
    async fn fetch(&self, name: &str) -> Result<Located, SecretError> {
        let asked = {
            let fresh = || ask(self.sources.clone(), name.to_owned(), self.wait).boxed().shared();
            self.fetches().entry(name.to_owned()).or_insert_with(fresh).clone()
        };
        let result = asked.clone().await;
        if result.is_err() {
            let mut fetches = self.fetches();
            if fetches.get(name).is_some_and(|current| current.ptr_eq(&asked)) {
                fetches.remove(name);
            }
        }
        result
    }

    fn fetches(&self) -> MutexGuard<'_, HashMap<String, Fetch>> {
        self.fetches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(sources: Arc<[Box<dyn SecretSource>]>, name: String, wait: Duration) -> Result<Located, SecretError> {
    let mut reasons = Vec::with_capacity(sources.len());
    for source in sources.iter() {
        let found = tokio::time::timeout(wait, source.find(&name)).await;
        match found.unwrap_or_else(|_| Err(format!("no answer within {wait:?}"))) {
            Ok(Found::Value(value)) => return Ok(Located { value, place: source.place() }),
            Ok(Found::Absent(reason)) => reasons.push(format!("{} {reason}", source.place())),
            Err(reason) => return Err(SecretError::Broken { name, place: source.place(), reason }),
        }
    }
    if reasons.is_empty() {
        reasons.push("`secrets` in runner.yml lists no source".to_owned());
    }
    Err(SecretError::NotSet { name, reasons })
}

impl From<SecretError> for Error {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::NotSet { .. } => Self::NotFound(error.to_string()),
            SecretError::Broken { .. } => Self::Failed(error.to_string()),
        }
    }
}

impl From<TooLarge> for Error {
    fn from(error: TooLarge) -> Self {
        Self::Limit(error.to_string())
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secrets").field("sources", &self.sources).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
