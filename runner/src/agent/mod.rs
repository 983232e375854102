//! Runs one job on the step host and reports how it ended.

mod log;

pub use log::JobLog;
