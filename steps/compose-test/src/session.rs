//! One run of the services on the engine.

use crate::ContainerNetwork;
use crate::compose::{Service, Source};
use crate::images::Images;
use crate::plan::{Plan, Planned};
use crate::progress::{Health, Progress, Stuck};
use runner_sdk::docker::containers::{
    self, Attachment, Container, ContainerOptions, Health as HostHealth, HealthCheck, Mount, MountSource, Status,
};
use runner_sdk::docker::networks::{self, Network, NetworkOptions};
use runner_sdk::docker::volumes::{self, Volume};
use runner_sdk::{Error, Failure, log};
use std::time::Instant;

/// Between two looks at the health of services, in milliseconds: short at first, when most become healthy.
const PAUSES: std::ops::RangeInclusive<u64> = 100..=1000;

/// Size of a tmpfs that names none: what is in it counts as the container's memory, 1 GiB unless granted otherwise.
const TMPFS_BYTES: u64 = 256 << 20;

/// What exists on the engine for a plan.
pub struct Session<'a> {
    plan: &'a Plan,
    images: &'a Images,
    egress: bool,
    deadline: Option<Instant>,
    networks: Vec<(&'a str, Network)>,
    volumes: Vec<(&'a str, Volume)>,
    /// Volumes of one container alone.
    anonymous: Vec<Volume>,
    containers: Vec<Running<'a>>,
    cancelled: bool,
}

struct Running<'a> {
    service: &'a Service,
    container: Container,
    exit_code: Option<u8>,
}

impl<'a> Session<'a> {
    /// Nothing exists yet. After the deadline the tested service is given up.
    pub fn new(plan: &'a Plan, images: &'a Images, network: ContainerNetwork, deadline: Option<Instant>) -> Self {
        Self {
            plan,
            images,
            egress: network == ContainerNetwork::Egress,
            deadline,
            networks: Vec::new(),
            volumes: Vec::new(),
            anonymous: Vec::new(),
            containers: Vec::new(),
            cancelled: false,
        }
    }

    /// Starts the services, runs the tested one and returns its exit code, which is 0.
    ///
    /// # Errors
    /// Its other exit codes, and everything that keeps it from running.
    pub fn run(&mut self) -> Result<u8, Failure> {
        let plan = self.plan;
        let Some((tested, dependencies)) = plan.services.split_last() else {
            return Err(Failure::new("there is no service to run"));
        };
        let result = self.start(tested, dependencies).and_then(|()| self.test(tested));
        self.cancelled = runner_sdk::context::is_cancelled();
        result
    }

    /// Starts everything the tested service depends on, and waits until it can be started itself.
    fn start(&mut self, tested: &'a Planned, dependencies: &'a [Planned]) -> Result<(), Failure> {
        log::group("Services");
        self.create_networks()?;
        let order: Vec<&Service> = self.plan.services.iter().map(|planned| &planned.service).collect();
        let mut progress = Progress::new(&order);
        let mut pause = *PAUSES.start();
        loop {
            let ready = progress.ready();
            if ready.iter().any(|service| service.name == tested.service.name) {
                return Ok(());
            }
            for planned in dependencies.iter().filter(|planned| ready.contains(&&planned.service)) {
                self.start_one(planned)?;
                progress.started(&planned.service.name);
            }
            if !ready.is_empty() {
                pause = *PAUSES.start();
                let awaited = progress.awaited();
                if !awaited.is_empty() && progress.ready().is_empty() {
                    log::info(&format!("waiting for {}", awaited.join(" and ")));
                }
                continue;
            }
            match self.wait(Some(self.remaining().map_or(pause, |remaining| remaining.min(pause))))? {
                Some((name, code)) => progress.exited(name, code).map_err(|stuck| self.explain(&stuck))?,
                None => pause = (pause * 3 / 2).min(*PAUSES.end()),
            }
            for name in progress.health_awaited() {
                let health = self.health(name)?;
                progress.health(name, health).map_err(|stuck| self.explain(&stuck))?;
                if health == Health::Healthy {
                    log::info(&format!("`{name}` is healthy"));
                }
            }
            if self.remaining() == Some(0) {
                return Err(timed_out(&format!("while waiting for {}", progress.awaited().join(" and "))));
            }
        }
    }

