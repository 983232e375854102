//! The part of the Compose format that a test may use, read from text without any I/O.
//!
//! What is not read here is refused with a code, a place and what to write instead; nothing is skipped in silence.

mod build;
mod health;
mod interpolate;
mod keys;
mod model;
mod mount;
mod name;
mod network;
mod order;
mod path;
mod problem;
mod quantity;
mod read;
mod service;
mod value;
mod words;
mod yaml;

pub use interpolate::{Variables, interpolate};
#[cfg(test)]
pub use model::Project;
pub use model::{Build, Condition, Mount, Network, PullPolicy, Service, Source, Wanted};
pub use name::is_variable;
pub use order::start_order;
pub use path::{beneath, directory_of};
pub use problem::{Code, Findings, Mark};
pub use read::read;
pub use yaml::MAX_BYTES;
