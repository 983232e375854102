//! Errors that tell what to do.

use crate::bindings::runner::step::types;
use std::fmt;

/// How a step ends unsuccessfully.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub message: String,
    /// What the reader can do about it; empty when there is nothing to say.
    pub remedy: String,
    /// Exit status of the job: 1 to 255.
    pub exit_status: u8,
    /// The signal that ended the step's process, such as `SIGTERM`; empty when none did.
    pub signal: String,
}

impl Failure {
    /// A failure with exit status 1.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: String::new(), exit_status: 1, signal: String::new() }
    }

    /// With a sentence on what to do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// With another exit status; 0 counts as 1.
    #[must_use]
    pub fn exit_status(mut self, status: u8) -> Self {
        self.exit_status = status.max(1);
        self
    }

    /// Ended by a signal, such as `SIGTERM`: rules for retries ask for it.
    #[must_use]
    pub fn signal(mut self, signal: impl Into<String>) -> Self {
        self.signal = signal.into();
        self
    }

    /// What a host call that failed means for the step: `what` completes the sentence "cannot …". Being cancelled is no
    /// failure of the call, and is told with `cancelled`.
    pub fn cannot(what: impl fmt::Display, error: &types::Error, cancelled: &str) -> Self {
        match error {
            types::Error::Cancelled => Self::new(cancelled).exit_status(143),
            // What the host tried and did not do is told in full already.
            types::Error::Failed(text) if text.starts_with("cannot ") => Self::new(text),
            other => Self::new(format!("cannot {what}: {}", describe(other))),
        }
    }

    pub(crate) fn into_guest(self) -> types::Failure {
        let Self { message, remedy, exit_status, signal } = self;
        let extras = if signal.is_empty() { Vec::new() } else { vec![("signal".to_owned(), signal)] };
        types::Failure { message, remedy, exit_status, extras }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The text of a host call's error, as a person should read it.
pub(crate) fn describe(error: &types::Error) -> &str {
    match error {
        types::Error::Denied(text)
        | types::Error::NotFound(text)
        | types::Error::Invalid(text)
        | types::Error::Limit(text)
        | types::Error::Failed(text) => text,
        types::Error::Cancelled => "the job was cancelled",
    }
}

impl From<types::Error> for Failure {
    fn from(error: types::Error) -> Self {
        Self::new(describe(&error))
    }
}

/// Says what was being done when a host call failed.
pub trait Context<T> {
    /// `what` completes the sentence "cannot …".
    fn context(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T> Context<T> for Result<T, types::Error> {
    fn context(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("cannot {what}: {}", describe(&error))))
    }
}

impl<T> Context<T> for Result<T, std::io::Error> {
    fn context(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(format!("cannot {what}: {error}")))
    }
}
