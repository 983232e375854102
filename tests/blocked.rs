//! Block and input steps: who waits, who lets go on, and what is left over weeks.

use crate::project::{Project, said};

const GATED: &str = "steps:
  - command: echo before
  - block: Release?
    key: release
    prompt: Has somebody looked at it?
    fields:
      - { key: region, select: Region, options: [{ label: Europe, value: eu }, { label: America, value: us }] }
  - command: touch released
";

#[test]
fn a_run_without_a_terminal_ends_as_blocked_and_goes_on_in_another_process() {
    let project = Project::with(GATED);
    let blocked = project.runner(&["run"]).expect_status(5);
    let blocked = blocked.expect_stdout("run 1 is blocked at `Release?`");
    blocked.expect_stdout("runner unblock 1 release --field region=…");
    assert!(!project.path().join("released").exists());

    let missing = project.runner(&["unblock", "1"]).expect_status(2);
    missing.expect_stderr("the field `region` (Region) must be filled in");
    let wrong = project.runner(&["unblock", "1", "--field", "region=mars"]).expect_status(2);
    wrong.expect_stderr("`mars` is no choice for `region`; the choices are: eu, us");
    let other = project.runner(&["unblock", "1", "elsewhere"]).expect_status(2);
    other.expect_stderr("not blocked at `elsewhere`").expect_stderr("it waits at: release");

    let released = project.runner(&["unblock", "1", "release", "--field", "region=eu", "--by", "Ana"]).expect_status(0);
    released.expect_stdout("unblocked by Ana").expect_stdout("run 1 passed");
    assert!(project.path().join("released").exists());
    project.runner(&["unblock", "1"]).expect_status(2).expect_stderr("run 1 is not blocked");
}

#[test]
fn a_run_that_waits_is_released_from_another_process() {
    let project = Project::with(GATED);
    let waiting = project.start(&["run", "--wait"]);
    let give_up = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let released = loop {
        let said = project.runner(&["unblock", "1", "--field", "region=us"]);
        if said.status == 0 {
            break said;
        }
        assert!(std::time::Instant::now() < give_up, "{}", said.stderr);
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    released.expect_stdout("run 1 goes on in the process that waits for it");
    let said = said(&waiting.wait_with_output().unwrap());
    said.expect_status(0).expect_stdout("run 1 passed");
    assert!(project.path().join("released").exists());
}

#[test]
fn a_step_can_be_answered_in_advance() {
    let project = Project::with("steps:\n  - { block: Go?, key: go }\n  - command: touch gone\n");
    project.runner(&["run", "--unblock", "go"]).expect_status(0).expect_stdout("unblocked by tester");
    assert!(project.path().join("gone").exists());
    let project = Project::with(GATED);
    let said = project.runner(&["run", "--unblock", "release"]).expect_status(2);
    said.expect_stderr("cannot be answered in advance");
}

#[test]
fn a_block_after_a_failure_is_not_reached() {
    let project = Project::with(
        "steps:
  - command: exit 1
  - wait: ~
    continue_on_failure: true
  - command: \"true\"
  - { block: Go?, key: go }
  - command: touch gone
",
    );
    project.runner(&["run"]).expect_status(1);
    assert!(!project.path().join("gone").exists());
}

#[test]
fn an_input_step_holds_up_nobody_who_does_not_depend_on_it() {
    let project = Project::with("steps:\n  - { input: Note?, key: note }\n  - command: touch done\n");
    project.runner(&["run"]).expect_status(5);
    assert!(project.path().join("done").exists());
    project.runner(&["unblock", "1"]).expect_status(0).expect_stdout("run 1 passed");
}

/// The name of the account that runs the tests, as the system says it.
fn account() -> String {
    let output = std::process::Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const TEAM: &str = "steps:\n  - { block: Go?, key: go, allowed_teams: [release] }\n  - command: touch gone\n";

#[test]
fn only_the_teams_of_a_step_let_it_go_on() {
    let teams = |members: &str| format!("teams: {{ release: [{members}] }}\n");
    let project = Project::with(TEAM).file("runner.yml", &teams("ana, bob"));
    let blocked = project.runner(&["run"]).expect_status(5);
    assert!(!blocked.stderr.contains("warning"), "{}", blocked.stderr);
    let name = account();
    // Whom one calls oneself does not count.
    let project = project.env("USER", "ana");
    let refused = project.runner(&["unblock", "1"]).expect_status(2);
    let refused = refused.expect_stderr(&format!("the account `{name}` may not unblock `go`"));
    refused.expect_stderr("team release (ana, bob)");
    let early = project.runner(&["run", "--unblock", "go"]).expect_status(2);
    early.expect_stderr(&format!("the account `{name}` may not unblock `go`"));

    let project = project.file("runner.yml", &teams(&name));
    let other = project.runner(&["unblock", "1", "--by", "ana"]).expect_status(2);
    other.expect_stderr("`go` has `allowed_teams`").expect_stderr("leave `--by` out");
    assert!(!project.path().join("gone").exists());
    project.runner(&["unblock", "1"]).expect_status(0);
    assert!(project.path().join("gone").exists());
    project.runner(&["audit"]).expect_status(0).expect_stdout(&format!("go by {name} ({name} on "));
}

#[test]
fn what_is_no_team_is_an_account() {
    let pipeline = TEAM.replace("release", &account());
    let project = Project::with(&pipeline);
    let blocked = project.runner(&["run"]).expect_status(5);
    blocked.expect_stderr("in `allowed_teams` is no team in runner.yml: only the account of that name can unblock");
    project.runner(&["unblock"]).expect_status(0);
    let project = Project::with(TEAM);
    project.runner(&["run"]).expect_status(5);
    project.runner(&["unblock"]).expect_status(2).expect_stderr("`allowed_teams` are: release;");
}

#[test]
fn a_format_that_is_no_regular_expression_is_found_before_anything_runs() {
    let project = Project::with(
        "steps:\n  - command: touch ran\n  - block: Go?\n    fields: [{ key: v, text: V, format: 'v[0-9' }]\n",
    );
    let said = project.runner(&["check"]).expect_status(3).expect_stderr("`format` is not a regular expression");
    said.expect_stderr("pipeline.yml:4:");
    project.runner(&["run"]).expect_status(3);
    assert!(!project.path().join("ran").exists());
}

#[test]
fn a_choice_may_be_several() {
    let project = Project::with(
        "steps:
  - block: Go?
    key: go
    fields:
      - { key: where, select: Where, multiple: true, options: [{ label: A, value: a }, { label: B, value: b }] }
  - command: buildkite-agent meta-data get where > got
",
    );
    project.runner(&["run"]).expect_status(5);
    project.runner(&["unblock", "1", "--field", "where=a\nb"]).expect_status(0);
    assert_eq!(std::fs::read_to_string(project.path().join("got")).unwrap(), "a\nb");
}
