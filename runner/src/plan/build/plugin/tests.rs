//! What each mapping makes of a plugin's configuration: parameters, grants, and refusals.

use crate::pipeline::{Source, parse};
use crate::plan::{BuildContext, JobKind, StepJob, build};
use serde_json::{Value, json};

/// The step of a pipeline with one, or what is wrong with it.
fn step(yaml: &str) -> Result<StepJob, Vec<String>> {
    let source = Source::new("pipeline.yml", format!("env: {{ SHARED: x }}\nsteps:\n  - {yaml}\n"));
    let parsed = parse(&source).unwrap();
    let planned = build(&parsed.pipeline, "pipeline.yml", &BuildContext::default());
    let (plan, _) = planned.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    match &plan.jobs[0].kind {
        JobKind::Step(step) => Ok((**step).clone()),
        other => panic!("{other:?}"),
    }
}

/// The parameters of the docker plugin's component for these options and this command, without those that are always
/// the same.
fn docker(command: &str, options: &str) -> Value {
    let plugin = format!("plugins: [{{ docker#v5.12.0: {{ image: \"debian:12\", {options} }} }}]");
    let step = step(&format!("{{ {command} {plugin} }}")).unwrap();
    assert_eq!((step.uses.as_str(), step.command), ("docker-run@1", false));
    let mut params = step.params;
    let params = params.as_object_mut().unwrap();
    for (name, value) in [("image", json!("debian:12")), ("write_back", json!(true)), ("network", json!("egress"))] {
        assert_eq!(params.shift_remove(name), Some(value), "{name}");
    }
    if params.get("mount") == Some(&json!("/workdir")) {
        params.shift_remove("mount");
    }
    Value::Object(std::mem::take(params))
}

#[test]
fn the_command_line_of_the_docker_plugin() {
    let sh = json!(["/bin/sh", "-e", "-c"]);
    for (command, options, expected) in [
        ("command: make,", "", json!({"command": "make", "shell": sh})),
        ("command: [a, b],", "", json!({"command": "a\nb", "shell": sh})),
        ("command: \"go test 'a b'\",", "shell: false", json!({"args": ["go", "test", "a b"]})),
        ("command: make,", "shell: [bash, -c]", json!({"command": "make", "shell": ["bash", "-c"]})),
        ("command: make,", "shell: \"bash -c\"", json!({"command": "make", "shell": ["bash", "-c"]})),
        ("command: make it,", "entrypoint: bash", json!({"entrypoint": ["bash"], "args": ["make", "it"]})),
        ("command: make it,", "entrypoint: \"\"", json!({"entrypoint": [], "args": ["make", "it"]})),
        (
            "command: make it,",
            "entrypoint: \"\", shell: [sh, -c]",
            json!({"entrypoint": [], "command": "make it", "shell": ["sh", "-c"]}),
        ),
        ("", "command: [init, -x]", json!({"args": ["init", "-x"]})),
        ("", "command: [init], shell: [sh, -c]", json!({"args": ["sh", "-c", "init"]})),
        ("", "", json!({"args": []})),
    ] {
        assert_eq!(docker(command, options), expected, "{command} {options}");
    }
}

#[test]
fn options_of_the_docker_plugin() {
    for (options, expected) in [
        ("workdir: /app", json!({"mount": "/app", "workdir": "/app"})),
        ("mount-checkout: false", json!({"mount": ""})),
        ("mount-checkout: false, workdir: /app", json!({"mount": "", "workdir": "/app"})),
        ("always_pull: true", json!({"pull": "always"})),
        ("always-pull: \"true\"", json!({"pull": "always"})),
        ("pull: never", json!({"pull": "never"})),
        ("user: \"1000:1000\"", json!({"user": "1000:1000"})),
        ("memory: 512m, cpus: 1.5", json!({"memory_mib": 512, "cpus": 1.5})),
        ("shm-size: 1g", json!({"shm_mib": 1024})),
        ("environment: [A=b=c, SHARED]", json!({"env": {"A": "b=c"}})),
        ("environment: [TOKEN]", json!({"secrets": ["TOKEN"]})),
        ("volumes: [\"./a:/b:ro\"]", json!({"copies": [{"path": "a", "target": "/b", "read_only": true}]})),
        ("volumes: [\".:/workdir\"]", json!({})),
        ("volumes: [\".:/app\"]", json!({"copies": [{"path": ".", "target": "/app", "read_only": false}]})),
        ("volumes: /cache, tmpfs: [\"/tmp:exec\", /run]", json!({"volumes": ["/cache", "/tmp"], "tmpfs": ["/run"]})),
        ("init: true, debug: true, tty: false, privileged: false, devices: []", json!({})),
    ] {
        assert_eq!(docker("", options), with(&json!({"args": []}), &expected), "{options}");
    }
}

fn with(first: &Value, second: &Value) -> Value {
    let both = [first, second].into_iter().flat_map(|value| value.as_object().unwrap().clone());
    Value::Object(both.collect())
}

