//! A job's log: the bytes its step writes, with secrets replaced, in a file beside the run.

use crate::secret::{MIN_VALUE, Redaction, Redactions, Stream, TooLarge};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// The log of one attempt of one job. Cheap to clone; writers may be many, each call is written whole.
#[derive(Debug, Clone)]
pub struct JobLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    redactions: Redactions,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    stream: Stream,
    sink: Sink,
    /// Of which values the log has said that they are too short to be replaced.
    told: BTreeSet<String>,
}

/// Where the bytes go.
#[derive(Debug)]
struct Sink {
    /// `None` for a log that nobody reads.
    path: Option<Arc<Path>>,
    /// Told, best effort, that there is something new; a reader that does not keep up reads the file later.
    appended: Option<mpsc::Sender<Arc<Path>>>,
    /// Opened with the first byte: most steps of a large pipeline say nothing.
    file: Option<File>,
    written: u64,
    full: bool,
    /// Why some of it is missing; empty while nothing is.
    lost: String,
}

/// Bytes of a log after which the rest is dropped, with a notice.
const MAX_LOG: u64 = 256 << 20;

impl JobLog {
    /// A log that will be written to this file, with values of its own to be replaced.
    #[must_use]
    pub fn new(path: PathBuf, appended: Option<mpsc::Sender<Arc<Path>>>) -> Self {
        Self::sharing(path, appended, Redactions::default())
    }

    /// A log that will be written to this file, in which the values that any job of the run has met are replaced.
    #[must_use]
    pub fn sharing(path: PathBuf, appended: Option<mpsc::Sender<Arc<Path>>>, redactions: Redactions) -> Self {
        Self::with(Some(path.into()), appended, redactions)
    }

    /// A log that forgets everything: for a component that is only asked what it is.
    #[must_use]
    pub fn discard() -> Self {
        Self::with(None, None, Redactions::default())
    }

    fn with(path: Option<Arc<Path>>, appended: Option<mpsc::Sender<Arc<Path>>>, redactions: Redactions) -> Self {
        let sink = Sink { path, appended, file: None, written: 0, full: false, lost: String::new() };
        let inner = Inner { stream: Stream::new(redactions.clone()), sink, told: BTreeSet::new() };
        Self(Arc::new(Shared { redactions, inner: Mutex::new(inner) }))
    }

    /// Appends bytes as they are.
    pub fn write(&self, bytes: &[u8]) {
        let Inner { stream, sink, .. } = &mut *self.lock();
        if sink.path.is_some() {
            sink.append(stream.push(bytes));
        }
    }

    /// Appends a line.
    pub fn line(&self, text: &str) {
        self.write(format!("{text}\n").as_bytes());
    }

    /// Replaces every later occurrence of the value by `[REDACTED]`, in all forms in which programs usually write it,
    /// even when it is split across writes; also in the other logs that share its values. `what` is what people call
    /// it: a value that is too short to be replaced is said to be so, once.
    ///
    /// # Errors
    /// When there is too much to look for.
    pub fn redact(&self, what: &str, value: &str) -> Result<(), TooLarge> {
        self.redact_all(what, [value])
    }

    /// As [`Self::redact`], for several values at once, which is faster.
    ///
    /// # Errors
    /// When there is too much to look for. None of them is replaced then.
    pub fn redact_all<'a>(&self, what: &str, values: impl IntoIterator<Item = &'a str>) -> Result<(), TooLarge> {
        if self.redact_quietly(values)? == Redaction::TooShort && self.lock().told.insert(what.to_owned()) {
            self.line(&format!(
                "warning: {what} has fewer than {MIN_VALUE} characters; it is not replaced in logs and events"
            ));
        }
        Ok(())
    }

    /// As [`Self::redact_all`], for what may be no secret at all: what is too short is not mentioned.
    ///
    /// # Errors
    /// When there is too much to look for. None of them is replaced then.
    pub fn redact_quietly<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Result<Redaction, TooLarge> {
        self.0.redactions.add(values)
    }

    /// The text with every known secret replaced.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        self.0.redactions.redacted(text)
    }

    /// Writes what was held back; called when the job has ended.
    pub fn finish(&self) {
        let Inner { stream, sink, .. } = &mut *self.lock();
        sink.append(stream.finish());
    }

    /// Waits until what was written is on the disk; a log that nobody wrote to costs nothing.
    ///
    /// # Errors
    /// Why some of the log is missing.
    pub async fn keep(&self) -> Result<(), String> {
        let (path, file, lost) = {
            let Sink { path, file, lost, .. } = &mut self.lock().sink;
            let Some(path) = path.clone() else { return Ok(()) };
            (path, file.take(), std::mem::take(lost))
        };
        if !lost.is_empty() {
            return Err(lost);
        }
        let Some(file) = file else { return Ok(()) };
        let sync = move || {
            file.sync_data()?;
            // The name of a file is on the disk when its directory is: that of the logs, of the run, of all runs.
            path.ancestors().skip(1).take(3).try_for_each(|directory| File::open(directory)?.sync_all())
        };
        let synced = tokio::task::spawn_blocking(sync).await.map_err(std::io::Error::from).flatten();
        synced.map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    fn append(&mut self, bytes: &[u8]) {
        let Some(path) = &self.path else { return };
        if bytes.is_empty() || self.full {
            return;
        }
        let result = match &mut self.file {
            Some(file) => file.write_all(bytes),
            none => File::options().create(true).append(true).open(path).and_then(|mut file| {
                file.write_all(bytes)?;
                *none = Some(file);
                Ok(())
            }),
        };
        self.written += bytes.len() as u64;
        if let Err(error) = result {
            tracing::error!(path = %path.display(), %error, "cannot write the job's log; the rest of it is lost");
            self.full = true;
            self.lost = error.to_string();
        } else if self.written > MAX_LOG {
            self.full = true;
            if let Some(file) = &mut self.file
                && let Err(error) = file.write_all(b"\n[the log is longer than 256 MiB; the rest is dropped]\n")
            {
                tracing::error!(path = %path.display(), %error, "cannot write the job's log");
            }
        }
        if let Some(appended) = &self.appended {
            // A full channel already carries a wake-up for the reader.
            drop(appended.try_send(path.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_of(secrets: &[&str], writes: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = JobLog::new(path.clone(), None);
        for secret in secrets {
            log.redact("it", secret).unwrap();
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
    fn what_one_job_knows_is_replaced_in_the_logs_of_all() {
        let dir = tempfile::tempdir().unwrap();
        let redactions = Redactions::default();
        let log = |name: &str| JobLog::sharing(dir.path().join(name), None, redactions.clone());
        let (first, second) = (log("first"), log("second"));
        second.write(b"begins with hunt");
        first.redact("it", "hunter22").unwrap();
        second.write(b"er22, goes on\n");
        assert_eq!(std::fs::read_to_string(dir.path().join("second")).unwrap(), "begins with hunter22, goes on\n");
        second.write(b"hunter22 again\n");
        second.finish();
        let text = std::fs::read_to_string(dir.path().join("second")).unwrap();
        assert_eq!(text, "begins with hunter22, goes on\n[REDACTED] again\n");
    }

    #[test]
    fn a_short_secret_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = JobLog::new(dir.path().join("log"), None);
        for _ in 0..3 {
            log.redact("the secret `PIN`", "1234").unwrap();
        }
        let text = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("warning: the secret `PIN` has fewer than 6 characters"), "{text}");
    }

    #[test]
    fn a_log_nobody_writes_to_makes_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let log = JobLog::new(dir.path().join("log"), None);
        log.finish();
        assert!(!dir.path().join("log").exists());
    }
}
