//! A repository in a registry, spoken to over HTTP.

use super::{Descriptor, Manifest, RegistryError, Source};
use crate::capability::docker::client::{default_config, find_credentials};
use crate::plan::cache::RemoteName;
use futures_util::{StreamExt, TryStreamExt};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest, OciManifest};
use oci_client::secrets::RegistryAuth;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// Time to connect; a registry that is down must not hold up a run.
const CONNECT: Duration = Duration::from_secs(5);

/// Time in which at least something has to arrive.
const SILENCE: Duration = Duration::from_secs(15);

/// Bytes read from a file at once; also the size of the pieces in which content is sent.
const PIECE: usize = 1 << 20;

/// One repository in a registry.
pub struct Registry {
    client: Client,
    auth: RegistryAuth,
    name: RemoteName,
}

impl Registry {
    /// Prepares to speak to a registry, with the credentials that Docker's configuration has for it; without any where
    /// everybody on the way could read them. Nothing is sent.
    ///
    /// # Errors
    /// When the credentials cannot be used, or no client can be made.
    pub async fn open(name: &RemoteName) -> Result<Self, RegistryError> {
        // Fails when there is one already, which then does the same.
        drop(rustls::crypto::ring::default_provider().install_default());
        let failed = |reason: String| RegistryError::Failed { registry: name.registry.clone(), reason };
        let config = ClientConfig {
            protocol: if name.plain_http { ClientProtocol::Http } else { ClientProtocol::Https },
            // Nothing is pulled for one of several platforms.
            platform_resolver: None,
            connect_timeout: Some(CONNECT),
            read_timeout: Some(SILENCE),
            user_agent: concat!("runner/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        let found = match default_config().filter(|_| name.keeps_secrets()) {
            Some(config) => find_credentials(config, &name.registry)
                .await
                .map_err(|error| RegistryError::Credentials(error.to_string()))?,
            None => None,
        };
        let auth = match found {
            None => RegistryAuth::Anonymous,
            Some(found) if found.username.is_empty() => {
                let reason = format!(
                    "the credentials for {} are an identity token, which cannot be used here; log in with a password",
                    name.registry
                );
                return Err(RegistryError::Credentials(reason));
            }
            Some(found) => RegistryAuth::Basic(found.username, found.secret),
        };
        client.store_auth_if_needed(&name.registry, &auth).await;
        Ok(Self { client, auth, name: name.clone() })
    }

    /// The manifest under a tag, or under a digest, and its own digest; nothing when there is none.
    ///
    /// # Errors
    /// When the registry does not answer, or not with a manifest.
    pub async fn manifest(&self, reference: &str) -> Result<Option<(Manifest, String)>, RegistryError> {
        let (manifest, digest) = match self.client.pull_manifest(&self.reference(reference), &self.auth).await {
            Ok(found) => found,
            Err(error) if is_missing(&error) => return Ok(None),
            Err(error) => return Err(self.error(&error)),
        };
        let OciManifest::Image(image) = manifest else { return Err(self.wrong("an index instead of a manifest")) };
        let descriptor = |one: OciDescriptor| {
            let size = u64::try_from(one.size).map_err(|_| self.wrong("content of a negative size"))?;
            Ok(Descriptor { media_type: one.media_type, digest: one.digest, size })
        };
        let manifest = Manifest {
            artifact_type: image.artifact_type.unwrap_or_default(),
            config: descriptor(image.config)?,
            layers: image.layers.into_iter().map(descriptor).collect::<Result<_, _>>()?,
            annotations: image.annotations.unwrap_or_default(),
        };
        Ok(Some((manifest, digest)))
    }

    /// Writes content to `to`, never more than the descriptor says. What has arrived when it
    /// fails may be anything; the caller checks the digest of what it keeps.
    ///
    /// # Errors
    /// When it is not there, is of another size, or cannot be read or written.
    pub async fn pull(
        &self,
        content: &Descriptor,
        to: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<(), RegistryError> {
        let mut left = content.size;
        // Not every registry has the content of no bytes.
        if left == 0 {
            return Ok(());
        }
        let reference = self.reference(&content.digest);
        let pulled = self.client.pull_blob_stream(&reference, &oci(content)).await;
        let mut stream = pulled.map_err(|error| self.error(&error))?.stream;
        while let Some(piece) = stream.next().await {
            let failed = |error: std::io::Error| self.failed(error.to_string());
            let piece = piece.map_err(failed)?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| self.wrong("more bytes than announced"))?;
            to.write_all(&piece).await.map_err(failed)?;
        }
        if left > 0 { Err(self.wrong("fewer bytes than announced")) } else { Ok(()) }
    }

    /// Whether the repository has content of this digest.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn exists(&self, digest: &str) -> Result<bool, RegistryError> {
        let exists = self.client.blob_exists(&self.reference(digest), digest).await;
        exists.map_err(|error| self.error(&error))
    }

