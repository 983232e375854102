//! Parts of a run once more: what has failed, or everything from a step on.

use crate::project::Project;

const CHAIN: &str = "steps:
  - { command: 'echo x >> built', key: build }
  - { command: 'echo x >> tested; [ -e fixed ]', key: tests, depends_on: build }
  - { command: 'echo x >> apart', key: apart }
  - { block: Release?, key: release, depends_on: tests }
  - { command: 'echo x >> released', key: deploy, depends_on: release }
";

fn times(project: &Project, file: &str) -> usize {
    std::fs::read_to_string(project.path().join(file)).map_or(0, |text| text.lines().count())
}

#[test]
fn what_has_failed_runs_again_and_nothing_else() {
    let project = Project::with(CHAIN);
    project.runner(&["run"]).expect_status(1);
    project.runner(&["retry", "--failed"]).expect_status(1).expect_stdout("tests of run 1 to be run again");
    let project = project.file("fixed", "");
    project.runner(&["retry", "--failed"]).expect_status(5).expect_stdout("runner unblock 1 release");
    project.runner(&["unblock", "1"]).expect_status(0);
    let counts = ["built", "tested", "released", "apart"].map(|file| times(&project, file));
    assert_eq!(counts, [1, 3, 1, 1]);
    project.runner(&["retry", "--failed"]).expect_status(2).expect_stderr("no job of run 1 has failed");
}

#[test]
fn everything_from_a_step_on_runs_again_and_a_person_is_asked_again() {
    let project = Project::with(CHAIN).file("fixed", "");
    project.runner(&["run", "--unblock", "release"]).expect_status(0);
    let again = project.runner(&["retry", "1", "--from", "tests"]).expect_status(5);
    again.expect_stdout("tests and 2 that depend on it of run 1 to be run again");
    let counts = |project: &Project| ["built", "tested", "released", "apart"].map(|file| times(project, file));
    assert_eq!(counts(&project), [1, 2, 1, 1]);
    project.runner(&["unblock", "1"]).expect_status(0);
    assert_eq!(counts(&project), [1, 2, 2, 1]);
    let running = project.runner(&["retry", "1", "--from", "nothing"]).expect_status(2);
    running.expect_stderr("the run has no job `nothing`");
}

#[test]
fn what_may_not_be_retried_is_not_retried_in_passing() {
    let project = Project::with(
        "steps:
  - { command: 'echo x >> built', key: build }
  - command: echo x >> released
    key: deploy
    depends_on: build
    retry: { manual: { allowed: false, reason: It is out already } }
",
    );
    project.runner(&["run"]).expect_status(0);
    for step in ["build", "deploy"] {
        let refused = project.runner(&["retry", "1", "--from", step]).expect_status(2);
        refused.expect_stderr("`deploy` cannot be retried: It is out already");
    }
    assert_eq!((times(&project, "built"), times(&project, "released")), (1, 1));
}

#[test]
fn steps_that_a_job_adds_are_added_anew() {
    let project = Project::with(
        "steps:
  - { command: 'buildkite-agent pipeline upload more.yml', key: adds }
  - wait
  - { command: 'echo x >> after', key: after }
",
    )
    .file("more.yml", "steps:\n  - { command: 'echo x >> added', key: added }\n");
    project.runner(&["run"]).expect_status(0);
    project.runner(&["retry", "1", "--from", "adds"]).expect_status(0).expect_stdout("run 1 passed");
    assert_eq!((times(&project, "added"), times(&project, "after")), (2, 2));
}

#[test]
fn without_a_word_on_what_the_candidates_are_named() {
    let project = Project::with(CHAIN);
    project.runner(&["run"]).expect_status(1);
    let said = project.runner(&["retry", "1"]).expect_status(2).expect_stderr("nothing is named");
    said.expect_stderr("those that can be run again are: tests");
    let unknown = project.runner(&["retry", "1", "no"]).expect_status(2).expect_stderr("the run has no job `no`");
    unknown.expect_stderr("those that can be run again are: tests");
    let passed = project.runner(&["retry", "1", "build"]).expect_status(2);
    passed.expect_stderr("permit_on_passed");
    project.runner(&["retry", "1", "tests", "--failed"]).expect_status(2);
}
