//! Logs of jobs as readers meet them: files that may still grow, and lines fit for a terminal.

use super::text;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes of a log that are read at once.
const READ: u64 = 1 << 20;

/// Bytes of a line that has no end, after which it is taken for one all the same.
const MAX_LINE: usize = 64 << 10;

/// A log and how much of it has been read.
#[derive(Debug)]
pub(crate) struct JobLogReader {
    path: PathBuf,
    offset: u64,
    /// A line that has not ended.
    rest: Vec<u8>,
}

impl JobLogReader {
    /// Of this file, from its beginning.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, rest: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whole lines that have come, as many as are read in one go.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(&mut self) -> std::io::Result<Vec<u8>> {
        let mut text = std::mem::take(&mut self.rest);
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.offset))?;
            file.take(READ).read_to_end(&mut text)
        });
        match read {
            Ok(count) => self.offset += count as u64,
            // A job that has said nothing has no log.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        }
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let end = if text.len() - end > MAX_LINE { text.len() } else { end };
        self.rest = text.split_off(end);
        Ok(text)
    }

    /// Whether all that is there has been read.
    pub(crate) fn is_read(&self) -> bool {
        std::fs::metadata(&self.path).map_or(true, |metadata| metadata.len() <= self.offset)
    }

    /// The last line, which has no line break; empty when there is none.
    pub(crate) fn take_rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.rest)
    }
}

/// The text of a line: what was overwritten on it by a carriage return, as progress bars do, is gone.
pub(crate) fn text_of(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    line.rsplit('\r').next().unwrap_or_default().to_owned()
}

/// A line of a log as people see it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// The title of a group of lines.
    Title(String),
    /// Any other line.
    Text(String),
}

/// What a terminal shows of a line; nothing for one that only has to do with groups.
pub(crate) fn shown(line: &[u8]) -> Option<Line> {
    let line = text::printable(&text_of(line));
    // Opens the group before it, which is open here anyway.
    if line.trim_end() == "^^^ +++" {
        return None;
    }
    let title = ["--- ", "+++ ", "~~~ "].into_iter().find_map(|mark| line.strip_prefix(mark)).map(text::label);
    Some(title.map_or(Line::Text(line), Line::Title))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_line_is_read_once_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut reader = JobLogReader::new(path.clone());
        assert_eq!(reader.read().unwrap(), b"");
        assert!(reader.is_read());
        let mut file = File::create(&path).unwrap();
        for (written, expected) in [("a\nb", "a\n"), ("c", ""), ("\nd", "bc\n")] {
            file.write_all(written.as_bytes()).unwrap();
            assert!(!reader.is_read());
            assert_eq!(reader.read().unwrap(), expected.as_bytes());
        }
        assert_eq!(reader.take_rest(), b"d");
    }

    #[test]
    fn lines_are_shown_as_a_terminal_would_after_progress_bars() {
        assert_eq!(shown(b"10%\r50%\r100%\r\n"), Some(Line::Text("100%".to_owned())));
        assert_eq!(shown(b"--- :docker: Build\n"), Some(Line::Title("Build".to_owned())));
        assert_eq!(shown(b"^^^ +++\n"), None);
        assert_eq!(shown(b"a\x1b[2Jb\n"), Some(Line::Text("ab".to_owned())));
    }
}
