//! Concurrency groups across processes and projects.

use crate::project::Project;
use std::path::Path;
use std::time::{Duration, Instant};

/// Jobs that write when they begin and end to a file beside the projects.
fn pipeline(log: &Path, name: &str, seconds: f32, method: &str) -> String {
    let log = log.display();
    format!(
        "steps:\n  - command: echo begin {name} $(date +%s%N) >> {log}; sleep {seconds}; echo end {name} $(date +%s%N) >> {log}\n    \
         concurrency: 1\n    concurrency_group: deploy\n    concurrency_method: {method}\n"
    )
}

fn project(pipeline: &str, state: &Path) -> Project {
    Project::with(pipeline).env("RUNNER_STATE_DIR", state.to_str().unwrap())
}

/// What happened, in its order: `begin NAME` and `end NAME`.
fn happened(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_mins(1), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn runs_of_several_projects_share_a_group_in_their_order() {
    let shared = tempfile::tempdir().unwrap();
    let log = shared.path().join("log");
    let names = ["a", "b", "c"];
    let projects = names.map(|name| project(&pipeline(&log, name, 1.0, "ordered"), &shared.path().join("state")));
    let mut children = Vec::new();
    for (place, project) in projects.iter().enumerate() {
        children.push(project.start(&["run"]));
        if place == 0 {
            until("the first begins", || happened(&log) == ["begin a"]);
        }
        std::thread::sleep(Duration::from_millis(150));
    }
    let mut waited = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let told = String::from_utf8_lossy(&output.stderr).matches("in the concurrency group `deploy`").count();
        assert!(told <= 1, "once is enough");
        waited += told;
    }
    assert_eq!(waited, 2, "who waits says so");
    assert_eq!(happened(&log), ["begin a", "end a", "begin b", "end b", "begin c", "end c"]);
}

#[test]
fn whoever_is_killed_makes_room_at_once() {
    let shared = tempfile::tempdir().unwrap();
    let log = shared.path().join("log");
    let state = shared.path().join("state");
    let [held, waits] =
        [("a", 30.0), ("b", 0.0)].map(|(name, seconds)| project(&pipeline(&log, name, seconds, "eager"), &state));
    let mut killed = held.start(&["run"]);
    until("the first begins", || happened(&log) == ["begin a"]);
    let waiting = waits.start(&["run"]);
    std::thread::sleep(Duration::from_millis(700));
    assert_eq!(happened(&log), ["begin a"], "there is no room");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let free = Instant::now();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(free.elapsed() < Duration::from_secs(10), "its lease would have lasted for 30 seconds");
    assert_eq!(happened(&log), ["begin a", "begin b", "end b"]);
}

#[test]
fn a_run_that_waits_for_a_group_does_everything_else_and_can_be_cancelled() {
    let shared = tempfile::tempdir().unwrap();
    let (log, state) = (shared.path().join("log"), shared.path().join("state"));
    let held = project(&pipeline(&log, "a", 30.0, "ordered"), &state);
    let mut holds = held.start(&["run"]);
    until("the first begins", || happened(&log) == ["begin a"]);
    let other = format!("{}  - command: echo begin free 0 >> {}\n", pipeline(&log, "b", 0.0, "ordered"), log.display());
    let waits = project(&other, &state);
    let waiting = waits.start(&["run", "--jobs", "1"]);
    until("what needs no group is done", || happened(&log).contains(&"begin free".to_owned()));
    let pid = rustix::process::Pid::from_child(&waiting);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!happened(&log).contains(&"begin b".to_owned()));
    holds.kill().unwrap();
    holds.wait().unwrap();
}
