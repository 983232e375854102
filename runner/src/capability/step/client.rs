//! Artifacts as files beside the run, and secrets from the runner's own environment.

use super::super::Error;
use super::error::{artifact_io, secret_missing};
use crate::event::Artifact;
use cap_std::fs::Dir;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Where the artifacts of one job are kept: a directory of its own, made with the first artifact.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    /// Directory with one subdirectory per job.
    pub root: PathBuf,
}

/// Bytes one artifact may have when it passes through a component's memory.
pub(super) const MAX_ARTIFACT: u64 = 64 << 20;

impl ArtifactStore {
    /// Writes what the reader gives under the job's name and the path (normalised, relative).
    ///
    /// # Errors
    /// `Failed` when the disk refuses.
    pub fn store(&self, job: &str, path: &str, content: &mut dyn Read) -> Result<Artifact, Error> {
        let dir = self.dir(job).map_err(|error| artifact_io("store", path, &error))?;
        let mut write = || -> std::io::Result<(u64, String)> {
            if let Some(parent) = std::path::Path::new(path).parent() {
                dir.create_dir_all(parent)?;
            }
            let mut file = dir.create(path)?;
            let mut digest = Sha256::new();
            let mut size = 0;
            let mut buffer = vec![0; 64 << 10];
            loop {
                let count = content.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                digest.update(&buffer[..count]);
                file.write_all(&buffer[..count])?;
                size += count as u64;
            }
            file.sync_all()?;
            Ok((size, format!("sha256:{:x}", digest.finalize())))
        };
        let (size, digest) = write().map_err(|error| artifact_io("store", path, &error))?;
        Ok(Artifact { path: path.to_owned(), size, digest, job: job.to_owned() })
    }

    /// The content of an artifact.
    ///
    /// # Errors
    /// `Limit` when it is larger than 64 MiB, `Failed` when the disk refuses.
    pub fn fetch(&self, artifact: &Artifact) -> Result<Vec<u8>, Error> {
        if artifact.size > MAX_ARTIFACT {
            return Err(Error::Limit(format!(
                "the artifact `{}` has {} bytes; a component can fetch at most 64 MiB",
                artifact.path, artifact.size
            )));
        }
        let read = || self.dir(&artifact.job)?.read(&artifact.path);
        read().map_err(|error| artifact_io("fetch", &artifact.path, &error))
    }

    /// An artifact's content, of any size.
    ///
    /// # Errors
    /// `Failed` when the disk refuses.
    pub fn open(&self, artifact: &Artifact) -> Result<cap_std::fs::File, Error> {
        let open = || self.dir(&artifact.job)?.open(&artifact.path);
        open().map_err(|error| artifact_io("open", &artifact.path, &error))
    }

    fn dir(&self, job: &str) -> std::io::Result<Dir> {
        let path = self.root.join(job);
        std::fs::create_dir_all(&path)?;
        Dir::open_ambient_dir(path, cap_std::ambient_authority())
    }
}

/// Where secrets come from.
pub trait SecretSource: std::fmt::Debug + Send + Sync {
    /// The value of a secret.
    ///
    /// # Errors
    /// `NotFound` when there is none of that name, saying where it was looked for.
    fn get(&self, name: &str) -> Result<String, Error>;
}

/// Secrets are environment variables of the runner itself, of the same name.
#[derive(Debug, Clone, Copy)]
pub struct EnvironmentSecrets;

impl SecretSource for EnvironmentSecrets {
    fn get(&self, name: &str) -> Result<String, Error> {
        std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| secret_missing(name))
    }
}
