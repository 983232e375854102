//! What this process must not write: the values of secrets that jobs of its runs have met.

use crate::secret::Redactions;
use std::io::{self, Write};
use std::sync::LazyLock;

/// Shared by all runs of this process: a run that is triggered may be handed what its parent knows.
pub(super) fn known() -> &'static Redactions {
    static KNOWN: LazyLock<Redactions> = LazyLock::new(Redactions::default);
    &KNOWN
}

/// Standard error, without what is known to be secret. Each write is looked at for itself.
#[derive(Debug, Default)]
pub(super) struct Stderr(());

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(known().redacted(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
