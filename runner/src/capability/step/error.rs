//! Errors of files and of the event log, as the guest and the user see them.

use super::super::Error;
use crate::run::RecordError;

pub(super) fn artifact_io(verb: &str, path: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot {verb} the artifact `{path}`: {error}"))
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::RunIsOver => Self::Cancelled,
            RecordError::Refused(reason) => Self::Failed(reason),
        }
    }
}
