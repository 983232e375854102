//! Every example, run as its README says.

use crate::project::{Project, on_the_engine, root};
use std::process::Command;

#[test]
fn hello() {
    let project = Project::new().tree("examples/hello");
    project.runner(&["run"]).expect_status(0).expect_stdout("Hello from a step").expect_stdout("3 passed");
}

/// The whole way: test, publish, deploy to test, block, deploy the same to production.
#[test]
fn orders() {
    let output = Command::new("bash")
        .arg(root().join("examples/orders/run"))
        .env("RUNNER", env!("CARGO_BIN_EXE_runner"))
        .output()
        .unwrap();
    let said = crate::project::said(&output).expect_status(0);
    said.expect_stdout("passed").expect_stdout("unblocked by");
    assert_eq!(on_the_engine(&root().join("examples/orders")), [""; 0], "nothing of it is left");
}

/// A pull request only runs the tests.
#[test]
fn orders_on_another_branch() {
    let project = Project::new().tree("examples/orders");
    let said = project.runner(&["plan", "--branch", "topic"]).expect_status(0);
    assert_eq!(said.stdout.matches("skipped ").count(), 4, "{}", said.stdout);
}

#[test]
fn buildkite() {
    let project = Project::new().tree("examples/buildkite");
    let git = |arguments: &[&str]| {
        let status = Command::new("git").arg("-C").arg(project.path()).args(arguments).status().unwrap();
        assert!(status.success());
    };
    git(&["init", "-q", "-b", "master"]);
    git(&["-c", "user.name=T", "-c", "user.email=t@example.com", "add", "-A"]);
    git(&["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "-qm", "first"]);
    let said = project.runner(&["run"]).expect_status(5);
    said.expect_stdout("runner unblock 1");
    project.runner(&["unblock", "1"]).expect_status(0).expect_stdout("run 1 passed");
}

#[test]
fn every_example_has_a_test() {
    let source = include_str!("examples.rs");
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "environment" || source.contains(&format!("examples/{name}")), "{name} is run by no test");
    }
}
