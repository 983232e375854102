//! Block and input steps: who waits, who lets go on, and what is left over weeks.

use crate::project::{Project, said};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

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
    let output = Command::new("id").arg("-un").output().unwrap();
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

/// The program at a terminal of its own, and what that shows.
struct AtTerminal {
    child: Child,
    shown: String,
}

impl AtTerminal {
    fn start(project: &Project, arguments: &str) -> Self {
        let command = project.command(&[]);
        let mut terminal = Command::new("script");
        // The shell between would end by Ctrl-C itself.
        let program = format!("exec {} {arguments}", command.get_program().to_str().unwrap());
        terminal.args(["-qec", &program, "/dev/null"]).current_dir(project.path()).env_clear();
        terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Self { child, shown: String::new() }
    }

    /// Waits until the terminal shows this behind what was waited for before.
    #[track_caller]
    fn expect(&mut self, text: &str) {
        let mut seen = String::new();
        while !seen.contains(text) {
            let mut byte = [0; 1024];
            let count = self.child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
            assert!(count > 0, "no {text:?} in {seen}\nafter {}", self.shown);
            seen.push_str(&String::from_utf8_lossy(&byte[..count]));
        }
        self.shown.push_str(&seen);
    }

    fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Exit status of the program.
    fn end(mut self) -> i32 {
        std::io::copy(self.child.stdout.as_mut().unwrap(), &mut std::io::sink()).unwrap();
        self.child.wait().unwrap().code().unwrap()
    }
}

#[test]
fn at_a_terminal_a_person_is_asked() {
    let project = Project::with(GATED);
    let mut terminal = AtTerminal::start(&project, "run");
    terminal.expect("Release? Continue? [y/N]");
    assert!(terminal.shown.contains("waits for a person"), "the question comes last: {}", terminal.shown);
    terminal.type_in("y\n");
    terminal.expect("- us: America");
    terminal.type_in("mars\n");
    terminal.expect("`mars` is no choice");
    terminal.type_in("America\n");
    assert_eq!(terminal.end(), 0);
    assert!(project.path().join("released").exists());
    assert_eq!(project.runner(&["meta-data", "1", "region"]).expect_status(0).stdout, "us\n");
}

#[test]
fn whoever_does_not_answer_at_the_terminal_leaves_it_blocked() {
    // No, Ctrl-C, and the end of the input.
    for typed in ["n\n", "\u{3}", "\u{4}"] {
        let project = Project::with(GATED);
        let mut terminal = AtTerminal::start(&project, "run");
        terminal.expect("[y/N]");
        terminal.type_in(typed);
        terminal.expect("run 1 stays blocked");
        assert_eq!(terminal.end(), 5, "{typed:?}");
        project.runner(&["unblock", "--field", "region=eu"]).expect_status(0);
    }
}

#[test]
fn the_question_at_the_terminal_is_answered_from_elsewhere() {
    for command in [&["unblock", "1", "--field", "region=eu"][..], &["cancel"]] {
        let project = Project::with(GATED);
        let mut terminal = AtTerminal::start(&project, "run");
        terminal.expect("[y/N]");
        project.runner(command).expect_status(0);
        assert_eq!(terminal.end(), if command[0] == "cancel" { 6 } else { 0 });
        assert_eq!(project.path().join("released").exists(), command[0] == "unblock");
    }
}