#[test]
fn grants_are_what_the_docker_plugin_names_and_no_more() {
    let plugin = "docker#v5: { image: \"debian:12\", environment: [SHARED, OWN, TOKEN], memory: 1g, network: none }";
    let grants = step(&format!("{{ command: x, env: {{ OWN: y }}, plugins: [{{ {plugin} }}] }}")).unwrap().grants;
    let expected = json!({
        "workspace": {"read": [], "write": ["."]},
        "env": ["OWN", "SHARED", "TOKEN"],
        "secrets": ["TOKEN"],
        "docker": {
            "images": ["debian:12"],
            "containers": {"max": 8, "memory": "1GiB", "cpus": 2.0, "pids": 512, "egress": false, "publish": []},
        },
    });
    assert_eq!(serde_json::to_value(&grants).unwrap(), expected);
    let plugin = "docker#v5: { image: \"debian:12\", propagate-environment: true }";
    let grants = step(&format!("{{ command: x, plugins: [{{ {plugin} }}] }}")).unwrap().grants;
    assert_eq!(grants.env, ["BUILDKITE", "BUILDKITE_*", "CI", "SHARED"]);
}

#[test]
fn image_runs_the_command_with_the_whole_environment_of_the_job() {
    let step = step("{ command: make, image: \"debian:12\", env: { OWN: x } }").unwrap();
    assert_eq!((step.uses.as_str(), step.command), ("docker-run@1", false));
    let expected = json!({"image": "debian:12", "write_back": true, "command": "make", "network": "egress"});
    assert_eq!(step.params, expected);
    assert_eq!(step.grants.env, ["BUILDKITE", "BUILDKITE_*", "CI", "OWN", "SHARED"]);
    assert_eq!(step.grants.docker.unwrap().images, ["debian:12"]);
}

#[test]
fn a_plugin_for_containers_takes_the_place_of_image() {
    let plugins = "[{ docker#v5: { image: \"alpine:3\" } }]";
    let step = step(&format!("{{ command: make, image: \"debian:12\", plugins: {plugins} }}")).unwrap();
    assert_eq!(step.grants.docker.unwrap().images, ["alpine:3"]);
}

#[test]
fn the_docker_compose_plugin() {
    for (options, expected) in [
        ("run: app", json!({})),
        ("run: app, config: [./ci/compose.yml]", json!({"file": "ci/compose.yml"})),
        (
            "run: app, env: [A=b, TOKEN], environment: [SHARED]",
            json!({
                "container_env": ["A=b", "TOKEN", "SHARED"], "secrets": ["TOKEN"],
            }),
        ),
        (
            "run: app, volumes: [\"./out:/app/out\"]",
            json!({
                "copies": [{"path": "out", "target": "/app/out", "read_only": false}],
            }),
        ),
        ("run: app, mount-checkout: true", json!({"copies": [{"path": ".", "target": "/workdir"}]})),
        ("run: app, mount-checkout: /src", json!({"copies": [{"path": ".", "target": "/src"}]})),
        ("run: app, dependencies: false, pull: app", json!({"dependencies": false, "pull": ["app"]})),
        ("run: app, propagate-environment: true, workdir: /x", json!({"propagate_env": true, "workdir": "/x"})),
    ] {
        let plugin = format!("docker-compose#v4.14.0: {{ {options} }}");
        let step = step(&format!("{{ command: make, plugins: [{{ {plugin} }}] }}")).unwrap();
        let usual = json!({
            "file": "docker-compose.yml", "network": "egress", "build_network": "egress", "service": "app",
            "write_back": true, "command": ["/bin/sh", "-e", "-c", "make"],
        });
        assert_eq!((step.uses.as_str(), step.params), ("compose-test@1", with(&usual, &expected)), "{options}");
    }
    let push = "build: [app, db], image-repository: r.example/x, push: [\"app:r.example:5000/team/app:1.0\"]";
    let step = step(&format!("{{ plugins: [{{ docker-compose#v4: {{ {push} }} }}] }}")).unwrap();
    assert_eq!(step.params["build"], json!(["app", "db"]));
    let targets = json!([
        {"service": "app", "image": "r.example:5000/team/app", "tag": "1.0"},
        {"service": "app", "image": "r.example/x"},
        {"service": "db", "image": "r.example/x"},
    ]);
    assert_eq!(step.params["push"], targets);
    assert_eq!(step.grants.docker.unwrap().push, ["r.example/x", "r.example:5000/team/app"]);
}

#[test]
fn artifacts_and_reports_go_around_the_command() {
    let plugins = "[{ artifacts#v1: { download: [a, { from: b, to: c }], upload: \"out/*\" } }, { junit-annotate#v2: { artifacts: \"*.xml\" } }]";
    let around = step(&format!("{{ command: make, plugins: {plugins} }}")).unwrap();
    assert!(around.command && around.grants == crate::plan::grant::Grants::default());
    let uses = |phases: &[crate::plan::Phase]| phases.iter().map(|phase| phase.uses.clone()).collect::<Vec<_>>();
    assert_eq!(
        (uses(&around.before), uses(&around.after)),
        (vec!["artifacts@1".into()], vec!["artifacts@1".into(), "junit-annotate@1".into()])
    );
    let download = json!({"download": [{"from": "a"}, {"from": "b", "to": "c"}], "step": "", "ignore_missing": false});
    assert_eq!(around.before[0].params, download);
    let alone = step("{ plugins: [{ junit-annotate#v2: { artifacts: \"*.xml\", report-slowest: 5 } }] }").unwrap();
    assert_eq!(alone.params, json!({"artifacts": "*.xml", "report_slowest": 5}));
}

