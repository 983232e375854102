//! Files kept with the run.

use super::caller::{Answer, Caller, plain};
use super::protocol::{FoundArtifact, Reply, StepReference};
use super::step::jobs_of;
use crate::agent::artifact::Query;
use crate::capability::Error;
use crate::capability::step::artifact_path;
use crate::event::{Artifact, EventKind};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::HashSet;
use std::fs::File;
use std::io::{Error as IoError, ErrorKind, Read};
use std::sync::atomic::Ordering;
use std::time::UNIX_EPOCH;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

/// Bytes of one artifact.
const MAX_ARTIFACT: u64 = 5 << 30;

/// Bytes of all artifacts of one attempt.
const MAX_STORED: u64 = 50 << 30;

/// The content of an artifact as it arrives, for a thread that waits for it.
#[derive(Debug)]
pub(super) struct Content {
    chunks: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    /// The empty chunk was seen; before it, an end is a loss.
    complete: bool,
    read: u64,
}

/// Where chunks go in and the content comes out. Few chunks are kept: whoever sends waits for the disk.
pub(super) fn content() -> (mpsc::Sender<Bytes>, Content) {
    let (sender, chunks) = mpsc::channel(4);
    (sender, Content { chunks, chunk: Bytes::new(), complete: false, read: 0 })
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.chunk.is_empty() && !self.complete {
            let lost = || IoError::new(ErrorKind::UnexpectedEof, "the content ended early");
            self.chunk = self.chunks.blocking_recv().ok_or_else(lost)?;
            self.complete = self.chunk.is_empty();
            self.read += self.chunk.len() as u64;
            if self.read > MAX_ARTIFACT {
                return Err(IoError::new(ErrorKind::FileTooLarge, "an artifact has at most 5 GiB"));
            }
        }
        let count = self.chunk.len().min(buffer.len());
        self.chunk.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// The next bytes of a file; none at its end.
pub(super) async fn read_chunk(file: &mut tokio::fs::File, most: usize) -> std::io::Result<Bytes> {
    let mut chunk = BytesMut::with_capacity(most);
    file.read_buf(&mut chunk).await?;
    Ok(chunk.freeze())
}

impl Caller {
    pub(super) async fn store_artifact(&self, path: String, mut content: Content) -> Answer {
        let path = artifact_path(&path)?;
        self.scope.check_name("an artifact's path", &path)?;
        let _one = self.storing.lock().await;
        if self.stored.load(Ordering::Relaxed) >= MAX_STORED {
            return Err(Error::Limit("a job keeps at most 50 GiB of artifacts".to_owned()));
        }
        let (store, job) = (self.artifacts.clone(), self.scope.name.job.clone());
        let stored = tokio::task::spawn_blocking(move || store.store(&job, &path, &mut content)).await;
        let artifact = stored.map_err(|error| Error::Failed(format!("cannot keep the artifact: {error}")))??;
        self.stored.fetch_add(artifact.size, Ordering::Relaxed);
        let found = self.found(&artifact);
        self.record(EventKind::ArtifactStored { artifact }).await?;
        Ok(plain(Reply::Artifacts(vec![found])))
    }

    /// Artifacts that match, in the order of storing; of several with one path only the newest, unless all are asked
    /// for.
    pub(super) async fn search_artifacts(&self, query: &str, step: Option<StepReference>, all: bool) -> Answer {
        let query = Query::parse(query).map_err(Error::Invalid)?;
        let mut seen = HashSet::new();
        let mut found: Vec<FoundArtifact> = Vec::new();
        for artifact in self.artifacts_of(step).await?.iter().rev() {
            let key = (artifact.path.clone(), if all { artifact.job.clone() } else { String::new() });
            // What a job has stored twice is there once.
            if query.matches(&artifact.path) && seen.insert(key) {
                found.push(self.found(artifact));
            }
        }
        found.reverse();
        Ok(plain(Reply::Artifacts(found)))
    }

    pub(super) async fn open_artifact(&self, job: &str, path: &str) -> Result<tokio::fs::File, Error> {
        let (of, at) = (job.to_owned(), path.to_owned());
        let artifact = self.scope.recorder.read(move |run| {
            let mut all = run.data().artifacts().iter().rev();
            all.find(|artifact| artifact.job == of && artifact.path == at).cloned()
        });
        let missing = || Error::NotFound(format!("there is no artifact `{}` of that job", path.escape_debug()));
        Ok(tokio::fs::File::from_std(self.artifacts.open(&artifact.await?.ok_or_else(missing)?)?))
    }

    async fn artifacts_of(&self, step: Option<StepReference>) -> Result<Vec<Artifact>, Error> {
        let (own, of) = (self.job, self.scope.name.run.clone());
        let artifacts = self.scope.recorder.read(move |run| {
            let all = run.data().artifacts();
            let Some(step) = step else { return Ok(all.to_vec()) };
            let jobs = jobs_of(run, &of, own, &step)?;
            let names: HashSet<&str> = jobs.iter().map(|job| run.plan().job(*job).name.as_str()).collect();
            Ok(all.iter().filter(|artifact| names.contains(artifact.job.as_str())).cloned().collect())
        });
        artifacts.await?
    }

    fn found(&self, artifact: &Artifact) -> FoundArtifact {
        let modified = |file: File| file.metadata()?.modified();
        let at = self.artifacts.open(artifact).ok().and_then(|file| modified(file).ok());
        let at = at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or(0, |at| at.as_secs());
        FoundArtifact {
            path: artifact.path.clone(),
            job: artifact.job.clone(),
            size: artifact.size,
            digest: artifact.digest.clone(),
            at,
            file: self.artifacts.root.join(&artifact.job).join(&artifact.path).display().to_string(),
        }
    }
}
