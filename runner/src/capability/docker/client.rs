//! The engine's verbs in plain types, and the implementation that speaks to a real engine.

mod auth;
mod body;
mod connection;
mod engine;

pub use auth::Credentials;
pub(crate) use auth::{default_config, find as find_credentials};
pub use connection::Bollard;

use super::EngineError;
use super::reference::Reference;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// Labels of everything a job makes: the run, the job and the attempt.
pub const RUN_LABEL: &str = "dev.runner.run";
/// See [`RUN_LABEL`].
pub const JOB_LABEL: &str = "dev.runner.job";
/// See [`RUN_LABEL`].
pub const ATTEMPT_LABEL: &str = "dev.runner.attempt";
/// Label of built images. Another key: a container that a person starts from an image inherits the image's labels.
pub const IMAGE_LABEL: &str = "dev.runner.image";
/// What the names of containers, networks and volumes begin with. Cleaning up asks for the labels *and* the name, for
/// labels can be inherited from an image.
pub const NAME_PREFIX: &str = "runner-";

/// Receives text as the engine writes it.
pub type Sink<'a> = &'a mut (dyn FnMut(&[u8]) + Send);

/// A tar archive on its way.
pub type Archive = BoxStream<'static, std::io::Result<Bytes>>;

/// What the runner asks of the Docker Engine; close to the Engine API, without its dangerous fields.
///
/// Names and identifiers become part of an URL: implementations refuse what is not one by its letters.
#[async_trait]
pub trait DockerClient: Debug + Send + Sync {
    /// Whether it answers.
    async fn ping(&self) -> Result<(), EngineError>;

    /// What the host's Docker configuration has for this registry, and for no other; or what the program
    /// `docker-credential-HELPER` has, when a helper is named.
    async fn credentials(&self, registry: &str, helper: Option<&str>) -> Result<Option<Credentials>, EngineError>;

    /// An image of the local store, by identifier or full name.
    async fn inspect_image(&self, name: &str) -> Result<ImageFacts, EngineError>;
    /// Pulls one tag or digest.
    async fn pull_image(
        &self,
        reference: &Reference,
        credentials: Option<&Credentials>,
        progress: Sink<'_>,
    ) -> Result<(), EngineError>;
    /// Builds with the engine's own builder; the image's identifier.
    async fn build_image(&self, build: BuildSpec, context: Archive, output: Sink<'_>) -> Result<String, EngineError>;
    /// Gives an image a name.
    async fn tag_image(&self, id: &str, repository: &str, tag: &str) -> Result<(), EngineError>;
    /// Pushes one tag; the manifest's digest as the registry knows it.
    async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        credentials: Option<&Credentials>,
        progress: Sink<'_>,
    ) -> Result<String, EngineError>;

    /// Creates a bridge network; its identifier.
    async fn create_network(&self, name: &str, internal: bool, labels: Labels) -> Result<String, EngineError>;
    /// Joins a container to a network.
    async fn connect(&self, network: &Joined, container: &str) -> Result<(), EngineError>;
    /// Removes a network.
    async fn remove_network(&self, id: &str) -> Result<(), EngineError>;
    /// Networks that carry all of these `key=value` labels.
    async fn networks(&self, labels: &[String]) -> Result<Vec<Found>, EngineError>;

    /// Creates a volume of the `local` driver without options.
    async fn create_volume(&self, name: &str, labels: Labels) -> Result<(), EngineError>;
    /// Removes a volume.
    async fn remove_volume(&self, name: &str) -> Result<(), EngineError>;
    /// Volumes that carry all of these `key=value` labels.
    async fn volumes(&self, labels: &[String]) -> Result<Vec<Found>, EngineError>;

    /// Creates a container; its identifier.
    async fn create_container(&self, container: ContainerSpec) -> Result<String, EngineError>;
    /// Unpacks an archive at a directory of a container.
    async fn upload(&self, id: &str, directory: &str, archive: Archive) -> Result<(), EngineError>;
    /// A file or directory of a container as an archive.
    async fn download(
        &self,
        id: &str,
        path: &str,
    ) -> Result<BoxStream<'static, Result<Bytes, EngineError>>, EngineError>;
    /// What it writes from now on.
    async fn attach(&self, id: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError>;
    /// Starts it.
    async fn start(&self, id: &str) -> Result<(), EngineError>;
    /// Waits until it does not run; the exit code.
    async fn wait(&self, id: &str) -> Result<i64, EngineError>;
    /// How it is now.
    async fn inspect_container(&self, id: &str) -> Result<ContainerFacts, EngineError>;
    /// Prepares a command in it; the command's identifier.
    async fn create_exec(&self, id: &str, command: Vec<String>, env: Vec<String>) -> Result<String, EngineError>;
    /// Runs a prepared command; what it writes.
    async fn start_exec(&self, exec: &str) -> Result<BoxStream<'static, Result<Output, EngineError>>, EngineError>;
    /// The exit code of a command, once it has ended.
    async fn inspect_exec(&self, exec: &str) -> Result<Option<i64>, EngineError>;
    /// Asks it to end, and ends it after this long.
    async fn stop(&self, id: &str, grace: Duration) -> Result<(), EngineError>;
    /// Ends it.
    async fn kill(&self, id: &str) -> Result<(), EngineError>;
    /// Ends and removes it with its anonymous volumes.
    async fn remove_container(&self, id: &str) -> Result<(), EngineError>;
    /// Containers, running or not, that carry all of these `key=value` labels.
    async fn containers(&self, labels: &[String]) -> Result<Vec<Found>, EngineError>;
}

/// Labels, by key.
pub type Labels = BTreeMap<String, String>;

/// An object found by its labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What it is removed by.
    pub id: String,
    /// Its name, without a leading `/`.
    pub name: String,
}

