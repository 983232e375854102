//! Components that try to leave their sandbox. Each is refused or stopped, and the message says which step and why.

use crate::project::{Project, Said, root};

fn attack(component: &str, with: &str, grants: &str) -> (Project, Said) {
    let project = Project::with(&format!(
        "steps:
  - key: attack
    uses: ./steps/{component}.wasm
    with: {with}
    grants: {grants}
  - wait: ~
    continue_on_failure: true
  - command: echo the run goes on
"
    ))
    .component(component)
    .env("MY_TOKEN", "hunter22-secret")
    .env("OTHER", "not granted");
    let said = project.runner(&["run"]);
    (project, said)
}

#[track_caller]
fn refused(component: &str, with: &str, grants: &str, because: &str) -> Project {
    let (project, said) = attack(component, with, grants);
    let said = said.expect_status(1).expect_stdout(because).expect_stdout("the run goes on");
    assert!(said.stdout.contains("attack"), "{}", said.stdout);
    project
}

#[test]
fn what_every_component_has() {
    for (with, because) in [
        ("{ attack: stack }", "the component broke"),
        ("{ attack: panic }", "on purpose"),
        ("{ attack: memory }", "ran out of memory"),
        ("{ attack: outputs }", "at most 1 MiB is allowed"),
        ("{ attack: read, target: /etc/passwd }", "refused"),
        ("{ attack: read, target: /workspace/../../etc/passwd }", "refused"),
        ("{ attack: read, target: /workspace/link }", "refused"),
        ("{ attack: write, target: /workspace/pipeline.yml }", "refused"),
        ("{ attack: link, target: /workspace/pipeline.yml /workspace/copy }", "refused"),
        ("{ attack: list, target: / }", "refused"),
        ("{ attack: connect, target: \"127.0.0.1:22\" }", "refused"),
        ("{ attack: connect, target: \"169.254.169.254:80\" }", "refused"),
        ("{ attack: listen, target: \"127.0.0.1:0\" }", "refused"),
        ("{ attack: resolve, target: localhost }", "refused"),
        ("{ attack: secret, target: OTHER }", "the secret `OTHER` is not granted"),
        ("{ attack: handles, target: MY_TOKEN }", "too many handles"),
    ] {
        let project = Project::with(&format!(
            "steps:
  - {{ key: attack, uses: ./steps/hostile.wasm, with: {with}, grants: {{ workspace: read, secrets: MY_TOKEN }} }}
"
        ))
        .component("hostile")
        .env("MY_TOKEN", "hunter22-secret");
        std::os::unix::fs::symlink("/etc/passwd", project.path().join("link")).unwrap();
        project.runner(&["run"]).expect_status(1).expect_stdout(because);
    }
}

#[test]
fn nothing_of_the_workspace_without_a_grant() {
    refused("hostile", "{ attack: read, target: /workspace/pipeline.yml }", "{}", "refused");
    refused("hostile", "{ attack: read, target: /workspace/pipeline.yml }", "{ workspace: [steps] }", "refused");
}

#[test]
fn a_granted_file_is_readable_and_its_neighbours_are_not() {
    let (_, said) =
        attack("hostile", "{ attack: read, target: /workspace/pipeline.yml }", "{ workspace: [pipeline.yml] }");
    said.expect_status(0);
    let neighbour = "{ attack: read, target: /workspace/steps/hostile.wasm }";
    refused("hostile", neighbour, "{ workspace: [pipeline.yml] }", "refused");
}

#[test]
fn the_environment_is_empty_but_for_what_is_granted() {
    let (project, said) = attack("hostile", "{ attack: environment }", "{}");
    said.expect_status(0);
    assert_eq!(output_of(&project), "");
    let (project, _) = attack("hostile", "{ attack: env, target: OTHER }", "{}");
    assert_eq!(output_of(&project), "nothing");
    let (project, _) = attack("hostile", "{ attack: env, target: BUILDKITE_BRANCH }", "{ env: BUILDKITE_BRANCH }");
    assert_ne!(output_of(&project), "nothing");
}

#[test]
fn a_secret_leaves_no_trace_in_log_outputs_and_events() {
    for attack_name in ["secret", "print-secret"] {
        let with = format!("{{ attack: {attack_name}, target: MY_TOKEN }}");
        let (project, said) = attack("hostile", &with, "{ secrets: [MY_TOKEN] }");
        let said = said.expect_status(0);
        assert!(!said.stdout.contains("hunter22"), "{}", said.stdout);
        let runner = project.path().join(".runner");
        let found = std::process::Command::new("grep").arg("-rla").arg("hunter22").arg(&runner).output().unwrap();
        assert!(found.stdout.is_empty(), "in {}", String::from_utf8_lossy(&found.stdout));
    }
}

