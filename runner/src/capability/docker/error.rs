//! What the engine answers when it does not do as asked, and the one way from there to the contract's errors.

use super::DockerClient;
use crate::capability::Error;

/// Why the engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nobody answers.
    #[error("the Docker Engine does not answer at {address}: {reason}; start it, or set DOCKER_HOST")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the operating system said.
        reason: String,
    },
    /// The answer takes too long.
    #[error(
        "the Docker Engine at {address} gave no answer in time; look at its log, and whether the machine is overloaded"
    )]
    Late {
        /// Where it is.
        address: String,
    },
    /// An answer other than success.
    #[error("{message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The engine's words.
        message: String,
    },
    /// An error in the middle of an answer that began with success.
    #[error("{0}")]
    Stream(String),
    /// The credentials of a registry cannot be found out.
    #[error("{0}")]
    Credentials(String),
    /// Anything else: an answer that makes no sense, a connection that broke.
    #[error("{0}")]
    Other(String),
}

impl EngineError {
    /// Converts an error of the client library; `address` is where the engine was spoken to.
    pub(super) fn new(address: &str, error: bollard::errors::Error) -> Self {
        use bollard::errors::Error as E;
        match error {
            E::DockerResponseServerError { status_code, message } => Self::Status { code: status_code, message },
            E::DockerStreamError { error } => Self::Stream(error),
            E::RequestTimeoutError => Self::Late { address: address.to_owned() },
            E::SocketNotFoundError(_) => {
                Self::Unreachable { address: address.to_owned(), reason: "there is no such socket".to_owned() }
            }
            E::HyperLegacyError { err } if err.is_connect() => {
                Self::Unreachable { address: address.to_owned(), reason: innermost(&err) }
            }
            E::UnsupportedURISchemeError { .. } => Self::Unreachable {
                address: address.to_owned(),
                reason: "only addresses like unix:///var/run/docker.sock are supported".to_owned(),
            },
            other => Self::Other(chain(&other)),
        }
    }

    /// Whether the engine says that there is no such object.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Status { code: 404, .. })
    }

    /// Whether the engine says that the object is in another state than the request needs.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Status { code: 409, .. })
    }

    /// Whether the request was certainly not carried out.
    pub(super) fn is_definite(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::Unreachable { .. } | Self::Credentials(_))
    }

    /// The contract's error: what was tried (`pull x`), what came of it, and what to do.
    pub(super) fn explain(&self, tried: &str, redact: impl Fn(&str) -> String) -> Error {
        let mut text = format!("cannot {tried}: {self}");
        if let Some(advice) = self.advice() {
            text.push_str(&format!("; {advice}"));
        }
        let text = redact(&text);
        if self.is_missing() { Error::NotFound(text) } else { Error::Failed(text) }
    }

    /// What helps against the errors people meet most. Their texts are all there is to tell them apart.
    fn advice(&self) -> Option<&'static str> {
        let text = self.to_string().to_ascii_lowercase();
        let says = |part: &str| text.contains(part);
        if matches!(self, Self::Unreachable { .. }) {
            says("permission denied").then_some("or let this user use it: add it to the group `docker`")
        } else if says("no basic auth credentials")
            || says("unauthorized")
            || says("authentication required")
            || says("pull access denied")
            || says("requested access to the resource is denied")
        {
            Some("log in on this machine with `docker login <registry>`")
        } else if says("connection refused") || says("no such host") || says("i/o timeout") {
            Some("the registry does not answer: is its name right, and does it run?")
        } else if says("server gave http response to https client") {
            Some("the registry speaks plain HTTP: list it under `insecure-registries` in the engine's daemon.json")
        } else if says("no space left on device") {
            Some("free some space for the engine")
        } else if says("non-overlapping ipv4 address pool") {
            Some("the engine has too many networks: remove unused ones, or widen `default-address-pools`")
        } else if says("port is already allocated") || says("address already in use") {
            Some("use another host port, or 0 to have the engine choose one")
        } else {
            None
        }
    }
}

/// Whether the engine answers.
///
/// # Errors
/// `Failed` with what to do about it.
pub async fn ping(client: &dyn DockerClient) -> Result<(), Error> {
    client.ping().await.map_err(|error| Error::Failed(error.to_string()))
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let source = error.to_string();
        if !text.contains(&source) {
            text = format!("{text}: {source}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_and_what_to_do() {
        let status = |code, message: &str| EngineError::Status { code, message: message.to_owned() };
        let same = str::to_owned;
        let missing = status(404, "No such image: a:b").explain("find `a:b`", same);
        assert!(matches!(&missing, Error::NotFound(text) if text == "cannot find `a:b`: No such image: a:b"));
        let denied = EngineError::Stream("no basic auth credentials".to_owned()).explain("push `r/x`", same);
        assert_eq!(
            denied.to_string(),
            "cannot push `r/x`: no basic auth credentials; log in on this machine with `docker login <registry>`"
        );
        let secret = EngineError::Other("token hunter22 refused".to_owned());
        assert!(
            !secret.explain("push", |text| text.replace("hunter22", "[REDACTED]")).to_string().contains("hunter22")
        );
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named() {
        let client = super::super::Bollard::at("unix:///nonexistent/docker.sock");
        assert_eq!(
            ping(&client).await.unwrap_err().to_string(),
            "the Docker Engine does not answer at unix:///nonexistent/docker.sock: there is no such socket; start it, \
             or set DOCKER_HOST"
        );
        let client = super::super::Bollard::at("tcp://127.0.0.1:1");
        assert!(ping(&client).await.unwrap_err().to_string().contains("only addresses like unix:///"));
        let file = tempfile::NamedTempFile::new().unwrap();
        let client = super::super::Bollard::at(&format!("unix://{}", file.path().display()));
        assert!(ping(&client).await.unwrap_err().to_string().contains("refused"));
    }
}
