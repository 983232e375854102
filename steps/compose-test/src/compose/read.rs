//! The file as a whole.

use super::interpolate::{Variables, interpolate_tree};
use super::keys::{self, Place};
use super::model::{Project, Service};
use super::problem::{Code, Findings, Mark};
use super::yaml::{Entry, Node};
use super::{mount, name, network, order, service, value, yaml};

/// How many services a file may have: its containers, networks and volumes are bounded by the step's grant, this
/// bounds the reading.
const MAX_SERVICES: usize = 32;

/// Reads a Compose file.
///
/// `directory` is the file's directory below the workspace, where its relative paths start. `None` when something is
/// refused; the findings say what. Every service is checked, also those that will not be started.
pub fn read(text: &str, directory: &str, variables: &Variables<'_>, findings: &mut Findings) -> Option<Project> {
    let mut root = yaml::parse(text, findings)?;
    if !findings.problems.is_empty() {
        return None;
    }
    let start = root.at;
    let yaml::Value::Map(top) = &mut root.value else {
        return value::unexpected(&root, "a mapping with `services`", findings);
    };
    let (mut services, mut networks, mut volumes) = (None, None, None);
    for entry in top.iter_mut().filter(|entry| !entry.key.starts_with("x-")) {
        interpolate_tree(&mut entry.node, variables, findings);
    }
    if top.iter().all(|entry| entry.key != "services") {
        let remedy = "put the services below `services:`; files without it are older than 2014";
        findings.refuse(Code::Value, start, "the file has no `services`", remedy);
        return None;
    }
    for entry in top.iter() {
        match entry.key.as_str() {
            "services" => services = Some(&entry.node),
            "networks" => networks = Some(&entry.node),
            "volumes" => volumes = Some(&entry.node),
            "name" => findings.warn(entry.at, "`name` has no effect: every run has networks and volumes of its own"),
            "version" => findings.warn(entry.at, "`version` has no effect"),
            key => keys::refuse(Place::File, key, entry.at, findings),
        }
    }
    let volumes = declared_volumes(volumes, findings);
    let networks = network::declared(networks, findings);
    let scope =
        service::Scope { mounts: mount::Scope { directory, volumes: &volumes }, networks: &networks, variables };
    let entries = services.map(|node| value::map(node, findings)).unwrap_or_default();
    if entries.len() > MAX_SERVICES {
        let message = format!("{} services, expected at most {MAX_SERVICES}", entries.len());
        findings.refuse(Code::Limit, start, message, "move what the test does not need to another file");
        return None;
    }
    let services = read_services(entries, &scope, findings);
    if findings.problems.is_empty() {
        order::check(&services, findings);
    }
    findings.problems.is_empty().then_some(Project { services, networks })
}

fn read_services(entries: &[Entry], scope: &service::Scope<'_>, findings: &mut Findings) -> Vec<Service> {
    let mut services = Vec::with_capacity(entries.len());
    let mut links: Vec<(String, String, Mark)> = Vec::new();
    for entry in entries {
        if let Some(linked) = service::read(entry, scope, findings) {
            services.push(linked.service);
            links.extend(linked.links);
        }
    }
    for (target, alias, _) in links {
        if let Some(service) = services.iter_mut().find(|service: &&mut Service| service.name == target)
            && service.name != alias
            && !service.aliases.contains(&alias)
        {
            service.aliases.push(alias);
        }
    }
    services
}

/// Names of the top-level `volumes`.
fn declared_volumes(node: Option<&Node>, findings: &mut Findings) -> Vec<String> {
    let mut volumes = Vec::new();
    for entry in node.map(|node| value::map(node, findings)).unwrap_or_default() {
        if !name::is_name(&entry.key) {
            network::refuse_name(&entry.key, entry.at, findings);
        }
        for option in value::map(&entry.node, findings) {
            let node = &option.node;
            match option.key.as_str() {
                "driver" => {
                    if value::text(node, findings).is_some_and(|driver| driver != "local") {
                        let remedy = "leave it out; volumes are empty and local";
                        findings.refuse(Code::VolumeDriver, node.at, "this volume driver is not available", remedy);
                    }
                }
                "external" => network::external(node, "volume", findings),
                "name" | "labels" => findings.warn(option.at, format!("`{}` has no effect in a test", option.key)),
                key => keys::refuse(Place::Volume, key, option.at, findings),
            }
        }
        volumes.push(entry.key.clone());
    }
    volumes
}

#[cfg(test)]
mod tests {
    use super::super::problem::Problem;
    use super::*;

    /// `line:column code` of every problem, or the number of services.
    fn outcome(text: &str) -> String {
        let mut findings = Findings::default();
        let project = read(text, "ci", &|_| None, &mut findings);
        let place = |p: &Problem| format!("{}:{} {}", p.at.line, p.at.column, p.code);
        project.map_or_else(
            || findings.problems.iter().map(place).collect::<Vec<_>>().join(", "),
            |project| format!("{} services, {} warnings", project.services.len(), findings.warnings.len()),
        )
    }

    fn service(keys: &str) -> String {
        outcome(&format!(
            "services:\n  db: {{image: d, healthcheck: {{disable: true}}}}\n  a:\n    image: x\n    {keys}\n\
             volumes: {{v: }}"
        ))
    }

