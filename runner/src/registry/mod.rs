//! Artifacts in OCI registries: a manifest under a tag or a digest, and the content it refers to.
//!
//! A registry is another machine, and whoever may write to it is anybody: everything that is pulled is checked against
//! its digest, and nothing is believed because of its tag.

mod client;

pub use client::Registry;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What an artifact is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// What kind of artifact it is: a media type.
    pub artifact_type: String,
    /// The document that describes it.
    pub config: Descriptor,
    /// Its contents.
    pub layers: Vec<Descriptor>,
    /// Notes on it, by name.
    pub annotations: BTreeMap<String, String>,
}

/// Content by its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// `sha256:` and 64 hex digits.
    pub digest: String,
    /// How many bytes.
    pub size: u64,
}

/// Where content that is pushed comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// These bytes.
    Bytes(bytes::Bytes),
    /// A file, which is read while it is sent.
    File(PathBuf),
}

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There are no credentials that can be used.
    #[error("{0}")]
    Credentials(String),
    /// It wants to know who asks, or does not let them.
    #[error("{registry} refuses: {reason}; `docker login {registry}` tells it who you are")]
    Unauthorised {
        /// Its host.
        registry: String,
        /// In its words.
        reason: String,
    },
    /// It cannot be reached, or answers with something else.
    #[error("{registry}: {reason}")]
    Failed {
        /// Its host.
        registry: String,
        /// What happened.
        reason: String,
    },
    /// What was to be sent is not there; the registry is not to blame.
    #[error("cannot read {path}, which was to be put into a registry: {error}")]
    Source {
        /// The file.
        path: PathBuf,
        /// What happened.
        error: std::io::Error,
    },
    /// What it gave is not what was asked for.
    #[error("{registry} gave something else than was asked for: {reason}")]
    Wrong {
        /// Its host.
        registry: String,
        /// What is wrong.
        reason: String,
    },
}