#[test]
fn escape_codes_do_not_reach_the_terminal() {
    let (_, said) = attack("hostile", "{ attack: escape-codes }", "{}");
    assert!(!said.stdout.contains("\u{1b}[2J") && !said.stdout.contains("owned"), "{:?}", said.stdout);
}

#[test]
fn programs() {
    let spawn = |program: &str| format!("{{ attack: spawn, target: \"{program}\" }}");
    refused("hostile-process", &spawn("/bin/sh"), "{ process: [/bin/true] }", "the program `/bin/sh` is not granted");
    refused("hostile-process", &spawn("true"), "{ process: [/bin/true] }", "the program `true` is not granted");
    let directory = "{ attack: spawn, target: /bin/true, directory: ../.. }";
    refused("hostile-process", directory, "{ process: [/bin/true] }", "leads upwards");
    let env = "{ attack: spawn, target: /bin/true, env: [[\"A=B\", x]] }";
    refused("hostile-process", env, "{ process: [/bin/true] }", "environment variable");
    let many = "{ attack: spawn, target: /bin/sleep, args: [\"7733\"], times: 100 }";
    refused("hostile-process", many, "{ process: [/bin/sleep] }", "at most 64 processes");
    refused("hostile-process", "{ attack: is-file, target: ../x }", "{ process: [/bin/true] }", "leads upwards");
    let (project, _) =
        attack("hostile-process", "{ attack: is-file, target: steps/hostile-process.wasm }", "{ process: x }");
    assert_eq!(output_of(&project), "true");
    let left = "{ attack: leave-running, target: /bin/sleep, args: [\"7733\"] }";
    attack("hostile-process", left, "{ process: [/bin/sleep] }").1.expect_status(0);
    let running = std::process::Command::new("pgrep").args(["-f", "sleep 7733"]).output().unwrap();
    assert!(!running.status.success(), "processes end with their job");
}

#[test]
fn meta_data_and_artifacts() {
    let write = "{ workspace: [steps], meta-data: write, artifacts: write, annotations: true }";
    for (with, because) in [
        ("{ attack: set, target: '', size: 1 }", "1 to 255"),
        ("{ attack: set, target: k, size: 0 }", "1 byte to 100 KiB"),
        ("{ attack: set, target: k, size: 102401 }", "1 byte to 100 KiB"),
        ("{ attack: get, target: nobody }", "no meta-data `nobody`"),
        ("{ attack: store, target: ../../runs.db, size: 1 }", "leads upwards"),
        ("{ attack: store, target: /etc/cron.d/x, size: 1 }", "is absolute"),
        ("{ attack: store, target: ., size: 1 }", "1 to 1024 bytes"),
        ("{ attack: store, target: big, size: 67108865 }", "at most 64 MiB"),
        ("{ attack: upload, target: pipeline.yml }", "not granted"),
        ("{ attack: upload, target: ../../etc/passwd }", "leads upwards"),
        ("{ attack: upload, target: steps }", "not a regular file"),
        ("{ attack: fetch, target: ../../runs.db }", "leads upwards"),
        ("{ attack: fetch, target: nobody }", "no artifact `nobody`"),
        ("{ attack: download, target: ../x }", "leads upwards"),
        ("{ attack: download, target: /etc/x }", "is absolute"),
        ("{ attack: download, target: pipeline.yml }", "writing `pipeline.yml` is not granted"),
        ("{ attack: download, target: .runner/runs.db }", "writing `.runner/runs.db` is not granted"),
        ("{ attack: annotate, target: \"\", size: 1 }", "expected 1 to 100"),
        ("{ attack: annotate, target: \"a\\nb\", size: 1 }", "none of them a control character"),
        ("{ attack: annotate, target: a, size: 1048577 }", "at most 1024 KiB"),
        ("{ attack: annotations, target: a, size: 1001 }", "1000"),
    ] {
        refused("hostile-data", with, write, because);
    }
    let read = "{ meta-data: read, artifacts: read, annotations: true }";
    refused("hostile-data", "{ attack: set, target: k, size: 1 }", read, "only reading meta-data is granted");
    refused("hostile-data", "{ attack: store, target: a, size: 1 }", read, "only reading artifacts is granted");
    let (project, _) = attack("hostile-data", "{ attack: set, target: k, size: 3 }", write);
    assert_eq!(output_of(&project), "xxx");
    let (project, _) = attack("hostile-data", "{ attack: store, target: a/b, size: 3 }", write);
    assert_eq!(output_of(&project), "a/b");
}

