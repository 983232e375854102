//! `docker`: the command in a container.

use super::container::{Container, docker_size, workspace_path};
use super::options::Options;
use super::{Plugged, StepFacts};
use crate::pipeline::{NodeKind, Span, Spanned};
use serde_json::{Value, json};

/// Runs a script unless the plugin says otherwise; through the image's entrypoint.
pub(super) const SHELL: [&str; 3] = ["/bin/sh", "-e", "-c"];
/// Where the checkout is.
const WORKDIR: &str = "/workdir";

const PRIVILEGE: &str = "containers get no privileges, devices or namespaces of the host; remove it";

/// What cannot be had, whatever the container is for.
pub(super) const REFUSED: [(&str, &str); 26] = [
    ("privileged", PRIVILEGE),
    ("devices", PRIVILEGE),
    ("device-read-bps", PRIVILEGE),
    ("device-read-iops", PRIVILEGE),
    ("device-write-bps", PRIVILEGE),
    ("device-write-iops", PRIVILEGE),
    ("cap-add", PRIVILEGE),
    ("cap-drop", "all capabilities but six are dropped already; remove it"),
    ("security-opts", PRIVILEGE),
    ("gpus", PRIVILEGE),
    ("gpu", PRIVILEGE),
    ("pid", PRIVILEGE),
    ("ipc", PRIVILEGE),
    ("runtime", PRIVILEGE),
    ("userns", PRIVILEGE),
    ("sysctls", PRIVILEGE),
    ("ulimits", "use `memory` and `cpus`"),
    ("memory-swap", "use `memory`; there is no swap beyond it"),
    ("memory-swappiness", "use `memory`; there is no swap beyond it"),
    ("storage-opt", "remove it"),
    ("log-driver", "output goes to the job's log; remove it"),
    ("log-opt", "output goes to the job's log; remove it"),
    ("add-host", "run what is needed beside it with the docker-compose plugin"),
    ("publish", "nothing outside reaches the container; remove it"),
    ("mount-ssh-agent", "containers do not reach the SSH agent; fetch what is needed before, on this machine"),
    ("leave-container", "containers are removed with their job; remove it"),
];

/// The agent stays outside: what calls it within fails, and says so.
pub(super) fn without_agent(options: &mut Options<'_>) {
    let span = options.node("mount-buildkite-agent").map(|node| node.span);
    if let (Some(span), Some(true)) = (span, options.flag("mount-buildkite-agent")) {
        let message = "there is no `buildkite-agent` in the container: use the artifacts plugin, or `artifact_paths`";
        options.warn(span, message);
    }
}

/// Maps the docker plugin.
pub(super) fn map(options: &mut Options<'_>, facts: &StepFacts<'_>) -> Plugged {
    options.refuse(&REFUSED);
    without_agent(options);
    options.refuse(&[
        ("load", "push the image to a registry, and name it in `image`"),
        ("platform", "images are those of the engine's platform; remove it"),
        ("expand-volume-vars", "variables are replaced before the run already; remove it"),
        ("expand-image-vars", "variables are replaced before the run already; remove it"),
        ("propagate-gcp-auth-tokens", "name the variables in `environment`"),
        ("additional-groups", "write `user: name:group`"),
        ("group", "write `user: name:group`"),
        ("unconfined", PRIVILEGE),
    ]);
    options.without_effect(&[
        "debug",
        "image-cache",
        "init",
        "interactive",
        "propagate-uid-gid",
        "pull-retries",
        "run-labels",
        "tty",
    ]);
    let Some(image) = options.text("image") else {
        options.error(options.span(), "the plugin `docker` names no image", "add `image: NAME:TAG`");
        return options.give_up();
    };
    let mut container = Container::new(&image.value);
    let mounted = options.flag("mount-checkout").unwrap_or(true);
    let workdir = options.text("workdir").map(|workdir| workdir.value);
    container.set("mount", if mounted { workdir.clone().unwrap_or_else(|| WORKDIR.to_owned()) } else { String::new() });
    if let Some(workdir) = workdir {
        container.set("workdir", workdir);
    }
    command(options, &mut container, facts);
    environment(options, &mut container, facts);
    mounts(options, &mut container, mounted);
    bounds(options, &mut container);
    Plugged { instead: Some(container.phase()), ..Plugged::default() }
}

