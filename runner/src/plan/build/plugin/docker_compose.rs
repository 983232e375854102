//! `docker-compose`: the command in a service of a Compose file, and images built from one.

use super::container::{MEMORY, pass, standard};
use super::docker::{self, AWS_VARIABLES, Mount, Shell, shell};
use super::options::Options;
use super::{Plugged, StepFacts};
use crate::pipeline::Spanned;
use crate::plan::grant::{BuildContext, BuildNetwork, ContainersGrant, DockerGrant, Grants, WorkspaceGrant};
use crate::plan::job::Phase;
use serde_json::{Map, Value, json};

const USES: &str = "compose-test@1";
/// The Compose file unless the plugin names one.
const FILE: &str = "docker-compose.yml";
/// Where `mount-checkout: true` puts the checkout.
const WORKDIR: &str = "/workdir";
/// Containers of one file at once: those of a service, and of all it depends on.
const CONTAINERS: u32 = 32;

const BUILDER: &str = "the engine's classic builder is used; remove it";

/// Options about the engine's progress, its retries and its clean-up, which are what they are here.
const WITHOUT_EFFECT: [&str; 31] = [
    "ansi",
    "build-parallel",
    "builder",
    "check-linked-containers",
    "cli-version",
    "collapse-logs",
    "collapse-run-log-group",
    "compatibility",
    "graceful-shutdown",
    "load",
    "metadata-prefix",
    "pre-run-dependencies",
    "progress",
    "propagate-uid-gid",
    "pull-retries",
    "push-retries",
    "quiet-build",
    "quiet-pull",
    "quiet-push",
    "rm",
    "run-labels",
    "separator-cache-from",
    "service-ports",
    "skip-pull",
    "tty",
    "upload-container-logs",
    "use-aliases",
    "v2",
    "verbose",
    "wait",
    "with-dependencies",
];

/// Maps the docker-compose plugin.
pub(super) fn map(options: &mut Options<'_>, facts: &StepFacts<'_>) -> Plugged {
    options.without_effect(&WITHOUT_EFFECT);
    options.refuse(&docker::REFUSED);
    docker::without_agent(options);
    options.refuse(&[
        ("leave-volumes", "volumes are removed with their job; remove it"),
        ("buildkit", BUILDER),
        ("buildkit-inline-cache", BUILDER),
        ("build-labels", BUILDER),
        ("build-contexts", "put what is needed below the build's context"),
        ("secrets", "build without secrets: they would stay readable in the image"),
        ("ssh", "fetch what is needed before the build"),
        ("target", "write `target` below the service's `build`"),
        ("cache-to", "the engine's own cache is used; remove it"),
        ("separate-logs", "output of every service goes to the job's log; remove it"),
        ("expand-volume-vars", "variables are replaced before the run already; remove it"),
        ("env-propagation-list", "list the variables in `environment`"),
        ("build-alias", "name each service in `build`"),
    ]);
    // Images come from the engine's own cache wherever it has them.
    if let Some(from) = options.texts("cache-from").unwrap_or_default().first() {
        options.warn(from.span, "`cache-from` has no effect: the engine's own cache is used");
    }
    let Some(file) = file(options) else { return options.give_up() };
    let mut compose = Compose { params: Map::new(), env: standard(facts), secrets: Vec::new() };
    compose.set("file", file);
    compose.set("network", "egress");
    compose.set("build_network", "egress");
    if options.flag("no-cache") == Some(true) {
        compose.set("no_cache", true);
    }
    let arguments = options.texts("args").unwrap_or_default();
    let arguments = arguments.iter().filter_map(|argument| argument.split_once('='));
    let arguments: Map<String, Value> = arguments.map(|(name, value)| (name.to_owned(), json!(value))).collect();
    if !arguments.is_empty() {
        compose.set("build_args", arguments);
    }
    let publish = publish(options, &compose);
    let run = options.text("run");
    if let Some(service) = &run {
        compose.set("service", service.value.clone());
        compose.set("write_back", true);
        command(options, &mut compose, facts);
        environment(options, &mut compose, facts);
        places(options, &mut compose);
    } else {
        options.without_effect(&["shell", "command", "entrypoint", "env", "environment", "volumes", "pull"]);
        options.without_effect(&["propagate-environment", "mount-checkout", "workdir", "user", "dependencies"]);
        options.without_effect(&["propagate-aws-auth-tokens"]);
    }
    match (run, publish) {
        (None, None) => {
            let help = "add `run: SERVICE`, `build: SERVICE` or `push: SERVICE:REPOSITORY:TAG`";
            options.error(options.span(), "the plugin `docker-compose` says nothing to do", help);
            Plugged::default()
        }
        (Some(_), None) => Plugged { instead: Some(compose.phase(Vec::new())), ..Plugged::default() },
        (None, Some(publish)) => Plugged { instead: Some(publish.phase()), ..Plugged::default() },
        (Some(_), Some(publish)) => {
            if publish.pushes() {
                options.error(options.span(), "one step runs a service and pushes images", "write two steps");
            }
            Plugged { instead: Some(compose.phase(Vec::new())), before: vec![publish.phase()], ..Plugged::default() }
        }
    }
}

