//! From what a guest asks of a container to what the engine is asked: every field checked, the grant's bounds applied.

use super::client::{ContainerSpec, HealthSpec, Joined, VolumeMount};
use super::{DockerCtx, Image};
use crate::capability::Error;
use crate::host::bindings::runner::docker::containers::{ContainerOptions, HealthCheck, MountSource, Port};
use crate::plan::grant::{ByteSize, ContainersGrant};
use std::collections::BTreeSet;
use wasmtime::component::ResourceTable;

/// A container to be created, and what has to be done before it can start.
#[derive(Debug)]
pub(super) struct Constructed {
    /// What is created.
    pub(super) spec: ContainerSpec,
    /// Networks to join besides the first.
    pub(super) further: Vec<Joined>,
    /// Files and directories to copy into it.
    pub(super) copies: Vec<Copy>,
}

/// A copy of a part of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Path below the workspace, as the guest wrote it.
    pub(super) source: String,
    /// Absolute path in the container, in normal form.
    pub(super) target: String,
}

/// Why a container is not created.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The options cannot be used.
    Error(Error),
    /// The grant does not go as far: what was asked, and what to add below `containers`.
    NotGranted(String, String),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Bytes of the command, the environment and the names together; the kernel itself takes no more than 2 MiB.
const MAX_TEXT: usize = 1 << 20;
/// Mounts of one container; what is copied is held open meanwhile.
const MAX_MOUNTS: usize = 64;
/// The engine's own minimum.
const MIN_MEMORY: u64 = 6 << 20;
/// Size of `/dev/shm` unless asked otherwise; the engine's own default.
const SHM_SIZE: u64 = 64 << 20;
/// Health checks further apart than this are a mistake in the unit.
const MAX_HEALTH_MS: u64 = 24 * 60 * 60 * 1000;

impl DockerCtx {
    /// Checks everything that can be checked without the engine.
    pub(super) fn construct(
        &self,
        image: &Image,
        options: ContainerOptions,
        table: &ResourceTable,
        grant: &ContainersGrant,
    ) -> Result<Constructed, Refusal> {
        let aliases = options.networks.iter().flat_map(|attachment| &attachment.aliases);
        let pairs = options.env.iter().flat_map(|(name, value)| [name, value]);
        let words = options.entrypoint.iter().chain(&options.command).chain(pairs).chain(aliases);
        if words.map(|word| word.len() + 1).sum::<usize>() > MAX_TEXT {
            let text = "the container's command, environment and names are more than 1 MiB together";
            return Err(Error::Limit(text.to_owned()).into());
        }
        if options.mounts.len() > MAX_MOUNTS {
            return Err(Error::Limit(format!("a container has at most {MAX_MOUNTS} mounts")).into());
        }
        let mut joined = Vec::new();
        for attachment in &options.networks {
            let network = table.get(&attachment.network).map_err(Error::from)?.id.clone();
            if !self.networks.contains_key(&network) {
                return Err(
                    Error::Invalid("the container is to join a network that has been removed".to_owned()).into()
                );
            }
            if joined.iter().any(|other: &Joined| other.network == network) {
                return Err(Error::Invalid("the container is to join the same network twice".to_owned()).into());
            }
            for alias in &attachment.aliases {
                check_host_name(alias, "network alias")?;
            }
            joined.push(Joined { network, aliases: attachment.aliases.clone() });
        }
        let ports = ports(&options.ports, grant)?;
        let leads_outside = |joined: &Joined| self.networks.get(&joined.network) == Some(&true);
        if !ports.is_empty() && !joined.iter().any(leads_outside) {
            let text = "ports can be published only from a container on a network that was created with `egress`";
            return Err(Error::Invalid(text.to_owned()).into());
        }
        let (memory, shm_size) = memory(&options, grant)?;
        let mut spec = ContainerSpec {
            name: self.new_name(),
            image: image.id.clone(),
            env: environment(options.env)?,
            labels: self.labels(),
            health: options.health_check.map(health).transpose()?,
            ports,
            memory: signed(memory),
            nano_cpus: cpus(options.milli_cpus, grant)?,
            pids: i64::from(grant.pids),
            read_only_root: options.read_only_root,
            shm_size: signed(shm_size),
            ..ContainerSpec::default()
        };
        for (words, what) in [(&options.entrypoint, "entrypoint"), (&options.command, "command")] {
            words.iter().try_for_each(|word| check_text(word, what))?;
        }
        check_absolute(&options.working_directory, "working directory")?;
        check_user(&options.user)?;
        if !options.hostname.is_empty() {
            check_host_name(&options.hostname, "host name")?;
        }
        check_signal(&options.stop_signal)?;
        let mut copies = Vec::new();
        let mut targets = BTreeSet::new();
        for mount in options.mounts {
            let target = mount_target(&mount.target)?;
            if !targets.insert(target.clone()) {
                return Err(Error::Invalid(format!("two mounts have the target `{target}`")).into());
            }
            match mount.source {
                MountSource::Volume(volume) => {
                    let volume = table.get(&volume).map_err(Error::from)?.name.clone();
                    if !self.volumes.contains(&volume) {
                        return Err(Error::Invalid(format!("the volume for `{target}` has been removed")).into());
                    }
                    spec.volumes.push(VolumeMount { volume, target, read_only: mount.read_only });
                }
                MountSource::WorkspaceCopy(source) => copies.push(Copy { source, target }),
                MountSource::Tmpfs(size) if size == 0 || size > memory => {
                    return Err(Error::Invalid(format!(
                        "a tmpfs of {} cannot be used; expected more than 0 and at most the container's memory ({})",
                        ByteSize(size),
                        ByteSize(memory)
                    ))
                    .into());
                }
                MountSource::Tmpfs(size) => spec.tmpfs.push((target, signed(size))),
            }
        }
        let mut joined = joined.into_iter();
        spec.network = joined.next();
        spec.entrypoint = options.entrypoint;
        spec.command = options.command;
        spec.working_dir = options.working_directory;
        spec.user = options.user;
        spec.hostname = options.hostname;
        spec.stop_signal = options.stop_signal;
        Ok(Constructed { spec, further: joined.collect(), copies })
    }
}