fn command(options: &mut Options<'_>, container: &mut Container, facts: &StepFacts<'_>) {
    let entrypoint = options.written("entrypoint");
    if let Some(entrypoint) = &entrypoint {
        let words: Vec<&str> = Some(entrypoint.as_str()).into_iter().filter(|text| !text.is_empty()).collect();
        container.set("entrypoint", json!(words));
    }
    let shell = shell(options);
    let arguments = options.texts("command");
    match (facts.command, arguments) {
        (Some(_), Some(arguments)) if !arguments.is_empty() => {
            let span = arguments[0].span;
            options.error(span, "there are a `command` of the step and one of the plugin", "keep one of the two");
        }
        (Some(script), _) => match shell {
            Shell::Words(words) => {
                container.set("command", script);
                container.set("shell", json!(words));
            }
            Shell::Default if entrypoint.is_none() => {
                container.set("command", script);
                container.set("shell", json!(SHELL));
            }
            Shell::Default | Shell::Off => match shlex::split(script) {
                Some(words) => container.set("args", json!(words)),
                None => {
                    options.error(options.span(), "the command ends within quotes", "close them, or name a `shell`");
                }
            },
        },
        (None, arguments) => {
            let words = match shell {
                Shell::Words(words) => words,
                Shell::Default | Shell::Off => Vec::new(),
            };
            let arguments = arguments.unwrap_or_default().into_iter().map(|argument| argument.value);
            container.set("args", json!(words.into_iter().chain(arguments).collect::<Vec<_>>()));
        }
    }
}

/// How a script is run.
pub(super) enum Shell {
    Default,
    Off,
    Words(Vec<String>),
}

/// `shell`: false, a text or a list.
pub(super) fn shell(options: &mut Options<'_>) -> Shell {
    match options.node("shell").map(|node| &node.kind) {
        None => return Shell::Default,
        Some(NodeKind::Bool(false)) => return Shell::Off,
        Some(NodeKind::String(text)) if text == "false" => return Shell::Off,
        Some(NodeKind::String(text)) => {
            if let Some(words) = shlex::split(text) {
                return Shell::Words(words);
            }
        }
        _ => {}
    }
    let words = options.texts("shell").unwrap_or_default();
    Shell::Words(words.into_iter().map(|word| word.value).collect())
}

/// `environment` and what propagates more of it.
fn environment(options: &mut Options<'_>, container: &mut Container, facts: &StepFacts<'_>) {
    let mut env = serde_json::Map::new();
    for entry in options.texts("environment").unwrap_or_default() {
        match entry.value.split_once('=') {
            Some((name, value)) => drop(env.insert(name.to_owned(), json!(value))),
            None => container.pass(&entry.value, facts),
        }
    }
    for list in options.texts("env-propagation-list").unwrap_or_default() {
        let message = "`env-propagation-list` names variables in another variable, which is not known yet";
        options.error(list.span, message, "list the variables in `environment`");
    }
    if options.flag("propagate-environment") == Some(true) {
        container.pass_all(facts);
    }
    if options.flag("propagate-aws-auth-tokens") == Some(true) {
        for name in AWS_VARIABLES {
            container.pass(name, facts);
        }
    }
    if !env.is_empty() {
        container.set("env", Value::Object(env));
    }
}

/// What `propagate-aws-auth-tokens` passes.
pub(super) const AWS_VARIABLES: [&str; 5] =
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"];

