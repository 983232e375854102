//! The keys that are refused: what each one is about, and what to write instead.

use super::problem::{Code, Findings, Mark};

/// What a mapping describes, for the tables below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The file itself.
    File,
    Service,
    Build,
    HealthCheck,
    /// A network at the top level.
    Network,
    /// A network in a service.
    Attachment,
    /// A volume at the top level.
    Volume,
}

const GRANT: &str = "leave it out; the step's grant decides";
const LEAVE: &str = "leave it out; a test does not need it";

/// Refuses a key that [`Place`] does not read. Keys that begin with `x-` are for other programs and pass.
pub fn refuse(place: Place, key: &str, at: Mark, findings: &mut Findings) {
    if key.starts_with("x-") {
        return;
    }
    if let Some((code, remedy)) = refused(place, key) {
        return findings.refuse(code, at, format!("`{key}` is not available in a test"), remedy);
    }
    let remedy = match nearest(place, key) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("expected one of: {}", read(place).join(", ")),
    };
    findings.refuse(Code::UnknownKey, at, format!("unknown key `{key}`"), remedy);
}

/// The keys that are read, for suggestions.
fn read(place: Place) -> &'static [&'static str] {
    match place {
        Place::File => &["name", "networks", "services", "volumes"],
        Place::Service => &[
            "build",
            "command",
            "cpus",
            "depends_on",
            "entrypoint",
            "env_file",
            "environment",
            "healthcheck",
            "hostname",
            "image",
            "init",
            "links",
            "mem_limit",
            "networks",
            "profiles",
            "pull_policy",
            "read_only",
            "shm_size",
            "stop_grace_period",
            "stop_signal",
            "tmpfs",
            "user",
            "volumes",
            "working_dir",
            "network_mode",
            "ports",
            "expose",
            "restart",
            "container_name",
            "labels",
            "pids_limit",
            "platform",
            "extra_hosts",
        ],
        Place::Build => &["args", "context", "dockerfile", "network", "no_cache", "target"],
        Place::HealthCheck => &["disable", "interval", "retries", "start_period", "test", "timeout"],
        Place::Network => &["driver", "external", "internal", "labels", "name"],
        Place::Attachment => &["aliases"],
        Place::Volume => &["driver", "external", "labels", "name"],
    }
}

fn refused(place: Place, key: &str) -> Option<(Code, &'static str)> {
    Some(match place {
        Place::File => match key {
            "include" => (Code::UnsupportedKey, "write the services into this file"),
            "secrets" | "configs" => {
                (Code::UnsupportedKey, "mount the file below `volumes` or set a variable below `environment`")
            }
            "models" => (Code::UnsupportedKey, LEAVE),
            _ => return None,
        },
        Place::Service => return refused_in_service(key),
        Place::Build => match key {
            "secrets" => (Code::BuildSecret, "build without secrets: they would stay readable in the image"),
            "additional_contexts" => (Code::BuildOption, "put what is needed below the context"),
            "dockerfile_inline" => (Code::BuildOption, "write a Dockerfile and name it in `dockerfile`"),
            "cache_from" | "cache_to" => (Code::BuildOption, "leave it out; the engine's own cache is used"),
            "tags" => (Code::BuildOption, "leave it out; what a test builds gets no name"),
            "privileged" | "ssh" | "entitlements" | "isolation" | "labels" | "platforms" | "pull" | "shm_size"
            | "ulimits" | "extra_hosts" | "provenance" | "sbom" => (Code::BuildOption, LEAVE),
            _ => return None,
        },
        Place::HealthCheck => match key {
            "start_interval" => (Code::UnsupportedKey, "use a short `interval`"),
            _ => return None,
        },
        Place::Network => match key {
            "driver_opts" => (Code::NetworkDriver, "leave it out; networks are plain bridges"),
            "ipam" => (Code::UnsupportedKey, "leave it out; services find each other by name"),
            "attachable" | "enable_ipv4" | "enable_ipv6" => (Code::UnsupportedKey, LEAVE),
            _ => return None,
        },
        Place::Attachment => match key {
            "ipv4_address" | "ipv6_address" | "link_local_ips" | "mac_address" => {
                (Code::UnsupportedKey, "leave it out; services find each other by name")
            }
            "driver_opts" | "gw_priority" | "interface_name" | "priority" => (Code::UnsupportedKey, LEAVE),
            _ => return None,
        },
        Place::Volume => match key {
            "driver_opts" => (Code::VolumeDriver, "leave it out; volumes are empty and local"),
            _ => return None,
        },
    })
}

