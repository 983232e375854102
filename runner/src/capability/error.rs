//! The one error type of every host call, and its conversion to the contract's.

use crate::host::bindings::runner::step::types;

/// Why a host call was refused or did not work. Texts are shown to the user: what was asked, why it is refused, and
/// what to write instead.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The pipeline grants no such permission.
    #[error("{0}")]
    Denied(String),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The argument cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// A limit of the job was reached.
    #[error("{0}")]
    Limit(String),
    /// The job is being cancelled.
    #[error("the job is being cancelled")]
    Cancelled,
    /// It was tried and did not work.
    #[error("{0}")]
    Failed(String),
    /// The guest broke the contract (a handle it does not own): it is stopped.
    #[error("the component broke the contract: {0}")]
    Trap(wasmtime::Error),
}

impl From<wasmtime::component::ResourceTableError> for Error {
    fn from(error: wasmtime::component::ResourceTableError) -> Self {
        match error {
            wasmtime::component::ResourceTableError::Full => {
                Self::Limit("the job holds too many handles at once; drop the ones it no longer uses".to_owned())
            }
            other => Self::Trap(other.into()),
        }
    }
}

impl Error {
    /// The contract's error for the guest.
    ///
    /// # Errors
    /// A trap, which stops the guest.
    pub fn into_guest(self) -> wasmtime::Result<types::Error> {
        Ok(match self {
            Self::Denied(text) => types::Error::Denied(text),
            Self::NotFound(text) => types::Error::NotFound(text),
            Self::Invalid(text) => types::Error::Invalid(text),
            Self::Limit(text) => types::Error::Limit(text),
            Self::Cancelled => types::Error::Cancelled,
            Self::Failed(text) => types::Error::Failed(text),
            Self::Trap(error) => return Err(error),
        })
    }
}