    /// Puts content into the repository, unless it is there.
    ///
    /// # Errors
    /// When the registry refuses or does not answer, or the content cannot be read.
    pub async fn push(&self, content: &Descriptor, source: Source) -> Result<(), RegistryError> {
        if self.exists(&content.digest).await? {
            return Ok(());
        }
        let reference = self.reference(&content.digest);
        let pushed = match source {
            Source::Bytes(bytes) => self.client.push_blob(&reference, bytes, &content.digest).await,
            // An empty stream makes no request in which it could be sent.
            Source::File(_) if content.size == 0 => {
                self.client.push_blob(&reference, bytes::Bytes::new(), &content.digest).await
            }
            Source::File(path) => {
                let file = tokio::fs::File::open(&path).await;
                let file = file.map_err(|error| RegistryError::Source { path, error })?;
                let pieces = ReaderStream::with_capacity(file, PIECE).map_err(OciDistributionError::from);
                self.client.push_blob_stream(&reference, pieces, &content.digest, Some(content.size)).await
            }
        };
        pushed.map(drop).map_err(|error| self.error(&error))
    }

    /// Puts a manifest under a tag, in place of what was there. What it refers to must be in the repository.
    ///
    /// # Errors
    /// When the registry refuses or does not answer.
    pub async fn tag(&self, tag: &str, manifest: &Manifest) -> Result<(), RegistryError> {
        let image = OciImageManifest {
            media_type: Some(OCI_IMAGE_MEDIA_TYPE.to_owned()),
            artifact_type: Some(manifest.artifact_type.clone()),
            config: oci(&manifest.config),
            layers: manifest.layers.iter().map(oci).collect(),
            annotations: Some(manifest.annotations.clone()),
            ..OciImageManifest::default()
        };
        let pushed = self.client.push_manifest(&self.reference(tag), &OciManifest::Image(image)).await;
        pushed.map(drop).map_err(|error| self.error(&error))
    }

    fn reference(&self, tag_or_digest: &str) -> oci_client::Reference {
        let (registry, repository) = (self.name.registry.clone(), self.name.repository.clone());
        if tag_or_digest.contains(':') {
            oci_client::Reference::with_digest(registry, repository, tag_or_digest.to_owned())
        } else {
            oci_client::Reference::with_tag(registry, repository, tag_or_digest.to_owned())
        }
    }

    fn failed(&self, reason: String) -> RegistryError {
        RegistryError::Failed { registry: self.name.registry.clone(), reason }
    }

    fn wrong(&self, reason: &str) -> RegistryError {
        RegistryError::Wrong { registry: self.name.registry.clone(), reason: reason.to_owned() }
    }

    fn error(&self, error: &OciDistributionError) -> RegistryError {
        let registry = self.name.registry.clone();
        let refused = |error: &oci_client::errors::OciError| {
            matches!(error.code, OciErrorCode::Unauthorized | OciErrorCode::Denied)
        };
        match error {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_)
            | OciDistributionError::ServerError { code: 401 | 403, .. } => {
                RegistryError::Unauthorised { registry, reason: error.to_string() }
            }
            OciDistributionError::RegistryError { envelope, .. } if envelope.errors.iter().any(refused) => {
                RegistryError::Unauthorised { registry, reason: error.to_string() }
            }
            OciDistributionError::DigestError(_)
            | OciDistributionError::ManifestParsingError(_)
            | OciDistributionError::VersionedParsingError(_)
            | OciDistributionError::UnsupportedMediaTypeError(_)
            | OciDistributionError::UnsupportedSchemaVersionError(_) => {
                RegistryError::Wrong { registry, reason: error.to_string() }
            }
            _ => RegistryError::Failed { registry, reason: with_causes(error) },
        }
    }
}

/// The message and what is behind it: that of a failed connection alone says nothing.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

fn oci(descriptor: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: descriptor.media_type.clone(),
        digest: descriptor.digest.clone(),
        size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

/// Whether the registry says that there is no such thing.
fn is_missing(error: &OciDistributionError) -> bool {
    let missing = [OciErrorCode::ManifestUnknown, OciErrorCode::NameUnknown, OciErrorCode::NotFound];
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) | OciDistributionError::ServerError { code: 404, .. } => {
            true
        }
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| missing.contains(&error.code))
        }
        _ => false,
    }
}
