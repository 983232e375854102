//! Ctrl-C in the middle: once for a graceful end, twice for one at once; nothing is left running.

use crate::project::{Project, Said, said};
use std::time::{Duration, Instant};

/// Starts the pipeline, waits until the file `started` is there, and sends the signal, `times` times.
fn interrupted(project: &Project, signal: &str, times: u32) -> (Said, Duration) {
    let child = started(project);
    let asked = Instant::now();
    for _ in 0..times {
        let status = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(status.unwrap().success());
        std::thread::sleep(Duration::from_millis(300));
    }
    let output = child.wait_with_output().unwrap();
    (said(&output), asked.elapsed())
}

/// Starts the pipeline and waits until the file `started` is there.
fn started(project: &Project) -> std::process::Child {
    let child = project.start(&["run"]);
    let give_up = Instant::now() + Duration::from_secs(30);
    while !project.path().join("started").exists() {
        assert!(Instant::now() < give_up, "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

fn alive(marker: &str) -> bool {
    let output = std::process::Command::new("pgrep").args(["-f", marker]).output().unwrap();
    output.status.success()
}

#[test]
fn a_command_gets_its_time_to_clean_up() {
    let project = Project::with(
        "steps:
  - command: trap 'touch cleaned; exit 1' TERM; touch started; sleep 7731 & wait
  - wait
  - command: touch never
",
    );
    let (said, _) = interrupted(&project, "-INT", 1);
    let said = said.expect_status(6).expect_stdout("by tester").expect_stdout("run 1 was cancelled");
    said.expect_stdout("running jobs have 10 seconds to clean up (Ctrl-C once more");
    assert!(project.path().join("cleaned").exists());
    assert!(!project.path().join("never").exists());
    assert!(!alive("sleep 7731"), "what the command started ends with it");
}

#[test]
fn the_second_signal_ends_everything_at_once() {
    let project = Project::with("steps:\n  - command: trap '' TERM; touch started; while true; do sleep 7732; done\n");
    let (said, took) = interrupted(&project, "-TERM", 2);
    said.expect_status(6).expect_stdout("running jobs are ended at once");
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert!(!alive("sleep 7732"));
}

#[test]
fn a_component_that_never_yields_is_stopped_all_the_same() {
    let project = Project::with(
        "steps:
  - command: touch started
  - uses: ./steps/hostile.wasm
    with: { attack: loop }
  - uses: ./steps/hostile.wasm
    with: { attack: deaf-sleep }
",
    )
    .component("hostile");
    let (said, _) = interrupted(&project, "-INT", 2);
    said.expect_status(6).expect_stdout("2 cancelled");
}

#[test]
fn another_process_cancels_a_run_and_its_jobs_clean_up() {
    let project = Project::with(
        "steps:
  - command: trap 'touch cleaned; exit 1' TERM; touch started; sleep 7733 & wait
  - wait
  - command: touch never
",
    );
    let child = started(&project);
    let asked = Instant::now();
    let cancelled = project.runner(&["cancel", "--by", "Ana"]).expect_status(0);
    cancelled.expect_stdout("run 1 is cancelled; its jobs have 10 seconds to clean up");
    let said = said(&child.wait_with_output().unwrap()).expect_status(6).expect_stdout("by Ana");
    said.expect_stdout("run 1 was cancelled");
    assert!(asked.elapsed() < Duration::from_secs(8));
    assert!(project.path().join("cleaned").exists() && !project.path().join("never").exists());
    assert!(!alive("sleep 7733"));
    project.runner(&["cancel", "1"]).expect_status(2).expect_stderr("run 1 is over");
}

#[test]
fn cancelling_twice_or_now_ends_jobs_at_once() {
    for (first, second) in [(&["cancel"][..], Some(&["cancel"][..])), (&["cancel", "1", "--now"], None)] {
        let project =
            Project::with("steps:\n  - command: trap '' TERM; touch started; while true; do sleep 7734; done\n");
        let child = started(&project);
        let asked = Instant::now();
        let said_first = project.runner(first).expect_status(0);
        match second {
            Some(second) => project.runner(second).expect_status(0),
            None => said_first,
        }
        .expect_stdout("its jobs are ended at once");
        said(&child.wait_with_output().unwrap()).expect_status(6).expect_stdout("running jobs are ended at once");
        assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
        assert!(!alive("sleep 7734"));
    }
}

#[test]
fn a_driver_that_is_busy_hears_of_it() {
    // One that asks all the time is never without something to do.
    let project = Project::with(
        "steps:\n  - command: touch started; while true; do buildkite-agent meta-data exists k || true; done\n",
    );
    let child = started(&project);
    let asked = Instant::now();
    project.runner(&["cancel"]).expect_status(0);
    said(&child.wait_with_output().unwrap()).expect_status(6);
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}

#[test]
fn a_run_that_nobody_drives_is_brought_to_its_end() {
    let project = Project::with("steps:\n  - command: touch started; sleep 7735\n  - command: echo other\n");
    let mut child = started(&project);
    child.kill().unwrap();
    child.wait().unwrap();
    project.runner(&["show"]).expect_status(0).expect_stdout("interrupted").expect_stdout("runner resume 1");
    project.runner(&["cancel"]).expect_status(0).expect_stdout("run 1 was cancelled");
    project.runner(&["show"]).expect_stdout("cancelled");
    // The process of the job is a child of what was killed.
    drop(std::process::Command::new("pkill").args(["-f", "sleep 7735"]).status());

    let blocked = Project::with("steps:\n  - { block: Go?, key: go }\n  - command: touch gone\n");
    blocked.runner(&["run"]).expect_status(5);
    blocked.runner(&["cancel"]).expect_status(0).expect_stdout("run 1 was cancelled");
    assert!(!blocked.path().join("gone").exists());
    // What was never tried may be asked for again.
    blocked.runner(&["retry", "--failed"]).expect_status(5).expect_stdout("runner unblock 1 go");
}

#[test]
fn one_job_is_cancelled_alone() {
    let project = Project::with(
        "steps:
  - { command: touch started; sleep 7736, key: slow }
  - { command: while [ ! -e over ]; do sleep 0.1; done, key: other }
",
    );
    let child = started(&project);
    project.runner(&["cancel", "1", "--job", "nothing"]).expect_status(2).expect_stderr("slow, other");
    let cancelled = project.runner(&["cancel", "1", "--job", "slow"]).expect_status(0);
    cancelled.expect_stdout("`slow` of run 1 is cancelled and has 10 seconds to clean up");
    let give_up = Instant::now() + Duration::from_secs(20);
    while alive("sleep 7736") {
        assert!(Instant::now() < give_up);
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::write(project.path().join("over"), "").unwrap();
    said(&child.wait_with_output().unwrap()).expect_status(1).expect_stdout("1 passed, 1 cancelled");
    project.runner(&["cancel", "1", "--job", "slow"]).expect_status(2).expect_stderr("run 1 is over");

    let blocked = Project::with("steps:\n  - { block: Go?, key: go }\n  - { command: touch gone, key: late }\n");
    blocked.runner(&["run"]).expect_status(5);
    let said = blocked.runner(&["cancel", "1", "--job", "late"]).expect_status(0);
    said.expect_stdout("`late` of run 1 is cancelled and does not run").expect_stdout("runner resume 1");
    blocked.runner(&["cancel", "1", "--job", "go"]).expect_status(1).expect_stdout("run 1 failed");
}
