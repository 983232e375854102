//! One container from its creation to its end.

use crate::line::line;
use crate::{Network, Outputs, Params, Pull};
use runner_sdk::docker::containers::{self, Attachment, Container, ContainerOptions, Mount, MountSource};
use runner_sdk::docker::images::{self, Image};
use runner_sdk::docker::networks::{self, NetworkOptions};
use runner_sdk::docker::volumes;
use runner_sdk::{Context, Error, Failure, context, log, secrets};
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of each `tmpfs`, unless the container has less: what is in it counts as the container's memory.
const TMPFS_BYTES: u64 = 256 << 20;

/// The variable that names the checkout.
const CHECKOUT: &str = "BUILDKITE_BUILD_CHECKOUT_PATH";

/// Runs the command.
///
/// # Errors
/// Its exit status, and everything that keeps it from running.
pub fn run(params: &Params) -> Result<Outputs, Failure> {
    let image = obtain(&params.image, params.pull)?;
    let id = image.inspect().map_err(cannot("inspect the image"))?.id;
    let write_back = params.write_back.unwrap_or_else(is_writable);
    let workspace = (!params.mount.is_empty()).then_some((".", params.mount.as_str(), false));
    let copies = params.copies.iter().map(|copy| (copy.path.as_str(), copy.target.as_str(), copy.read_only));
    let copies: Vec<(&str, &str, bool)> = workspace.into_iter().chain(copies).collect();

    for (path, ..) in copies.iter().filter(|(.., read_only)| write_back && !read_only) {
        let whole = Path::new("/workspace").join(path);
        if !whole.exists() {
            std::fs::create_dir_all(&whole).context(format!("make the directory `{path}`"))?;
        }
    }

    let network = match params.network {
        Network::None => None,
        Network::Egress => {
            let options = NetworkOptions { egress: true, extras: Vec::new() };
            Some(networks::create(&options).map_err(cannot("create a network"))?)
        }
    };
    let volumes = params.volumes.iter().map(|_| volumes::create().map_err(cannot("create a volume")));
    let volumes = volumes.collect::<Result<Vec<_>, Failure>>()?;
    let memory = params.memory_mib.map_or(0, |mib| u64::from(mib) << 20);
    let mut mounts = Vec::new();
    for (path, target, _) in &copies {
        mounts.push(mount(MountSource::WorkspaceCopy((*path).to_owned()), target));
    }
    mounts.extend(params.volumes.iter().zip(&volumes).map(|(path, volume)| mount(MountSource::Volume(volume), path)));
    let tmpfs = if memory == 0 { TMPFS_BYTES } else { memory.min(TMPFS_BYTES) };
    mounts.extend(params.tmpfs.iter().map(|path| mount(MountSource::Tmpfs(tmpfs), path)));

    let (entrypoint, command) =
        line(params.command.as_deref(), &params.args, params.shell.as_deref(), params.entrypoint.as_deref());
    let options = ContainerOptions {
        entrypoint,
        command,
        env: environment(params)?.into_iter().collect(),
        working_directory: if params.workdir.is_empty() { params.mount.clone() } else { params.workdir.clone() },
        user: params.user.clone(),
        hostname: String::new(),
        networks: network.iter().map(|network| Attachment { network, aliases: Vec::new() }).collect(),
        mounts,
        health_check: None,
        ports: Vec::new(),
        memory,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "CPUs are few; the cast saturates"
        )]
        milli_cpus: params.cpus.map_or(0, |cpus| (cpus * 1000.0).round() as u32),
        read_only_root: false,
        shm_size: params.shm_mib.map_or(0, |mib| u64::from(mib) << 20),
        stop_signal: String::new(),
        extras: Vec::new(),
    };
    let container = containers::create(&image, &options).map_err(cannot("create the container"))?;
    drop(options);
    log::group(&format!("Run in {}", params.image));
    container.start("").map_err(cannot("start the container"))?;
    let ended = wait(&container, params);
    let mut changed_files = 0;
    if !context::is_cancelled() && write_back {
        let back = copies.iter().filter(|(.., read_only)| !read_only).map(|(_, target, _)| {
            container.copy_back(target).map_err(cannot(&format!("copy back what changed in `{target}`")))
        });
        match back.sum::<Result<u64, Failure>>() {
            Ok(changed) => changed_files = changed,
            // How the command ended is what counts.
            Err(failure) if ended.is_err() => log::error(&failure.message),
            Err(failure) => return Err(failure),
        }
    }
    ended?;
    Ok(Outputs { image: id, changed_files })
}

fn mount<'a>(source: MountSource<'a>, target: &str) -> Mount<'a> {
    Mount { source, target: target.to_owned(), read_only: false }
}

fn obtain(reference: &str, pull: Pull) -> Result<Image, Failure> {
    if pull != Pull::Always {
        match images::find(reference) {
            Err(Error::NotFound(_)) if pull == Pull::Missing => {}
            found => return found.map_err(cannot(&format!("use the image `{reference}`"))),
        }
    }
    log::group(&format!("Pull {reference}"));
    images::pull(reference).map_err(cannot(&format!("pull the image `{reference}`")))
}

/// The container's variables, by name.
fn environment(params: &Params) -> Result<BTreeMap<String, String>, Failure> {
    let mut env: BTreeMap<String, String> = context::environment().into_iter().collect();
    if env.contains_key(CHECKOUT) && !params.mount.is_empty() {
        env.insert(CHECKOUT.to_owned(), params.mount.clone());
    }
    for name in &params.secrets {
        if env.contains_key(name) {
            continue;
        }
        match secrets::open(name).and_then(|secret| secret.reveal()) {
            Ok(value) => drop(env.insert(name.clone(), value)),
            Err(Error::NotFound(_)) => log::info(&format!("`{name}` is not set, and left out")),
            Err(error) => return Err(cannot(&format!("use the secret `{name}`"))(error)),
        }
    }
    env.extend(params.env.clone());
    Ok(env)
}

fn wait(container: &Container, params: &Params) -> Result<(), Failure> {
    match container.wait() {
        Ok(0) => Ok(()),
        Ok(status) => {
            let state = container.inspect().map_err(cannot("find out how the command ended"))?;
            if state.out_of_memory {
                return Err(Failure::new("the command used more memory than it may, and was ended")
                    .remedy("Give it more with `grants: { docker: { containers: { memory: … } } }`.")
                    .exit_status(status));
            }
            let image = &params.image;
            Err(Failure::new(format!("the command exited with status {status} in `{image}`")).exit_status(status))
        }
        Err(Error::Cancelled) => {
            log::warning("cancelled: asking the command to end");
            container.stop(params.grace_seconds).map_err(cannot("stop the container"))?;
            Err(Failure::new("the command was cancelled").exit_status(143))
        }
        Err(error) => Err(cannot("wait for the command")(error)),
    }
}

/// Whether the workspace may be written: removing what is not there is refused for another reason then.
fn is_writable() -> bool {
    let absent = std::fs::remove_dir("/workspace/.runner-write-probe");
    absent.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// Says what was being done when a host call failed; cancelling is no failure of that.
fn cannot(what: &str) -> impl FnOnce(Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::cannot(what, &error, "the command was cancelled")
}
