//! The job's log.

use crate::bindings::runner::step::log as host;

/// For people who look for a mistake.
pub fn debug(message: &str) {
    host::write(host::Level::Debug, message);
}

/// What is going on.
pub fn info(message: &str) {
    host::write(host::Level::Info, message);
}

/// What may surprise, without being a failure.
pub fn warning(message: &str) {
    host::write(host::Level::Warning, message);
}

/// What went wrong.
pub fn error(message: &str) {
    host::write(host::Level::Error, message);
}

/// Starts a group of lines under a title.
pub fn group(title: &str) {
    host::group(title);
}

/// Output of a program, as it came.
pub fn output(bytes: &[u8]) {
    host::output(bytes);
}