    /// Runs the tested service to its end, with an eye on the others.
    fn test(&mut self, tested: &'a Planned) -> Result<u8, Failure> {
        let name = tested.service.name.as_str();
        log::group(&format!("Test `{name}`"));
        self.start_one(tested)?;
        let mut died = Vec::new();
        let code = loop {
            match self.wait(self.remaining())? {
                Some((ended, code)) if ended == name => break code,
                Some((ended, 0)) => log::info(&format!("`{ended}` ended with exit code 0 while the test was running")),
                Some((ended, code)) => {
                    log::warning(&format!("`{ended}` exited with code {code} while the test was running"));
                    died.push(format!("`{ended}` had exited with code {code} before"));
                }
                None => return Err(timed_out(&format!("while `{name}` was running"))),
            }
        };
        if code == 0 {
            log::info(&format!("`{name}` passed"));
            return Ok(code);
        }
        // What ended in the same moment may be the reason.
        while self.containers.iter().any(|running| running.exit_code.is_none()) {
            let Some((ended, code)) = self.wait(Some(*PAUSES.start()))? else { break };
            died.push(format!("`{ended}` has exited with code {code}"));
        }
        let mut message = format!("the service `{name}` exited with code {code}");
        for died in died {
            message.push_str(&format!("; {died}"));
        }
        Err(self.out_of_memory(name).unwrap_or_else(|| Failure::new(message)).exit_status(code))
    }

    /// Brings back what the tested service changed in its copies of the workspace, unless the job was cancelled.
    pub fn write_back(&self, result: Result<u8, Failure>) -> Result<u8, Failure> {
        let tested = self.plan.services.last().and_then(|tested| self.running(&tested.service.name));
        let Some(Running { service, container, exit_code: Some(_) }) = tested.filter(|_| !self.cancelled) else {
            return result;
        };
        for mount in service.mounts.iter().filter(|mount| !mount.read_only) {
            let Source::Workspace(path) = &mount.source else { continue };
            // A single file is a copy that stays.
            if !std::path::Path::new("/workspace").join(path).is_dir() {
                continue;
            }
            match container.copy_back(&mount.target) {
                Ok(0) => {}
                Ok(files) => log::info(&format!("{files} files of `{path}` were changed")),
                Err(error) => {
                    let failure = cannot(format!("copy back what changed in `{}`", mount.target))(error);
                    // How the service ended is what counts.
                    if result.is_ok() {
                        return Err(failure);
                    }
                    log::error(&failure.message);
                }
            }
        }
        result
    }

    fn create_networks(&mut self) -> Result<(), Failure> {
        for network in &self.plan.networks {
            let options = NetworkOptions { egress: self.egress && !network.internal, extras: Vec::new() };
            let created =
                networks::create(&options).map_err(cannot(format!("create the network `{}`", network.name)))?;
            self.networks.push((&network.name, created));
        }
        Ok(())
    }

    fn start_one(&mut self, planned: &'a Planned) -> Result<(), Failure> {
        let service = &planned.service;
        let name = &service.name;
        let first_own = self.anonymous.len();
        for mount in &service.mounts {
            let create = || volumes::create().map_err(cannot(format!("create a volume for `{name}`")));
            match &mount.source {
                Source::Volume(volume) if self.volumes.iter().all(|(known, _)| known != volume) => {
                    self.volumes.push((volume, create()?));
                }
                Source::Anonymous => self.anonymous.push(create()?),
                Source::Volume(_) | Source::Workspace(_) | Source::Memory(_) => {}
            }
        }
        let options = self.options(planned, first_own)?;
        let image = self.images.get(&service.wanted)?;
        let container = containers::create(image, &options).map_err(cannot(format!("create `{name}`")))?;
        drop(options);
        self.containers.push(Running { service, container, exit_code: None });
        if let Some(Running { container, .. }) = self.containers.last() {
            container.start(name).map_err(cannot(format!("start `{name}`")))?;
        }
        log::info(&format!("`{name}` started"));
        Ok(())
    }

