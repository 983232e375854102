//! The request that creates a container: constants, and the fields of [`ContainerSpec`]. What is not written here
//! cannot be asked for.

use super::{ContainerSpec, HealthSpec, Joined};
use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountTmpfsOptions, MountType, MountVolumeOptions, NetworkingConfig, PortBinding,
};
use std::collections::HashMap;

/// What is left of root's capabilities: enough for the entrypoints of service images that change the owner of their
/// data and then drop root.
const CAPABILITIES: [&str; 6] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/// The body of `POST /containers/create`.
pub(super) fn container(spec: ContainerSpec) -> ContainerCreateBody {
    let host_config = host_config(&spec);
    ContainerCreateBody {
        image: Some(spec.image),
        entrypoint: list(spec.entrypoint),
        cmd: list(spec.command),
        env: list(spec.env),
        working_dir: text(spec.working_dir),
        user: text(spec.user),
        hostname: text(spec.hostname),
        labels: Some(spec.labels.into_iter().collect()),
        healthcheck: spec.health.map(health),
        stop_signal: text(spec.stop_signal),
        exposed_ports: list(spec.ports.iter().map(|(port, _)| format!("{port}/tcp")).collect()),
        // Output is read by attaching; a terminal would mix the streams and hold lines back.
        tty: Some(false),
        open_stdin: Some(false),
        attach_stdin: Some(false),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        networking_config: spec.network.map(|joined| NetworkingConfig {
            endpoints_config: Some(HashMap::from([(joined.network.clone(), endpoint(&joined))])),
        }),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

/// A container's place in a network.
pub(super) fn endpoint(joined: &Joined) -> EndpointSettings {
    EndpointSettings { aliases: list(joined.aliases.clone()), ..EndpointSettings::default() }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let constants = HostConfig {
        privileged: Some(false),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        // Without an init a service that ignores SIGTERM as process 1 is stopped late, and zombies stay.
        init: Some(true),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        publish_all_ports: Some(false),
        // The engine keeps no copy of the output: what is attached before the start loses nothing.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        ..HostConfig::default()
    };
    HostConfig {
        network_mode: Some(spec.network.as_ref().map_or("none", |joined| joined.network.as_str()).to_owned()),
        mounts: list(mounts(spec)),
        port_bindings: (!spec.ports.is_empty()).then(|| {
            let binding = |host: u16| PortBinding {
                host_ip: Some("127.0.0.1".to_owned()),
                host_port: (host != 0).then(|| host.to_string()),
            };
            spec.ports.iter().map(|(port, host)| (format!("{port}/tcp"), Some(vec![binding(*host)]))).collect()
        }),
        memory: Some(spec.memory),
        memory_swap: Some(spec.memory),
        nano_cpus: Some(spec.nano_cpus),
        pids_limit: Some(spec.pids),
        shm_size: Some(spec.shm_size),
        readonly_rootfs: Some(spec.read_only_root),
        ..constants
    }
}

fn mounts(spec: &ContainerSpec) -> Vec<Mount> {
    let volumes = spec.volumes.iter().map(|mount| Mount {
        typ: Some(MountType::VOLUME),
        source: Some(mount.volume.clone()),
        target: Some(mount.target.clone()),
        read_only: Some(mount.read_only),
        ..Mount::default()
    });
    let scratch = spec.scratch.iter().map(|target| Mount {
        typ: Some(MountType::VOLUME),
        target: Some(target.clone()),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    });
    let tmpfs = spec.tmpfs.iter().map(|(target, size)| Mount {
        typ: Some(MountType::TMPFS),
        target: Some(target.clone()),
        tmpfs_options: Some(MountTmpfsOptions { size_bytes: Some(*size), ..MountTmpfsOptions::default() }),
        ..Mount::default()
    });
    volumes.chain(scratch).chain(tmpfs).collect()
}

fn health(spec: HealthSpec) -> HealthConfig {
    HealthConfig {
        test: Some(spec.test),
        interval: Some(spec.interval),
        timeout: Some(spec.timeout),
        start_period: Some(spec.start_period),
        retries: Some(spec.retries),
        start_interval: None,
    }
}

fn text(value: String) -> Option<String> {
    (!value.is_empty()).then_some(value)
}

fn list<T>(values: Vec<T>) -> Option<Vec<T>> {
    (!values.is_empty()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::super::VolumeMount;
    use super::*;
    use serde_json::json;

    fn everything() -> ContainerSpec {
        ContainerSpec {
            name: "runner-x".to_owned(),
            image: "sha256:1".to_owned(),
            entrypoint: vec!["/bin/sh".to_owned()],
            command: vec!["-c".to_owned(), "true".to_owned()],
            env: vec!["A=b".to_owned()],
            working_dir: "/work".to_owned(),
            user: "1000:1000".to_owned(),
            hostname: "db".to_owned(),
            labels: [("dev.runner.run".to_owned(), "r".to_owned())].into(),
            network: Some(Joined { network: "n1".to_owned(), aliases: vec!["db".to_owned()] }),
            volumes: vec![VolumeMount { volume: "v1".to_owned(), target: "/data".to_owned(), read_only: true }],
            scratch: vec!["/copy".to_owned()],
            tmpfs: vec![("/tmp".to_owned(), 1024)],
            health: Some(HealthSpec {
                test: vec!["CMD".to_owned(), "true".to_owned()],
                interval: 1_000_000_000,
                timeout: 2_000_000_000,
                start_period: 0,
                retries: 3,
            }),
            ports: vec![(5432, 0), (80, 8080)],
            memory: 1 << 30,
            nano_cpus: 2_000_000_000,
            pids: 512,
            read_only_root: true,
            shm_size: 64 << 20,
            stop_signal: "SIGINT".to_owned(),
        }
    }

    #[test]
    fn the_request_of_the_most_permissive_grant_holds_exactly_this() {
        let body = serde_json::to_value(container(everything())).unwrap();
        assert_eq!(
            body,
            json!({
                "Image": "sha256:1",
                "Entrypoint": ["/bin/sh"],
                "Cmd": ["-c", "true"],
                "Env": ["A=b"],
                "WorkingDir": "/work",
                "User": "1000:1000",
                "Hostname": "db",
                "Labels": {"dev.runner.run": "r"},
                "Healthcheck": {
                    "Test": ["CMD", "true"],
                    "Interval": 1_000_000_000,
                    "Timeout": 2_000_000_000,
                    "StartPeriod": 0,
                    "Retries": 3
                },
                "StopSignal": "SIGINT",
                "ExposedPorts": {"5432/tcp": {}, "80/tcp": {}},
                "Tty": false,
                "OpenStdin": false,
                "AttachStdin": false,
                "AttachStdout": true,
                "AttachStderr": true,
                "NetworkingConfig": {"EndpointsConfig": {"n1": {"Aliases": ["db"]}}},
                "HostConfig": {
                    "Privileged": false,
                    "CapDrop": ["ALL"],
                    "CapAdd": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"],
                    "SecurityOpt": ["no-new-privileges:true"],
                    "Init": true,
                    "IpcMode": "private",
                    "CgroupnsMode": "private",
                    "PublishAllPorts": false,
                    "LogConfig": {"Type": "none"},
                    "NetworkMode": "n1",
                    "Mounts": [
                        {"Type": "volume", "Source": "v1", "Target": "/data", "ReadOnly": true},
                        {"Type": "volume", "Target": "/copy", "VolumeOptions": {"NoCopy": true}},
                        {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"SizeBytes": 1024}}
                    ],
                    "PortBindings": {
                        "5432/tcp": [{"HostIp": "127.0.0.1"}],
                        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]
                    },
                    "Memory": 1_073_741_824,
                    "MemorySwap": 1_073_741_824,
                    "NanoCpus": 2_000_000_000,
                    "PidsLimit": 512,
                    "ShmSize": 67_108_864,
                    "ReadonlyRootfs": true
                }
            })
        );
    }

    #[test]
    fn a_container_of_no_network_has_loopback_only() {
        let body = serde_json::to_value(container(ContainerSpec::default())).unwrap();
        assert_eq!(body["HostConfig"]["NetworkMode"], "none");
        assert!(body.get("NetworkingConfig").is_none());
    }
}