/// Memory and the part of it that `/dev/shm` may take, in bytes.
fn memory(options: &ContainerOptions, grant: &ContainersGrant) -> Result<(u64, u64), Refusal> {
    let memory = if options.memory == 0 { grant.memory.0 } else { options.memory };
    let shown = ByteSize(memory);
    if memory > grant.memory.0 {
        return Err(Refusal::NotGranted(format!("a container with {shown} of memory"), format!("memory: {shown}")));
    }
    if memory < MIN_MEMORY {
        let text = format!("a container with {shown} of memory cannot run; expected at least {}", ByteSize(MIN_MEMORY));
        return Err(Error::Invalid(text).into());
    }
    let shm_size = if options.shm_size == 0 { SHM_SIZE.min(memory) } else { options.shm_size };
    if shm_size > memory {
        let shm_size = ByteSize(shm_size);
        let text = format!("/dev/shm of {shm_size} does not fit into the container's memory of {shown}");
        return Err(Error::Invalid(text).into());
    }
    Ok((memory, shm_size))
}

/// Billionths of a CPU.
fn cpus(milli: u32, grant: &ContainersGrant) -> Result<i64, Refusal> {
    #[expect(clippy::cast_possible_truncation, reason = "a grant's CPUs are finite and few; the cast saturates")]
    let granted = (grant.cpus * 1e9).round() as i64;
    let wanted = if milli == 0 { granted } else { i64::from(milli) * 1_000_000 };
    if wanted > granted {
        let cpus = f64::from(milli) / 1000.0;
        return Err(Refusal::NotGranted(format!("a container with {cpus} CPUs"), format!("cpus: {cpus}")));
    }
    if wanted < 10_000_000 {
        return Err(Error::Invalid("a container needs at least 10 thousandths of a CPU".to_owned()).into());
    }
    Ok(wanted)
}

fn ports(ports: &[Port], grant: &ContainersGrant) -> Result<Vec<(u16, u16)>, Refusal> {
    let mut published: Vec<(u16, u16)> = Vec::new();
    for Port { container_port: port, host_port } in ports {
        if *port == 0 {
            return Err(Error::Invalid("port 0 cannot be published; expected 1 to 65535".to_owned()).into());
        }
        if published.iter().any(|(other, _)| other == port) {
            return Err(Error::Invalid(format!("port {port} is to be published twice")).into());
        }
        if !grant.publish.contains(port) {
            return Err(Refusal::NotGranted(format!("publishing port {port}"), format!("publish: [{port}]")));
        }
        published.push((*port, *host_port));
    }
    Ok(published)
}

