//! A command in a container: parameters and grants of `docker-run`, for `image` and for the docker plugin.

use super::StepFacts;
use crate::pipeline::Spanned;
use crate::plan::grant::{ByteSize, ContainersGrant, DockerGrant, Grants, WorkspaceGrant};
use crate::plan::job::Phase;
use serde_json::{Map, Value, json};

/// The component.
const USES: &str = "docker-run@1";

/// Memory of a container whose step does not say: the plugins it stands for set no bound.
pub(super) const MEMORY: ByteSize = ByteSize(4 << 30);

/// A step's command in the image that its `image` names.
pub(in super::super) fn in_image(image: &Spanned<String>, command: &str, facts: &StepFacts<'_>) -> Phase {
    let mut container = Container::new(&image.value);
    container.set("command", command);
    container.pass_all(facts);
    container.phase()
}

/// Parameters and grants, put together from what is written.
pub(super) struct Container {
    params: Map<String, Value>,
    env: Vec<String>,
    secrets: Vec<String>,
    egress: bool,
    memory: ByteSize,
    cpus: Option<f64>,
    image: String,
}

impl Container {
    pub(super) fn new(image: &str) -> Self {
        let params = Map::from_iter([("image".to_owned(), json!(image)), ("write_back".to_owned(), json!(true))]);
        Self {
            params,
            env: Vec::new(),
            secrets: Vec::new(),
            egress: true,
            memory: MEMORY,
            cpus: None,
            image: image.to_owned(),
        }
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.params.insert(name.to_owned(), value.into());
    }

    pub(super) fn memory(&mut self, memory: ByteSize) {
        self.memory = memory;
        self.set("memory_mib", memory.0.div_ceil(1 << 20));
    }

    pub(super) fn cpus(&mut self, cpus: f64) {
        self.cpus = Some(cpus);
        self.set("cpus", cpus);
    }

    pub(super) fn without_network(&mut self) {
        self.egress = false;
    }

    /// Passes the variables that the pipeline and the step set, and the standard ones.
    pub(super) fn pass_all(&mut self, facts: &StepFacts<'_>) {
        self.env.extend(standard(facts));
    }

    /// Passes one variable: the job's, or the runner's own as a secret.
    pub(super) fn pass(&mut self, name: &str, facts: &StepFacts<'_>) {
        pass(name, facts, &mut self.env, &mut self.secrets);
    }

    pub(super) fn phase(mut self) -> Phase {
        self.env.sort();
        self.env.dedup();
        if !self.secrets.is_empty() {
            self.set("secrets", self.secrets.clone());
        }
        self.set("network", if self.egress { "egress" } else { "none" });
        let containers = ContainersGrant {
            egress: self.egress,
            memory: self.memory,
            cpus: self.cpus.unwrap_or(ContainersGrant::default().cpus),
            ..ContainersGrant::default()
        };
        let docker = DockerGrant { images: vec![self.image], containers: Some(containers), ..DockerGrant::default() };
        let grants = Grants {
            workspace: Some(WorkspaceGrant { read: Vec::new(), write: vec![".".to_owned()] }),
            env: self.env,
            secrets: self.secrets,
            docker: Some(docker),
            ..Grants::default()
        };
        Phase { uses: USES.to_owned(), params: Value::Object(self.params), grants, ..Phase::default() }
    }
}

/// Names and patterns of the variables that every command has.
pub(super) fn standard(facts: &StepFacts<'_>) -> Vec<String> {
    let standard = ["BUILDKITE", "BUILDKITE_*", "CI"];
    standard.into_iter().chain(facts.variables.iter().copied()).map(str::to_owned).collect()
}

/// Passes one variable: the job's, or where the job has none the runner's own, which counts as a secret.
pub(super) fn pass(name: &str, facts: &StepFacts<'_>, env: &mut Vec<String>, secrets: &mut Vec<String>) {
    env.push(name.to_owned());
    let own = name.starts_with("BUILDKITE") || name == "CI" || facts.variables.contains(&name);
    if !own && !secrets.iter().any(|secret| secret == name) {
        secrets.push(name.to_owned());
    }
}

/// An amount of memory as Docker's command line has it: `512m`, `1g`, `1.5GiB`, or bytes.
pub(super) fn docker_size(text: &str) -> Option<ByteSize> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    let factor = match text[digits.len()..].trim() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    (number > 0.0 && number * factor < 1e15).then_some(ByteSize((number * factor) as u64))
}

/// A path of the workspace as the pipeline names it, in normal form; `None` when it is another one.
pub(super) fn workspace_path(text: &str) -> Option<String> {
    let checkout = ["$PWD", "${PWD}", "$BUILDKITE_BUILD_CHECKOUT_PATH", "${BUILDKITE_BUILD_CHECKOUT_PATH}"];
    let rest = checkout
        .iter()
        .find_map(|name| text.strip_prefix(name))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'));
    let relative = match rest {
        Some(rest) => rest.trim_start_matches('/'),
        None if text == "." || text.starts_with("./") => text,
        None => return None,
    };
    let parts: Vec<&str> = relative.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return None;
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_writes_them() {
        for (text, bytes) in [("512m", 512 << 20), ("1g", 1 << 30), ("1.5GiB", 3 << 29), ("1024", 1024), ("2 kb", 2048)]
        {
            assert_eq!(docker_size(text), Some(ByteSize(bytes)), "{text}");
        }
        for text in ["", "m", "-1m", "1x", "1e99g", "0"] {
            assert_eq!(docker_size(text), None, "{text}");
        }
    }

    #[test]
    fn only_paths_below_the_workspace_are_its_own() {
        for (text, expected) in [
            (".", Some(".")),
            ("./a//b/", Some("a/b")),
            ("$PWD", Some(".")),
            ("${BUILDKITE_BUILD_CHECKOUT_PATH}/x", Some("x")),
            ("../a", None),
            ("./a/../..", None),
            ("$PWDX/a", None),
            ("/a", None),
            ("a", None),
            ("~/a", None),
        ] {
            assert_eq!(workspace_path(text).as_deref(), expected, "{text}");
        }
    }
}
