//! Runs of pipelines: order, results, data between steps.

use crate::project::Project;

#[test]
fn steps_run_in_the_order_their_barriers_give() {
    let project = Project::with(
        "steps:
  - command: sleep 0.3; echo one >> order
  - wait
  - command: echo two >> order
  - wait: ~
    continue_on_failure: true
  - command: echo three >> order
",
    );
    project.runner(&["run"]).expect_status(0).expect_stdout("run 1 passed").expect_stdout("3 passed");
    assert_eq!(std::fs::read_to_string(project.path().join("order")).unwrap(), "one\ntwo\nthree\n");
}

#[test]
fn what_comes_after_a_failure_does_not_run_unless_it_may() {
    let project = Project::with(
        "steps:
  - { key: bad, command: exit 7 }
  - { key: dependent, command: touch never, depends_on: bad }
  - { key: tolerant, command: touch tolerant, depends_on: [{ step: bad, allow_failure: true }] }
  - wait: ~
    continue_on_failure: true
  - { key: cleanup, command: touch cleanup }
  - wait
  - { key: publish, command: touch never }
",
    );
    let said = project.runner(&["run"]).expect_status(1);
    let said = said.expect_stdout("failed after").expect_stdout("(exit status 7)");
    said.expect_stdout("1 failed").expect_stdout("not run: something before it failed");
    assert!(project.path().join("tolerant").exists());
    assert!(project.path().join("cleanup").exists());
    assert!(!project.path().join("never").exists());
}

#[test]
fn a_soft_failure_leaves_the_run_unharmed_and_a_retry_tries_again() {
    let project = Project::with(
        "steps:
  - { key: soft, command: exit 3, soft_fail: [{ exit_status: 3 }] }
  - key: again
    command: echo x >> tries; test $$(wc -l < tries) -eq 3
    retry: { automatic: { limit: 2 } }
",
    );
    project.runner(&["run"]).expect_status(0).expect_stdout("failed softly").expect_stdout("(attempt 3)");
    assert_eq!(std::fs::read_to_string(project.path().join("tries")).unwrap().lines().count(), 3);
}

