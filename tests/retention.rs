//! How long runs are kept: `runner gc`, and what every run does by itself.

use crate::project::{Project, Said};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, SystemTime};

const PIPELINE: &str = "steps:\n  - command: head -c 100000 /dev/zero\n";

fn collected(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))
}

fn numbers(report: &Value) -> Vec<u64> {
    report["removed"].as_array().unwrap().iter().map(|run| run["number"].as_u64().unwrap()).collect()
}

fn directories(project: &Project) -> usize {
    std::fs::read_dir(project.path().join(".runner/runs")).unwrap().count()
}

#[test]
fn runs_beyond_a_limit_are_removed_with_their_files() {
    let project = Project::with(PIPELINE);
    for _ in 0..4 {
        project.runner(&["run"]).expect_status(0);
    }
    let plan = collected(&project.runner(&["gc", "--keep", "2", "--dry-run", "--json"]).expect_status(0));
    assert_eq!((numbers(&plan), directories(&project)), (vec![2, 1], 4));
    let report = collected(&project.runner(&["gc", "--keep", "2", "--json"]).expect_status(0));
    assert_eq!((numbers(&report), directories(&project)), (vec![2, 1], 2));
    assert_eq!(report["removed"][0]["reason"], "runs");
    assert!(report["removed"][0]["bytes"].as_u64().unwrap() >= 100_000, "{report:#}");
    assert_eq!(report["disk_use"]["runs"], 2);
    project.runner(&["gc", "--size", "1KiB"]).expect_status(0).expect_stdout("removed run 3 (too large together");
    project.runner(&["gc", "--age", "0s", "--keep", "0"]).expect_status(0).expect_stdout("there is nothing to remove");
    project.runner(&["run"]).expect_status(0).expect_stdout("run 5");
    project.runner(&["gc", "4"]).expect_status(0).expect_stdout("removed run 4 (named");
    project.runner(&["gc", "4"]).expect_status(2).expect_stderr("there is no run `4`");
    project.runner(&["gc", "--age", "soon"]).expect_status(2).expect_stderr("write for instance 12h, 30d");
}

#[test]
fn a_blocked_run_stays_unless_it_is_named() {
    let project = Project::with("steps:\n  - { block: Go?, key: go }\n  - command: touch gone\n");
    project.runner(&["run"]).expect_status(5);
    let all = ["gc", "--age", "0s", "--keep", "0", "--size", "0"];
    project.runner(&all).expect_status(0).expect_stdout("there is nothing to remove");
    project.runner(&["unblock", "1"]).expect_status(0);
    project.runner(&["run"]).expect_status(5);
    project.runner(&["gc", "2"]).expect_status(0).expect_stdout("removed run 2");
    assert_eq!(directories(&project), 1);
}

#[test]
fn a_run_that_goes_on_is_not_touched() {
    let project = Project::with("steps:\n  - command: touch begun; while [ ! -e end ]; do sleep 0.05; done\n");
    let child = project.start(&["run"]);
    while !project.path().join("begun").exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    project.runner(&["gc", "1"]).expect_status(2).expect_stderr("a process is driving run 1");
    project.runner(&["gc", "--age", "0s", "--keep", "0"]).expect_status(0).expect_stdout("nothing to remove");
    std::fs::write(project.path().join("end"), "").unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
}

#[test]
fn every_run_lets_go_of_old_ones_but_seldom_looks() {
    let project = Project::with(PIPELINE).file("runner.yml", "retention: { runs: 1, age: none, size: none }\n");
    project.runner(&["run"]).expect_status(0);
    project.runner(&["run"]).expect_status(0);
    assert_eq!(directories(&project), 2, "it has looked an hour ago at most");
    let stamp = std::fs::File::options().write(true).open(project.path().join(".runner/collected")).unwrap();
    stamp.set_modified(SystemTime::now() - Duration::from_hours(2)).unwrap();
    project.runner(&["run"]).expect_status(0);
    assert_eq!(directories(&project), 1);
    let project = project.file("runner.yml", "retention: { runs: some }\n");
    project.runner(&["gc"]).expect_status(3).expect_stderr("runner.yml:1:");
}

#[test]
fn what_a_killed_collection_left_is_taken_away_and_nothing_else() {
    let project = Project::with(PIPELINE);
    project.runner(&["run"]).expect_status(0);
    let stray = |name: &str| {
        let directory = project.path().join(".runner/runs").join(name);
        std::fs::create_dir_all(directory.join("logs")).unwrap();
        directory
    };
    let left = stray("01900000-0000-7000-8000-000000000000");
    let other = stray("my-notes");
    project.runner(&["gc"]).expect_status(0);
    assert_eq!((left.exists(), other.exists()), (false, true));
    assert!(Path::new(&project.path().join(".runner/runs.db")).exists());
}

#[test]
fn a_link_in_place_of_the_runners_own_directory_is_refused() {
    for name in [".runner", ".runner/runs", ".runner/runs.db"] {
        let project = Project::with(PIPELINE);
        project.runner(&["run"]).expect_status(0);
        let (own, elsewhere) = (project.path().join(name), project.path().join("elsewhere"));
        std::fs::rename(&own, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
        for command in [&["run"][..], &["gc", "--keep", "0"], &["runs"]] {
            project.runner(command).expect_status(7).expect_stderr("is a link");
        }
    }
}
