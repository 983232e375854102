//! One service.

use super::interpolate::Variables;
use super::keys::{self, Place};
use super::model::{Attachment, Build, Condition, Dependency, EnvFile, Network, PullPolicy, Service, Wanted};
use super::problem::{Code, Findings, Mark};
use super::yaml::{Entry, Node, Value};
use super::{build, health, mount, name, network, path, value};

/// What the services of a file share.
pub struct Scope<'a> {
    pub mounts: mount::Scope<'a>,
    pub networks: &'a [Network],
    pub variables: &'a Variables<'a>,
}

/// A service and the names it calls others by (`links`): service, alias and place.
pub struct Linked {
    pub service: Service,
    pub links: Vec<(String, String, Mark)>,
}

/// Reads a service; `None`, with problems, when it cannot be run.
pub fn read(entry: &Entry, scope: &Scope<'_>, findings: &mut Findings) -> Option<Linked> {
    let before = findings.problems.len();
    if !name::is_name(&entry.key) {
        network::refuse_name(&entry.key, entry.at, findings);
    }
    let mut reading = Reading {
        scope,
        before,
        findings,
        image: None,
        build: None,
        pull: None,
        networks: None,
        links: Vec::new(),
        service: empty(entry),
    };
    if matches!(entry.node.value, Value::Null) {
        value::unexpected::<()>(&entry.node, "a mapping with `image` or `build`", reading.findings);
    }
    for key in value::map(&entry.node, reading.findings) {
        reading.key(key);
    }
    let Linked { mut service, links } = reading.finish()?;
    mount::check_targets(&service.mounts, findings);
    for (target, _, at) in &links {
        if service.depends_on.iter().all(|dependency| dependency.service != *target) {
            let dependency = Dependency { service: target.clone(), condition: Condition::Started, at: *at };
            service.depends_on.push(dependency);
        }
    }
    (findings.problems.len() == before).then_some(Linked { service, links })
}

struct Reading<'a, 'f> {
    scope: &'a Scope<'a>,
    /// Problems found before this service.
    before: usize,
    findings: &'f mut Findings,
    image: Option<(String, Mark)>,
    build: Option<(Build, Mark)>,
    pull: Option<(PullPolicy, Mark)>,
    networks: Option<Vec<Attachment>>,
    links: Vec<(String, String, Mark)>,
    service: Service,
}

impl Reading<'_, '_> {
    fn key(&mut self, entry: &Entry) {
        let (node, at) = (&entry.node, entry.at);
        let findings = &mut *self.findings;
        let service = &mut self.service;
        match entry.key.as_str() {
            "image" => self.image = value::text(node, findings).map(|image| (image, node.at)),
            "build" => {
                self.build = build::read(node, self.scope.mounts.directory, self.scope.variables, findings);
            }
            "pull_policy" => self.pull_policy(node),
            "command" => service.command = value::command(node, findings),
            "entrypoint" => service.entrypoint = value::command(node, findings),
            "environment" => service.env = value::key_values(node, self.scope.variables, findings),
            "env_file" => self.env_file(node),
            "depends_on" => self.depends_on(node),
            "links" => self.read_links(node),
            "healthcheck" => service.health = health::read(node, findings),
            "networks" => self.networks = Some(network::joined(node, self.scope.networks, findings)),
            "network_mode" => self.network_mode(node),
            "volumes" => service.mounts.extend(self.scope.mounts.volumes(node, findings)),
            "tmpfs" => service.mounts.extend(mount::tmpfs(node, findings)),
            "working_dir" => {
                service.working_dir = value::text(node, findings).unwrap_or_default();
                if !service.working_dir.starts_with('/') {
                    value::unexpected(node, "an absolute path", findings).unwrap_or(());
                }
            }
            "user" => service.user = value::text(node, findings).unwrap_or_default(),
            "hostname" => service.hostname = host_name(node, findings),
            "container_name" => {
                findings.warn(at, "`container_name` is only a further name on the service's networks in a test");
                service.aliases.push(host_name(node, findings));
            }
            "stop_signal" => service.stop_signal = value::text(node, findings).unwrap_or_default(),
            "stop_grace_period" => {
                let grace = value::duration(node, findings).map(|milliseconds| milliseconds.div_ceil(1000).min(600));
                service.stop_grace = grace.and_then(|seconds| u32::try_from(seconds).ok());
            }
            "read_only" => service.read_only = value::boolean(node, findings).unwrap_or_default(),
            "shm_size" => service.shm_size = value::size(node, findings).unwrap_or_default(),
            "mem_limit" => service.memory = value::size(node, findings).unwrap_or_default(),
            "cpus" => service.milli_cpus = value::cpus(node, findings).unwrap_or_default(),
            "init" => {
                if value::boolean(node, findings) == Some(false) {
                    findings.warn(at, "every container of a test has an init process");
                }
            }
            // Only the tested service and what it depends on are started: profiles have nothing to choose.
            "profiles" => drop(value::texts(value::list(node, findings), findings)),
            "ports" => self.ports(node, at),
            "labels" => self.labels(node, at),
            "expose" | "restart" => findings.warn(at, format!("`{}` has no effect in a test", entry.key)),
            "pids_limit" => findings.warn(at, "`pids_limit` has no effect: `grants.docker.containers.pids` decides"),
            "platform" => findings.warn(at, "`platform` has no effect: images are those of the engine's platform"),
            "extra_hosts" => self.extra_hosts(node, at),
            "privileged" => {
                if !matches!(&node.value, Value::Scalar(text) if text == "false") {
                    let remedy = "leave it out; containers have six capabilities and no more";
                    findings.refuse(Code::Privileged, at, "`privileged` is not available in a test", remedy);
                }
            }
            key => keys::refuse(Place::Service, key, at, findings),
        }
    }

