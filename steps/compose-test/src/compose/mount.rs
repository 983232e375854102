//! `volumes` and `tmpfs` of a service.

use super::model::{Mount, Source};
use super::problem::{Code, Findings, Mark};
use super::yaml::{Node, Value};
use super::{path, quantity, value};

/// What the mounts of a service refer to.
pub struct Scope<'a> {
    /// Directory of the file, below the workspace.
    pub directory: &'a str,
    /// The volumes declared at the top level.
    pub volumes: &'a [String],
}

impl Scope<'_> {
    /// Reads `volumes`.
    pub fn volumes(&self, node: &Node, findings: &mut Findings) -> Vec<Mount> {
        let items = value::list(node, findings);
        let mut mounts = Vec::with_capacity(items.len());
        for item in items {
            mounts.extend(match &item.value {
                Value::Scalar(text) => self.short(text, item.at, findings),
                _ => self.long(item, findings),
            });
        }
        mounts
    }

    /// `[SOURCE:]TARGET[:OPTION,…]`.
    fn short(&self, text: &str, at: Mark, findings: &mut Findings) -> Option<Mount> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => {
                let message = format!("`{}` has more than three parts", text.escape_debug());
                findings.refuse(Code::Value, at, message, "write `source:target` or `source:target:ro`");
                return None;
            }
        };
        let read_only = access(options, at, findings)?;
        let source = match source {
            None => Source::Anonymous,
            Some(source) if source.starts_with(['.', '/', '~']) => self.bind(source, read_only, at, findings)?,
            Some(source) => self.named(source, at, findings)?,
        };
        let target = checked_target(target, at, findings)?;
        Some(Mount { source, target, read_only, at })
    }

    fn long(&self, node: &Node, findings: &mut Findings) -> Option<Mount> {
        let (mut kind, mut source, mut target, mut read_only, mut size) = (None, None, None, false, None);
        let before = findings.problems.len();
        for entry in value::map(node, findings) {
            let node = &entry.node;
            match entry.key.as_str() {
                "type" => kind = value::text(node, findings),
                "source" | "src" => source = value::text(node, findings).map(|text| (text, node.at)),
                "target" | "dst" | "destination" => target = value::text(node, findings).map(|text| (text, node.at)),
                "read_only" | "readonly" => read_only = value::boolean(node, findings).unwrap_or_default(),
                "consistency" => findings.warn(entry.at, "`consistency` has no effect in a test"),
                "tmpfs" => {
                    for entry in value::map(node, findings) {
                        match entry.key.as_str() {
                            "size" => size = value::size(&entry.node, findings),
                            key => refuse_option(key, entry.at, findings),
                        }
                    }
                }
                // Their options speak of propagation, labels and parts of volumes.
                "bind" | "volume" => {
                    for entry in value::map(node, findings) {
                        let harmless = matches!(entry.key.as_str(), "create_host_path" | "nocopy")
                            && value::boolean(&entry.node, findings) == Some(false);
                        if !harmless {
                            refuse_option(&entry.key, entry.at, findings);
                        }
                    }
                }
                key => refuse_option(key, entry.at, findings),
            }
        }
        let source = match (kind.as_deref(), source) {
            (Some("bind"), Some((source, at))) => self.bind(&source, read_only, at, findings),
            (Some("volume"), Some((source, at))) => self.named(&source, at, findings),
            (Some("volume"), None) => Some(Source::Anonymous),
            (Some("tmpfs"), None) => Some(Source::Memory(size)),
            (Some("bind" | "tmpfs") | None, _) => {
                let remedy = "write `type: bind` or `type: volume` with a `source`, or `type: tmpfs` without";
                findings.refuse(Code::Value, node.at, "`type` and `source` do not say what to mount", remedy);
                None
            }
            (Some(kind), _) => {
                let message = format!("mounts of type `{}` are not available in a test", kind.escape_debug());
                findings.refuse(Code::MountOption, node.at, message, "use `bind`, `volume` or `tmpfs`");
                None
            }
        };
        let Some((target, at)) = target else {
            findings.refuse(Code::Value, node.at, "a mount without `target`", "name the path in the container");
            return None;
        };
        let target = checked_target(&target, at, findings);
        let mount = Mount { source: source?, target: target?, read_only, at: node.at };
        (findings.problems.len() == before).then_some(mount)
    }

    fn bind(&self, source: &str, read_only: bool, at: Mark, findings: &mut Findings) -> Option<Source> {
        if path::is_engine_socket(source) {
            let remedy = "leave it out; no container reaches the engine";
            findings.refuse(Code::Socket, at, "the engine's socket cannot be mounted", remedy);
            return None;
        }
        let Some(path) = path::beneath(self.directory, source) else {
            let message = format!("`{}` leads out of the workspace", source.escape_debug());
            findings.refuse(Code::Path, at, message, "name a path below the workspace, such as `./fixtures`");
            return None;
        };
        if !read_only {
            let message = format!(
                "the container gets a copy of `{path}`: what it writes there comes back from the service that is run alone, and only with `write_back`"
            );
            findings.warn(at, message);
        }
        Some(Source::Workspace(path))
    }

    fn named(&self, source: &str, at: Mark, findings: &mut Findings) -> Option<Source> {
        if self.volumes.iter().any(|volume| volume == source) {
            return Some(Source::Volume(source.to_owned()));
        }
        let message = format!("the volume `{}` is not declared", source.escape_debug());
        let remedy = if source.contains('/') {
            format!("for a path write `./{source}`")
        } else {
            format!("add at the top level: `volumes: {{ {source}: {{}} }}`")
        };
        findings.refuse(Code::VolumeUndeclared, at, message, remedy);
        None
    }
}