fn mounts(options: &mut Options<'_>, container: &mut Container, mounted: bool) {
    let mut volumes: Vec<String> = Vec::new();
    let mut copies: Vec<Value> = Vec::new();
    let written = options.texts("volumes").unwrap_or_default();
    for volume in written.into_iter().chain(options.texts("mounts").unwrap_or_default()) {
        match mount(&volume) {
            Mount::Fresh(target) => volumes.push(target),
            Mount::Copy(copy) => copies.push(copy),
            Mount::Refused(message, help) => options.error(volume.span, &message, help),
        }
    }
    // The whole checkout in one more place is its place.
    if let [only] = copies.as_slice()
        && only["path"] == "."
        && only["target"] == WORKDIR
        && mounted
    {
        copies.clear();
    }
    let mut tmpfs = Vec::new();
    for entry in options.texts("tmpfs").unwrap_or_default() {
        let (target, settings) = entry.value.split_once(':').unwrap_or((&entry.value, ""));
        // Programs cannot be run from a tmpfs here, but from an empty volume.
        if settings.split(',').any(|setting| setting == "exec") {
            volumes.push(target.to_owned());
        } else {
            tmpfs.push(target.to_owned());
        }
    }
    for (name, list) in [("volumes", json!(volumes)), ("copies", json!(copies)), ("tmpfs", json!(tmpfs))] {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            container.set(name, list);
        }
    }
}

/// What a volume of the plugin comes to.
pub(super) enum Mount {
    Fresh(String),
    Copy(Value),
    Refused(String, &'static str),
}

/// `TARGET`, or `SOURCE:TARGET[:OPTIONS]` with a source below the checkout.
pub(super) fn mount(volume: &Spanned<String>) -> Mount {
    let parts: Vec<&str> = volume.value.split(':').collect();
    let (source, target, settings) = match parts[..] {
        [target] if target.starts_with('/') => return Mount::Fresh(target.to_owned()),
        [source, target] => (source, target, ""),
        [source, target, settings] => (source, target, settings),
        _ => return Mount::Refused(format!("`{}` is no volume", volume.value), "write `./path:/path/in/container`"),
    };
    if let Some(path) = workspace_path(source) {
        return Mount::Copy(
            json!({"path": path, "target": target, "read_only": settings.split(',').any(|s| s == "ro")}),
        );
    }
    if source.ends_with("docker.sock") {
        let help =
            "containers do not reach the engine; build images with `uses: docker-tag@1` or the docker-compose plugin";
        return Mount::Refused("the engine's socket cannot be given to a container".to_owned(), help);
    }
    if source.starts_with(['/', '~', '.', '$']) {
        let help = "name a path below the checkout, as `./path`; what several jobs need goes through artifacts";
        return Mount::Refused(
            format!("`{source}` is outside of the checkout, and cannot be given to a container"),
            help,
        );
    }
    Mount::Refused(
        format!("the volume `{source}` would outlive the job"),
        "name only the path in the container for an empty volume, or a path below the checkout, as `./path`",
    )
}

fn bounds(options: &mut Options<'_>, container: &mut Container) {
    if let Some(user) = options.text("user") {
        container.set("user", user.value);
    }
    let always = options.flag("always-pull") == Some(true);
    let never = options.flag("skip-pull") == Some(true);
    match options.text("pull").as_ref().map(|pull| (pull.value.as_str(), pull.span)) {
        None if always => container.set("pull", "always"),
        None if never => container.set("pull", "never"),
        None => {}
        Some((pull @ ("always" | "missing" | "never"), _)) => container.set("pull", pull),
        Some((other, span)) => {
            options.error(span, &format!("`pull` is `{other}`, expected always, missing or never"), "");
        }
    }
    match options.text("network").as_ref().map(|network| (network.value.as_str(), network.span)) {
        None | Some(("bridge", _)) => {}
        Some(("none", _)) => container.without_network(),
        Some((other, span)) => {
            let message = format!("the network `{other}` is not the job's own");
            options.error(span, &message, "leave it out for the way outside, or write `none`");
        }
    }
    if let Some((memory, _)) = size(options, "memory") {
        container.memory(memory);
    }
    if let Some((shm, _)) = size(options, "shm-size") {
        container.set("shm_mib", shm.0.div_ceil(1 << 20));
    }
    if let Some(cpus) = options.number("cpus") {
        container.cpus(cpus);
    }
}

fn size(options: &mut Options<'_>, name: &'static str) -> Option<(crate::plan::grant::ByteSize, Span)> {
    let text = options.text(name)?;
    let size = docker_size(&text.value);
    if size.is_none() {
        options.error(text.span, &format!("`{name}` is `{}`, expected a size such as 512m or 2g", text.value), "");
    }
    Some((size?, text.span))
}
