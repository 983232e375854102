//! A Compose file that can be run: every value in the form the host wants it.

use super::problem::Mark;

/// A file that was read without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Every service of the file, in its order.
    pub services: Vec<Service>,
    /// The declared networks and `default`.
    pub networks: Vec<Network>,
}

impl Project {
    /// The service of a name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

/// A network services can join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub name: String,
    /// The file wants it without a way out, whatever the step's parameters say.
    pub internal: bool,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: String,
    /// Where its name stands.
    pub at: Mark,
    pub wanted: Wanted,
    /// Replaces the image's; empty keeps it.
    pub entrypoint: Vec<String>,
    /// Replaces the image's; empty keeps it.
    pub command: Vec<String>,
    /// Over what the files in `env_files` say.
    pub env: Vec<(String, String)>,
    pub env_files: Vec<EnvFile>,
    pub depends_on: Vec<Dependency>,
    pub health: Option<HealthCheck>,
    pub networks: Vec<Attachment>,
    /// Further names on every network: its container name and the aliases others link it by.
    pub aliases: Vec<String>,
    pub mounts: Vec<Mount>,
    /// Empty keeps the image's; so do the next three.
    pub working_dir: String,
    pub user: String,
    pub hostname: String,
    pub stop_signal: String,
    /// Seconds between asking it to end and ending it; it is ended at once when the file does not say.
    pub stop_grace: Option<u32>,
    pub read_only: bool,
    /// Bytes; 0 for the host's choice, as in the next two.
    pub shm_size: u64,
    pub memory: u64,
    pub milli_cpus: u32,
}

/// Where a service's image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// A reference with a tag or a digest.
    Image { reference: String, pull: PullPolicy },
    Build {
        build: Build,
        /// Where the context is written.
        at: Mark,
    },
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullPolicy {
    Always,
    Missing,
    Never,
}

/// How an image is built. Two services with the same values share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Directory below the workspace.
    pub context: String,
    /// Relative to the context.
    pub dockerfile: String,
    /// Empty for the last stage.
    pub target: String,
    pub args: Vec<(String, String)>,
    pub no_cache: bool,
    /// The file wants no network, whatever the step's parameters say.
    pub isolated: bool,
}

/// A file of variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvFile {
    /// Below the workspace.
    pub path: String,
    /// Whether it must be there.
    pub required: bool,
    pub at: Mark,
}

/// What must have happened to another service first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    pub service: String,
    pub condition: Condition,
    pub at: Mark,
}

/// The point another service must have reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Started,
    Healthy,
    CompletedSuccessfully,
}

/// The fields of the engine's health check; times in milliseconds, 0 for the engine's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub retries: u32,
}

/// A network a service joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    pub network: String,
    pub aliases: Vec<String>,
}

/// Something mounted into a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub source: Source,
    pub target: String,
    pub read_only: bool,
    pub at: Mark,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A volume the services of the file share.
    Volume(String),
    /// A volume of this service alone.
    Anonymous,
    /// A copy of a file or directory below the workspace.
    Workspace(String),
    /// Memory: at most this many bytes, or the default.
    Memory(Option<u64>),
}
