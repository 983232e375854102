//! Bytes on their way to a log: what is secret is replaced, what may become secret waits.

use super::Redactions;
use super::patterns::Patterns;
use std::ops::Range;
use std::sync::Arc;

/// What stands where a secret stood.
pub(super) const REDACTED: &[u8] = b"[REDACTED]";

/// One stream of bytes. Its result does not depend on how the bytes are cut into writes, and every byte is looked at
/// once. Occurrences that overlap become one `[REDACTED]`.
#[derive(Debug)]
pub struct Stream {
    redactions: Redactions,
    version: u64,
    patterns: Option<Arc<Patterns>>,
    state: super::patterns::State,
    /// The last bytes: what may be the beginning of a secret. Offsets below count from its beginning.
    held: Vec<u8>,
    /// The end of what an already written `[REDACTED]` stands for.
    covered: usize,
    /// Secrets in what is held, in order, none overlapping another.
    found: Vec<Range<usize>>,
    /// What can be written now, when it is not simply what came in.
    clear: Vec<u8>,
}

impl Stream {
    /// A stream without the values that are known, now and later.
    #[must_use]
    pub fn new(redactions: Redactions) -> Self {
        Self {
            redactions,
            version: 0,
            patterns: None,
            state: super::patterns::State::default(),
            held: Vec::new(),
            covered: 0,
            found: Vec::new(),
            clear: Vec::new(),
        }
    }

    /// Takes in bytes; returns those that can be written.
    pub fn push<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.learn();
        let Some(patterns) = self.patterns.clone() else { return bytes };
        let before = self.held.len();
        let (covered, found) = (&mut self.covered, &mut self.found);
        self.state = patterns.walk(self.state, bytes, |end, length| {
            mark(covered, found, before + end - length..before + end);
        });
        let end = before + bytes.len() - patterns.depth(self.state);
        if before == 0 && self.covered == 0 && self.found.is_empty() {
            let (clear, held) = bytes.split_at(end);
            self.held.extend_from_slice(held);
            return clear;
        }
        self.held.extend_from_slice(bytes);
        self.release(end);
        &self.clear
    }

    /// The bytes that were held back: the stream is over, or begins anew.
    pub fn finish(&mut self) -> &[u8] {
        self.release(self.held.len());
        self.covered = 0;
        self.state = self.patterns.as_ref().map(|patterns| patterns.start()).unwrap_or_default();
        &self.clear
    }

    /// Looks again, at what is still held, for values that have become known meanwhile.
    fn learn(&mut self) {
        let version = self.redactions.version();
        if version == self.version {
            return;
        }
        self.version = version;
        self.patterns = self.redactions.patterns();
        let Some(patterns) = &self.patterns else { return };
        // What was known before is still known, so it is found again.
        self.found.clear();
        let (covered, found) = (&mut self.covered, &mut self.found);
        self.state = patterns.walk(patterns.start(), &self.held, |end, length| mark(covered, found, end - length..end));
    }

    /// Moves what is held before `end` to `clear`, without its secrets.
    fn release(&mut self, end: usize) {
        self.clear.clear();
        let mut at = self.covered.min(end);
        let ready = self.found.partition_point(|secret| secret.start < end);
        for secret in self.found.drain(..ready) {
            self.clear.extend_from_slice(&self.held[at..secret.start]);
            self.clear.extend_from_slice(REDACTED);
            self.covered = secret.end;
            at = secret.end.min(end);
        }
        self.clear.extend_from_slice(&self.held[at..end]);
        self.held.drain(..end);
        self.covered = self.covered.saturating_sub(end);
        for secret in &mut self.found {
            *secret = secret.start - end..secret.end - end;
        }
    }
}

/// Notes a secret that ends later than every other, as one with those it overlaps.
fn mark(covered: &mut usize, found: &mut Vec<Range<usize>>, mut secret: Range<usize>) {
    while let Some(last) = found.pop_if(|last| last.end > secret.start) {
        secret.start = secret.start.min(last.start);
    }
    if secret.start < *covered {
        *covered = secret.end;
    } else {
        found.push(secret);
    }
}
