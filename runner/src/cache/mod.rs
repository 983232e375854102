//! Results of jobs, kept so that a later job with the same key need not run: on this machine, and in a registry that
//! others share.
//!
//! A job is looked up by all that decides its result (`key.rs`). What is found is checked twice: each content against
//! its digest, and the whole entry against the key it is to answer for.

pub mod entry;
pub mod files;
pub mod key;
mod remote;
mod step_cache;
pub mod store;

pub use entry::{Blob, Entry, Fact, KeptArtifact, MAX_ARTIFACTS, Origin};
pub use key::{Difference, KeySource, differences};
pub use step_cache::{Caching, Found, LookUp, StepCache};
pub use store::{Contents, LocalStore, NewBlob, StoreError, Usage};
