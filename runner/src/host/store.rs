//! The data of one job's store: every capability of the runner, in one list.

use super::stdio::LogStream;
use crate::capability::aws::{self, AwsClients, AwsCtx, AwsView};
use crate::capability::docker::{self, DockerClient, DockerCtx, DockerView};
use crate::capability::process::{self, ProcessCtx, ProcessView, Programs};
use crate::capability::step::{self, ArtifactStore, StepCtx, StepView};
use crate::capability::{JobScope, SharedEnvironment, Workspace};
use crate::plan::grant::Grants;
use crate::secret::Secrets;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

/// What one running component can reach.
pub(super) struct JobStore {
    wasi: WasiCtx,
    table: ResourceTable,
    pub(super) limits: StoreLimits,
    step: StepCtx,
    process: ProcessCtx,
    docker: DockerCtx,
    aws: AwsCtx,
    /// Copies of single files that were granted; removed with the store.
    _files: Option<tempfile::TempDir>,
}

/// The outside, as every job of a run shares it.
#[derive(Clone)]
pub struct Services {
    /// The Docker Engine.
    pub docker: Arc<dyn DockerClient>,
    /// AWS.
    pub aws: Arc<dyn AwsClients>,
    /// Secrets by name.
    pub secrets: Arc<Secrets>,
    /// Files kept with the run.
    pub artifacts: ArtifactStore,
    /// Directory for files that a job needs while it runs; made with the first of them.
    pub temporary: PathBuf,
}

/// Why a job's store cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot open `{path}` of the workspace, which grants.workspace lists: {reason}")]
pub struct StoreError {
    path: String,
    reason: String,
}

/// Handles a guest may hold at once.
const MAX_HANDLES: usize = 4096;

/// Where the workspace stands for a guest.
const GUEST_ROOT: &str = "/workspace";

impl JobStore {
    pub(super) fn new(
        scope: &JobScope,
        grants: &Arc<Grants>,
        programs: Programs,
        env: &SharedEnvironment,
        services: &Services,
        memory: usize,
    ) -> Result<Self, StoreError> {
        let output = LogStream(scope.log.clone());
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(output.clone()).stderr(output);
        let files = mount(&mut wasi, &scope.workspace, &services.temporary)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        let limits = StoreLimitsBuilder::new()
            .memory_size(memory)
            .table_elements(1 << 20)
            .instances(64)
            .tables(64)
            .memories(16)
            .trap_on_grow_failure(false)
            .build();
        Ok(Self {
            wasi: wasi.build(),
            table,
            limits,
            step: StepCtx::new(
                scope.clone(),
                grants.clone(),
                env.clone(),
                services.artifacts.clone(),
                services.secrets.clone(),
            ),
            process: ProcessCtx::new(scope.clone(), programs, env.clone()),
            docker: DockerCtx::new(
                scope.clone(),
                grants.docker.clone(),
                services.docker.clone(),
                services.secrets.clone(),
            ),
            aws: AwsCtx::new(scope.clone(), grants.aws.clone(), services.aws.clone()),
            _files: files,
        })
    }

    /// Ends and removes what the job left behind. What cannot be removed is in the job's log.
    pub(super) async fn release(&mut self) {
        self.process.release().await;
        if let Err(error) = self.docker.release().await {
            tracing::error!(%error, "something the job made could not be removed");
        }
    }
}

/// Gives the guest the granted parts of the workspace: directories as they are, single files as copies to read.
fn mount(
    wasi: &mut WasiCtxBuilder,
    workspace: &Workspace,
    temporary: &Path,
) -> Result<Option<tempfile::TempDir>, StoreError> {
    let grant = workspace.grant();
    let mut files = None;
    let granted = grant.read.iter().map(|path| (path, FsPerms::ReadOnly));
    for (path, permissions) in granted.chain(grant.write.iter().map(|path| (path, FsPerms::ReadWrite))) {
        let fault = |reason: String| StoreError { path: path.clone(), reason };
        let relative = crate::capability::relative_path(path).map_err(|error| fault(error.to_string()))?;
        let metadata = workspace.dir().metadata(&relative).map_err(|error| fault(error.to_string()))?;
        if metadata.is_dir() {
            let guest = match relative.as_str() {
                "." => GUEST_ROOT.to_owned(),
                inner => format!("{GUEST_ROOT}/{inner}"),
            };
            wasi.preopened_dir(workspace.root().join(&relative), guest, permissions)
                .map_err(|error| fault(format!("{error:#}")))?;
        } else if permissions == FsPerms::ReadOnly {
            let directory = match &files {
                Some(directory) => directory,
                None => files.insert(directory_in(temporary).map_err(|error| fault(error.to_string()))?),
            };
            copy(workspace, &relative, directory.path()).map_err(|error| fault(error.to_string()))?;
        } else {
            return Err(fault("a single file cannot be granted for writing; grant the directory it is in".to_owned()));
        }
    }
    if let Some(directory) = &files {
        wasi.preopened_dir(directory.path(), GUEST_ROOT, FsPerms::ReadOnly)
            .map_err(|error| StoreError { path: ".".to_owned(), reason: format!("{error:#}") })?;
    }
    Ok(files)
}

fn directory_in(place: &Path) -> std::io::Result<tempfile::TempDir> {
    std::fs::create_dir_all(place)?;
    tempfile::tempdir_in(place)
}

fn copy(workspace: &Workspace, relative: &str, to: &Path) -> std::io::Result<()> {
    let target = to.join(relative);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut from = workspace.dir().open(relative)?;
    std::io::copy(&mut from, &mut std::fs::File::create(target)?)?;
    Ok(())
}

/// Links WASI, which denies everything but the granted files, and each capability the grants give.
pub(super) fn link(linker: &mut Linker<JobStore>, grants: &Grants, process: bool) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    step::add_to_linker(linker, grants, |store| StepView { ctx: &mut store.step, table: &mut store.table })?;
    if process {
        process::add_to_linker(linker, |store| ProcessView { ctx: &mut store.process, table: &mut store.table })?;
    }
    if grants.docker.is_some() {
        docker::add_to_linker(linker, |store| DockerView { ctx: &mut store.docker, table: &mut store.table })?;
    }
    if grants.aws.is_some() {
        aws::add_to_linker(linker, |store| AwsView { ctx: &mut store.aws, table: &mut store.table })?;
    }
    Ok(())
}

impl WasiView for JobStore {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
