//! Values that are replaced wherever the runner writes: in every job's log, in events, in its own messages.

mod forms;
mod patterns;
mod stream;

pub use stream::Stream;

use patterns::Patterns;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Bytes of the shortest value that is looked for: shorter ones would redact half the log.
pub const MIN_VALUE: usize = 6;

/// Bytes of all forms of all values, beginnings that forms share counted once: what finds them takes up to 60 times as
/// many. A value has some 25 times its own size.
const MAX_FORMS: usize = 4 << 20;

/// The values that a run, and every run it triggers, keeps out of what it writes. Cheap to clone: clones know the same
/// values.
#[derive(Clone, Default)]
pub struct Redactions(Arc<Known>);

#[derive(Default)]
struct Known {
    values: Mutex<Values>,
    patterns: RwLock<Option<Arc<Patterns>>>,
    /// Counts the patterns, so that a stream sees cheaply that there are new ones.
    version: AtomicU64,
}

#[derive(Default)]
struct Values {
    values: BTreeSet<String>,
    forms: BTreeSet<Vec<u8>>,
}

/// What became of a value that is to be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redaction {
    /// It is replaced from now on.
    Replaced,
    /// It has fewer than [`MIN_VALUE`] bytes and is not looked for.
    TooShort,
}

/// Values that cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the values to be replaced in the logs are too large together: {0}; keep what is secret in them in smaller values"
)]
pub struct TooLarge(String);

impl Redactions {
    /// Replaces values from now on, in every form in which programs usually write them. White space around a value
    /// does not count.
    ///
    /// # Errors
    /// When all forms together are larger than 4 MiB; some 100 KiB of values are not. None of these values is then
    /// looked for.
    pub fn add<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Result<Redaction, TooLarge> {
        let mut known = self.0.values.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = Redaction::Replaced;
        let (mut new, mut forms) = (Vec::new(), BTreeSet::new());
        for value in values.into_iter().map(str::trim) {
            if value.len() < MIN_VALUE {
                outcome = Redaction::TooShort;
            } else if !known.values.contains(value) {
                new.push(value.to_owned());
                forms.extend(forms::forms(value));
            }
        }
        if !new.is_empty() {
            let all: BTreeSet<&[u8]> = known.forms.iter().chain(&forms).map(Vec::as_slice).collect();
            let size = size(&all);
            if size > MAX_FORMS {
                let (size, most) = (size >> 10, MAX_FORMS >> 10);
                return Err(TooLarge(format!("all their forms have {size} KiB, expected at most {most} KiB")));
            }
            let patterns = Patterns::new(&all, size).map_err(TooLarge)?;
            known.forms.append(&mut forms);
            known.values.extend(new);
            *self.0.patterns.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(patterns));
            self.0.version.fetch_add(1, Ordering::Release);
        }
        Ok(outcome)
    }

    /// The text with every known value replaced.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        let mut stream = Stream::new(self.clone());
        let mut clear = stream.push(text.as_bytes()).to_vec();
        clear.extend_from_slice(stream.finish());
        // Forms are whole characters, so nothing is lost.
        String::from_utf8_lossy(&clear).into_owned()
    }

    fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    fn patterns(&self) -> Option<Arc<Patterns>> {
        self.0.patterns.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Bytes of the forms, without the beginning that one shares with the one before it.
fn size(sorted: &BTreeSet<&[u8]>) -> usize {
    let mut before: &[u8] = &[];
    let mut size = 0;
    for form in sorted {
        let shared = form.iter().zip(before).take_while(|(one, other)| one == other).count();
        size += form.len() - shared;
        before = form;
    }
    size
}

impl std::fmt::Debug for Redactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactions").field("version", &self.version()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
