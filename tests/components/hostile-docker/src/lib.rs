//! Abuses the Docker capability, each verb with what it is given.

use runner_sdk::docker::containers::{self, ContainerOptions, Mount, MountSource};
use runner_sdk::docker::images::{self, BuildNetwork, BuildOptions};
use runner_sdk::docker::{networks, volumes};
use runner_sdk::{Failure, Step};

/// What to try.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// Name of the verb.
    attack: String,
    /// Reference, context or path.
    #[serde(default)]
    target: String,
    /// A second one.
    #[serde(default)]
    other: String,
    /// How many times.
    #[serde(default)]
    times: u32,
}

/// What it got.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    got: String,
}

struct Hostile;

impl Step for Hostile {
    const NAME: &'static str = "hostile-docker";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Abuses the Docker capability.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(Params { attack, target, other, times }: Params) -> Result<Outputs, Failure> {
        let got = match attack.as_str() {
            "find" => images::find(&target)?.inspect()?.id,
            "pull" => images::pull(&target)?.inspect()?.id,
            "build" => build(&target, &other, BuildNetwork::None)?,
            "build-egress" => build(&target, &other, BuildNetwork::Egress)?,
            "tag" => {
                images::find(&target)?.tag(&other)?;
                "tagged".to_owned()
            }
            "push" => images::find(&target)?.push(&other)?,
            "egress" => networks::create(&networks::NetworkOptions { egress: true, extras: Vec::new() })?.id(),
            "networks" => {
                let options = networks::NetworkOptions { egress: false, extras: Vec::new() };
                let mut hoard = Vec::new();
                for _ in 0..times {
                    hoard.push(networks::create(&options)?);
                }
                std::mem::forget(hoard);
                "left".to_owned()
            }
            "volumes" => {
                let mut hoard = Vec::new();
                for _ in 0..times {
                    hoard.push(volumes::create()?);
                }
                std::mem::forget(hoard);
                "left".to_owned()
            }
            "run" => {
                let options = ContainerOptions { command: shell(&other), ..plain() };
                let container = containers::create(&images::find(&target)?, &options)?;
                container.start("")?;
                container.wait()?.to_string()
            }
            "mount" => {
                let source = MountSource::WorkspaceCopy(other);
                let mounts = vec![Mount { source, target: "/data".to_owned(), read_only: false }];
                let options = ContainerOptions { mounts, ..plain() };
                containers::create(&images::find(&target)?, &options)?.id()
            }
            "copy-back" => {
                let source = MountSource::WorkspaceCopy("steps".to_owned());
                let mounts = vec![Mount { source, target: "/data".to_owned(), read_only: false }];
                let options = ContainerOptions { mounts, ..plain() };
                containers::create(&images::find(&target)?, &options)?.copy_back(&other)?.to_string()
            }
            "mount-target" => {
                let source = MountSource::Tmpfs(1 << 20);
                let mounts = vec![Mount { source, target: other, read_only: false }];
                let options = ContainerOptions { mounts, ..plain() };
                containers::create(&images::find(&target)?, &options)?.id()
            }
            "memory" => {
                let options = ContainerOptions { memory: u64::MAX, ..plain() };
                containers::create(&images::find(&target)?, &options)?.id()
            }
            "containers" => {
                let image = images::find(&target)?;
                let mut hoard = Vec::new();
                for _ in 0..times {
                    let options = ContainerOptions { command: shell("sleep 600"), ..plain() };
                    let container = containers::create(&image, &options)?;
                    container.start("")?;
                    hoard.push(container);
                }
                std::mem::forget(hoard);
                "left".to_owned()
            }
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

fn build(context: &str, dockerfile: &str, network: BuildNetwork) -> Result<String, Failure> {
    let image = images::build(&BuildOptions {
        context: context.to_owned(),
        dockerfile: dockerfile.to_owned(),
        target: String::new(),
        args: Vec::new(),
        network,
        no_cache: false,
        extras: Vec::new(),
    })?;
    Ok(image.inspect()?.id)
}

fn shell(script: &str) -> Vec<String> {
    vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()]
}

fn plain() -> ContainerOptions<'static> {
    ContainerOptions {
        entrypoint: Vec::new(),
        command: Vec::new(),
        env: Vec::new(),
        working_directory: String::new(),
        user: String::new(),
        hostname: String::new(),
        networks: Vec::new(),
        mounts: Vec::new(),
        health_check: None,
        ports: Vec::new(),
        memory: 0,
        milli_cpus: 0,
        read_only_root: false,
        shm_size: 0,
        stop_signal: String::new(),
        extras: Vec::new(),
    }
}

runner_sdk::export_step!(Hostile);