/// What the engine knows of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// `sha256:` and 64 hex digits.
    pub id: String,
    /// `repository@sha256:…`.
    pub repo_digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Its labels.
    pub labels: Labels,
    /// Instructions it would slip into a build on top of it.
    pub on_build: Vec<String>,
}

/// A build. The context and the Dockerfile come as an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// Path of the Dockerfile within the archive.
    pub dockerfile: String,
    /// The one name the image gets: it keeps the layer cache alive.
    pub name: String,
    /// Stage to build; empty for the last one.
    pub target: String,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Whether `RUN` reaches addresses outside.
    pub egress: bool,
    /// Do not use cached layers.
    pub no_cache: bool,
    /// Labels of the image.
    pub labels: Labels,
}

/// A network to join and the names there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The network's identifier.
    pub network: String,
    /// Host names.
    pub aliases: Vec<String>,
}

/// A container to be created: the fields that may differ. Everything else is constant (see `body.rs`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSpec {
    /// Its name.
    pub name: String,
    /// Identifier of the image.
    pub image: String,
    /// Empty keeps the image's.
    pub entrypoint: Vec<String>,
    /// Empty keeps the image's.
    pub command: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Empty keeps the image's.
    pub working_dir: String,
    /// Empty keeps the image's.
    pub user: String,
    /// Empty for the engine's choice.
    pub hostname: String,
    /// Labels, which override the image's.
    pub labels: Labels,
    /// The first network; none means loopback only.
    pub network: Option<Joined>,
    /// Volumes of the job.
    pub volumes: Vec<VolumeMount>,
    /// Empty anonymous volumes at these paths, removed with the container.
    pub scratch: Vec<String>,
    /// Path and size in bytes.
    pub tmpfs: Vec<(String, i64)>,
    /// Replaces the image's.
    pub health: Option<HealthSpec>,
    /// Port in the container and on 127.0.0.1 (0: the engine's choice).
    pub ports: Vec<(u16, u16)>,
    /// Bytes, swap included.
    pub memory: i64,
    /// Billionths of a CPU.
    pub nano_cpus: i64,
    /// Processes.
    pub pids: i64,
    /// Mount the root file system read-only.
    pub read_only_root: bool,
    /// Bytes of `/dev/shm`.
    pub shm_size: i64,
    /// Empty keeps the image's.
    pub stop_signal: String,
}

/// A volume of the job in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeMount {
    /// Its name.
    pub volume: String,
    /// Absolute path in the container.
    pub target: String,
    /// Whether it cannot be written there.
    pub read_only: bool,
}

/// A health check; durations in nanoseconds, 0 for the engine's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", …]`.
    pub test: Vec<String>,
    /// Between two checks.
    pub interval: i64,
    /// Of one check.
    pub timeout: i64,
    /// In which failures do not count.
    pub start_period: i64,
    /// Failures in a row.
    pub retries: i64,
}

/// What a container or a command in it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Whether to its standard error.
    pub stderr: bool,
    /// What.
    pub bytes: Bytes,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Created, running, or exited.
    pub phase: Phase,
    /// Its health.
    pub health: Health,
    /// The last one; means something once it has exited.
    pub exit_code: i64,
    /// Killed for want of memory.
    pub out_of_memory: bool,
    /// What its health checks printed, oldest first.
    pub health_log: Vec<String>,
    /// Container port (TCP) and port on 127.0.0.1.
    pub published: Vec<(u16, u16)>,
}

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not started yet.
    #[default]
    Created,
    /// Started.
    Running,
    /// Ended.
    Exited,
}

/// What the health check says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    #[default]
    None,
    /// Too early to tell.
    Starting,
    /// Well.
    Healthy,
    /// Not well.
    Unhealthy,
}