    #[test]
    fn what_is_supported_is_read() {
        for keys in [
            "command: sh -c 'a && b'",
            "volumes: [v:/a:ro, /anonymous, ../fixtures:/f:ro]",
            "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m}}, {type: volume, source: v, target: /w}]",
            "tmpfs: /t:size=64m,noexec",
            "healthcheck: {test: [CMD, x], interval: 1m30s, timeout: 500ms, retries: 3, start_period: 1s}",
            "networks: {default: {aliases: [other]}}",
            "network_mode: none",
            "depends_on: {db: {condition: service_started, required: true}}",
            "links: ['db:database']",
            "env_file: [{path: a.env, required: false}, b.env]",
            "user: '1000:1000'\n    working_dir: /w\n    hostname: h\n    profiles: [test]\n    pull_policy: always",
            "stop_signal: SIGINT\n    stop_grace_period: 1m\n    read_only: true\n    init: true",
            "shm_size: 64m\n    mem_limit: 1g\n    cpus: 0.5",
            "privileged: false",
            "x-anything: [1]",
        ] {
            assert_eq!(service(keys), "2 services, 0 warnings", "{keys}");
        }
    }

    #[test]
    fn what_means_nothing_in_a_test_is_said() {
        for keys in [
            "ports: ['127.0.0.1:80:80', 5432, '8080:80/tcp', {target: 1}]",
            "container_name: c",
            "labels: {a: b}",
            "expose: [80]",
            "restart: always",
            "platform: linux/amd64",
            "pids_limit: 5",
            "init: false",
            "volumes: [./x:/x]",
            "environment: [CI]",
            "command: a && b",
            "build: .",
        ] {
            assert_eq!(service(keys), "2 services, 1 warnings", "{keys}");
        }
    }

    #[test]
    fn what_is_refused_has_its_place_and_code() {
        for (keys, expected) in [
            ("cap_drop: [ALL]", "5:5 E_CAP"),
            ("sysctls: {a: b}", "5:5 E_SYSCTL"),
            ("volumes_from: [container:x]", "5:5 E_FOREIGN"),
            ("image: y", "5:5 E_YAML"),
            ("labels: {dev.runner.run: x}", "5:14 E_LABEL"),
            ("network_mode: bridge", "5:19 E_UNSUPPORTED_KEY"),
            ("extra_hosts: {a: 10.0.0.1}", "5:5 E_UNSUPPORTED_KEY"),
            ("ports: ['[::]:80:80']", "5:13 E_PORT"),
            ("ports: [{target: 1, host_ip: 0.0.0.0}]", "5:13 E_PORT"),
            ("volumes: [v:/a:shared]", "5:15 E_MOUNT_OPTION"),
            ("volumes: [v:/a, v:/a/]", "5:21 E_MOUNT_TARGET"),
            ("volumes: [v:/]", "5:15 E_MOUNT_TARGET"),
            ("volumes: [{type: bind, source: ./a, target: /a, bind: {propagation: shared}}]", "5:60 E_MOUNT_OPTION"),
            ("volumes: [{type: bind, source: ../../a, target: /a}]", "5:36 E_PATH"),
            ("healthcheck: {interval: 1}", "5:29 E_VALUE, 5:18 E_VALUE"),
            ("healthcheck: {test: [curl]}", "5:25 E_VALUE"),
            ("healthcheck: {test: x, start_interval: 1s}", "5:28 E_UNSUPPORTED_KEY"),
            ("depends_on: [none]", "5:18 E_DEPENDENCY"),
            ("depends_on: [a]", "3:3 E_DEPENDENCY"),
            ("depends_on: {db: {condition: service_healthy}}", "5:18 E_DEPENDENCY"),
            ("depends_on: {db: {required: false}}", "5:23 E_UNSUPPORTED_KEY"),
            ("networks: [n]", "5:16 E_NAME"),
            ("networks: [default, default]", "5:25 E_VALUE"),
            ("command: []", "5:14 E_VALUE"),
            ("mem_limit: lots", "5:16 E_VALUE"),
            ("working_dir: w", "5:18 E_VALUE"),
            ("environment: {A: $A}", "5:22 E_ENV"),
            ("build: {context: ., secrets: [s]}", "5:25 E_BUILD_SECRET"),
            ("build: {context: ../..}", "5:22 E_BUILD_CONTEXT"),
        ] {
            assert_eq!(service(keys), expected, "{keys}");
        }
    }

    #[test]
    fn the_file_around_the_services_is_checked() {
        for (text, expected) in [
            ("services: {a: {image: X}}", "1:23 E_IMAGE_REF"),
            ("services: {a: {command: x}}", "1:12 E_VALUE"),
            ("services: {a: }", "1:13 E_VALUE"),
            ("services: {a: {image: x}}\nservice: {}", "2:1 E_UNKNOWN_KEY"),
            ("web: {image: x}", "1:1 E_VALUE"),
            (
                "services: {a: {image: x, depends_on: [b]}, b: {image: x, links: [c]}, c: {image: x, depends_on: [a]}}",
                "1:12 E_DEPENDENCY",
            ),
            ("services: {a: {image: x}}\nnetworks: {n: {internal: true, ipam: {}}}", "2:32 E_UNSUPPORTED_KEY"),
            ("services: {a: {image: x}}\nvolumes: {v: {driver_opts: {device: /}}}", "2:15 E_VOLUME_DRIVER"),
            ("x-unused: $NONE\nservices: {a: {image: x}}\nname: n\nversion: '3'", "1 services, 2 warnings"),
        ] {
            assert_eq!(outcome(text), expected, "{text}");
        }
    }

    #[test]
    fn a_circle_is_named() {
        let mut findings = Findings::default();
        let text =
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, links: [c]}, c: {image: x, depends_on: [a]}}";
        assert!(read(text, ".", &|_| None, &mut findings).is_none());
        assert_eq!(findings.problems[0].message, "services depend on each other in a circle: a → b → c → a");
    }
}
