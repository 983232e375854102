//! The way to an engine, and what goes for every request on it.

use super::super::EngineError;
use super::{Output, auth};
use bollard::Docker;
use bollard::container::LogOutput;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

/// The engine at one address, connected to when it is first needed.
#[derive(Debug)]
pub struct Bollard {
    pub(super) address: String,
    /// Docker's configuration file, where it has one.
    pub(super) config: Option<PathBuf>,
    docker: OnceLock<Docker>,
}

const DEFAULT_ADDRESS: &str = "unix:///var/run/docker.sock";

/// How long an answer to a short request may take to begin. An overloaded machine takes seconds to start a container.
pub(super) const SHORT: Duration = Duration::from_mins(2);
/// Likewise for requests that carry or fetch an image's worth of data before they are answered.
pub(super) const LONG: Duration = Duration::from_hours(1);

impl Bollard {
    /// The engine that `DOCKER_HOST` names, or the one at the default socket.
    pub fn new() -> Self {
        let host = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
        Self::at(host.as_deref().unwrap_or(DEFAULT_ADDRESS))
    }

    /// The engine at this address.
    pub fn at(address: &str) -> Self {
        Self { address: address.to_owned(), config: auth::default_config(), docker: OnceLock::new() }
    }

    /// The same with another Docker configuration file to find credentials in.
    #[must_use]
    pub fn with_config(self, config: PathBuf) -> Self {
        Self { config: Some(config), ..self }
    }

    /// The connection.
    pub(super) fn docker(&self) -> Result<&Docker, EngineError> {
        if let Some(docker) = self.docker.get() {
            return Ok(docker);
        }
        let docker = Docker::connect_with_host(&self.address).map_err(|error| self.error(error))?;
        let docker = docker.with_timeout(SHORT).with_request_modifier(|mut request| {
            for name in ["x-registry-auth", "x-registry-config"] {
                let rewritten = request.headers().get(name).and_then(|value| value.to_str().ok()).map(auth::url_safe);
                if let Some(value) = rewritten.and_then(|value| value.parse().ok()) {
                    request.headers_mut().insert(name, value);
                }
            }
            request
        });
        Ok(self.docker.get_or_init(|| docker))
    }

    /// The connection for a request whose answer may take this long to begin.
    pub(super) fn docker_for(&self, timeout: Duration) -> Result<Docker, EngineError> {
        Ok(self.docker()?.clone().with_timeout(timeout))
    }

    /// The client library's error as ours.
    pub(super) fn error(&self, error: bollard::errors::Error) -> EngineError {
        EngineError::new(&self.address, error)
    }

    /// What a container writes.
    pub(super) fn outputs(
        &self,
        stream: impl Stream<Item = Result<LogOutput, bollard::errors::Error>> + Send + 'static,
    ) -> BoxStream<'static, Result<Output, EngineError>> {
        let address = self.address.clone();
        stream
            .map(move |item| match item {
                Ok(LogOutput::StdErr { message }) => Ok(Output { stderr: true, bytes: message }),
                Ok(other) => Ok(Output { stderr: false, bytes: other.into_bytes() }),
                Err(error) => Err(EngineError::new(&address, error)),
            })
            .boxed()
    }

    /// Reads a stream of progress to its end: an error may be its last item.
    pub(super) async fn drain<T>(
        &self,
        mut stream: impl Stream<Item = Result<T, bollard::errors::Error>> + Unpin,
        mut each: impl FnMut(T),
    ) -> Result<(), EngineError> {
        let mut result = Ok(());
        while let Some(item) = stream.next().await {
            match item {
                Ok(item) => each(item),
                Err(error) if result.is_ok() => result = Err(self.error(error)),
                Err(_) => {}
            }
        }
        result
    }
}

impl Default for Bollard {
    fn default() -> Self {
        Self::new()
    }
}

/// A name or identifier as part of a path. The client library does not escape it, and resolves `..` in it.
pub(super) fn path(name: &str) -> Result<&str, EngineError> {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/@".contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.bytes().all(letter) && name.split('/').all(part) && name.len() <= 512 {
        Ok(name)
    } else {
        Err(EngineError::Other(format!("`{}` is no name or identifier of an object", name.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn nothing_that_changes_the_request_is_taken_for_a_name() {
        let id = format!("sha256:{}", "a".repeat(64));
        for good in ["3f2a", &id, "docker.io/library/postgres:16", "r:5000/a/b@sha256:00"] {
            assert_eq!(path(good), Ok(good));
        }
        for hostile in [
            "",
            "../volumes/victim",
            "x/../../containers/prune",
            "x/kill?signal=KILL#",
            "x#",
            "x%2f..",
            "/x",
            "x/",
            "x//y",
            "./x",
            "x y",
            "x\ny",
            "x\\y",
            "é",
        ] {
            assert!(path(hostile).is_err(), "{hostile:?}");
        }
        assert!(path(&"a".repeat(513)).is_err());
    }
}