    fn pull_policy(&mut self, node: &Node) {
        let policy = match value::text(node, self.findings).as_deref() {
            Some("always") => Some(PullPolicy::Always),
            Some("missing" | "if_not_present") => Some(PullPolicy::Missing),
            Some("never") => Some(PullPolicy::Never),
            Some("build") | None => None,
            Some(_) => value::unexpected(node, "`always`, `missing`, `never` or `build`", self.findings),
        };
        self.pull = policy.map(|policy| (policy, node.at));
    }

    fn env_file(&mut self, node: &Node) {
        for node in value::one_or_many(node) {
            let (mut written, mut required) = (None, true);
            match &node.value {
                Value::Map(entries) => {
                    for entry in entries {
                        match entry.key.as_str() {
                            "path" => written = value::text(&entry.node, self.findings),
                            "required" => required = value::boolean(&entry.node, self.findings).unwrap_or(true),
                            _ => {
                                let remedy = "write `path` and `required`";
                                self.findings.refuse(Code::UnsupportedKey, entry.at, "not a key of `env_file`", remedy);
                            }
                        }
                    }
                }
                _ => written = value::text(node, self.findings),
            }
            let Some(written) = written else { continue };
            if let Some(path) = path::beneath(self.scope.mounts.directory, &written) {
                self.service.env_files.push(EnvFile { path, required, at: node.at });
            } else {
                let message = format!("the file `{}` is not below the workspace", written.escape_debug());
                self.findings.refuse(Code::Path, node.at, message, "name a file below the workspace");
            }
        }
    }

    fn depends_on(&mut self, node: &Node) {
        if let Value::List(items) = &node.value {
            for (service, at) in value::texts(items, self.findings) {
                let dependency = Dependency { service: service.to_owned(), condition: Condition::Started, at };
                self.service.depends_on.push(dependency);
            }
            return;
        }
        for entry in value::map(node, self.findings) {
            let mut condition = Condition::Started;
            for option in value::map(&entry.node, self.findings) {
                let node = &option.node;
                match option.key.as_str() {
                    "condition" => match value::text(node, self.findings).as_deref() {
                        Some("service_started") | None => condition = Condition::Started,
                        Some("service_healthy") => condition = Condition::Healthy,
                        Some("service_completed_successfully") => condition = Condition::CompletedSuccessfully,
                        Some(_) => {
                            let expected = "`service_started`, `service_healthy` or `service_completed_successfully`";
                            value::unexpected(node, expected, self.findings).unwrap_or(());
                        }
                    },
                    "required" if value::boolean(node, self.findings) == Some(true) => {}
                    "restart" => self.findings.warn(option.at, "`restart` has no effect in a test"),
                    _ => {
                        let message = format!("`{}` is not available in a test", option.key.escape_debug());
                        self.findings.refuse(Code::UnsupportedKey, option.at, message, "write only `condition`");
                    }
                }
            }
            self.service.depends_on.push(Dependency { service: entry.key.clone(), condition, at: entry.at });
        }
    }

    fn read_links(&mut self, node: &Node) {
        for (text, at) in value::texts(value::list(node, self.findings), self.findings) {
            let (service, alias) = text.split_once(':').unwrap_or((text, text));
            if name::is_name(alias) {
                self.links.push((service.to_owned(), alias.to_owned(), at));
            } else {
                network::refuse_name(alias, at, self.findings);
            }
        }
    }

    fn network_mode(&mut self, node: &Node) {
        let mode = value::text(node, self.findings).unwrap_or_default();
        if mode == "none" {
            self.networks = Some(Vec::new());
            return;
        }
        let shared = mode == "host" || mode.starts_with("container:") || mode.starts_with("service:");
        let code = if shared { Code::Namespace } else { Code::UnsupportedKey };
        let message = format!("the network mode `{}` is not available in a test", mode.escape_debug());
        self.findings.refuse(
            code,
            node.at,
            message,
            "leave it out, or use `networks`; services find each other by name",
        );
    }