/// Reads `tmpfs`: one or many of `TARGET[:OPTION,…]`.
pub fn tmpfs(node: &Node, findings: &mut Findings) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (text, at) in value::texts(value::one_or_many(node), findings) {
        let (target, options) = text.split_once(':').unwrap_or((text, ""));
        let mut size = None;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=').unwrap_or((option, "")) {
                // What the engine does anyway.
                ("rw" | "noexec" | "nosuid" | "nodev", "") | ("mode", "1777" | "01777") => {}
                ("size", written) if quantity::bytes(written).is_some() => {
                    size = quantity::bytes(written);
                }
                _ => refuse_option(option, at, findings),
            }
        }
        if let Some(target) = checked_target(target, at, findings) {
            mounts.push(Mount { source: Source::Memory(size), target, read_only: false, at });
        }
    }
    mounts
}

/// Refuses two mounts in one place.
pub fn check_targets(mounts: &[Mount], findings: &mut Findings) {
    for (index, mount) in mounts.iter().enumerate() {
        if mounts[..index].iter().any(|earlier| earlier.target == mount.target) {
            let message = format!("`{}` is mounted twice", mount.target);
            findings.refuse(Code::MountTarget, mount.at, message, "remove one of the two");
        }
    }
}

/// Whether the options of a short mount make it read-only.
fn access(options: &str, at: Mark, findings: &mut Findings) -> Option<bool> {
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            // They tune bind mounts, and here there are copies.
            "z" | "Z" | "cached" | "delegated" | "consistent" => {
                findings.warn(at, format!("the mount option `{option}` has no effect in a test"));
            }
            _ => {
                refuse_option(option, at, findings);
                return None;
            }
        }
    }
    Some(read_only)
}

fn refuse_option(option: &str, at: Mark, findings: &mut Findings) {
    let message = format!("the mount option `{}` is not available in a test", option.escape_debug());
    findings.refuse(Code::MountOption, at, message, "leave it out; `ro` and a tmpfs's `size` are there");
}

/// The path in the container in normal form.
fn checked_target(target: &str, at: Mark, findings: &mut Findings) -> Option<String> {
    let parts: Vec<&str> = target.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let kernel = matches!(parts.first(), Some(&("proc" | "sys" | "dev")));
    if target.starts_with('/') && !parts.is_empty() && !parts.contains(&"..") && !kernel {
        return Some(format!("/{}", parts.join("/")));
    }
    let message = format!("nothing can be mounted at `{}`", target.escape_debug());
    let remedy = match parts[..] {
        ["dev", "shm"] => "use `shm_size` for `/dev/shm`",
        _ => "name an absolute path, not `/` and not below `/proc`, `/sys` or `/dev`",
    };
    findings.refuse(Code::MountTarget, at, message, remedy);
    None
}
