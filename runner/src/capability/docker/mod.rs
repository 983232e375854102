//! The Docker Engine, as far as `grants.docker` goes.
//!
//! A guest never names an object of the engine: it holds handles of what its job made or was granted, and what it may
//! ask for is constructed from checked fields, never filtered out of a request. Everything made carries the labels of
//! its job and is removed when the job ends.

mod archive;
mod build;
mod changes;
pub mod client;
mod construct;
mod containers;
mod context;
mod copy;
mod dockerfile;
mod error;
mod exec;
mod ignore_file;
mod images;
mod login;
mod networks;
mod output;
mod pipe;
mod reference;
mod release;
#[cfg(test)]
mod tests;
mod volumes;

pub use client::{Bollard, DockerClient};
pub use error::{EngineError, ping};
pub use release::{Swept, sweep};

use super::{Error, JobScope};
use crate::host::bindings::runner::{docker, step};
use crate::plan::grant::DockerGrant;
use crate::secret::Secrets;
use containers::Live;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, ResourceTable};

/// What one attempt of a job may do with the engine, and what it has made there.
#[derive(Debug)]
pub struct DockerCtx {
    scope: JobScope,
    grant: DockerGrant,
    client: Arc<dyn DockerClient>,
    secrets: Arc<Secrets>,
    /// Containers that exist, by identifier.
    containers: HashMap<String, Live>,
    /// Networks that exist, by identifier, and whether they lead outside.
    networks: BTreeMap<String, bool>,
    /// Names of the volumes that exist.
    volumes: BTreeSet<String>,
    /// Names this job gave, in full, and the identifier of the image each was given to.
    tags: BTreeMap<String, String>,
    made: release::Made,
}

impl DockerCtx {
    /// The context of one attempt of a job; without a grant everything is refused.
    pub fn new(
        scope: JobScope,
        grant: Option<DockerGrant>,
        client: Arc<dyn DockerClient>,
        secrets: Arc<Secrets>,
    ) -> Self {
        Self {
            scope,
            grant: grant.unwrap_or_default(),
            client,
            secrets,
            containers: HashMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeSet::new(),
            tags: BTreeMap::new(),
            made: release::Made::default(),
        }
    }

    /// Records that a granted operation is about to be done.
    async fn allow(&self, operation: &str, subject: &str) -> Result<(), Error> {
        self.scope.allow("docker", operation, subject).await
    }

    /// Records a refusal; `grant` is what to add below the step's `grants`.
    async fn deny(&self, operation: &str, subject: &str, what: &str, grant: &str) -> Error {
        let reason = format!("{what} is not granted; add to the step: grants: {{ docker: {{ {grant} }} }}");
        self.scope.deny("docker", operation, subject, reason).await
    }

    /// The error for a guest when the engine did not do what was tried, with every known secret replaced.
    fn failed(&self, tried: &str, error: &EngineError) -> Error {
        error.explain(tried, |text| self.scope.log.redacted(text))
    }
}

/// An image a guest may use, bound to the engine's identifier.
#[derive(Debug)]
pub struct Image {
    /// `sha256:` and 64 hex digits.
    id: String,
    /// How people know it, for messages.
    name: String,
}

/// A network of the job.
#[derive(Debug)]
pub struct Network {
    id: String,
}

/// A volume of the job.
#[derive(Debug)]
pub struct Volume {
    name: String,
}

/// A container of the job.
#[derive(Debug)]
pub struct Container {
    id: String,
}

/// [`DockerCtx`] with the guest's handles: what the generated `Host` traits are implemented for.
#[derive(Debug)]
pub struct DockerView<'a> {
    /// The job's context.
    pub ctx: &'a mut DockerCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

impl step::types::Host for DockerView<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<step::types::Error> {
        error.into_guest()
    }
}

struct Docker;

impl HasData for Docker {
    type Data<'a> = DockerView<'a>;
}

/// Links images, networks, volumes and containers. `runner:step/types` is linked by the step capability.
///
/// # Errors
/// When an interface was linked before.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> DockerView<'_>,
) -> wasmtime::Result<()> {
    docker::images::add_to_linker::<T, Docker>(linker, view)?;
    docker::networks::add_to_linker::<T, Docker>(linker, view)?;
    docker::volumes::add_to_linker::<T, Docker>(linker, view)?;
    docker::containers::add_to_linker::<T, Docker>(linker, view)
}
