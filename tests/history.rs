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
    // The margin is not that of the source.
    let margin = normalised(&said.stdout).lines().fold(String::new(), |text, line| text + "|" + line + "\n");
    expect![[r#"
        |  RUN STATE         PIPELINE       BRANCH       COMMIT        TOOK    AGE BY
        |    2 ⏸ blocked     gate.yml       a-branch-wi… HEAD TIME    now ui
        |    1 ✘ failed      pipeline.yml   main         HEAD TIME    now ui
    "#]]
    .assert_eq(&margin);
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
    expect![[r#"
        run 1 ✘ failed  pipeline.yml main HEAD
          Mend it
          ui, DATE, took TIME, id ID

        ✔ build  Build: passed, TIME
        ✘ tests  echo looking; exit 3: failed, TIME, exit status 3
                 the command exited with status 3
        ↷ never  true: skipped, `if: false` does not hold
        ✗ deploy echo deployed: not run

        logs in /…/.runner/runs/ID/logs
        runner logs 1
        runner retry 1 --failed
    "#]]
    .assert_eq(&normalised(&said.stdout));
    let run = json(&project.runner(&["show", "1", "--json"]).expect_status(0));
    assert_eq!(keys(&run)[13..], ["jobs", "annotations", "artifacts", "meta_data", "logs"]);
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
  - input: Go?
    key: go
    fields: [{ key: \"it's a key\", text: Why }, { key: note, text: Note, required: false }]
  - { input: Also, key: also, fields: [{ key: how, text: How }] }
  - key: late
    depends_on: go
    command: buildkite-agent meta-data get \"it's a key\"
",
    );
    let blocked = project.runner(&["run"]).expect_status(5);
    let command = "runner unblock 1 go --field \"it's a key=…\"";
    let blocked = blocked.expect_stdout(command);
    assert_eq!(blocked.stdout.matches("to go on: ").count(), 2, "{}", blocked.stdout);
    let said = project.runner(&["show"]).expect_status(0).expect_stdout(command);
    expect![[r#"
        run 1 ⏸ blocked  pipeline.yml HEAD
          ui, DATE, last event just now, id ID

        ⏸ go   Go?: blocked, since DATE
               to go on: runner unblock 1 go --field "it's a key=…"
        ⏸ also Also: blocked, since DATE
               to go on: runner unblock 1 also --field how=…
        · late buildkite-agent meta-data get "it's a key": not begun, waits for go

        logs in /…/.runner/runs/ID/logs
        runner logs 1
    "#]]
    .assert_eq(&normalised(&said.stdout));
    let run = json(&project.runner(&["show", "--json"]).expect_status(0));
    assert_eq!(run["jobs"][0]["gate"]["command"], command);
    let filled = "it's a key=because";
    project.runner(&["unblock", "1", "go", "--field", filled, "--by", "Ana"]).expect_status(5).expect_stdout("because");
    project.runner(&["unblock", "1", "also", "--field", "how=so"]).expect_status(0);
    let said = project.runner(&["show"]).expect_status(0);
    said.expect_stdout("unblocked by Ana (").expect_stdout("run 1 ✔ passed");
}

#[test]
fn logs_are_shown_whole_or_as_lines_for_programs() {
    let project = Project::with(
        "steps:
  - { command: 'echo one; printf \"\\033[2Jtwo\\033]0;title\\007\"', key: first }
  - { command: '[ -e again ] || { touch again; echo lost; exit 1; }; echo won', key: second, retry: { automatic: true } }
  - { command: 'echo third', key: third, if: 'false' }
",
    );
    project.runner(&["run"]).expect_status(0);
    let all = project.runner(&["logs"]).expect_status(0);
    let lines: Vec<&str> = all.stdout.lines().filter(|line| !line.contains("$ ")).collect();
    assert!(lines[0].starts_with("▶ first ") && lines[1..3] == ["  │ one", "  │ two"], "{lines:?}");
    assert!(
        lines[3].starts_with("▶ second ") && lines[3].ends_with("(attempt 2)") && lines[4] == "  │ won",
        "{lines:?}"
    );
    assert_eq!(lines.len(), 5);
    let earlier = project.runner(&["logs", "1", "second", "--attempt", "1"]).expect_status(0);
    assert_eq!(earlier.stdout.lines().last(), Some("lost"));
    let lines = project.runner(&["logs", "1", "first", "--json"]).expect_status(0).stdout;
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let expected = serde_json::json!({ "job": "first", "attempt": 1, "line": "\u{1b}[2Jtwo\u{1b}]0;title\u{7}" });
    assert_eq!(last, expected);
    let nothing =
        project.runner(&["logs", "1", "fourth"]).expect_status(2).expect_stderr("the run has no job `fourth`");
    nothing.expect_stderr("first, second");
    project.runner(&["logs", "1", "third"]).expect_status(2).expect_stderr("`third` has not run");
    let attempt = project.runner(&["logs", "1", "second", "--attempt", "3"]).expect_status(2);
    attempt.expect_stderr("`second` has no attempt 3").expect_stderr("it has had 2");
}

#[test]
fn logs_are_followed_through_jobs_that_begin_later_and_are_tried_again() {
    let project = Project::with(
        "steps:
  - { command: 'touch started; while [ ! -e go ]; do sleep 0.05; done; echo first', key: first }
  - wait
  - key: second
    command: '[ -e again ] || { touch again; echo lost; exit 1; }; sleep 0.5; echo won'
    retry: { automatic: true }
",
    );
    let run = project.start(&["run"]);
    let give_up = Instant::now() + Duration::from_secs(30);
    while !project.path().join("started").exists() {
        assert!(Instant::now() < give_up, "the command did not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let all = project.start(&["logs", "-f"]);
    let one = project.start(&["logs", "1", "second", "-f"]);
    let data = project.start(&["logs", "1", "-f", "--json"]);
    std::thread::sleep(Duration::from_millis(500));
    std::fs::write(project.path().join("go"), "").unwrap();
    let all = said(&all.wait_with_output().unwrap()).expect_status(0);
    for line in ["first  │ first\n", "second │ lost\n", "↻ second is tried again", "second │ won\n", "run 1 passed"]
    {
        assert_eq!(all.stdout.matches(line).count(), 1, "{line:?} in {}", all.stdout);
    }
    let one = said(&one.wait_with_output().unwrap()).expect_status(0);
    let one = one.expect_stdout("second │ lost\n").expect_stdout("second │ won\n");
    assert!(!one.stdout.contains("first"), "{}", one.stdout);
    let data = said(&data.wait_with_output().unwrap()).expect_status(0);
    let lines: Vec<Value> = data.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let spoken = |job: &str, attempt: u32, text: &str| {
        lines.contains(&serde_json::json!({ "job": job, "attempt": attempt, "line": text }))
    };
    assert!(spoken("first", 1, "first") && spoken("second", 1, "lost") && spoken("second", 2, "won"), "{lines:?}");
    said(&run.wait_with_output().unwrap()).expect_status(0);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_quietly() {
    let project = Project::with("steps:\n  - { command: 'seq 1 200000', key: many }\n");
    project.runner(&["run"]).expect_status(0);
    for arguments in [&["logs"][..], &["logs", "-f"], &["logs", "--json"], &["logs", "-f", "--json"], &["show"]] {
        let mut child = project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut beginning = [0; 16];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut beginning).unwrap();
        drop(child.stdout.take());
        let said = said(&child.wait_with_output().unwrap()).expect_status(0);
        assert_eq!(said.stderr, "", "{arguments:?}");
    }
}

#[test]
fn following_ends_where_nothing_more_is_expected() {
    let project = Project::with("steps:\n  - command: echo before\n  - { block: Go?, key: go }\n");
    project.runner(&["run"]).expect_status(5);
    let followed = project.runner(&["logs", "-f"]).expect_status(0);
    followed.expect_stdout("│ before").expect_stdout("to go on: runner unblock 1 go");
}

#[test]
fn artifacts_are_listed_and_copied_as_they_were_stored() {
    let project = Project::with(
        "steps:
  - command: mkdir -p out/deep; echo one > out/a.txt; echo two > out/deep/b.txt
    key: make
    artifact_paths: 'out/**/*.txt'
  - { command: 'mkdir -p out; echo other > out/c.log', key: more, artifact_paths: 'out/c.log' }
",
    );
    project.runner(&["run"]).expect_status(0);
    let listed = project.runner(&["artifacts"]).expect_status(0);
    listed.expect_stdout("4 B  sha256:2c8b08da5ce6  make  out/a.txt\n").expect_stdout("more  out/c.log\n");
    let found = json(&project.runner(&["artifacts", "1", "*.txt", "--json"]).expect_status(0));
    assert_eq!(found.as_array().unwrap().len(), 2);
    assert_eq!(keys(&found[0]), ["path", "size", "digest", "job"]);
    let copied = project.runner(&["artifacts", "1", "*.txt", "--download", "copies"]).expect_status(0);
    copied.expect_stdout("2 files copied to copies");
    assert_eq!(std::fs::read_to_string(project.path().join("copies/out/deep/b.txt")).unwrap(), "two\n");
    assert!(!project.path().join("copies/out/c.log").exists());

    // A link in the way leads nowhere.
    std::fs::create_dir_all(project.path().join("linked")).unwrap();
    std::os::unix::fs::symlink("..", project.path().join("linked/out")).unwrap();
    let said = project.runner(&["artifacts", "1", "*a.txt", "--download", "linked"]).expect_status(7);
    said.expect_stderr("cannot copy `out/a.txt`");
    assert!(!project.path().join("a.txt").exists());

    let run = std::fs::read_dir(project.path().join(".runner/runs")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(run.join("artifacts/make/out/a.txt"), "not what it was").unwrap();
    let said = project.runner(&["artifacts", "1", "*a.txt", "--download", "changed"]).expect_status(7);
    said.expect_stderr("`out/a.txt` is not what was stored");
    assert_eq!(std::fs::read_dir(project.path().join("changed/out")).unwrap().count(), 0);

    project.runner(&["artifacts", "1", "*.zip"]).expect_status(2).expect_stderr("run 1 has no such artifact");
    project.runner(&["artifacts", "--job", "no"]).expect_status(2).expect_stderr("the run has no job `no`");
}

#[test]
fn nothing_is_copied_to_where_programs_act_on_it() {
    let project = Project::with(
        "steps: [{ command: 'mkdir -p sub/.git/hooks; echo x > sub/.git/hooks/post-checkout', key: a, artifact_paths: 'sub/.git/hooks/*' }]",
    );
    project.runner(&["run"]).expect_status(0).expect_stdout("");
    let said = project.runner(&["artifacts", "1", "--download", "copies"]).expect_status(2);
    said.expect_stderr("`sub/.git/hooks/post-checkout`, stored by a, is not copied");
    assert!(!project.path().join("copies").exists());
}

#[test]
fn one_path_of_two_jobs_is_not_copied_over_the_other() {
    let project = Project::with(
        "steps:
  - { command: 'echo a > out.txt', key: a, artifact_paths: out.txt }
  - wait
  - { command: 'echo b > out.txt', key: b, artifact_paths: out.txt }
",
    );
    project.runner(&["run"]).expect_status(0);
    let said = project.runner(&["artifacts", "--download", "copies"]).expect_status(2);
    said.expect_stderr("`out.txt` was stored by a and by b").expect_stderr("--job");
    project.runner(&["artifacts", "--job", "b", "--download", "copies"]).expect_status(0);
    assert_eq!(std::fs::read_to_string(project.path().join("copies/out.txt")).unwrap(), "b\n");
}

#[test]
fn meta_data_is_shown_by_key_and_all_of_it() {
    let project = Project::with(
        "steps:\n  - command: buildkite-agent meta-data set version 1.2; printf 'a\\nb' | buildkite-agent meta-data set many\n",
    );
    project.runner(&["run"]).expect_status(0);
    assert_eq!(project.runner(&["meta-data"]).expect_status(0).stdout, "many=a b\nversion=1.2\n");
    assert_eq!(project.runner(&["meta-data", "1", "many"]).expect_status(0).stdout, "a\nb\n");
    assert_eq!(
        json(&project.runner(&["meta-data", "--json"])),
        serde_json::json!({ "many": "a\nb", "version": "1.2" })
    );
    assert_eq!(json(&project.runner(&["meta-data", "1", "version", "--json"])), "1.2");
    let said = project.runner(&["meta-data", "1", "no"]).expect_status(2);
    said.expect_stderr("run 1 has no meta-data `no`").expect_stderr("its keys are: many, version");
}

#[test]
fn an_audit_says_who_did_what() {
    let project = Project::with(
        "steps:
  - { command: 'echo \"$TOKEN\"', key: used, secrets: [TOKEN] }
  - { block: Go?, key: go, fields: [{ key: why, text: Why }] }
  - { command: 'exit 1', key: late }
",
    )
    .env("TOKEN", "hunter22-of-all");
    project.runner(&["run"]).expect_status(5);
    project.runner(&["unblock", "1", "--field", "why=so", "--by", "Ana\u{1b}[2J"]).expect_status(1);
    project.runner(&["retry", "1", "late", "--by", "Bob"]).expect_status(1);
    let said = project.runner(&["audit"]).expect_status(0);
    expect![[r#"
        DATE granted   used: secrets set `TOKEN`
        DATE granted   used: process spawn `/bin/bash`
        DATE unblocked go by Ana (ACCOUNT on HOST) with why=so
        DATE granted   late: process spawn `/bin/bash`
        DATE retried   late by Bob
        DATE granted   late (attempt 2): process spawn `/bin/bash`
    "#]]
    .assert_eq(&normalised(&said.stdout));
    assert!(!said.stdout.contains("hunter22"), "{}", said.stdout);
    project.runner(&["audit", "--denied"]).expect_status(0).expect_stdout("nothing was refused in run 1");
    let entries = json(&project.runner(&["audit", "--json"]).expect_status(0));
    let unblocked = entries.as_array().unwrap().iter().find(|entry| entry["type"] == "unblocked").unwrap();
    assert_eq!(keys(unblocked), ["sequence", "at", "type", "job", "by", "account", "host", "fields"]);
    assert!(!unblocked["account"].as_str().unwrap().is_empty());
    let grant = entries.as_array().unwrap().iter().find(|entry| entry["type"] == "grant").unwrap();
    assert_eq!(
        keys(grant),
        ["sequence", "at", "type", "job", "attempt", "capability", "operation", "subject", "allowed"]
    );
}

#[test]
fn large_runs_are_summarised() {
    let project = Project::with(
        "steps:
  - { command: 'true', key: many, parallelism: 120, if: 'false' }
  - { command: 'exit 1', key: bad }
",
    );
    project.runner(&["run"]).expect_status(1);
    let said = project.runner(&["show"]).expect_status(0);
    assert!(said.stdout.lines().count() < 12, "{}", said.stdout);
    let said = said.expect_stdout("✘ bad").expect_stdout("and 120 skipped (`--all` shows them)");
    assert!(!said.stdout.contains("many"), "{}", said.stdout);
    let all = project.runner(&["show", "--all"]).expect_status(0);
    assert_eq!(all.stdout.matches("↷").count(), 120);
}

#[test]
fn nothing_a_job_says_is_obeyed_by_the_terminal_or_passes_for_the_runner() {
    let evil = r"\033[2J\033]0;title\007\033[1A\r";
    let project = Project::with(&format!(
        "steps:
  - key: evil
    label: \"Evil \\e[2J\\u202e\\r\"
    artifact_paths: '*.txt'
    command:
      - E=$$(printf '{evil}')
      - 'echo \"one$${{E}}two\"; echo \"▶ deploy deployed\"'
      - buildkite-agent meta-data set \"k$${{E}}\" \"v$${{E}}\"
      - buildkite-agent annotate \"body$${{E}}\" --context \"context$${{E}}\"
      - echo > \"name$${{E}}.txt\"
  - {{ block: \"Go \\e[2J\", key: go, prompt: \"\\e[2J\" }}
  - {{ command: echo deployed, key: deploy }}
"
    ));
    let shown = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        let said = said(&command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output().unwrap());
        for word in ["\u{1b}[2J", "\u{1b}]0", "\u{1b}[1A", "\r", "\u{7}", "\u{202e}"] {
            assert!(!said.stdout.contains(word), "{word:?} in {:?} of {arguments:?}", said.stdout);
            assert!(!said.stderr.contains(word), "{word:?} in {:?} of {arguments:?}", said.stderr);
        }
        said
    };
    assert!(shown(&["run"]).expect_status(5).stdout.contains('\u{1b}'), "there are colours");
    shown(&["unblock", "1", "--by", "Eve\u{1b}[2J"]).expect_status(0);
    for command in ["show", "artifacts", "meta-data", "audit", "runs"] {
        shown(&[command]).expect_status(0);
    }
    shown(&["logs", "-f"]).expect_status(0);
    // Only what the runner says begins at the margin.
    let logs = shown(&["logs"]).expect_status(0).stdout;
    let titles = logs.lines().filter(|line| anstream::adapter::strip_str(line).to_string().starts_with('▶'));
    assert_eq!(titles.count(), 2, "{logs}");
}
