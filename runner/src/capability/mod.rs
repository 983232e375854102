//! Capabilities: what a component reaches outside its sandbox, one folder each.
//!
//! A capability's folder holds `mod.rs` (its context, its view for the generated `Host` traits, `add_to_linker`),
//! `host.rs` (the `Host` traits; everything a guest passes is hostile), `client.rs` (the outside, behind plain types)
//! and `error.rs` (the one conversion of the outside's errors). A capability that is not granted is not linked.

pub mod aws;
pub(crate) mod beneath;
pub mod docker;
mod environment;
mod error;
pub mod process;
mod scope;
pub mod step;
mod workspace;

pub use environment::{Changed, SharedEnvironment};
pub use error::Error;
pub use scope::{JobName, JobScope};
pub use workspace::{Workspace, relative_path};
