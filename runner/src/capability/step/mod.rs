//! What every step has or may be given without any service: log, context, meta-data, artifacts, secrets.

mod client;
mod error;
mod host;

pub use client::{ArtifactStore, artifact_path};

use super::{JobScope, SharedEnvironment};
use crate::host::bindings::runner::step;
use crate::plan::grant::Grants;
use crate::secret::{SecretValue, Secrets};
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, ResourceTable};

/// What the step interfaces know of one attempt of a job.
#[derive(Debug)]
pub struct StepCtx {
    pub(super) scope: JobScope,
    pub(super) grants: Arc<Grants>,
    /// Variables the component may see.
    pub(super) env: SharedEnvironment,
    pub(super) artifacts: ArtifactStore,
    pub(super) secrets: Arc<Secrets>,
}

impl StepCtx {
    /// The context of one attempt; `env` holds only what the component may see.
    pub fn new(
        scope: JobScope,
        grants: Arc<Grants>,
        env: SharedEnvironment,
        artifacts: ArtifactStore,
        secrets: Arc<Secrets>,
    ) -> Self {
        Self { scope, grants, env, artifacts, secrets }
    }
}

/// A secret opened by a guest.
#[derive(Debug)]
pub struct Secret {
    name: String,
    value: SecretValue,
}

impl Secret {
    /// The name it was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, for the host's own use.
    pub fn value(&self) -> &SecretValue {
        &self.value
    }
}

/// [`StepCtx`] with the guest's handles: what the generated `Host` traits are implemented for.
pub struct StepView<'a> {
    /// The job's context.
    pub ctx: &'a mut StepCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

struct Step;

impl HasData for Step {
    type Data<'a> = StepView<'a>;
}

/// Links what every component has, and of meta-data, artifacts and secrets what the grants give.
///
/// # Errors
/// When an interface was linked before.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    grants: &Grants,
    view: fn(&mut T) -> StepView<'_>,
) -> wasmtime::Result<()> {
    step::types::add_to_linker::<T, Step>(linker, view)?;
    step::log::add_to_linker::<T, Step>(linker, view)?;
    step::context::add_to_linker::<T, Step>(linker, view)?;
    if grants.meta_data.is_some() {
        step::meta_data::add_to_linker::<T, Step>(linker, view)?;
    }
    if grants.artifacts.is_some() {
        step::artifacts::add_to_linker::<T, Step>(linker, view)?;
    }
    if grants.annotations {
        step::annotations::add_to_linker::<T, Step>(linker, view)?;
    }
    // Other interfaces name the type, so it is linked always; opening one is checked by name.
    step::secrets::add_to_linker::<T, Step>(linker, view)?;
    Ok(())
}
