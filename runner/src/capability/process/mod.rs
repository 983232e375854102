//! Programs on the machine the runner runs on.

mod client;
mod error;
mod host;
mod mark;

use super::{JobScope, SharedEnvironment};
use crate::host::bindings::runner::process::processes;
pub use client::{Ended, Process};
pub use mark::{ATTEMPT_VARIABLE, end_run};
use wasmtime::component::{HasData, Linker, ResourceTable};

/// Which programs a job may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programs {
    /// These, as `grants.process` lists them.
    Listed(Vec<String>),
    /// Any: the step is a `command`, and its command line in the pipeline is the permission.
    CommandLine,
}

/// The processes of one attempt of a job.
#[derive(Debug)]
pub struct ProcessCtx {
    pub(super) scope: JobScope,
    pub(super) programs: Programs,
    /// The whole environment of the job's processes; one may change it for those after it.
    pub(super) env: SharedEnvironment,
    pub(super) running: Vec<client::Group>,
    /// Something was started.
    pub(super) started: bool,
    /// Something goes on where its group cannot be asked for it.
    pub(super) strays: bool,
}

impl ProcessCtx {
    /// The context of one attempt. `env` is everything its processes get, before what a call adds.
    pub fn new(scope: JobScope, programs: Programs, env: SharedEnvironment) -> Self {
        Self { scope, programs, env, running: Vec::new(), started: false, strays: false }
    }

    /// Ends every process group the job left behind. When the job was asked to end, or something still writes to its
    /// log, also what has left its group; looking for that takes too long to be done for every job.
    pub async fn release(&mut self) {
        for group in self.running.drain(..) {
            group.kill();
        }
        if self.started && (self.strays || self.scope.cancelled.is_cancelled()) {
            let name = self.scope.name.clone();
            match tokio::task::spawn_blocking(move || mark::end_attempt(&name)).await {
                Ok(Ok(ended)) => tracing::debug!(ended, "processes outside of their groups"),
                Ok(Err(error)) => self.scope.log.line(&format!("cleaning up after the job failed: {error}")),
                Err(error) => tracing::error!(%error, "processes of the job were not looked for"),
            }
        }
    }
}

/// [`ProcessCtx`] with the guest's handles: what the generated `Host` traits are implemented for.
pub struct ProcessView<'a> {
    /// The job's context.
    pub ctx: &'a mut ProcessCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

struct Processes;

impl HasData for Processes {
    type Data<'a> = ProcessView<'a>;
}

/// Links the process interface.
///
/// # Errors
/// When it was linked before.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> ProcessView<'_>,
) -> wasmtime::Result<()> {
    processes::add_to_linker::<T, Processes>(linker, view)
}
