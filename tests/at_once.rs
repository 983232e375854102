//! Several runs of one project at the same time: none of them meets anything of another.

use crate::project::{Project, Said, on_the_engine, said};
use std::collections::BTreeSet;

/// Starts the program so often at once, and waits for all.
fn at_once(project: &Project, times: usize) -> Vec<Said> {
    let started: Vec<_> = (0..times).map(|_| project.start(&["run"])).collect();
    started.into_iter().map(|child| said(&child.wait_with_output().unwrap())).collect()
}

/// The number of the run that this was said about.
fn number(said: &Said) -> u64 {
    let number = said.stdout.lines().find_map(|line| line.strip_prefix("run ")?.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number of a run in\n{}", said.stdout))
}

#[test]
fn runs_share_no_number_meta_data_artifact_or_log() {
    let project = Project::with(
        "steps:
  - key: write
    command: |
      buildkite-agent meta-data set id \"$$BUILDKITE_BUILD_ID\"
      mkdir -p \"made-$$BUILDKITE_BUILD_ID\" && cd \"made-$$BUILDKITE_BUILD_ID\"
      echo \"$$BUILDKITE_BUILD_ID\" > id.txt
      buildkite-agent artifact upload id.txt
      echo \"I am $$BUILDKITE_BUILD_ID\"
      sleep 0.3
  - wait
  - key: read
    command: |
      test \"$$(buildkite-agent meta-data get id)\" = \"$$BUILDKITE_BUILD_ID\"
      mkdir \"read-$$BUILDKITE_BUILD_ID\"
      buildkite-agent artifact download id.txt \"read-$$BUILDKITE_BUILD_ID/\"
      grep -qx \"$$BUILDKITE_BUILD_ID\" \"read-$$BUILDKITE_BUILD_ID/id.txt\"
      test \"$$(buildkite-agent artifact search '*' --format '%p ')\" = 'id.txt '
",
    );
    let all = at_once(&project, 6);
    let numbers: BTreeSet<u64> =
        all.into_iter().map(|said| number(&said.expect_status(0).expect_stdout("passed"))).collect();
    assert_eq!(numbers, (1..=6).collect());
    let logs: BTreeSet<String> = std::fs::read_dir(project.path().join(".runner/runs"))
        .unwrap()
        .map(|run| {
            let run = run.unwrap();
            let log = std::fs::read_to_string(run.path().join("logs/write.1.log")).unwrap();
            assert!(log.contains(&format!("I am {}\n", run.file_name().display())), "{log}");
            assert_eq!(log.matches("I am").count(), 1, "{log}");
            log
        })
        .collect();
    assert_eq!(logs.len(), 6);
}

#[test]
fn runs_share_no_container_network_or_volume() {
    // Whoever finds the volume in use, or reaches the database of another run, fails.
    let project = Project::with(
        "steps:
  - key: tests
    uses: compose-test@1
    grants: { workspace: read, docker: { images: [\"debian:12-slim\"], containers: {} } }
",
    )
    .file(
        "docker-compose.test.yml",
        "services:
  db: { image: \"debian:12-slim\", command: [sh, -c, 'echo ready; sleep 600'], volumes: [data:/data] }
  tests:
    image: \"debian:12-slim\"
    command: [sh, -c, 'test ! -e /data/mine && hostname > /data/mine && sleep 1 && test \"$$(cat /data/mine)\" = \"$$(hostname)\"']
    depends_on: [db]
    volumes: [data:/data]
volumes: { data: {} }
",
    );
    for said in at_once(&project, 3) {
        said.expect_status(0).expect_stdout("passed");
    }
    assert!(on_the_engine(project.path()).is_empty());
}