fn refused_in_service(key: &str) -> Option<(Code, &'static str)> {
    Some(match key {
        "cap_add" => {
            (Code::Capability, "leave it out; containers have CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID")
        }
        "cap_drop" => (Code::Capability, "leave it out; all but six capabilities are dropped already"),
        "device_cgroup_rules" | "devices" | "gpus" => {
            (Code::Device, "leave it out; containers see no device of the host")
        }
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" => {
            (Code::Namespace, "leave it out; every container has namespaces of its own")
        }
        "cgroup_parent" => (Code::CgroupParent, GRANT),
        "security_opt" => {
            (Code::SecurityOption, "leave it out; the default profiles and no new privileges always apply")
        }
        "runtime" => (Code::Runtime, "leave it out; the engine's default runtime is used"),
        "sysctls" => (Code::Sysctl, "leave it out; kernel parameters stay as they are"),
        "oom_score_adj" | "oom_kill_disable" | "mem_swappiness" | "memswap_limit" | "mem_reservation" | "cpu_count"
        | "cpu_percent" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime" | "cpu_shares" | "cpuset"
        | "blkio_config" | "ulimits" => (Code::Limit, "use `mem_limit` and `cpus`, within the step's grant"),
        "use_api_socket" => (Code::Socket, "leave it out; no container reaches the engine"),
        "volumes_from" | "external_links" => (Code::Foreign, "declare a volume or a network that both services name"),
        "logging" | "log_driver" | "log_opt" => (Code::Logging, "leave it out; output goes to the job's log"),
        "provider" => (Code::HostExec, "write a service with an image"),
        "credential_spec" => (Code::SecurityOption, LEAVE),
        "extends" => (Code::UnsupportedKey, "write the keys here, or share them with an anchor and `<<`"),
        "deploy" => (Code::UnsupportedKey, "use `mem_limit` and `cpus`; one container runs for each service"),
        "scale" => (Code::UnsupportedKey, "leave it out; one container runs for each service"),
        "secrets" | "configs" => {
            (Code::UnsupportedKey, "mount the file below `volumes` or set a variable below `environment`")
        }
        "pre_start" | "post_start" | "pre_stop" => {
            (Code::UnsupportedKey, "write a service for it, with `condition: service_completed_successfully`")
        }
        "dns" | "dns_opt" | "dns_search" | "domainname" | "mac_address" => {
            (Code::UnsupportedKey, "leave it out; services find each other by name")
        }
        "group_add" => (Code::UnsupportedKey, "use `user: name:group`"),
        "tty" | "stdin_open" => (Code::UnsupportedKey, "leave it out; output goes to the log and nobody types"),
        "annotations" | "attach" | "develop" | "isolation" | "label_file" | "models" | "storage_opt" => {
            (Code::UnsupportedKey, LEAVE)
        }
        _ => return None,
    })
}

/// The key that is read and differs in at most two letters.
fn nearest(place: Place, key: &str) -> Option<&'static str> {
    let known = read(place).iter().map(|known| (distance(known, key), *known)).min()?;
    (known.0 <= 2).then_some(known.1)
}

/// Letters to insert, delete or replace (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_answered_with_the_one_meant() {
        assert_eq!(nearest(Place::Service, "enviroment"), Some("environment"));
        assert_eq!(nearest(Place::Service, "comand"), Some("command"));
        assert_eq!(nearest(Place::Service, "privilegd"), None);
    }
}
