//! Which credentials the host shows a registry. A guest never sees them, and cannot ask for others.

use super::client::Credentials;
use super::{DockerCtx, EngineError};

impl DockerCtx {
    /// What `grants.docker.login` says for this registry, or else what Docker's own configuration has. Its secret is
    /// replaced in the job's log from here on.
    pub(super) async fn credentials(&self, registry: &str) -> Result<Option<Credentials>, EngineError> {
        let login = self.grant.login.iter().find(|login| login.is_for(registry));
        let found = match login.map(|login| (&login.username, &login.password, &login.helper)) {
            Some((Some(username), Some(password), _)) => {
                self.scope.allow("docker", "login", registry).await.map_err(|error| unusable(registry, &error))?;
                let secret = self.secrets.open(&self.scope, "login", password).await;
                let secret = secret.map_err(|error| unusable(registry, &error))?;
                Some(Credentials::for_registry(registry, username, secret.expose().to_owned()))
            }
            Some((_, _, Some(helper))) => {
                self.scope.allow("docker", "login", registry).await.map_err(|error| unusable(registry, &error))?;
                self.client.credentials(registry, Some(helper)).await?
            }
            _ => self.client.credentials(registry, None).await?,
        };
        if let Some(found) = &found {
            let what = format!("the password for {registry}");
            self.scope.log.redact(&what, &found.secret).map_err(|error| unusable(registry, &error.into()))?;
        }
        Ok(found)
    }
}

fn unusable(registry: &str, error: &crate::capability::Error) -> EngineError {
    EngineError::Credentials(format!("the credentials for {registry}: {error}"))
}
