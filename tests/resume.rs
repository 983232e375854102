//! Going on with a run: which one, what is said, and what becomes of everything else.

use crate::project::{Project, said};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn wait_for(project: &Project, file: &str) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !project.path().join(file).exists() {
        assert!(Instant::now() < give_up, "{file} does not appear");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a run, and kills its process once the file is there.
fn killed(project: &Project, file: &str) {
    let mut run = project.start(&["run"]);
    wait_for(project, file);
    run.kill().unwrap();
    run.wait().unwrap();
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn alive(marker: &str) -> bool {
    Command::new("pgrep").args(["-f", marker]).output().unwrap().status.success()
}

const SLOW: &str = "steps:
  - { key: first, command: touch first }
  - wait
  - key: second
    command: test -e mended || { setsid sleep 7741 > /dev/null 2>&1 & touch second; sleep 7742; }
";

#[test]
fn the_newest_interrupted_run_goes_on_and_says_what_it_does() {
    let project = Project::with(SLOW);
    killed(&project, "second");
    assert!(alive("sleep 7741"));
    let project = project.file("mended", "");
    let next = project.runner(&["run"]).expect_status(0);
    next.expect_stderr("run 1 was interrupted; go on with: runner resume 1");
    std::fs::remove_file(project.path().join("pipeline.yml")).unwrap();
    let resumed = project.runner(&["resume"]).expect_status(0);
    let resumed =
        resumed.expect_stdout("run 1 goes on; over, and to stay so: first; lost, and to be tried again: second");
    // Each command and the shell around it, and the socket's directory.
    let resumed = resumed.expect_stdout("removed what the process that was lost has left: 3 processes, 1 temporary");
    resumed.expect_stdout("run 1 passed");
    assert!(!alive("sleep 7741") && !alive("sleep 7742"));
    project.runner(&["resume", "1"]).expect_status(2).expect_stderr("`runner retry 1 JOB`");
    project.runner(&["resume"]).expect_status(2).expect_stderr("`runner run` makes a new run");
}

#[test]
fn a_run_that_is_driven_or_waits_is_not_taken() {
    let project = Project::with("steps:\n  - { block: Go?, key: go }\n  - command: touch began; sleep 7743\n");
    project.runner(&["run"]).expect_status(5);
    project.runner(&["resume"]).expect_status(2).expect_stderr("run 1 waits for a person");
    project.runner(&["resume", "1"]).expect_status(5).expect_stdout("runner unblock 1 go");
    let driver = project.start(&["unblock"]);
    wait_for(&project, "began");
    project.runner(&["resume"]).expect_status(2).expect_stderr("run 1 is driven by another process");
    project.runner(&["resume", "1"]).expect_status(2).expect_stderr("another process is driving run 1");
    signal(&driver, "-INT");
    said(&driver.wait_with_output().unwrap()).expect_status(6);
}

#[test]
fn a_run_that_was_triggered_ends_with_its_cancelled_parent() {
    let project = Project::with("steps:\n  - { key: child, trigger: child }\n")
        .file("child.yml", "steps:\n  - command: trap '' TERM; touch began; while true; do sleep 7744; done\n");
    let mut run = project.start(&["run"]);
    wait_for(&project, "began");
    signal(&run, "-INT");
    std::thread::sleep(Duration::from_millis(500));
    run.kill().unwrap();
    run.wait().unwrap();
    project.runner(&["resume"]).expect_status(6).expect_stdout("run 1 was cancelled");
    assert!(!alive("sleep 7744"));
    project.runner(&["resume", "2"]).expect_status(2).expect_stderr("run 2 is over");
}

#[test]
fn what_left_its_group_ends_with_a_cancelled_job() {
    let project = Project::with("steps:\n  - command: setsid sleep 7745 > /dev/null 2>&1 & touch began; sleep 60\n");
    let run = project.start(&["run"]);
    wait_for(&project, "began");
    assert!(alive("sleep 7745"));
    signal(&run, "-INT");
    said(&run.wait_with_output().unwrap()).expect_status(6);
    assert!(!alive("sleep 7745"));
}

#[test]
fn a_job_whose_log_cannot_be_written_says_so() {
    let project = Project::with("steps:\n  - command: rm -r .runner/runs/*/logs; echo lost\n");
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("its log is incomplete: No such file or directory").expect_stdout("run 1 passed");
}
