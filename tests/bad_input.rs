//! Every mistake a user can make: a message with its place and a remedy, a fitting exit status, nothing left behind.

use crate::project::Project;
use expect_test::{Expect, expect};

#[track_caller]
fn check(pipeline: &str, status: i32, expected: &Expect) {
    let project = Project::with(pipeline).component("echo").component("hostile-docker");
    let said = project.runner(&["run"]);
    assert_eq!(said.status, status, "{}{}", said.stdout, said.stderr);
    assert!(!project.path().join(".runner").exists(), "a run that cannot begin leaves nothing behind");
    expected.assert_eq(&said.stderr);
}

#[test]
fn missing_file() {
    let project = Project::new();
    let said = project.runner(&["run", "nowhere.yml"]).expect_status(3);
    expect![[r#"
        error: the pipeline file nowhere.yml cannot be read: No such file or directory (os error 2)
         |
         = help: name another file, or leave it out to look in the usual places (see `runner run --help`)
    "#]]
    .assert_eq(&said.stderr);
    let said = project.runner(&["run"]).expect_status(3).expect_stderr("there is no pipeline file in");
    said.expect_stderr(".buildkite/pipeline.yml");
}

#[test]
fn several_files() {
    let project = Project::new().file("buildkite.yml", "").file(".buildkite/pipeline.yml", "");
    project.runner(&["run"]).expect_status(3).expect_stderr("buildkite.yml, .buildkite/pipeline.yml");
}

#[test]
fn invalid_yaml() {
    check(
        "steps:\n  - command: [\n",
        3,
        &expect![[r#"
        error: invalid YAML: while parsing a node, did not find expected node content
         --> pipeline.yml:2:16
          |
        2 |   - command: [
          |               ^

    "#]],
    );
}

#[test]
fn not_utf8() {
    let project = Project::new();
    std::fs::write(project.path().join("pipeline.yml"), b"steps:\n  - command: \xff\n").unwrap();
    project.runner(&["run"]).expect_status(3).expect_stderr("not UTF-8");
}

#[test]
fn a_step_that_is_none() {
    check(
        "steps:\n  - label: only a label\n",
        3,
        &expect![[r#"
        error: the step has nothing to do
         --> pipeline.yml:2:5
          |
        2 |   - label: only a label
          |     ^^^^^ none of the keys of this step says what kind of step it is
          |
          = help: add `command`, `uses`, `plugins`, `wait`, `block`, `input`, `trigger` or `group`

    "#]],
    );
}

#[test]
fn unknown_component() {
    check(
        "steps:\n  - uses: compose-tests@1\n",
        3,
        &expect![[r#"
            error: there is no built-in component `compose-tests`; there are: artifacts, command, compose-test, deploy, docker-run, docker-tag, junit-annotate
             --> pipeline.yml:2:11
              |
            2 |   - uses: compose-tests@1
              |           ^^^^^^^^^^^^^^^

        "#]],
    );
}

#[test]
fn component_of_another_version() {
    check(
        "steps:\n  - uses: deploy@7\n",
        3,
        &expect![[r#"
        error: the built-in component `deploy` has version 1.0.0, which `^7` does not fit
         --> pipeline.yml:2:11
          |
        2 |   - uses: deploy@7
          |           ^^^^^^^^

    "#]],
    );
}

#[test]
fn component_without_version() {
    check(
        "steps:\n  - uses: deploy\n",
        3,
        &expect![[r#"
        error: `deploy` is not a component reference: it names no version; write deploy@1
         --> pipeline.yml:2:11
          |
        2 |   - uses: deploy
          |           ^^^^^^

    "#]],
    );
}

#[test]
fn missing_component_file() {
    check(
        "steps:\n  - uses: ./steps/mine.wasm\n",
        3,
        &expect![[r#"
        error: the component file `./steps/mine.wasm` cannot be read: No such file or directory (os error 2)
         --> pipeline.yml:2:11
          |
        2 |   - uses: ./steps/mine.wasm
          |           ^^^^^^^^^^^^^^^^^
          |
          = help: paths are relative to the directory the pipeline runs in

    "#]],
    );
}

#[test]
fn component_that_is_none() {
    let project = Project::with("steps:\n  - uses: ./bad.wasm\n").file("bad.wasm", "not wasm at all");
    project.runner(&["run"]).expect_status(3).expect_stderr("./bad.wasm").expect_stderr("cannot be used");
}

#[test]
fn wrong_parameter() {
    check(
        "steps:
  - uses: ./steps/echo.wasm
    with:
      outputs: {}
      exit_status: high
",
        3,
        &expect![[r#"
            error: wrong parameter for `echo`: "high" is not of type "integer"
             --> pipeline.yml:5:20
              |
            5 |       exit_status: high
              |                    ^^^^
              |
              = help: its parameters are: outputs, exit_status

        "#]],
    );
}

#[test]
fn missing_parameter() {
    check(
        "steps:
  - uses: docker-tag@1
    with:
      tags: [latest]
    grants:
      workspace: read
      docker: {}
",
        3,
        &expect![[r#"
            error: wrong parameter for `docker-tag`: "image" is a required property
             --> pipeline.yml:3:5
              |
            3 |     with:
              |     ^^^^
              |
              = help: its parameters are: image (required), tags (required), context, dockerfile, target, args, network, push

        "#]],
    );
}

#[test]
fn missing_grant() {
    check(
        "steps:\n  - uses: ./steps/hostile-docker.wasm\n    with: { attack: find }\n",
        4,
        &expect![[r#"
        error: `hostile-docker` uses docker, which the step does not grant
         --> pipeline.yml:2:5
          |
        2 |   - uses: ./steps/hostile-docker.wasm
          |     ^^^^
          |
          = help: add `docker:` to the step's `grants`, or use another component

    "#]],
    );
}

#[test]
fn too_narrow_grant() {
    check(
        "steps:
  - uses: docker-tag@1
    with: { image: registry.example.com/orders, tags: [v1] }
    grants:
      workspace: read
      docker: { build: [service] }
",
        4,
        &expect![[r#"
            error: `docker-tag` needs more than the step grants
             --> pipeline.yml:4:5
              |
            4 |     grants:
              |     ^^^^^^
              |
              = help: add to the step:
                      grants:
                        docker:
                          build:
                          - context: '.'
                            network: none
                          push:
                          - registry.example.com/orders

        "#]],
    );
}

#[test]
fn unknown_grant() {
    check(
        "steps:
  - command: make
    grants:
      docker:
        privileged: true
",
        3,
        &expect![[r#"
            error: not a grant: unknown field `privileged`, expected one of `build`, `images`, `push`, `containers`, `login`
             --> pipeline.yml:5:21
              |
            5 |         privileged: true
              |                     ^^^^

        "#]],
    );
}

#[test]
fn unknown_dependency() {
    check(
        "steps:\n  - { key: a, command: make, depends_on: bb }\n",
        3,
        &expect![[r#"
        error: no step has the key `bb`
         --> pipeline.yml:2:42
          |
        2 |   - { key: a, command: make, depends_on: bb }
          |                                          ^^
          |
          = help: the keys are: a

    "#]],
    );
}

#[test]
fn steps_that_wait_for_each_other() {
    check(
        "steps:
  - { key: a, command: make, depends_on: b }
  - { key: b, command: make, depends_on: a }
",
        3,
        &expect![[r#"
            error: the steps wait for each other: a → b → a
             --> pipeline.yml:2:5
              |
            2 |   - { key: a, command: make, depends_on: b }
              |     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
              |
              = help: remove one of the dependencies

        "#]],
    );
}

#[test]
fn broken_condition() {
    check(
        "steps:\n  - { command: make, if: 'build.brnch == \"x\"' }\n",
        3,
        &expect![[r#"
        error: in the condition: `build.brnch` is not a variable
         --> pipeline.yml:2:27
          |
        2 |   - { command: make, if: 'build.brnch == "x"' }
          |                           ^^^^^^^^^^^
          |
          = help: did you mean `build.branch`?

    "#]],
    );
}

#[test]
fn bad_interpolation() {
    check(
        "steps:\n  - command: echo ${VERSION?set it}\n",
        3,
        &expect![[r#"
        error: $VERSION: set it
         --> pipeline.yml:2:19
          |
        2 |   - command: echo ${VERSION?set it}
          |                   ^^^^^^^^^^^^^^^^^
          |
          = help: set the variable `VERSION` or give it a default: `${VERSION:-DEFAULT}`

    "#]],
    );
}

#[test]
fn plugins_are_not_fetched() {
    check(
        "steps:\n  - command: make\n    plugins: [my-org/foo#v1.0.0]\n",
        3,
        &expect![[r#"
            error: the plugin `my-org/foo` is not mapped to a component
             --> pipeline.yml:3:15
              |
            3 |     plugins: [my-org/foo#v1.0.0]
              |               ^^^^^^^^^^^^^^^^^
              |
              = help: plugins are never fetched from the network; map it to a component in runner.yml:
                      plugins:
                        "my-org/foo":
                          uses: ./steps/foo.wasm
                          runs: before
                          with: {}
                          grants: {}

        "#]],
    );
}

#[test]
fn docker_that_does_not_run() {
    let project = Project::with(
        "steps:
  - uses: ./steps/hostile-docker.wasm
    with: { attack: find, target: postgres:15 }
    grants: { docker: { images: [postgres:15] } }
",
    )
    .component("hostile-docker")
    .env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
    let said = project.runner(&["run"]).expect_status(7);
    let said = said.expect_stderr("the Docker Engine does not answer at").expect_stderr("DOCKER_HOST");
    assert!(!project.path().join(".runner").exists(), "{}", said.stderr);
}

#[test]
fn wrong_usage() {
    let project = Project::new();
    project.runner(&["run", "--no-such-flag"]).expect_status(2);
    project.runner(&["unblock", "7"]).expect_status(2).expect_stderr("there is no run `7` in this project");
    let project = Project::with("steps:\n  - command: \"true\"\n");
    project.runner(&["run", "--unblock", "x"]).expect_status(2).expect_stderr("no block or input steps");
}

#[test]
fn a_directory_that_cannot_be_written() {
    let project = Project::with("steps:\n  - command: \"true\"\n").file(".runner", "a file, not a directory");
    project.runner(&["run"]).expect_status(7).expect_stderr(".runner");
}

#[test]
fn a_damaged_event_log_is_said_to_be_one() {
    let project =
        Project::with("steps:\n  - command: \"true\"\n").file(".runner/runs.db", "this is not a database at all");
    project.runner(&["run"]).expect_status(7).expect_stderr("damaged");
}