#[test]
fn stacks() {
    let grants =
        "{ aws: { account: \"000000000000\", region: us-east-1, stacks: [\"orders-*\"], operations: [deploy] } }";
    for (with, because) in [
        ("{ attack: open, stack: billing-prod }", "stack `billing-prod` is not granted"),
        ("{ attack: open, stack: orders-test/../billing }", "orders-test/../billing"),
        ("{ attack: open, stack: \"arn:aws:cloudformation:us-east-1:1:stack/orders-x/y\" }", "arn:aws"),
        ("{ attack: delete, stack: orders-x }", "needs the operation delete"),
        ("{ attack: change-set, stack: orders-x, template: \"{}\" }", "Resources"),
        (
            "{ attack: change-set, stack: orders-x, template: '{\"Resources\": {\"R\": {\"Type\": \"Custom::X\"}}}' }",
            "Custom::X",
        ),
        (
            "{ attack: change-set, stack: orders-x, template: '{\"Transform\": \"Evil\", \"Resources\": {\"R\": {\"Type\": \"AWS::SNS::Topic\"}}}' }",
            "Evil",
        ),
        (
            "{ attack: change-set, stack: orders-x, capabilities: [CAPABILITY_NAMED_IAM], template: '{\"Resources\": {\"R\": {\"Type\": \"AWS::SNS::Topic\"}}}' }",
            "CAPABILITY_NAMED_IAM",
        ),
    ] {
        refused("hostile-aws", with, grants, because);
    }
}

#[test]
fn docker() {
    let grants = "{ workspace: [steps], docker: { images: [\"debian:12-slim\"], push: [127.0.0.1:5050/granted], containers: { max: 2 } } }";
    for (with, because) in [
        ("{ attack: find, target: postgres:15 }", "postgres:15"),
        ("{ attack: pull, target: \"debian:12-slim/../../containers/prune?x#\" }", "reference"),
        ("{ attack: pull, target: Debian }", "reference"),
        ("{ attack: build, target: ., other: Dockerfile }", "not granted"),
        ("{ attack: build, target: ../.., other: Dockerfile }", "upwards"),
        ("{ attack: tag, target: \"debian:12-slim\", other: \"127.0.0.1:5050/granted-evil:1\" }", "not granted"),
        ("{ attack: push, target: \"debian:12-slim\", other: \"127.0.0.1:5050/other:1\" }", "not granted"),
        ("{ attack: egress }", "egress"),
        ("{ attack: networks, times: 17 }", "16"),
        ("{ attack: volumes, times: 33 }", "32"),
        ("{ attack: mount, target: \"debian:12-slim\", other: pipeline.yml }", "not granted"),
        ("{ attack: mount, target: \"debian:12-slim\", other: /etc }", "absolute"),
        ("{ attack: mount-target, target: \"debian:12-slim\", other: /proc/sys }", "/proc"),
        ("{ attack: copy-back, target: \"debian:12-slim\", other: /data }", "writing `steps` is not granted"),
        ("{ attack: copy-back, target: \"debian:12-slim\", other: /etc }", "there is no copy of a directory"),
        ("{ attack: copy-back, target: \"debian:12-slim\", other: /data/../etc }", "leads upwards"),
        ("{ attack: memory, target: \"debian:12-slim\" }", "memory"),
        ("{ attack: containers, target: \"debian:12-slim\", times: 3 }", "2"),
    ] {
        refused("hostile-docker", with, grants, because);
    }
}

/// What the attack got, from the run's events.
fn output_of(project: &Project) -> String {
    let log = rusqlite::Connection::open(project.path().join(".runner/runs.db")).unwrap();
    let query = "SELECT kind ->> '$.result.outputs.got' FROM events WHERE kind ->> '$.type' = 'job_finished' ORDER BY sequence LIMIT 1";
    log.query_row(query, [], |row| row.get::<_, Option<String>>(0)).unwrap().unwrap_or_default()
}

#[test]
fn every_hostile_component_has_a_test() {
    let source = include_str!("hostile.rs");
    for entry in std::fs::read_dir(root().join("tests/components")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "echo" || source.contains(&format!("\"{name}\"")), "{name} is used by no test");
    }
}