#[test]
fn outputs_of_one_step_are_parameters_of_another() {
    let project = Project::with(
        "steps:
  - key: first
    uses: ./steps/echo.wasm
    with: { outputs: { digest: abc, size: 3 } }
  - key: second
    uses: ./steps/echo.wasm
    with: { outputs: { text: \"got {{ steps.first.outputs.digest }}\", exit: \"{{ steps.first.outputs.size }}\" } }
  - key: third
    uses: ./steps/echo.wasm
    with: { exit_status: \"{{ steps.second.outputs.exit }}\" }
",
    )
    .component("echo");
    // The third exits with the number the first gave: it has kept its type all the way.
    project.runner(&["run"]).expect_status(1).expect_stdout("(exit status 3)");
}

#[test]
fn outputs_reach_a_command_through_its_environment_and_no_other_way() {
    let project = Project::with(
        "steps:
  - { key: first, uses: ./steps/echo.wasm, with: { outputs: { text: \"a; touch injected\" } } }
  - command: echo \"got $$TEXT\"
    env: { TEXT: \"{{ steps.first.outputs.text }}\" }
",
    )
    .component("echo");
    project.runner(&["run"]).expect_status(0).expect_stdout("got a; touch injected");
    assert!(!project.path().join("injected").exists());
    let project = Project::with(
        "steps:
  - { key: first, uses: ./steps/echo.wasm }
  - command: echo {{ steps.first.outputs.text }}
",
    )
    .component("echo");
    project.runner(&["run"]).expect_status(3).expect_stderr("run as code").expect_stderr("`env`");
}

#[test]
fn branches_conditions_and_skips_leave_steps_out_and_say_why() {
    let project = Project::with(
        "steps:
  - { key: always, command: \"true\" }
  - { key: master-only, command: \"true\", branches: master }
  - { key: conditional, command: \"true\", if: build.branch == \"master\" }
  - { key: never, command: \"true\", skip: broken for now }
",
    );
    let said = project.runner(&["run", "--branch", "topic"]).expect_status(0);
    let said = said.expect_stdout("the branch `topic` does not match `branches: master`");
    let said = said.expect_stdout("`if: build.branch == \"master\"` does not hold");
    said.expect_stdout("skipped: broken for now").expect_stdout("1 passed, 3 skipped");
    project.runner(&["run", "--branch", "master"]).expect_status(0).expect_stdout("3 passed, 1 skipped");
}

#[test]
fn a_command_has_the_environment_of_an_agent() {
    let project = Project::with(
        "env: { WHO: pipeline, LEVEL: \"1\" }
steps:
  - key: show
    label: \":wave: Show\"
    env: { LEVEL: \"2\" }
    command: echo \"[$$CI $$BUILDKITE $$BUILDKITE_BRANCH $$BUILDKITE_STEP_KEY $$BUILDKITE_BUILD_NUMBER $$WHO $$LEVEL $WHO]\"
",
    );
    let said = project.runner(&["run", "--branch", "b", "--commit", "c"]).expect_status(0);
    said.expect_stdout("[true true b show 1 pipeline 2 pipeline]");
}

#[test]
fn a_command_that_is_a_file_is_run_as_one() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::with("steps:\n  - command: ci/test\n").file("ci/test", "#!/bin/sh\necho \"ran $0\"\n");
    std::fs::set_permissions(project.path().join("ci/test"), std::fs::Permissions::from_mode(0o755)).unwrap();
    project.runner(&["run"]).expect_status(0).expect_stdout("ran ./ci/test");
}

#[test]
fn jobs_of_a_matrix_and_of_parallelism_are_jobs_of_their_own() {
    let project = Project::with(
        "steps:
  - key: m
    label: \"on {{matrix.os}}\"
    command: echo \"<{{matrix.os}}-{{matrix.n}}>\"
    matrix: { setup: { os: [linux, mac], n: [1, 2] } }
  - key: p
    command: echo \"<$$BUILDKITE_PARALLEL_JOB of $$BUILDKITE_PARALLEL_JOB_COUNT>\"
    parallelism: 2
",
    );
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("6 passed");
    for text in ["<linux-1>", "<linux-2>", "<mac-1>", "<mac-2>", "<0 of 2>", "<1 of 2>"] {
        assert!(said.stdout.contains(text), "{text} in\n{}", said.stdout);
    }
}

#[test]
fn secrets_by_name_of_the_variable_are_redacted() {
    let project = Project::with(
        "steps:\n  - command: echo \"token $$MY_TOKEN\"; printf $${MY_TOKEN:0:6}; sleep 0.1; echo $${MY_TOKEN:6}\n",
    )
    .env("MY_TOKEN", "hunter22-x");
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("token [REDACTED]");
    assert!(!said.stdout.contains("hunter"), "{}", said.stdout);
}

#[test]
fn the_plan_shows_jobs_components_and_grants() {
    let project = Project::with(
        "steps:
  - key: first
    uses: ./steps/echo.wasm
    grants: { workspace: read }
  - wait
  - { label: \"Say it\", command: \"echo hi\" }
",
    )
    .component("echo");
    let said = project.runner(&["plan"]).expect_status(0);
    let said = said.expect_stdout("echo@1.0.0 sha256:").expect_stdout("workspace: {\"read\":[\".\"]");
    said.expect_stdout("after     wait").expect_stdout("command   echo hi");
    let json = project.runner(&["plan", "--json"]).expect_status(0);
    let plan: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(plan["jobs"].as_array().unwrap().len(), 3);
    project.runner(&["check"]).expect_status(0).expect_stdout("pipeline.yml is all right: 2 jobs to run");
}
