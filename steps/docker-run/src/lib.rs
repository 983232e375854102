//! Runs one command in a container of an image, with the workspace as a copy in it.

mod line;
mod session;

use runner_sdk::{Failure, Needs, Step, Unknown};
use std::collections::BTreeMap;

/// What to run, and in what.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The image's reference.
    #[schemars(length(min = 1))]
    image: String,
    /// A script for the shell.
    #[serde(default)]
    command: Option<String>,
    /// A program and its arguments, without a shell. Neither this nor `command`: what the image runs by itself.
    #[serde(default)]
    args: Vec<String>,
    /// What runs the script, through the image's entrypoint. When left out: `bash -e -c`, or `sh -e -c` where there is
    /// no bash, instead of the entrypoint.
    #[serde(default)]
    shell: Option<Vec<String>>,
    /// Takes the place of the image's entrypoint; an empty list is none.
    #[serde(default)]
    entrypoint: Option<Vec<String>>,
    /// Variables of the container, over those granted in `grants.env`, which all reach it.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Secrets that become variables of the same name; one that is not set is left out.
    #[serde(default)]
    secrets: Vec<String>,
    /// Where the workspace is in the container; empty for nowhere.
    #[serde(default = "default_mount")]
    mount: String,
    /// Where the command runs: the mount unless given, else what the image says.
    #[serde(default)]
    workdir: String,
    /// Whether changed files come back: unless given, when `grants.workspace` is to write.
    #[serde(default)]
    write_back: Option<bool>,
    /// Further parts of the workspace in other places; their changes come back likewise, and then directories that are
    /// not there are made.
    #[serde(default)]
    copies: Vec<Place>,
    /// Empty volumes at these paths.
    #[serde(default)]
    volumes: Vec<String>,
    /// Memory as a file system at these paths.
    #[serde(default)]
    tmpfs: Vec<String>,
    /// `user[:group]`; the image's when left out. Files of the workspace belong to root.
    #[serde(default)]
    user: String,
    /// What the container reaches.
    #[serde(default)]
    network: Network,
    /// MiB; `grants.docker.containers.memory` when left out.
    #[serde(default)]
    #[schemars(range(min = 6))]
    memory_mib: Option<u32>,
    /// `grants.docker.containers.cpus` when left out.
    #[serde(default)]
    #[schemars(range(min = 0.01))]
    cpus: Option<f64>,
    /// MiB of `/dev/shm`.
    #[serde(default)]
    #[schemars(range(min = 1))]
    shm_mib: Option<u32>,
    /// When the image is pulled.
    #[serde(default)]
    pull: Pull,
    /// Seconds between asking the command to end and ending it, when the job is cancelled.
    #[serde(default = "default_grace")]
    #[schemars(range(max = 600))]
    grace_seconds: u32,
}

fn default_mount() -> String {
    "/workdir".to_owned()
}

fn default_grace() -> u32 {
    8
}

/// A part of the workspace in the container.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Below the workspace.
    path: String,
    /// Absolute, in the container.
    target: String,
    /// Whether changes stay in the container.
    #[serde(default)]
    read_only: bool,
}

/// What the container reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// Nothing.
    #[default]
    None,
    /// Addresses outside.
    Egress,
}

/// When an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// When the engine does not have it.
    #[default]
    Missing,
    /// Every time.
    Always,
    /// Never.
    Never,
}

/// What later jobs can read.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    /// `sha256:` and 64 hex digits: the image the command ran in.
    image: String,
    /// Files that came back.
    changed_files: u64,
}

struct DockerRun;

impl Step for DockerRun {
    const NAME: &'static str = "docker-run";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs a command in a container.";
    type Params = Params;
    type Outputs = Outputs;

    fn needs(params: &Params, unknown: &Unknown) -> Result<Needs, Failure> {
        let mut containers = serde_json::Map::new();
        if params.network == Network::Egress {
            containers.insert("egress".to_owned(), true.into());
        }
        if let Some(memory) = params.memory_mib {
            containers.insert("memory".to_owned(), format!("{memory}MiB").into());
        }
        if let Some(cpus) = params.cpus {
            containers.insert("cpus".to_owned(), cpus.into());
        }
        let mut needs = Needs::new().docker_containers(containers.into());
        if !unknown.contains("/image") {
            needs = needs.docker_image(&params.image);
        }
        let workspace = Some((".", false)).filter(|_| !params.mount.is_empty());
        for (path, read_only) in workspace.into_iter().chain(params.copies.iter().map(|c| (&*c.path, c.read_only))) {
            needs = needs.read(path);
            if params.write_back == Some(true) && !read_only {
                needs = needs.write(path);
            }
        }
        if params.command.is_some() && !params.args.is_empty() {
            return Err(Failure::new("there are a `command` and `args`")
                .remedy("Write a script in `command`, or a program and its arguments in `args`."));
        }
        Ok(params.secrets.iter().fold(needs, |needs, secret| needs.secret(secret)))
    }

    fn run(params: Params) -> Result<Outputs, Failure> {
        session::run(&params)
    }
}

runner_sdk::export_step!(DockerRun);
