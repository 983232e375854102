//! Entries in a registry, as OCI artifacts: the tag is the key, the configuration the entry, the layers its contents.
//!
//! Who may write to the repository can answer for every key. Where a key is shared, entries are sealed with it, and
//! those without its seal are as good as none.

use super::entry::{Blob, Entry, MAX_ENTRY};
use super::store::{LocalStore, NewBlob};
use crate::event::CacheKey;
use crate::plan::cache::RemoteName;
use crate::registry::{Descriptor, Manifest, Registry, RegistryError, Source};
use crate::secret::SecretValue;
use hmac::digest::{Key, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::PathBuf;

/// What kind of artifact an entry is.
const ARTIFACT: &str = "application/vnd.dev.runner.step-cache.v1";
/// The entry itself.
const ENTRY: &str = "application/vnd.dev.runner.step-cache.entry.v1+json";
/// Everything it refers to: archive of files, log, artifacts.
const CONTENT: &str = "application/vnd.dev.runner.step-cache.content.v1";
/// The annotation that holds the seal.
const SEAL: &str = "dev.runner.step-cache.seal";

/// Entries in one repository.
pub(super) struct Remote {
    pub(super) name: RemoteName,
    pub(super) registry: Registry,
    /// The key that seals; `None` where none is shared.
    pub(super) seal: Option<SecretValue>,
    /// What entries from here are marked with on this machine.
    pub(super) trust: String,
}

/// What entries are marked with that were believed because of this repository and this seal: whoever believes others
/// does not take them.
pub(super) fn trust(name: &RemoteName, secret: Option<&str>) -> String {
    let sealed = secret.map(|secret| hex(&seal(secret, "", "").finalize().into_bytes()));
    digest(format!("{name}\n{}", sealed.unwrap_or_default()).as_bytes()).replace(':', "-")
}

/// Why an entry was not got or put.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemoteError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It is there, and must not be used.
    #[error("the entry in {0} is not used: {1}")]
    Refused(RemoteName, String),
    /// Our own disk.
    #[error("the cache on this machine: {0}")]
    Local(#[from] std::io::Error),
}

impl Remote {
    /// Fetches the entry of a key into the store on this machine; whether there was one.
    pub(super) async fn fetch(&self, key: &CacheKey, store: &LocalStore) -> Result<bool, RemoteError> {
        let refused = |reason: &str| RemoteError::Refused(self.name.clone(), reason.to_owned());
        let Some((manifest, _)) = self.registry.manifest(&key.digest).await? else { return Ok(false) };
        if manifest.artifact_type != ARTIFACT || manifest.config.media_type != ENTRY {
            return Err(refused("it is another kind of artifact"));
        }
        if manifest.config.size > MAX_ENTRY {
            return Err(refused("it is larger than any entry"));
        }
        if let Some(secret) = &self.seal {
            let seal =
                manifest.annotations.get(SEAL).ok_or_else(|| refused("it has no seal, and `cache.key` is set"))?;
            if !is_sealed(secret.expose(), &key.digest, &manifest.config.digest, seal) {
                return Err(refused("its seal is not that of `cache.key`"));
            }
        }
        let mut json = Vec::new();
        self.registry.pull(&manifest.config, &mut json).await?;
        if digest(&json) != manifest.config.digest {
            return Err(refused("the entry does not have its digest"));
        }
        let entry = Entry::read(&json, key).map_err(|reason| refused(&reason))?;
        let size: u64 = entry.blobs().iter().map(|blob| blob.size).sum();
        if size > store.limit() {
            return Err(refused(&format!("it has {size} bytes, and the whole cache may have {}", store.limit())));
        }
        let mut blobs = Vec::new();
        for blob in entry.blobs() {
            blobs.push(self.pull(blob, store).await?);
        }
        let (store, trust) = (store.clone(), self.trust.clone());
        let put = tokio::task::spawn_blocking(move || store.put(&entry, blobs, &trust)).await;
        put.map_err(std::io::Error::other)??;
        Ok(true)
    }

    async fn pull(&self, blob: &Blob, store: &LocalStore) -> Result<NewBlob, RemoteError> {
        let mut writing = Blocking(store.begin()?);
        self.registry.pull(&descriptor(blob), &mut writing).await?;
        let new = writing.0.finish()?;
        if new.blob != *blob {
            let reason = format!("the content {:.12} does not have its digest", blob.sha256);
            return Err(RemoteError::Refused(self.name.clone(), reason));
        }
        Ok(new)
    }

    /// Puts an entry with its contents, which are files here, under its key.
    pub(super) async fn put(&self, entry: &Entry, contents: Vec<(Blob, PathBuf)>) -> Result<(), RemoteError> {
        let json = serde_json::to_vec(entry).map_err(std::io::Error::other)?;
        let config = Descriptor { media_type: ENTRY.to_owned(), digest: digest(&json), size: json.len() as u64 };
        let mut manifest = Manifest { artifact_type: ARTIFACT.to_owned(), config, ..Manifest::default() };
        for (blob, path) in contents {
            let layer = descriptor(&blob);
            self.registry.push(&layer, Source::File(path)).await?;
            manifest.layers.push(layer);
        }
        self.registry.push(&manifest.config, Source::Bytes(json.into())).await?;
        if let Some(secret) = &self.seal {
            let seal = seal(secret.expose(), &entry.key.digest, &manifest.config.digest);
            manifest.annotations.insert(SEAL.to_owned(), hex(&seal.finalize().into_bytes()));
        }
        Ok(self.registry.tag(&entry.key.digest, &manifest).await?)
    }
}

fn descriptor(blob: &Blob) -> Descriptor {
    Descriptor { media_type: CONTENT.to_owned(), digest: format!("sha256:{}", blob.sha256), size: blob.size }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Over the key and the entry's digest, and thereby over all that the entry refers to.
fn seal(secret: &str, key: &str, entry: &str) -> Hmac<Sha256> {
    let mut block = Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(&Sha256::digest(secret));
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block);
    mac.update(format!("runner step cache 1\n{key}\n{entry}\n").as_bytes());
    mac
}

fn is_sealed(secret: &str, key: &str, entry: &str, written: &str) -> bool {
    let pairs = written.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Option<Vec<u8>> = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
    // Compared in constant time.
    bytes.is_some_and(|bytes| seal(secret, key, entry).verify_slice(&bytes).is_ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A file that is written to at once: pieces are small, and go to the page cache.
struct Blocking(super::store::Writing);

impl tokio::io::AsyncWrite for Blocking {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_about_key_and_entry() {
        let made = hex(&seal("secret", "k", "e").finalize().into_bytes());
        assert!(is_sealed("secret", "k", "e", &made));
        for (secret, key, entry, written) in [
            ("other", "k", "e", made.as_str()),
            ("secret", "other", "e", &made),
            ("secret", "k", "other", &made),
            ("secret", "k", "e", &made[..62]),
            ("secret", "k", "e", ""),
            ("secret", "k", "e", "zz"),
        ] {
            assert!(!is_sealed(secret, key, entry, written));
        }
    }
}