    /// `first_own` is the service's first anonymous volume.
    fn options(&self, planned: &Planned, first_own: usize) -> Result<ContainerOptions<'_>, Failure> {
        let service = &planned.service;
        let missing = |what: &str| Failure::new(format!("{what} was not created for `{}`", service.name));
        let mut attachments = Vec::with_capacity(service.networks.len());
        for joined in &service.networks {
            let network = self.networks.iter().find(|(name, _)| *name == joined.network).map(|(_, network)| network);
            let network = network.ok_or_else(|| missing("a network"))?;
            let mut aliases: Vec<String> = Vec::new();
            for alias in std::iter::once(&service.name).chain(&joined.aliases).chain(&service.aliases) {
                if !aliases.contains(alias) {
                    aliases.push(alias.clone());
                }
            }
            attachments.push(Attachment { network, aliases });
        }
        let mut own = self.anonymous[first_own..].iter();
        let mut mounts = Vec::with_capacity(service.mounts.len());
        for mount in &service.mounts {
            let source = match &mount.source {
                Source::Volume(name) => {
                    let volume = self.volumes.iter().find(|(known, _)| known == name).map(|(_, volume)| volume);
                    MountSource::Volume(volume.ok_or_else(|| missing("a volume"))?)
                }
                Source::Anonymous => MountSource::Volume(own.next().ok_or_else(|| missing("a volume"))?),
                Source::Workspace(path) => MountSource::WorkspaceCopy(path.clone()),
                Source::Memory(bytes) => {
                    let most = if service.memory == 0 { TMPFS_BYTES } else { service.memory.min(TMPFS_BYTES) };
                    MountSource::Tmpfs(bytes.filter(|bytes| *bytes > 0).unwrap_or(most))
                }
            };
            mounts.push(Mount { source, target: mount.target.clone(), read_only: mount.read_only });
        }
        Ok(ContainerOptions {
            entrypoint: service.entrypoint.clone(),
            command: service.command.clone(),
            env: planned.environment.clone(),
            working_directory: service.working_dir.clone(),
            user: service.user.clone(),
            hostname: service.hostname.clone(),
            networks: attachments,
            mounts,
            health_check: service.health.as_ref().map(|health| HealthCheck {
                test: health.test.clone(),
                interval_ms: health.interval,
                timeout_ms: health.timeout,
                start_period_ms: health.start_period,
                retries: health.retries,
            }),
            ports: Vec::new(),
            memory: service.memory,
            milli_cpus: service.milli_cpus,
            read_only_root: service.read_only,
            shm_size: service.shm_size,
            stop_signal: service.stop_signal.clone(),
            extras: Vec::new(),
        })
    }

    /// Waits until a service ends, with the last of its output, or the milliseconds have passed.
    fn wait(&mut self, milliseconds: Option<u64>) -> Result<Option<(&'a str, u8)>, Failure> {
        let running: Vec<usize> =
            (0..self.containers.len()).filter(|i| self.containers[*i].exit_code.is_none()).collect();
        let handles: Vec<&Container> = running.iter().map(|i| &self.containers[*i].container).collect();
        let ended = containers::wait_any(&handles, milliseconds).map_err(cannot("wait for the services"))?;
        let Some((position, _)) = ended else { return Ok(None) };
        let Some(running) = running.get(position as usize).and_then(|i| self.containers.get_mut(*i)) else {
            return Err(Failure::new("the engine names a container that was not waited for"));
        };
        let name = running.service.name.as_str();
        let code = running.container.wait().map_err(cannot(format!("read the last output of `{name}`")))?;
        running.exit_code = Some(code);
        Ok(Some((name, code)))
    }

    fn health(&self, name: &str) -> Result<Health, Failure> {
        let Some(running) = self.running(name) else { return Ok(Health::Starting) };
        let state = running.container.inspect().map_err(cannot(format!("ask for the health of `{name}`")))?;
        Ok(match state.health {
            // The engine calls what has ended unhealthy; the next wait tells how it ended.
            _ if state.status == Status::Exited => Health::Starting,
            HostHealth::None => Health::None,
            HostHealth::Starting => Health::Starting,
            HostHealth::Healthy => Health::Healthy,
            HostHealth::Unhealthy => Health::Unhealthy,
        })
    }

    /// Why the tested service cannot be started, for people; what the health checks printed goes to the log.
    fn explain(&self, stuck: &Stuck) -> Failure {
        match stuck {
            Stuck::Exited { service, code } => {
                self.print_health_log(service);
                self.out_of_memory(service).unwrap_or_else(|| {
                    Failure::new(format!("the service `{service}` exited with code {code} before the test could start"))
                        .remedy(format!("Its output is in the log, after `{service} | `."))
                })
            }
            Stuck::Unhealthy { service } => {
                self.print_health_log(service);
                Failure::new(format!("the service `{service}` is unhealthy"))
                    .remedy("The log shows what its health checks printed; a slow start needs more `retries`.")
            }
            Stuck::NoHealthCheck { service } => {
                Failure::new(format!("`{service}` is to become healthy and has no health check"))
                    .remedy(format!("Add a `healthcheck` to `{service}`, or wait for `service_started`."))
            }
        }
    }

    fn print_health_log(&self, name: &str) {
        let Some(running) = self.running(name) else { return };
        match running.container.inspect() {
            Ok(state) if state.health_log.is_empty() => {}
            Ok(state) => {
                log::error(&format!("the last health checks of `{name}` printed:\n{}", state.health_log.trim_end()));
            }
            Err(error) => log::warning(&cannot(format!("read the health log of `{name}`"))(error).message),
        }
    }

    fn out_of_memory(&self, name: &str) -> Option<Failure> {
        match self.running(name)?.container.inspect() {
            Ok(state) if state.out_of_memory => Some(
                Failure::new(format!("the service `{name}` used more memory than it may, and was ended"))
                    .remedy("Give it more with `grants: { docker: { containers: { memory: … } } }`."),
            ),
            Ok(_) => None,
            Err(error) => {
                log::warning(&cannot(format!("find out how `{name}` ended"))(error).message);
                None
            }
        }
    }

    fn running(&self, name: &str) -> Option<&Running<'a>> {
        self.containers.iter().find(|running| running.service.name == name)
    }

    /// Milliseconds to the deadline.
    fn remaining(&self) -> Option<u64> {
        let remaining = self.deadline?.saturating_duration_since(Instant::now());
        Some(u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX))
    }

    /// Removes everything, the last started first. What cannot be removed is left to the host.
    pub fn clean_up(&mut self) {
        let report = |what: String, result: Result<(), Error>| {
            if let Err(error) = result {
                log::warning(&cannot(format!("{what} (it is removed when the job ends)"))(error).message);
            }
        };
        while let Some(Running { service, container, exit_code }) = self.containers.pop() {
            let name = &service.name;
            // A cancelled job has seconds left, not minutes.
            if let (None, Some(grace)) = (exit_code, service.stop_grace) {
                let grace = if self.cancelled { grace.min(3) } else { grace };
                report(format!("stop `{name}`"), container.stop(grace));
            }
            report(format!("remove `{name}`"), container.remove());
        }
        for (name, network) in self.networks.drain(..) {
            report(format!("remove the network `{name}`"), network.remove());
        }
        for volume in self.volumes.drain(..).map(|(_, volume)| volume).chain(self.anonymous.drain(..)) {
            report("remove a volume".to_owned(), volume.remove());
        }
    }
}

/// Says what was being done when a host call failed; cancelling is no failure of that.
pub fn cannot(what: impl std::fmt::Display) -> impl FnOnce(Error) -> Failure {
    move |error| Failure::cannot(what, &error, "the test was cancelled")
}

fn timed_out(when: &str) -> Failure {
    Failure::new(format!("the time for the test is over {when}"))
        .remedy("Find out what takes so long, or allow more with `timeout_minutes`.")
        .exit_status(124)
}