/// `NAME=value` of each pair.
pub(super) fn environment(env: Vec<(String, String)>) -> Result<Vec<String>, Error> {
    let pair = |(name, value): (String, String)| {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let name = name.escape_debug();
            return Err(Error::Invalid(format!(
                "the variable `{name}` cannot be set; expected a name without `=`, and no NUL character"
            )));
        }
        Ok(format!("{name}={value}"))
    };
    env.into_iter().map(pair).collect()
}

fn health(check: HealthCheck) -> Result<HealthSpec, Error> {
    let fits = match check.test.first().map(String::as_str) {
        Some("NONE") => check.test.len() == 1,
        Some("CMD") => check.test.len() >= 2,
        Some("CMD-SHELL") => check.test.len() == 2,
        _ => false,
    };
    if !fits {
        return Err(Error::Invalid(
            "the health check's test cannot be used; expected [\"NONE\"], [\"CMD\", program, argument…] or [\"CMD-SHELL\", command]"
                .to_owned(),
        ));
    }
    check.test.iter().try_for_each(|word| check_text(word, "health check"))?;
    let nanoseconds = |name: &str, milliseconds: u64| {
        if milliseconds > MAX_HEALTH_MS {
            return Err(Error::Invalid(format!(
                "the health check's {name} of {milliseconds} ms is too long; expected at most a day"
            )));
        }
        Ok(signed(milliseconds * 1_000_000))
    };
    Ok(HealthSpec {
        interval: nanoseconds("interval", check.interval_ms)?,
        timeout: nanoseconds("timeout", check.timeout_ms)?,
        start_period: nanoseconds("start period", check.start_period_ms)?,
        retries: i64::from(check.retries),
        test: check.test,
    })
}

/// The normal form of an absolute path in a container that may be mounted over.
pub(super) fn mount_target(path: &str) -> Result<String, Error> {
    let wrong = |why: &str| {
        Err(Error::Invalid(format!(
            "`{}` cannot be mounted: {why}; expected an absolute path below `/`, without `..`",
            path.escape_debug()
        )))
    };
    if !path.starts_with('/') {
        return wrong("it is not absolute");
    }
    if path.chars().any(char::is_control) {
        return wrong("it holds a control character");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return wrong("it leads upwards");
    }
    match parts.first() {
        None => wrong("it is the root"),
        Some(&"proc" | &"sys" | &"dev") => wrong("it belongs to the kernel"),
        Some(_) => Ok(format!("/{}", parts.join("/"))),
    }
}

/// An absolute path, or nothing.
pub(super) fn check_absolute(path: &str, what: &str) -> Result<(), Error> {
    if path.is_empty() || (path.starts_with('/') && !path.contains('\0')) {
        return Ok(());
    }
    Err(Error::Invalid(format!("the {what} `{}` cannot be used; expected an absolute path", path.escape_debug())))
}

pub(super) fn check_text(word: &str, what: &str) -> Result<(), Error> {
    if word.contains('\0') {
        return Err(Error::Invalid(format!("the {what} `{}` holds a NUL character", word.escape_debug())));
    }
    Ok(())
}

fn check_user(user: &str) -> Result<(), Error> {
    let name = |name: &str| {
        !name.is_empty()
            && name.len() <= 64
            && !name.starts_with('-')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    let (account, group) = user.split_once(':').unwrap_or((user, "0"));
    if user.is_empty() || (name(account) && name(group)) {
        return Ok(());
    }
    Err(Error::Invalid(format!("the user `{}` cannot be used; expected `user` or `user:group`", user.escape_debug())))
}

fn check_host_name(name: &str, what: &str) -> Result<(), Error> {
    let fits = (1..=63).contains(&name.len())
        && name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the {what} `{}` cannot be used; expected 1 to 63 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        name.escape_debug()
    )))
}

fn check_signal(signal: &str) -> Result<(), Error> {
    let name = |name: &str| {
        (1..=10).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"+-".contains(&byte))
    };
    if signal.is_empty() || signal.strip_prefix("SIG").is_some_and(name) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the stop signal `{}` is not known; expected a name like `SIGTERM`",
        signal.escape_debug()
    )))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