    /// Ports are not published; an address that others can reach is refused all the same, for what it asks.
    fn ports(&mut self, node: &Node, at: Mark) {
        for port in value::list(node, self.findings) {
            let address = match &port.value {
                Value::Map(entries) => entries
                    .iter()
                    .find(|entry| entry.key == "host_ip")
                    .and_then(|entry| value::text(&entry.node, self.findings)),
                _ => value::text(port, self.findings).and_then(|text| {
                    let mut parts = text.rsplitn(3, ':');
                    parts.nth(2).map(|address| address.trim_matches(['[', ']']).to_owned())
                }),
            };
            if let Some(address) =
                address.filter(|address| !matches!(address.as_str(), "127.0.0.1" | "::1" | "localhost"))
            {
                let message = format!("a port on the address `{}` is not available in a test", address.escape_debug());
                self.findings.refuse(
                    Code::Port,
                    port.at,
                    message,
                    "leave `ports` out; services reach each other by name",
                );
            }
        }
        self.findings.warn(at, "ports are not published in a test; services reach each other by name");
    }

    fn labels(&mut self, node: &Node, at: Mark) {
        let keys: Vec<(String, Mark)> = match &node.value {
            Value::List(items) => value::texts(items, self.findings)
                .into_iter()
                .map(|(text, at)| (text.split('=').next().unwrap_or(text).to_owned(), at))
                .collect(),
            _ => value::map(node, self.findings).iter().map(|entry| (entry.key.clone(), entry.at)).collect(),
        };
        for (key, at) in keys {
            if key.starts_with("dev.runner.") || key.starts_with("com.docker.") {
                let message = format!("the label `{}` is reserved", key.escape_debug());
                self.findings.refuse(Code::Label, at, message, "leave it out");
            }
        }
        self.findings.warn(at, "`labels` has no effect in a test");
    }

    fn extra_hosts(&mut self, node: &Node, at: Mark) {
        let gateway = match &node.value {
            Value::Map(entries) => entries.iter().any(|entry| is_gateway(&entry.node)),
            _ => value::one_or_many(node).iter().any(is_gateway),
        };
        if gateway {
            let remedy = "run what is needed as a service of the file";
            self.findings.refuse(Code::HostGateway, at, "the host's address is not available in a test", remedy);
        } else {
            let remedy = "give a service the name: `networks: { default: { aliases: [name] } }`";
            self.findings.refuse(Code::UnsupportedKey, at, "`extra_hosts` is not available in a test", remedy);
        }
    }

    fn finish(self) -> Option<Linked> {
        let Self { findings, before, image, build, pull, networks, links, mut service, .. } = self;
        service.wanted = match (image, build) {
            (image, Some((build, at))) => {
                if let Some((_, at)) = image {
                    findings.warn(at, "`image` has no effect beside `build`: what a test builds gets no name");
                }
                if let Some((_, at)) = pull {
                    findings.warn(at, "`pull_policy` has no effect beside `build`");
                }
                Wanted::Build { build, at }
            }
            (Some((reference, at)), None) => {
                if !name::is_image_reference(&reference) {
                    let message = format!("`{}` is no image reference", reference.escape_debug());
                    findings.refuse(Code::ImageReference, at, message, "expected `registry/name:tag` in lower case");
                }
                let pull = pull.map_or(PullPolicy::Missing, |(policy, _)| policy);
                Wanted::Image { reference: name::with_tag(&reference), pull }
            }
            (None, None) => {
                // A build or an image that is there and wrong was reported where it stands.
                if findings.problems.len() == before {
                    let remedy = "add `image: name:tag`, or `build: directory`";
                    let message = format!("the service `{}` has neither `image` nor `build`", service.name);
                    findings.refuse(Code::Value, service.at, message, remedy);
                }
                return None;
            }
        };
        let default = || vec![Attachment { network: network::DEFAULT.to_owned(), aliases: Vec::new() }];
        service.networks = networks.unwrap_or_else(default);
        Some(Linked { service, links })
    }
}

fn host_name(node: &Node, findings: &mut Findings) -> String {
    let name = value::text(node, findings).unwrap_or_default();
    if !name::is_name(&name) {
        network::refuse_name(&name, node.at, findings);
    }
    name
}

fn is_gateway(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(text) if text.contains("host-gateway"))
}

fn empty(entry: &Entry) -> Service {
    Service {
        name: entry.key.clone(),
        at: entry.at,
        wanted: Wanted::Image { reference: String::new(), pull: PullPolicy::Missing },
        entrypoint: Vec::new(),
        command: Vec::new(),
        env: Vec::new(),
        env_files: Vec::new(),
        depends_on: Vec::new(),
        health: None,
        networks: Vec::new(),
        aliases: Vec::new(),
        mounts: Vec::new(),
        working_dir: String::new(),
        user: String::new(),
        hostname: String::new(),
        stop_signal: String::new(),
        stop_grace: None,
        read_only: false,
        shm_size: 0,
        memory: 0,
        milli_cpus: 0,
    }
}
