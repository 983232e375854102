//! What is left of runs: lists, one run, logs, artifacts, meta-data, who did what; and running parts of them again.

use crate::project::{Project, Said, said};
use expect_test::expect;
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};

const MIXED: &str = "steps:
  - { command: 'echo \"--- build\"; echo built; printf \"no end\"', key: build, label: ':hammer: Build' }
  - { command: 'echo looking; exit 3', key: tests, soft_fail: false }
  - { command: 'true', key: never, if: 'false' }
  - wait
  - { command: 'echo deployed', key: deploy }
";

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", said.stdout, said.stderr))
}

/// What is different in every run replaced: times, identifiers, directories.
fn normalised(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, replacement) in [
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "DATE"),
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "ID"),
        (r"/\S*/\.runner", "/…/.runner"),
        (r"\d+\.\d s|\d+ ms", "TIME"),
        (r"(?m) +TIME", " TIME"),
        (r"\((\w|#)+ on [^)]+\)", "(ACCOUNT on HOST)"),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, replacement).into_owned();
    }
    text
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn runs_are_listed_with_how_they_stand() {
    let project = Project::with(MIXED).file("gate.yml", "steps:\n  - { block: Go?, key: go }\n  - command: 'true'\n");
    project.runner(&["runs"]).expect_status(0).expect_stdout("there are no runs in this project");
    project.runner(&["show"]).expect_status(2).expect_stderr("there are no runs in this project");
    project.runner(&["run", "--branch", "main"]).expect_status(1);
    project.runner(&["run", "gate.yml", "--branch", "a-branch-with-a-long-name"]).expect_status(5);
    let said = project.runner(&["runs"]).expect_status(0);
    expect![[r#"
          RUN STATE         PIPELINE       BRANCH       COMMIT        TOOK    AGE BY
            2 ⏸ blocked     gate.yml       a-branch-wi… HEAD TIME    now ui
            1 ✘ failed      pipeline.yml   main         HEAD TIME    now ui
    "#]]
    .assert_eq(&normalised(&said.stdout));
    assert!(said.stdout.lines().all(|line| line.chars().count() <= 80), "{}", said.stdout);

    let runs = json(&project.runner(&["runs", "--json"]).expect_status(0));
    let expected = [
        "number",
        "id",
        "state",
        "pipeline",
        "branch",
        "commit",
        "message",
        "creator",
        "source",
        "triggered_by",
        "created_at",
        "updated_at",
        "duration_ms",
    ];
    assert_eq!(keys(&runs[0]), expected);
    assert_eq!((&runs[0]["state"], &runs[1]["state"]), (&Value::from("blocked"), &Value::from("failed")));
    assert!(runs[1]["created_at"].as_str().unwrap().ends_with('Z'), "{}", runs[1]);
    assert_eq!(json(&project.runner(&["runs", "-n", "1", "--json"])).as_array().unwrap().len(), 1);
    assert_eq!(json(&project.runner(&["runs", "--all", "--json"])).as_array().unwrap().len(), 2);
}

#[test]
fn a_run_is_shown_with_what_became_of_its_jobs_and_what_to_do() {
    let project = Project::with(MIXED);
    project.runner(&["run", "--branch", "main", "--message", "Mend it\n\nmore"]).expect_status(1);
    let said = project.runner(&["show"]).expect_status(0);
    expect![[r#""#]].assert_eq(&normalised(&said.stdout));
    let run = json(&project.runner(&["show", "1", "--json"]).expect_status(0));
    assert_eq!(run["state"], "failed");
    let jobs = run["jobs"].as_array().unwrap();
    let job_keys =
        ["name", "key", "label", "group", "kind", "state", "notification", "skip", "waits_for", "attempts", "gate"];
    assert_eq!(keys(&jobs[0]), job_keys);
    let states: Vec<&str> = jobs.iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["passed", "failed", "skipped", "not_run", "not_run"]);
    let attempt = &jobs[1]["attempts"][0];
    let attempt_keys = [
        "attempt",
        "outcome",
        "started_at",
        "ended_at",
        "duration_ms",
        "exit_status",
        "signal",
        "message",
        "remedy",
        "outputs",
        "log",
    ];
    assert_eq!(keys(attempt), attempt_keys);
    assert_eq!((&attempt["exit_status"], &attempt["outcome"]), (&Value::from(3), &Value::from("failed")));
    assert_eq!(std::fs::read_to_string(attempt["log"].as_str().unwrap()).unwrap(), "looking\n");
    project.runner(&["show", "7"]).expect_status(2).expect_stderr("there is no run `7`");
}

#[test]
fn what_a_run_waits_for_is_said_with_the_command() {
    let project = Project::with(
        "steps:
  - block: Go?
    key: go
    fields: [{ key: \"it's a key\", text: Why }, { key: note, text: Note, required: false }]
  - { input: Also, key: also, fields: [{ key: how, text: How }] }
  - { command: 'echo $(buildkite-agent meta-data get \"it'\"'\"'s a key\")', key: late }
",
    );
    let blocked = project.runner(&["run"]).expect_status(5);
    let command = "runner unblock 1 go --field \"it's a key=…\"";
    let blocked = blocked.expect_stdout(command);
    assert_eq!(blocked.stdout.matches("to go on: ").count(), 1, "{}", blocked.stdout);
    let said = project.runner(&["show"]).expect_status(0).expect_stdout(command);
    expect![[r#""#]].assert_eq(&normalised(&said.stdout));
    let run = json(&project.runner(&["show", "--json"]).expect_status(0));
    assert_eq!(run["jobs"][0]["gate"]["command"], command);
    let filled = "it's a key=because";
    project.runner(&["unblock", "1", "go", "--field", filled, "--by", "Ana"]).expect_status(5);
    project.runner(&["unblock", "1", "also", "--field", "how=so"]).expect_status(0).expect_stdout("because");
    let said = project.runner(&["show"]).expect_status(0);
    said.expect_stdout("unblocked by Ana (").expect_stdout("✔ run 1").stdout;
}
