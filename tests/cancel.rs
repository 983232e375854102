//! Ctrl-C in the middle: once for a graceful end, twice for one at once; nothing is left running.

use crate::project::{Project, Said, said};
use std::time::{Duration, Instant};

/// Starts the pipeline, waits until the file `started` is there, and sends the signal, `times` times.
fn interrupted(project: &Project, signal: &str, times: u32) -> (Said, Duration) {
    let child = project.start(&["run"]);
    let give_up = Instant::now() + Duration::from_secs(30);
    while !project.path().join("started").exists() {
        assert!(Instant::now() < give_up, "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    for _ in 0..times {
        let status = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(status.unwrap().success());
        std::thread::sleep(Duration::from_millis(300));
    }
    let output = child.wait_with_output().unwrap();
    (said(&output), asked.elapsed())
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
    said.expect_stderr("cancelling: jobs get 10 seconds to clean up");
    assert!(project.path().join("cleaned").exists());
    assert!(!project.path().join("never").exists());
    assert!(!alive("sleep 7731"), "what the command started ends with it");
}

#[test]
fn the_second_signal_ends_everything_at_once() {
    let project = Project::with("steps:\n  - command: trap '' TERM; touch started; while true; do sleep 7732; done\n");
    let (said, took) = interrupted(&project, "-TERM", 2);
    said.expect_status(6).expect_stderr("ending all jobs at once");
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
