//! A job's log: the bytes its step writes, with secrets replaced, in a file beside the run.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The log of one attempt of one job. Cheap to clone; writers may be many, each call is written whole.
#[derive(Debug, Clone)]
pub struct JobLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// `None` for a log that nobody reads.
    path: Option<PathBuf>,
    /// Told, best effort, that there is something new; a reader that does not keep up reads the file later.
    appended: Option<mpsc::Sender<PathBuf>>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Opened with the first byte: most steps of a large pipeline say nothing.
    file: Option<File>,
    written: u64,
    full: bool,
    /// Why some of it is missing; empty while nothing is.
    lost: String,
    secrets: Vec<Vec<u8>>,
    /// The end of what was written that may be the beginning of a secret.
    held: Vec<u8>,
}

/// Bytes of a log after which the rest is dropped, with a notice.
const MAX_LOG: u64 = 256 << 20;

/// Secrets shorter than this are not looked for: they would redact half the log.
const MIN_SECRET: usize = 6;

const REDACTED: &[u8] = b"[REDACTED]";

impl JobLog {
    /// A log that will be written to this file.
    #[must_use]
    pub fn new(path: PathBuf, appended: Option<mpsc::Sender<PathBuf>>) -> Self {
        Self(Arc::new(Shared { path: Some(path), appended, inner: Mutex::default() }))
    }

    /// A log that forgets everything: for a component that is only asked what it is.
    #[must_use]
    pub fn discard() -> Self {
        Self(Arc::new(Shared { path: None, appended: None, inner: Mutex::default() }))
    }

    /// Appends bytes as they are.
    pub fn write(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        let mut text = std::mem::take(&mut inner.held);
        text.extend_from_slice(bytes);
        let (clear, held) = redact(&text, &inner.secrets);
        inner.held = held;
        self.append(&mut inner, &clear);
    }

    /// Appends a line.
    pub fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Replaces every later occurrence of the value, even when it is split across writes, by `[REDACTED]`.
    pub fn redact(&self, value: &str) {
        if value.len() >= MIN_SECRET {
            let mut inner = self.lock();
            // A key of several lines is often shown line by line.
            let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_SECRET && *line != value);
            for value in std::iter::once(value).chain(lines).map(|value| value.as_bytes().to_vec()) {
                if inner.secrets.contains(&value) {
                    continue;
                }
                inner.secrets.push(value);
                // The longest first, so that a secret that contains another is replaced whole.
                inner.secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
            }
        }
    }

    /// The text with every known secret replaced.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        let inner = self.lock();
        let mut clear = text.to_owned();
        for secret in &inner.secrets {
            if let Ok(secret) = std::str::from_utf8(secret) {
                clear = clear.replace(secret, "[REDACTED]");
            }
        }
        clear
    }

    /// Writes what was held back; called when the job has ended.
    pub fn finish(&self) {
        let mut inner = self.lock();
        let held = std::mem::take(&mut inner.held);
        self.append(&mut inner, &held);
    }

    /// Waits until what was written is on the disk; a log that nobody wrote to costs nothing.
    ///
    /// # Errors
    /// Why some of the log is missing.
    pub async fn keep(&self) -> Result<(), String> {
        let (Some(path), file) = (self.0.path.clone(), self.lock().file.take()) else { return Ok(()) };
        let lost = std::mem::take(&mut self.lock().lost);
        if !lost.is_empty() {
            return Err(lost);
        }
        let Some(file) = file else { return Ok(()) };
        let sync = move || {
            file.sync_data()?;
            // The name of a file is on the disk when its directory is.
            path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
        };
        let synced = tokio::task::spawn_blocking(sync).await.map_err(std::io::Error::from).flatten();
        synced.map_err(|error| error.to_string())
    }

    fn append(&self, inner: &mut Inner, bytes: &[u8]) {
        let Some(path) = &self.0.path else { return };
        if bytes.is_empty() || inner.full {
            return;
        }
        let result = match &mut inner.file {
            Some(file) => file.write_all(bytes),
            none => File::options().create(true).append(true).open(path).and_then(|mut file| {
                file.write_all(bytes)?;
                *none = Some(file);
                Ok(())
            }),
        };
        inner.written += bytes.len() as u64;
        if let Err(error) = result {
            tracing::error!(path = %path.display(), %error, "cannot write the job's log; the rest of it is lost");
            inner.full = true;
            inner.lost = error.to_string();
        } else if inner.written > MAX_LOG {
            inner.full = true;
            if let Some(file) = &mut inner.file
                && let Err(error) = file.write_all(b"\n[the log is longer than 256 MiB; the rest is dropped]\n")
            {
                tracing::error!(path = %path.display(), %error, "cannot write the job's log");
            }
        }
        if let Some(appended) = &self.0.appended {
            // A full channel already carries a wake-up for the reader.
            drop(appended.try_send(path.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What can be written now, and the end that must wait because a secret may begin in it.
fn redact(text: &[u8], secrets: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    if secrets.is_empty() {
        return (text.to_vec(), Vec::new());
    }
    let mut clear = Vec::with_capacity(text.len());
    let mut rest = text;
    'text: while !rest.is_empty() {
        for secret in secrets {
            if rest.starts_with(secret) {
                clear.extend_from_slice(REDACTED);
                rest = &rest[secret.len()..];
                continue 'text;
            }
        }
        if secrets.iter().any(|secret| secret.starts_with(rest)) {
            break;
        }
        clear.push(rest[0]);
        rest = &rest[1..];
    }
    (clear, rest.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(secrets: &[&str], writes: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = JobLog::new(path.clone(), None);
        for secret in secrets {
            log.redact(secret);
        }
        for text in writes {
            log.write(text.as_bytes());
        }
        log.finish();
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[test]
    fn a_secret_is_replaced_even_when_split_across_writes() {
        assert_eq!(log_of(&["hunter22"], &["a hunt", "er", "22 b\n"]), "a [REDACTED] b\n");
        assert_eq!(log_of(&["hunter22"], &["a hunt", "ing b\n"]), "a hunting b\n");
        assert_eq!(log_of(&["hunter22", "hunter22-longer"], &["hunter22-longer!"]), "[REDACTED]!");
        assert_eq!(log_of(&["hunter22"], &["ends with hunt"]), "ends with hunt");
    }

    #[test]
    fn a_log_nobody_writes_to_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let log = JobLog::new(dir.path().join("log"), None);
        log.finish();
        assert!(!dir.path().join("log").exists());
    }
}
