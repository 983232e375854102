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
fn a_command_that_is_a_file_is_made_executable_and_run_as_one() {
    let project = Project::with("steps:\n  - command: ci/test\n").file("ci/test", "#!/bin/sh\necho \"ran $0\"\n");
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

#[test]
fn a_concurrency_group_keeps_the_order_of_the_pipeline_unless_it_is_eager() {
    let pipeline = |method: &str| {
        format!(
            "steps:
  - {{ key: slow, command: sleep 0.4 }}
  - {{ key: first, command: echo first >> order, depends_on: slow, concurrency: 1, concurrency_group: g{method} }}
  - {{ key: second, command: echo second >> order, concurrency: 1, concurrency_group: g{method} }}
"
        )
    };
    for (method, order) in [("", "first\nsecond\n"), (", concurrency_method: eager", "second\nfirst\n")] {
        let project = Project::with(&pipeline(method));
        project.runner(&["run"]).expect_status(0);
        assert_eq!(std::fs::read_to_string(project.path().join("order")).unwrap(), order, "{method}");
    }
}

#[test]
fn a_group_in_which_an_earlier_job_waits_for_a_later_one_does_not_wait_for_itself() {
    let project = Project::with(
        "steps:
  - { key: a, command: echo a >> order, depends_on: b, concurrency: 1, concurrency_group: g }
  - { key: b, command: echo b >> order, concurrency: 1, concurrency_group: g }
",
    );
    project.runner(&["run"]).expect_status(0);
    assert_eq!(std::fs::read_to_string(project.path().join("order")).unwrap(), "b\na\n");
}

#[test]
fn a_retry_rule_may_ask_for_the_signal() {
    let project = Project::with(
        "steps:
  - key: killed
    command: echo x >> killed; test $$(wc -l < killed) -ge 2 || kill -9 $$$$
    retry: { automatic: [{ signal: sigkill, limit: 1 }] }
  - key: exits
    command: echo x >> exits; exit 9
    retry: { automatic: [{ exit_status: '*', signal: SIGKILL }] }
    soft_fail: true
",
    );
    project.runner(&["run"]).expect_status(0).expect_stdout("SIGKILL");
    let lines = |name: &str| std::fs::read_to_string(project.path().join(name)).unwrap().lines().count();
    assert_eq!((lines("killed"), lines("exits")), (2, 1));
}

#[test]
fn jobs_that_want_to_are_cancelled_as_soon_as_the_run_fails() {
    let project = Project::with(
        "steps:
  - { key: bad, command: sleep 0.3; exit 1 }
  - { key: long, command: sleep 60, cancel_on_build_failing: true }
  - { key: later, command: touch later, depends_on: long, cancel_on_build_failing: true }
  - { key: other, command: sleep 0.8; touch other }
",
    );
    let before = std::time::Instant::now();
    let said = project.runner(&["run"]).expect_status(1).expect_stdout("1 passed, 1 failed, 2 cancelled");
    assert!(before.elapsed().as_secs() < 30, "{}", said.stdout);
    assert!(project.path().join("other").exists() && !project.path().join("later").exists());
}

#[test]
fn a_trigger_runs_another_pipeline_of_the_project_and_waits_for_it() {
    let project = Project::with(
        "steps:
  - trigger: deploy
    key: deploy
    build: { branch: release, message: go, env: { TO: test }, meta_data: { who: me } }
  - wait
  - command: test -e deployed
",
    )
    .file(
        ".buildkite/pipeline.deploy.yml",
        "steps:
  - command: echo \"$$TO $$BUILDKITE_BRANCH $$BUILDKITE_SOURCE $$BUILDKITE_TRIGGERED_FROM_BUILD_NUMBER $$BUILDKITE_PIPELINE_SLUG\" > deployed
",
    );
    project.runner(&["run"]).expect_status(0).expect_stdout("run 2 passed").expect_stdout("run 1 passed");
    let deployed = std::fs::read_to_string(project.path().join("deployed")).unwrap();
    assert_eq!(deployed, "test release trigger_job 1 deploy\n");
}

#[test]
fn a_triggered_run_that_fails_fails_its_trigger_unless_nobody_waits_for_it() {
    let project = Project::with("steps:\n  - trigger: bad\n")
        .file("bad.yml", "steps:\n  - command: exit 3\n")
        .file("soft.yml", "steps:\n  - { trigger: bad, soft_fail: true }\n")
        .file("detached.yml", "steps:\n  - { trigger: bad, async: true }\n")
        .file("itself.yml", "steps:\n  - trigger: itself\n")
        .file("nowhere.yml", "steps:\n  - trigger: nobody-knows\n");
    project.runner(&["run"]).expect_status(1).expect_stdout("run 2 failed");
    project.runner(&["run", "soft.yml"]).expect_status(0);
    project.runner(&["run", "detached.yml"]).expect_status(0).expect_stdout("has started").expect_stderr("waiting for");
    project.runner(&["run", "itself.yml"]).expect_status(1).expect_stdout("more than 10 times");
    project
        .runner(&["run", "nowhere.yml"])
        .expect_status(3)
        .expect_stderr("nowhere.yml:2")
        .expect_stderr("nobody-knows");
}

#[test]
fn a_failed_job_is_run_again_with_what_waited_for_it() {
    let project = Project::with(
        "steps:
  - { key: fine, command: echo x >> fine }
  - { key: flaky, command: test -e mended, depends_on: fine }
  - { key: after, command: touch after, depends_on: flaky }
  - { key: never, command: exit 1, soft_fail: true, retry: { manual: { allowed: false, reason: it is of no use } } }
",
    );
    project.runner(&["run"]).expect_status(1).expect_stdout("1 not run");
    project.runner(&["retry", "1", "nobody"]).expect_status(2).expect_stderr("can be run again are: flaky");
    project.runner(&["retry", "1", "never"]).expect_status(2).expect_stderr("it is of no use");
    project.runner(&["retry", "1", "fine"]).expect_status(2).expect_stderr("permit_on_passed");
    project.runner(&["retry", "1", "after"]).expect_status(2).expect_stderr("retry what it waited for");
    project.runner(&["retry", "1", "flaky"]).expect_status(1);
    std::fs::write(project.path().join("mended"), "").unwrap();
    let said = project.runner(&["retry", "1", "flaky"]).expect_status(0);
    said.expect_stdout("(attempt 3)").expect_stdout("run 1 passed").expect_stdout("3 passed, 1 failed softly");
    assert!(project.path().join("after").exists());
    assert_eq!(std::fs::read_to_string(project.path().join("fine")).unwrap(), "x\n");
}

#[test]
fn hooks_of_the_repository_run_around_the_command_and_hand_on_what_they_export() {
    let hook = |name: &str| format!("echo \"{name} $BUILDKITE_COMMAND_EXIT_STATUS $SEEN $GONE\" >> order\n");
    let project = Project::with(
        "env: { GONE: here }
steps:
  - command: echo \"command $$SEEN $$GONE\" >> order; echo kept > kept.txt; exit 3
    artifact_paths: \"*.txt\"
  - wait: ~
    continue_on_failure: true
  - uses: ./steps/echo.wasm
    artifact_paths: [order]
  - wait: ~
    continue_on_failure: true
  - { key: last, command: mkdir got; buildkite-agent artifact download '*' got }
",
    )
    .component("echo")
    .file(".buildkite/hooks/pre-command", "export SEEN=exported\nunset GONE\nnot_exported=1\n")
    .file(".buildkite/hooks/post-command", &hook("post-command"))
    .file(".buildkite/hooks/pre-artifact", &hook("pre-artifact"))
    .file(".buildkite/hooks/pre-exit", &hook("pre-exit"));
    let said = project.runner(&["run"]).expect_status(1).expect_stdout("(exit status 3)");
    let said = said.expect_stdout("Running repository pre-command hook");
    let order = std::fs::read_to_string(project.path().join("order")).unwrap();
    let first = "command exported \npost-command 3 exported \npre-artifact 3 exported \npre-exit 3 exported \n";
    assert!(order.starts_with(first), "{order}\n{}", said.stdout);
    assert_eq!(std::fs::read_to_string(project.path().join("got/kept.txt")).unwrap(), "kept\n");
    assert!(project.path().join("got/order").exists(), "{}", said.stdout);
}

#[test]
fn a_command_hook_takes_the_place_of_the_command_and_the_last_hook_has_the_last_word() {
    let project = Project::with("steps:\n  - command: touch never\n")
        .file(".buildkite/hooks/command", "echo \"instead of $BUILDKITE_COMMAND\"\n")
        .file(".buildkite/hooks/pre-exit", "exit 9\n");
    let said = project.runner(&["run"]).expect_status(1).expect_stdout("instead of touch never");
    said.expect_stdout("the pre-exit hook exited with status 9");
    assert!(!project.path().join("never").exists());
}

#[test]
fn notifications_are_components_that_tell_how_it_ended() {
    let project = Project::with(
        "notify:
  - slack: '#builds'
    if: build.state == \"failed\"
  - slack: { channels: ['#never'] }
    if: build.state == \"passed\"
  - webhook: https://example.com
steps:
  - key: bad
    command: exit 4
    notify:
      - slack: '#step'
        if: step.outcome == \"hard_failed\"
  - wait
  - command: 'true'
",
    )
    .component("echo")
    .file("runner.yml", "notify:\n  slack: { uses: ./steps/echo.wasm, with: { exit_status: 5 } }\n");
    let said = project.runner(&["run"]).expect_status(1);
    let said = said.expect_stderr("`webhook` of `notify` is not mapped").expect_stderr("notify:\n");
    // Both that are wanted were tried, and that they fail is no matter.
    let said = said.expect_stdout("1 failed, 1 not run").expect_stdout("notify-slack-2 skipped");
    for name in ["notify-slack ", "notify-slack-3 "] {
        assert!(said.stdout.contains(&format!("✘ {name}")), "{name} in\n{}", said.stdout);
    }
    let project = Project::with("notify: [{ slack: a, if: build.stat == 1 }]\nsteps: [{ command: 'true' }]\n")
        .component("echo")
        .file("runner.yml", "notify: { slack: { uses: ./steps/echo.wasm } }\n");
    project.runner(&["check"]).expect_status(3).expect_stderr("pipeline.yml:1").expect_stderr("build.stat");
}

#[test]
fn a_pipeline_that_is_triggered_may_be_named_in_the_settings() {
    let project = Project::with("steps:\n  - trigger: other-team-deploy\n")
        .file("deploy/pipe.yml", "steps:\n  - command: touch deployed\n")
        .file("runner.yml", "pipelines: { other-team-deploy: deploy/pipe.yml }\n");
    project.runner(&["run"]).expect_status(0);
    assert!(project.path().join("deployed").exists());
}

#[test]
fn a_run_whose_process_was_killed_goes_on_in_another() {
    let project = Project::with(
        "steps:
  - { key: first, command: echo x >> first }
  - wait
  - { key: second, command: echo x >> second; test -e mended || sleep 30 }
  - wait
  - { key: third, command: touch third }
",
    );
    let mut killed = project.start(&["run"]);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !project.path().join("second").exists() {
        assert!(std::time::Instant::now() < give_up, "the second job does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::fs::write(project.path().join("mended"), "").unwrap();
    let said = project.runner(&["resume"]).expect_status(0).expect_stdout("attempt 1 was lost");
    assert!(!said.stdout.contains("▶ first"), "what was shown before is not shown again:\n{}", said.stdout);
    let said = said.expect_stdout("(attempt 2)");
    said.expect_stdout("run 1 passed").expect_stdout("3 passed");
    assert_eq!(std::fs::read_to_string(project.path().join("first")).unwrap(), "x\n");
    assert!(project.path().join("third").exists());
    project.runner(&["resume", "1"]).expect_status(2).expect_stderr("run 1 is over");
    project.runner(&["resume"]).expect_status(2).expect_stderr("no run of this project was interrupted");
}

#[test]
fn an_upload_that_holds_a_secret_is_refused() {
    let project = Project::with(
        "steps:
  - command: |
      printf 'steps: [{command: \"echo %s\"}]' \"$$TOK\" | buildkite-agent pipeline upload
    secrets: [TOK]
",
    )
    .env("TOK", "hunter22-x");
    let said = project.runner(&["run"]).expect_status(1).expect_stdout("the value of a secret");
    assert!(!said.stdout.contains("hunter"), "{}", said.stdout);
    let stored = std::fs::read(project.path().join(".runner/runs.db")).unwrap();
    assert!(!String::from_utf8_lossy(&stored).contains("hunter"));
}

#[test]
fn interrupting_reaches_a_run_that_nobody_waits_for() {
    let project = Project::with("steps:\n  - { trigger: slow, async: true }\n")
        .file("slow.yml", "steps:\n  - command: touch began; sleep 60\n");
    let run = project.start(&["run"]);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !project.path().join("began").exists() {
        assert!(std::time::Instant::now() < give_up, "the triggered run does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    let pid = run.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stdout));
}
