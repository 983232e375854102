//! Programs.
/// A process.
#[derive(Debug)]
pub struct Process;