#[test]
fn logins_are_grants_of_containers_and_commands_of_commands() {
    let login = "docker-login#v3: { username: ci, server: \"https://index.docker.io/v1/\", password-env: HUB }";
    let ecr = "ecr#v2: { login: true, account_ids: [\"1\", \"2\"], region: us-east-1 }, ecr#v3: { login: true }";
    let docker = "docker#v5: { image: \"debian:12\" }";
    let step = |plugins: &str| step(&format!("{{ command: make, plugins: {{ {plugins} }} }}")).unwrap();
    let granted = step(&format!("{login}, {ecr}, {docker}")).grants.docker.unwrap().login;
    let expected = json!([
        {"registry": "docker.io", "username": "ci", "password": "HUB"},
        {"registry": "1.dkr.ecr.us-east-1.amazonaws.com", "helper": "ecr-login"},
        {"registry": "2.dkr.ecr.us-east-1.amazonaws.com", "helper": "ecr-login"},
        {"registry": "*.dkr.ecr.*.amazonaws.com", "helper": "ecr-login"},
    ]);
    assert_eq!(serde_json::to_value(granted).unwrap(), expected);
    let here = step(&format!("{login}, {ecr}"));
    assert!(here.command && here.grants.docker.is_none());
    assert_eq!(here.before.len(), 3);
    assert!(here.before.iter().all(|phase| phase.command && phase.uses == "command"));
    assert_eq!(step("ecr#v2: { login: false }").before, []);
}

#[test]
fn text_of_a_login_stays_text_in_its_command() {
    let plugin = "docker-login#v3: { username: \"a'; rm -rf / #\", server: \"$(x)\" }";
    let login = step(&format!("{{ command: make, plugins: [{{ {plugin} }}] }}")).unwrap();
    let script = login.before[0].params["command"].as_str().unwrap();
    let words = shlex::split(script.split('|').next_back().unwrap()).unwrap();
    assert_eq!(words, ["docker", "login", "--username", "a'; rm -rf / #", "--password-stdin", "$(x)"]);
    for wrong in [
        "docker-login#v3: { username: a, password-env: \"A; rm\" }",
        "ecr#v2: { login: true, region: \"x; rm\" }",
        "ecr#v2: { login: true, account-ids: \"$(rm)\" }",
    ] {
        assert!(step(&format!("{{ command: make, plugins: [{{ {wrong} }}] }}")).is_err(), "{wrong}");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let docker = "docker#v5: { image: \"debian:12\" }";
    for (yaml, expected) in [
        (
            format!("{{ command: x, plugins: {{ {docker}, docker-compose#v4: {{ run: app }} }} }}"),
            "and so does a plugin before it",
        ),
        (format!("{{ uses: echo@1, plugins: [{{ {docker} }}] }}"), "either `uses` or a plugin"),
        ("{ command: x, plugins: [{ docker#v5: { image: \"\" } }] }".to_owned(), "names no image"),
        ("{ command: x, plugins: [{ docker#v5: [a] }] }".to_owned(), "is a mapping"),
        ("{ command: x, plugins: [{ docker#v5: { image: a, command: [b] } }] }".to_owned(), "one of the plugin"),
        ("{ command: \"'\", plugins: [{ docker#v5: { image: a, shell: false } }] }".to_owned(), "within quotes"),
        ("{ plugins: [{ artifacts#v1: { upload: a } }] }".to_owned(), "no `command` to execute"),
        ("{ command: x, plugins: [{ artifacts#v1: { upload: a, compressed: b.tgz } }] }".to_owned(), "`compressed`"),
        ("{ command: x, plugins: [someone/docker#v5: { image: a }] }".to_owned(), "`someone/docker` is not mapped"),
        ("{ command: x, plugins: [\"./docker\"] }".to_owned(), "`./docker` is not mapped"),
        ("{ command: x, plugins: [\"evil.example/github.com/buildkite-plugins/docker\"] }".to_owned(), "is not mapped"),
    ] {
        let errors = step(&yaml).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(expected)), "{yaml}: {errors:?}");
    }
    for source in [
        "https://github.com/buildkite-plugins/docker-buildkite-plugin.git#v5",
        "ssh://git@github.com/buildkite-plugins/docker-buildkite-plugin",
    ] {
        let plugin = format!("{{ \"{source}\": {{ image: \"debian:12\" }} }}");
        assert!(step(&format!("{{ command: x, plugins: [{plugin}] }}")).is_ok(), "{source}");
    }
}
