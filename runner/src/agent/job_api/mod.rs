//! What the processes of a job may ask of the runner, through the `buildkite-agent` command.
//!
//! ```text
//! process ── buildkite-agent ──(socket, token)──> server ──> caller ──> recorder, artifacts, secrets, locks
//! ```
//!
//! One socket per process that drives a run, in a directory that only its user can enter. Each attempt of a job has a
//! token of its own, which is worth nothing before it begins and after it ends. What a process sends is hostile: it
//! is bounded before it is read, and can do nothing but what its own job may.

mod annotation;
mod artifact;
mod caller;
mod environment;
mod job;
mod lock;
mod meta_data;
pub mod protocol;
mod secret;
mod server;
mod step;
mod upload;

pub use caller::Caller;
pub use server::{Admission, Entrance, JobApi, JobApiError, is_left, remove_left};

#[cfg(test)]
mod tests;