/// The one Compose file.
fn file(options: &mut Options<'_>) -> Option<String> {
    let files = options.texts("config").unwrap_or_default();
    match files.as_slice() {
        [] => Some(FILE.to_owned()),
        [one] => Some(one.value.trim_start_matches("./").to_owned()),
        [_, second, ..] => {
            let message = "several Compose files are not merged";
            options.error(second.span, message, "write them into one file, with what they share as anchors");
            None
        }
    }
}

/// Parameters and grants, put together from what is written.
struct Compose {
    params: Map<String, Value>,
    env: Vec<String>,
    secrets: Vec<String>,
}

impl Compose {
    fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.params.insert(name.to_owned(), value.into());
    }

    fn phase(mut self, push: Vec<String>) -> Phase {
        self.env.sort();
        self.env.dedup();
        if !self.secrets.is_empty() {
            self.set("secrets", self.secrets.clone());
        }
        // The Compose file is the permission: what it names, and nothing it cannot name.
        let docker = DockerGrant {
            build: vec![BuildContext { context: ".".to_owned(), network: BuildNetwork::Egress }],
            images: vec!["*".to_owned()],
            push,
            containers: Some(ContainersGrant {
                egress: true,
                max: CONTAINERS,
                memory: MEMORY,
                ..ContainersGrant::default()
            }),
            login: Vec::new(),
        };
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

/// Images to build, and where to push them.
struct Publish {
    compose: Compose,
    repositories: Vec<String>,
}

impl Publish {
    fn pushes(&self) -> bool {
        !self.repositories.is_empty()
    }

    fn phase(self) -> Phase {
        self.compose.phase(self.repositories)
    }
}

/// `build` and `push`.
fn publish(options: &mut Options<'_>, shared: &Compose) -> Option<Publish> {
    let build = options.texts("build").unwrap_or_default();
    let push = options.texts("push").unwrap_or_default();
    let repository = options.text("image-repository").map(|repository| repository.value);
    if options.text("image-name").is_some() {
        options.error(
            options.span(),
            "`image-name` is not available",
            "name the image in `push: SERVICE:REPOSITORY:TAG`",
        );
    }
    if build.is_empty() && push.is_empty() {
        return None;
    }
    let mut compose = Compose { params: shared.params.clone(), env: shared.env.clone(), secrets: Vec::new() };
    let mut repositories: Vec<String> = Vec::new();
    let mut targets: Vec<Value> = Vec::new();
    for entry in push {
        let Some((service, repository, tag)) = target(&entry) else {
            let message = format!("`{}` does not say where to push", entry.value);
            options.error(entry.span, &message, "write `SERVICE:REPOSITORY:TAG`");
            continue;
        };
        targets.push(json!({"service": service, "image": repository, "tag": tag}));
        repositories.push(repository);
    }
    let services: Vec<String> = build.into_iter().map(|service| service.value).collect();
    if let Some(repository) = repository {
        // The plugin's own naming, for what is built to be found by.
        for service in &services {
            targets.push(json!({"service": service, "image": repository}));
        }
        repositories.push(repository);
    }
    repositories.sort();
    repositories.dedup();
    compose.set("build", services);
    compose.set("push", targets);
    Some(Publish { compose, repositories })
}

/// `SERVICE:REPOSITORY[:TAG]`; the tag is `latest` when there is none.
fn target(entry: &Spanned<String>) -> Option<(String, String, String)> {
    let (service, image) = entry.value.split_once(':')?;
    let (repository, tag) = match image.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (image, "latest"),
    };
    let tag = if tag.is_empty() { "latest" } else { tag };
    (!service.is_empty() && !repository.is_empty()).then(|| (service.to_owned(), repository.to_owned(), tag.to_owned()))
}

