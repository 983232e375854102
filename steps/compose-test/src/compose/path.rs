//! Paths of a Compose file, which start at its directory, as paths below the workspace.

/// The path in normal form (`.` for the workspace itself); `None` when it is absolute or leads out of the workspace.
pub fn beneath(directory: &str, path: &str) -> Option<String> {
    if path.starts_with(['/', '~']) || path.contains('\0') {
        return None;
    }
    let mut parts = Vec::new();
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

/// The directory a file is in, `.` for the workspace itself.
pub fn directory_of(file: &str) -> &str {
    file.rsplit_once('/').map_or(".", |(directory, _)| directory)
}

/// Whether a path names the socket of a container engine.
pub fn is_engine_socket(path: &str) -> bool {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    matches!(name, "docker.sock" | "containerd.sock" | "podman.sock" | "crio.sock" | "buildkitd.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_workspace() {
        for (directory, path, expected) in [
            (".", "./a//b/", Some("a/b")),
            ("ci", "../src", Some("src")),
            ("ci", ".", Some("ci")),
            ("ci", "..", Some(".")),
            (".", "..", None),
            ("ci", "../../x", None),
            (".", "/etc", None),
            (".", "~/.docker", None),
        ] {
            assert_eq!(beneath(directory, path).as_deref(), expected, "{directory} {path}");
        }
        assert_eq!((directory_of("ci/x/compose.yml"), directory_of("compose.yml")), ("ci/x", "."));
    }
}
