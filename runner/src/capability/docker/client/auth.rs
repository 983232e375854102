//! Credentials of registries, found the way Docker finds them: `config.json` and its credential helpers.

use super::super::EngineError;
use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

/// What a registry is shown. Never visible to a guest, nor in `Debug` output.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Key of the registry in Docker's configuration.
    pub server: String,
    /// Empty with a token.
    pub username: String,
    /// The password, or an identity token when there is no user name.
    pub secret: String,
}

impl Credentials {
    /// A user's name and password.
    pub fn for_registry(registry: &str, username: &str, password: String) -> Self {
        Self { server: server_of(registry), username: username.to_owned(), secret: password }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A helper that takes longer is stuck, most likely on a question to a person who is not there.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Docker's configuration file: in `$DOCKER_CONFIG`, or in `.docker` of the home directory.
pub(crate) fn default_config() -> Option<PathBuf> {
    let directory = match std::env::var_os("DOCKER_CONFIG") {
        Some(directory) if !directory.is_empty() => PathBuf::from(directory),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(directory.join("config.json"))
}

/// The name under which Docker keeps a registry's credentials.
fn server_of(registry: &str) -> String {
    if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry }.to_owned()
}

/// What the program `docker-credential-HELPER` has for this registry.
pub(super) async fn ask(helper: &str, registry: &str) -> Result<Option<Credentials>, EngineError> {
    let config = serde_json::json!({ "credHelpers": { server_of(registry): helper } }).to_string();
    lookup(From::Helper { name: format!("docker-credential-{helper}"), config }, registry).await
}

/// What the configuration has for this registry; nothing when it has nothing.
pub(crate) async fn find(config: PathBuf, registry: &str) -> Result<Option<Credentials>, EngineError> {
    lookup(From::File(config), registry).await
}

/// Where credentials are looked for.
#[derive(Clone)]
enum From {
    File(PathBuf),
    Helper { name: String, config: String },
}

impl std::fmt::Display for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the credential helper named in {}", path.display()),
            Self::Helper { name, .. } => write!(f, "the credential helper `{name}`"),
        }
    }
}

async fn lookup(from: From, registry: &str) -> Result<Option<Credentials>, EngineError> {
    let server = server_of(registry);
    let registry = registry.to_owned();
    let wrong = |text: String| EngineError::Credentials(format!("the credentials for {registry}: {text}"));
    let asked = server.clone();
    let source = from.clone();
    let asking = tokio::task::spawn_blocking(move || {
        let config: Box<dyn std::io::Read> = match &source {
            From::Helper { config, .. } => Box::new(std::io::Cursor::new(config.clone())),
            From::File(path) => match std::fs::File::open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                other => Box::new(other.map_err(|error| format!("cannot read {}: {error}", path.display()))?),
            },
        };
        match get_credential_from_reader(BufReader::new(config), &asked) {
            Ok(credential) => Ok(Some(credential)),
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(None),
            // A helper's way of saying that it has none.
            Err(CredentialRetrievalError::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
                Ok(None)
            }
            Err(CredentialRetrievalError::HelperFailure { helper, stdout, stderr }) => {
                let said = if stderr.trim().is_empty() { stdout } else { stderr };
                Err(format!("`{helper} get` failed: {}", said.trim()))
            }
            Err(CredentialRetrievalError::HelperCommunicationError) => {
                Err(format!("{source} cannot be run; is it installed and on the PATH?"))
            }
            Err(error) => Err(match &source {
                From::File(path) => format!("{}: {}", path.display(), error.to_string().to_lowercase()),
                From::Helper { name, .. } => format!("`{name}`: {}", error.to_string().to_lowercase()),
            }),
        }
    });
    let found = match tokio::time::timeout(MAX_WAIT, asking).await {
        Ok(Ok(found)) => found.map_err(wrong)?,
        Ok(Err(_)) => return Err(wrong("looking for them ended unexpectedly".to_owned())),
        Err(_) => {
            return Err(wrong(format!("{from} did not answer within {} s", MAX_WAIT.as_secs())));
        }
    };
    Ok(found.map(|credential| match credential {
        DockerCredential::UsernamePassword(username, secret) => Credentials { server, username, secret },
        DockerCredential::IdentityToken(secret) => Credentials { server, username: String::new(), secret },
    }))
}

/// The engine decodes the URL-safe alphabet, the client library writes the standard one.
pub(super) fn url_safe(header: &str) -> String {
    header
        .chars()
        .map(|letter| match letter {
            '+' => '-',
            '/' => '_',
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), text).unwrap();
        dir
    }

    #[tokio::test]
    async fn only_the_registry_that_is_asked_for_is_answered() {
        let dir = config(r#"{"auths": {"r.example": {"username": "u", "password": "p"}}}"#);
        let path = dir.path().join("config.json");
        let found = find(path.clone(), "r.example").await.unwrap().unwrap();
        assert_eq!((found.username.as_str(), found.secret.as_str()), ("u", "p"));
        assert!(!format!("{found:?}").contains('p'.to_string().repeat(2).as_str()));
        for other in ["r.example.evil", "example", "docker.io"] {
            assert_eq!(find(path.clone(), other).await, Ok(None), "{other}");
        }
        assert_eq!(find(dir.path().join("none"), "r.example").await, Ok(None));
    }

    #[tokio::test]
    async fn a_helper_that_cannot_be_run_is_an_error_that_names_the_registry() {
        let dir = config(r#"{"credHelpers": {"r.example": "does-not-exist"}}"#);
        let error = find(dir.path().join("config.json"), "r.example").await.unwrap_err().to_string();
        assert!(error.starts_with("the credentials for r.example: the credential helper named in"), "{error}");
    }

    #[tokio::test]
    async fn a_named_helper_that_is_not_there_is_named() {
        let error = ask("does-not-exist", "r.example").await.unwrap_err().to_string();
        assert!(error.contains("`docker-credential-does-not-exist` cannot be run"), "{error}");
    }

    #[tokio::test]
    async fn the_hub_is_known_by_its_old_name() {
        let dir = config(r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}}"#);
        let found = find(dir.path().join("config.json"), "docker.io").await.unwrap().unwrap();
        assert_eq!((found.server.as_str(), found.secret.as_str()), ("https://index.docker.io/v1/", "p"));
    }

    #[test]
    fn the_header_is_written_in_the_alphabet_the_engine_reads() {
        // The standard encoding of {"password":"p?>?~?>~?"} holds both letters that differ.
        assert_eq!(url_safe("eyJw+/8/Pg=="), "eyJw-_8_Pg==");
    }
}