fn command(options: &mut Options<'_>, compose: &mut Compose, facts: &StepFacts<'_>) {
    let entrypoint = options.written("entrypoint");
    if let Some(entrypoint) = &entrypoint {
        let words: Vec<&str> = Some(entrypoint.as_str()).into_iter().filter(|text| !text.is_empty()).collect();
        compose.set("entrypoint", json!(words));
    }
    let shell = shell(options);
    let arguments = options.texts("command").filter(|arguments| !arguments.is_empty());
    let shell = match (shell, facts.command, entrypoint) {
        (Shell::Words(words), ..) => words,
        (Shell::Default, Some(_), None) => docker::SHELL.map(str::to_owned).to_vec(),
        (Shell::Default | Shell::Off, ..) => Vec::new(),
    };
    let words = match (facts.command, arguments) {
        (Some(_), Some(arguments)) => {
            let span = arguments[0].span;
            options.error(span, "there are a `command` of the step and one of the plugin", "keep one of the two");
            return;
        }
        (Some(script), None) if shell.is_empty() => {
            let Some(words) = shlex::split(script) else {
                options.error(options.span(), "the command ends within quotes", "close them, or name a `shell`");
                return;
            };
            words
        }
        (Some(script), None) => vec![script.to_owned()],
        (None, Some(arguments)) => arguments.into_iter().map(|argument| argument.value).collect(),
        (None, None) => return,
    };
    compose.set("command", json!([shell, words].concat()));
}

fn environment(options: &mut Options<'_>, compose: &mut Compose, facts: &StepFacts<'_>) {
    let mut passed: Vec<String> = Vec::new();
    let entries = options.texts("environment").unwrap_or_default();
    for entry in options.texts("env").unwrap_or_default().into_iter().chain(entries) {
        if !entry.contains('=') {
            pass(&entry.value, facts, &mut compose.env, &mut compose.secrets);
        }
        passed.push(entry.value);
    }
    if options.flag("propagate-aws-auth-tokens") == Some(true) {
        for name in AWS_VARIABLES {
            pass(name, facts, &mut compose.env, &mut compose.secrets);
            passed.push(name.to_owned());
        }
    }
    if options.flag("propagate-environment") == Some(true) {
        compose.set("propagate_env", true);
    }
    if !passed.is_empty() {
        compose.set("container_env", passed);
    }
}

fn places(options: &mut Options<'_>, compose: &mut Compose) {
    let workdir = options.text("workdir").map(|workdir| workdir.value);
    let mut copies = Vec::new();
    match options.text("mount-checkout").map(|mount| mount.value).as_deref() {
        None | Some("false") => {}
        Some("true") => {
            let target = workdir.clone().unwrap_or_else(|| WORKDIR.to_owned());
            copies.push(json!({"path": ".", "target": target}));
        }
        Some(target) => copies.push(json!({"path": ".", "target": target})),
    }
    for volume in options.texts("volumes").unwrap_or_default() {
        match docker::mount(&volume) {
            Mount::Copy(copy) => copies.push(copy),
            Mount::Fresh(_) => {
                options.error(volume.span, "an empty volume is not available here", "write it in the Compose file");
            }
            Mount::Refused(message, help) => options.error(volume.span, &message, help),
        }
    }
    if !copies.is_empty() {
        compose.set("copies", copies);
    }
    if let Some(workdir) = workdir {
        compose.set("workdir", workdir);
    }
    if let Some(user) = options.text("user") {
        compose.set("user", user.value);
    }
    if options.flag("dependencies") == Some(false) {
        compose.set("dependencies", false);
    }
    let pull = options.texts("pull").unwrap_or_default();
    if !pull.is_empty() {
        compose.set("pull", pull.into_iter().map(|service| service.value).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Span;

    #[test]
    fn targets_have_a_registry_with_or_without_a_port() {
        let of = |text: &str| target(&Spanned::new(text.to_owned(), Span::default()));
        let some = |service: &str, repository: &str, tag: &str| Some((service.into(), repository.into(), tag.into()));
        assert_eq!(of("app:team/app:1.0"), some("app", "team/app", "1.0"));
        assert_eq!(of("app:127.0.0.1:5000/app"), some("app", "127.0.0.1:5000/app", "latest"));
        assert_eq!(of("app:r.example:5000/app:x"), some("app", "r.example:5000/app", "x"));
        assert_eq!(of("app:team/app:"), some("app", "team/app", "latest"));
        assert_eq!((of("app"), of(":x")), (None, None));
    }
}
