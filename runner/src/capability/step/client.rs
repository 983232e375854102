//! Artifacts as files beside the run.

use super::super::Error;
use super::super::workspace::relative_path;
use super::error::artifact_io;
use crate::event::Artifact;
use cap_std::fs::{Dir, OpenOptions};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Where the artifacts of one job are kept: a directory of its own, made with the first artifact.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    /// Directory with one subdirectory per job, and one for what is not whole yet.
    pub root: PathBuf,
}

/// Where an artifact is written before it has its name; no job has one that begins with a dot.
const PARTS: &str = ".parts";

/// The directory of all artifacts, that of the run and that of all runs.
const OWN_DIRECTORIES: usize = 3;

/// Bytes one artifact may have when it passes through a component's memory.
pub(super) const MAX_ARTIFACT: u64 = 64 << 20;

impl ArtifactStore {
    /// Writes what the reader gives under the job's name and the path (normalised, relative). It is on the disk when this
    /// returns.
    ///
    /// # Errors
    /// `Failed` when the disk refuses.
    pub fn store(&self, job: &str, path: &str, content: &mut dyn Read) -> Result<Artifact, Error> {
        let dir = self.dir(job).map_err(|error| artifact_io("store", path, &error))?;
        let mut write = || -> std::io::Result<(u64, String)> {
            let parts = Dir::open_ambient_dir(self.made(PARTS)?, cap_std::ambient_authority())?;
            let parent = std::path::Path::new(path).parent();
            if let Some(parent) = parent {
                dir.create_dir_all(parent)?;
            }
            let mut digest = Sha256::new();
            let mut size = 0;
            let mut buffer = vec![0; 64 << 10];
            let mut fill = |file: &mut cap_std::fs::File| -> std::io::Result<()> {
                loop {
                    let count = content.read(&mut buffer)?;
                    if count == 0 {
                        return file.sync_all();
                    }
                    digest.update(&buffer[..count]);
                    file.write_all(&buffer[..count])?;
                    size += count as u64;
                }
            };
            // Under its own name only once it is whole: somebody may be reading what has the name now.
            let part = uuid::Uuid::new_v4().simple().to_string();
            let mut file = parts.open_with(&part, OpenOptions::new().write(true).create_new(true))?;
            let done = fill(&mut file).and_then(|()| parts.rename(&part, &dir, path));
            if let Err(error) = done {
                parts.remove_file(&part)?;
                return Err(error);
            }
            // A name is on the disk when its directory is, and so on upwards.
            for directory in parent.into_iter().flat_map(std::path::Path::ancestors) {
                let directory = if directory.as_os_str().is_empty() { std::path::Path::new(".") } else { directory };
                dir.open(directory)?.sync_all()?;
            }
            // The directories of the run are made when it begins, but only what is in them has to last.
            for directory in self.root.ancestors().take(OWN_DIRECTORIES) {
                std::fs::File::open(directory)?.sync_all()?;
            }
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

    /// An artifact's file, to be read from its beginning.
    ///
    /// # Errors
    /// `Failed` when the disk refuses.
    pub fn open(&self, artifact: &Artifact) -> Result<std::fs::File, Error> {
        let open = || Ok(self.dir(&artifact.job)?.open(&artifact.path)?.into_std());
        open().map_err(|error: std::io::Error| artifact_io("read", &artifact.path, &error))
    }

    fn dir(&self, job: &str) -> std::io::Result<Dir> {
        Dir::open_ambient_dir(self.made(job)?, cap_std::ambient_authority())
    }

    fn made(&self, name: &str) -> std::io::Result<PathBuf> {
        let path = self.root.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Removes what was being written when the process that did it was lost; nobody may be storing. How many files.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn remove_parts(&self) -> std::io::Result<usize> {
        let parts = self.root.join(PARTS);
        let count = match std::fs::read_dir(&parts) {
            Ok(entries) => entries.count(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        std::fs::remove_dir_all(&parts)?;
        Ok(count)
    }
}

/// An artifact's path in normal form: relative, `/` between its parts, at most 1024 bytes.
///
/// # Errors
/// `Invalid` for what is no such path.
pub fn artifact_path(path: &str) -> Result<String, Error> {
    let path = relative_path(path)?;
    if path == "." || path.len() > 1024 {
        return Err(Error::Invalid("an artifact's path has 1 to 1024 bytes".to_owned()));
    }
    Ok(path)
}
