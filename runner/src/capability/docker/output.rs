//! A container's output on its way into the job's log, whole lines at a time.

use super::EngineError;
use super::client::Output;
use crate::agent::JobLog;
use crate::capability::Error;
use futures_util::stream::{BoxStream, StreamExt};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Longer lines are broken: a program that never ends its line must not fill the memory.
const MAX_LINE: usize = 64 << 10;

/// How long after a container's end its last output may take to arrive.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Characters of a prefix.
const MAX_PREFIX: usize = 64;

/// The task that copies; nothing before a start.
#[derive(Debug, Default)]
pub(super) struct Copying(Option<JoinHandle<()>>);

impl Copying {
    /// Begins to copy every line after `prefix | `, or as it is when the prefix is empty.
    pub(super) fn begin(stream: BoxStream<'static, Result<Output, EngineError>>, log: JobLog, prefix: &str) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix} | ") };
        Self(Some(tokio::spawn(copy(stream, log, prefix))))
    }

    /// Stops copying: the container was not started after all.
    pub(super) fn abandon(self) {
        if let Some(task) = self.0 {
            task.abort();
        }
    }

    /// Waits for the last of the output of a container that has ended.
    pub(super) async fn finish(&mut self) {
        if let Some(task) = &mut self.0 {
            match tokio::time::timeout(MAX_WAIT, task).await {
                Ok(Err(error)) => tracing::error!(%error, "copying a container's output ended unexpectedly"),
                Ok(Ok(())) => {}
                Err(_) => tracing::warn!("a container's output did not end with it; what comes later is copied still"),
            }
            self.0 = None;
        }
    }
}

/// Checks a guest's prefix.
pub(super) fn check_prefix(prefix: &str) -> Result<(), Error> {
    if prefix.chars().count() > MAX_PREFIX || prefix.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "the log prefix `{}` cannot be used; expected at most {MAX_PREFIX} characters, none of them a control character",
            prefix.chars().take(MAX_PREFIX).collect::<String>().escape_debug()
        )));
    }
    Ok(())
}

async fn copy(mut stream: BoxStream<'static, Result<Output, EngineError>>, log: JobLog, prefix: String) {
    let mut lines = [Lines::new(&log, &prefix), Lines::new(&log, &prefix)];
    while let Some(item) = stream.next().await {
        match item {
            Ok(output) => lines[usize::from(output.stderr)].push(&output.bytes),
            Err(error) => {
                log.line(&format!("{prefix}[the rest of the output is lost: {error}]"));
                break;
            }
        }
    }
    for lines in &mut lines {
        lines.end();
    }
}

/// One stream, cut into lines.
struct Lines<'a> {
    log: &'a JobLog,
    prefix: &'a str,
    /// The prefix and the line so far.
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    fn new(log: &'a JobLog, prefix: &'a str) -> Self {
        Self { log, prefix, line: prefix.as_bytes().to_vec() }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut piece = piece;
            while self.line.len() + piece.len() > self.prefix.len() + MAX_LINE {
                let (fits, rest) = piece.split_at(self.prefix.len() + MAX_LINE - self.line.len());
                self.line.extend_from_slice(fits);
                piece = rest;
                self.end();
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                self.write();
            }
        }
    }

    /// Ends a line that has no end of its own.
    fn end(&mut self) {
        if self.line.len() > self.prefix.len() {
            self.line.push(b'\n');
            self.write();
        }
    }

    fn write(&mut self) {
        self.log.write(&self.line);
        self.line.truncate(self.prefix.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    async fn copied(prefix: &str, pieces: &[(bool, &[u8])]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = JobLog::new(path.clone(), None);
        let pieces: Vec<_> = pieces
            .iter()
            .map(|(stderr, bytes)| Ok(Output { stderr: *stderr, bytes: Bytes::copy_from_slice(bytes) }))
            .collect();
        let mut copying = Copying::begin(futures_util::stream::iter(pieces).boxed(), log.clone(), prefix);
        copying.finish().await;
        log.finish();
        std::fs::read_to_string(path).unwrap_or_default()
    }

    #[tokio::test]
    async fn lines_are_written_whole_whatever_the_pieces() {
        let pieces: [(bool, &[u8]); 4] = [(false, b"on"), (true, b"err\n"), (false, b"e\ntwo\nthr"), (false, b"ee")];
        assert_eq!(copied("db", &pieces).await, "db | err\ndb | one\ndb | two\ndb | three\n");
        assert_eq!(copied("", &pieces).await, "err\none\ntwo\nthree\n");
        assert_eq!(copied("db", &[(false, b"\n\n")]).await, "db | \ndb | \n");
    }

    #[tokio::test]
    async fn a_line_without_end_is_broken() {
        let text =
            copied("", &[(false, "x".repeat(MAX_LINE).as_bytes()), (false, b"yyyyyyyyyy"), (false, b"\n")]).await;
        let lines: Vec<_> = text.lines().map(str::len).collect();
        assert_eq!(lines, [MAX_LINE, 10]);
    }

    #[test]
    fn a_prefix_cannot_forge_lines() {
        assert!(check_prefix("db-1").is_ok());
        assert!(check_prefix("db\n--- fake").is_err());
        assert!(check_prefix("\u{1b}[2J").is_err());
        assert!(check_prefix(&"x".repeat(65)).is_err());
    }
}
