//! `buildkite-agent` as scripts call it, in real pipelines and outside of them.

use crate::corpus::corpus;
use crate::project::{Project, said};
use runner::event::{AnnotationStyle, Event, EventKind};
use runner::log::{EventLog, SqliteLog};
use serde_json::Value;
use std::process::{Command, Stdio};

/// `bash -e` does not mind a `!` command that succeeds; this does.
const REFUSED: &str = r#"refused() { if "$$@"; then echo "not refused: $$*"; exit 1; fi; }"#;

/// A pipeline of command steps, one after the other, each with its script.
fn steps(scripts: &[(&str, &str)]) -> Project {
    let step =
        |(key, script): &(&str, &str)| format!("  - key: {key}\n    command: |\n      {REFUSED}\n{}", lines(script));
    Project::with(&format!("steps:\n{}", scripts.iter().map(step).collect::<Vec<_>>().join("  - wait\n")))
}

/// A script as lines of a block in a pipeline.
fn lines(script: &str) -> String {
    script.lines().fold(String::new(), |text, line| text + "      " + &line.replace('$', "$$") + "\n")
}

/// The events of the project's first run.
fn events(project: &Project) -> Vec<Event> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let log = SqliteLog::open(&project.path().join(".runner/runs.db")).unwrap();
        let (record, _) = log.open("1").await.unwrap();
        log.read(&record.id, 0).await.unwrap()
    })
}

#[test]
fn meta_data_goes_from_job_to_job() {
    let project = steps(&[
        (
            "write",
            r#"buildkite-agent meta-data set name "a value"
printf 'from\nstdin' | buildkite-agent meta-data set piped
buildkite-agent meta-data set-batch one=1 "two=2=2"
refused buildkite-agent meta-data set empty ""
refused buildkite-agent meta-data set spaces "  "
refused buildkite-agent meta-data set nothing < /dev/null"#,
        ),
        (
            "read",
            r#"test "$(buildkite-agent meta-data get name)" = "a value"
test "$(buildkite-agent meta-data get piped)" = "$(printf 'from\nstdin')"
test "$(buildkite-agent meta-data get two)" = "2=2"
test "$(buildkite-agent meta-data get none --default "")" = ""
test "$(buildkite-agent meta-data get none -default=-x)" = "-x"
test "$(buildkite-agent meta-data keys | tr '\n' ' ')" = "name one piped two "
buildkite-agent meta-data exists name
status=0; buildkite-agent meta-data exists none || status=$?
test $status = 100
status=0; buildkite-agent meta-data get none || status=$?
test $status = 1"#,
        ),
    ]);
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("value cannot be empty").expect_stdout("no meta-data value exists with key \"none\"");
}

#[test]
fn artifacts_go_out_and_come_back_with_their_paths() {
    let project = steps(&[
        (
            "make",
            r#"mkdir -p log/deep/er ci
echo one > log/a.log; echo two > log/deep/er/b.log; echo three > log/c.txt; ln -s a.log log/link.log
buildkite-agent artifact upload "log/**/*.log;log/{c,d}.txt; none"
buildkite-agent artifact upload "none/*"
buildkite-agent artifact upload "$PWD/log/c.txt"
cd ci; echo up > ../top.txt; buildkite-agent artifact upload "../top.txt"
refused buildkite-agent artifact upload a b"#,
        ),
        ("newer", "mkdir -p log; echo newer > log/a.log; buildkite-agent artifact upload log/a.log"),
        (
            "fetch",
            r#"mkdir out log2 && cd out
buildkite-agent artifact download "log/*" .
test "$(cat log/a.log log/deep/er/b.log log/c.txt log/link.log | tr '\n' ' ')" = "newer two three one "
mkdir ../again ../again/log; buildkite-agent artifact download "log/*.log" ../again/log
test "$(find ../again -type f | wc -l)" = 3
test "$(stat -c %a ../again/log/a.log)" = "$(touch x; stat -c %a x)"
buildkite-agent artifact download "log/a.log" . --step make
test "$(cat log/a.log)" = one
buildkite-agent artifact download top.txt .; cat top.txt
status=0; buildkite-agent artifact download "none*" . || status=$?
test $status = 1
status=0; buildkite-agent artifact download "log/*" nowhere || status=$?
test $status = 1
test "$(buildkite-agent artifact shasum log/c.txt --step make)" = "$(sha1sum < log/c.txt | cut -d' ' -f1)"
test "$(buildkite-agent artifact shasum --sha256 log/c.txt)" = "$(sha256sum < log/c.txt | cut -d' ' -f1)"
refused buildkite-agent artifact shasum "log/*"
buildkite-agent artifact search "log/a.log" --format "<%j %p %s>"
buildkite-agent artifact search "none" --allow-empty-results
refused buildkite-agent artifact search none"#,
        ),
    ]);
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("No files matched paths: none/*").expect_stdout("Found 4 files that match");
    let said = said.expect_stdout("no artifacts found for downloading").expect_stdout("fetch │ up");
    let said = said.expect_stdout("<make log/a.log 4><newer log/a.log 6>");
    said.expect_stdout("surround your artifact upload pattern in double quotes").expect_stdout("Multiple artifacts");
}

#[test]
fn annotations_are_facts_of_the_run() {
    let project = steps(&[(
        "note",
        r#"buildkite-agent annotate "**all** good" --style success --context tests --priority 7
buildkite-agent annotate " and more" --append --context tests
echo "from stdin $MY_TOKEN" | buildkite-agent annotate --scope job
buildkite-agent annotate --style warning --scope job < /dev/null
buildkite-agent annotation remove --scope job
refused buildkite-agent annotation remove --scope job
refused buildkite-agent annotate x --style loud
head -c 1100000 /dev/zero | tr '\0' x | refused buildkite-agent annotate"#,
    )])
    .env("MY_TOKEN", "hunter22-x");
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("expected success, info, warning or error");
    let mut annotated = Vec::new();
    let mut removed = 0;
    for event in events(&project) {
        match event.kind {
            EventKind::Annotated { annotation, append } => annotated.push((annotation, append)),
            EventKind::AnnotationRemoved { job, context } => {
                assert_eq!((job.as_deref(), context.as_str()), (Some("note"), "default"));
                removed += 1;
            }
            _ => {}
        }
    }
    assert_eq!(removed, 1);
    let facts: Vec<_> = annotated
        .iter()
        .map(|(one, append)| (one.context.as_str(), one.style, one.body.as_str(), one.priority, *append))
        .collect();
    assert_eq!(
        facts,
        [
            ("tests", AnnotationStyle::Success, "**all** good", 7, false),
            ("tests", AnnotationStyle::Success, " and more", 3, true),
            ("default", AnnotationStyle::Default, "from stdin [REDACTED]\n", 3, false),
            ("default", AnnotationStyle::Warning, "from stdin [REDACTED]\n", 3, false),
        ]
    );
}

#[test]
fn the_jobs_environment_is_read_and_changed() {
    let project = steps(&[
        (
            "change",
            r#"buildkite-agent env set ADDED=1 "PATH=$PATH:/more"
test "$(buildkite-agent env get ADDED)" = 1
echo '{"JSON": "a=b"}' | buildkite-agent env set --input-format=json --output-format=quiet -
test "$(buildkite-agent env get ADDED JSON | tr '\n' ' ')" = "ADDED=1 JSON=a=b "
buildkite-agent env unset ADDED
status=0; buildkite-agent env get ADDED || status=$?
test $status = 1
refused buildkite-agent env set BUILDKITE_JOB_ID=other
refused buildkite-agent env set novalue
buildkite-agent env dump | buildkite-agent env set --input-format json --output-format quiet -
test "$(ONLY=here buildkite-agent env dump | grep -c '"ONLY":"here"')" = 1"#,
        ),
        ("other", r#"status=0; buildkite-agent env get JSON || status=$?; test $status = 1"#),
    ]);
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("Added:").expect_stdout("+ ADDED").expect_stdout("~ PATH").expect_stdout("- ADDED");
    said.expect_stdout("protected and cannot be changed: BUILDKITE_JOB_ID").expect_stdout("not in key=value format");
}

#[test]
fn a_secret_is_read_where_it_is_granted_and_never_shown() {
    let project = Project::with(
        "steps:
  - key: granted
    grants: { secrets: [DEPLOY_KEY] }
    secrets: [OTHER_KEY]
    command: |
      value=$$(buildkite-agent secret get deploy_key)
      test \"$$value\" = 'it'\\''s secret-1'
      echo \"<$$value>\"
      eval \"$$(buildkite-agent secret get --format env DEPLOY_KEY)\"
      test \"$$DEPLOY_KEY\" = \"$$value\"
      buildkite-agent secret get DEPLOY_KEY OTHER_KEY
  - wait
  - { key: refused, command: buildkite-agent secret get DEPLOY_KEY }
",
    )
    .env("DEPLOY_KEY", "it's secret-1")
    .env("OTHER_KEY", "secret-22");
    let said = project.runner(&["run"]).expect_status(1);
    let said = said.expect_stdout("<[REDACTED]>").expect_stdout("{\"DEPLOY_KEY\":\"[REDACTED]\",\"OTHER_KEY\":");
    let said = said.expect_stdout("add to the step: secrets: [DEPLOY_KEY]");
    assert!(!said.stdout.contains("secret-1") && !said.stdout.contains("secret-22"), "{}", said.stdout);
    let decided: Vec<(String, bool)> = events(&project)
        .into_iter()
        .filter_map(|event| match event.kind {
            EventKind::GrantDecided { job, decision, .. } if decision.operation == "get" => {
                Some((job, decision.allowed))
            }
            _ => None,
        })
        .collect();
    assert_eq!(decided.last(), Some(&("refused".to_owned(), false)));
    assert_eq!(decided.iter().filter(|(_, allowed)| *allowed).count(), 4);
}

#[test]
fn what_is_given_to_the_redactor_is_not_shown_however_it_is_written() {
    let project = steps(&[(
        "redact",
        r#"printf ' found-secret \n' | buildkite-agent redactor add
echo '{"a": "json-secret", "b": "other-secret"}' > secrets.json
buildkite-agent redactor add --format json secrets.json
echo 'not json-secret' | refused buildkite-agent redactor add --format json
echo "1 found-secret"; printf found-; sleep 0.2; printf sec; sleep 0.2; echo ret; echo json-secret other-secret"#,
    )]);
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("1 [REDACTED]");
    for secret in ["found-secret", "json-secret", "other-secret", "found-"] {
        assert!(!said.stdout.contains(&format!("│ {secret}")), "{}", said.stdout);
    }
    said.expect_stdout("[REDACTED] [REDACTED]");
}

#[test]
fn locks_keep_jobs_apart_and_work_is_done_once() {
    let script = "for i in 1 2 3; do
  token=$(buildkite-agent lock acquire counter --lock-wait-timeout 30s)
  n=$(cat n 2>/dev/null || echo 0); sleep 0.05; echo $((n + 1)) > n
  buildkite-agent lock release counter \"$token\"
done
if test \"$(buildkite-agent lock do setup)\" = do; then echo did >> done; sleep 0.2; buildkite-agent lock done setup; fi
test -s done";
    let lines = lines(script);
    let project = Project::with(&format!(
        "steps:
  - command: |
{lines}    parallelism: 3
  - wait
  - command: |
      {REFUSED}
      test \"$$(buildkite-agent lock get counter)\" = \"\"
      test \"$$(buildkite-agent lock get setup)\" = done
      buildkite-agent lock acquire kept
      refused buildkite-agent lock acquire kept --lock-wait-timeout 100ms
      refused buildkite-agent lock release kept guess
  - wait
  - command: buildkite-agent lock acquire kept --lock-wait-timeout 10s
"
    ));
    project.runner(&["run", "--jobs", "3"]).expect_status(0).expect_stdout("was not free within 100 ms");
    assert_eq!(std::fs::read_to_string(project.path().join("n")).unwrap(), "9\n");
    assert_eq!(std::fs::read_to_string(project.path().join("done")).unwrap(), "did\n");
}

#[test]
fn a_token_is_worth_nothing_after_its_job_and_never_shown() {
    let project = steps(&[
        (
            "owner",
            r#"buildkite-agent meta-data set k v
printf '%s' "$BUILDKITE_AGENT_JOB_API_TOKEN" > token
echo "token $BUILDKITE_AGENT_JOB_API_TOKEN, access $BUILDKITE_AGENT_ACCESS_TOKEN"
test "$(stat -c %a "$(dirname "$BUILDKITE_AGENT_JOB_API_SOCKET")")" = 700"#,
        ),
        (
            "thief",
            r#"buildkite-agent meta-data get k
BUILDKITE_AGENT_JOB_API_TOKEN=$(cat token) refused buildkite-agent meta-data get k"#,
        ),
    ]);
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("token [REDACTED], access [REDACTED]");
    said.expect_stdout("the job this token was given to has ended");
}

#[test]
fn two_jobs_at_once_are_two_callers() {
    let project = Project::with(
        "steps:
  - command: |
      buildkite-agent env set WHO=$$BUILDKITE_PARALLEL_JOB --output-format quiet
      for i in 1 2 3 4 5; do buildkite-agent meta-data set $$BUILDKITE_PARALLEL_JOB-$$i x; done
      test \"$$(buildkite-agent env get WHO)\" = $$BUILDKITE_PARALLEL_JOB
      echo $$BUILDKITE_PARALLEL_JOB > own-$$BUILDKITE_PARALLEL_JOB; buildkite-agent artifact upload \"own-*\"
    parallelism: 2
  - wait
  - command: test $$(buildkite-agent meta-data keys | wc -l) = 10
",
    );
    project.runner(&["run", "--jobs", "2"]).expect_status(0);
}

#[test]
fn steps_are_uploaded_and_refused_with_their_places() {
    let project = steps(&[
        (
            "make",
            r#"printf 'steps:\n  - { key: new, command: "echo uploaded $GREETING $$BUILDKITE_STEP_KEY" }\n' |
  GREETING=hello buildkite-agent pipeline upload
printf 'steps:\n  - { command: x, uses: nothing@1 }\n' | refused buildkite-agent pipeline upload
printf 'steps: [' | refused buildkite-agent pipeline upload
refused buildkite-agent pipeline upload
mkdir .buildkite; printf 'steps: []' > .buildkite/pipeline.yml; printf 'steps: []' > buildkite.yml
refused buildkite-agent pipeline upload
refused buildkite-agent pipeline upload nowhere.yml
MY_TOKEN=hunter22 refused buildkite-agent pipeline upload --reject-secrets <<< 'steps: [ { command: "echo $MY_TOKEN" } ]'"#,
        ),
        ("after", "echo after"),
    ]);
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("uploaded hello new");
    let said = said.expect_stdout("found multiple configuration files: buildkite.yml, .buildkite/pipeline.yml");
    let said = said.expect_stdout("could not find a default pipeline").expect_stdout("(stdin):2:");
    let said = said.expect_stdout("secret environment variables: MY_TOKEN, and cannot be uploaded");
    let place = |text: &str| said.stdout.find(text).unwrap_or_else(|| panic!("no {text} in\n{}", said.stdout));
    assert!(place("uploaded hello") < place("│ after"), "{}", said.stdout);
}

#[test]
fn steps_are_read_changed_and_ended() {
    let project = Project::with(&format!(
        "steps:
  - {{ key: first, label: First, command: \"true\" }}
  - wait
  - {{ key: long, command: sleep 60, soft_fail: true }}
  - key: ask
    label: Ask
    depends_on: first
    command: |
      {REFUSED}
      test \"$$(buildkite-agent step get outcome --step first)\" = passed
      test \"$$(buildkite-agent step get state --step first)\" = finished
      test \"$$(buildkite-agent step get state)\" = running
      test \"$$(buildkite-agent step get label)\" = Ask
      buildkite-agent step update label \" twice\" --append
      test \"$$(buildkite-agent step get label --step ask)\" = \"Ask twice\"
      buildkite-agent step update note kept; test \"$$(buildkite-agent step get note)\" = kept
      refused buildkite-agent step get none
      refused buildkite-agent step update state passed
      refused buildkite-agent step get label --step nobody
      buildkite-agent step get --format json | grep -q '\"key\":\"ask\"'
      refused buildkite-agent step get
      buildkite-agent step cancel --step long
      buildkite-agent job update timeout 5
      refused buildkite-agent job update label x
      buildkite-agent build cancel
      sleep 60
"
    ));
    let started = std::time::Instant::now();
    let said = project.runner(&["run", "--jobs", "2"]).expect_status(6);
    let said = said.expect_stdout("cancelled: long").expect_stdout("cannot be changed; its label can");
    said.expect_stdout("there is no step `nobody`").expect_stdout("the job now has 5 minutes");
    assert!(started.elapsed().as_secs() < 50);
}

#[test]
fn what_means_nothing_here_says_so_and_what_to_do() {
    let project = Project::new();
    for (arguments, because) in [
        (&["oidc", "request-token", "--audience", "x"][..], "is not available here"),
        (&["start", "--token", "x"], "runner run"),
        (&["bootstrap"], "runner run"),
        (&["tool", "sign"], "is not available here"),
        (&["meta-data", "get", "x"], "works only in a job"),
        (&["meta-data", "get"], "<KEY>"),
        (&["nonsense"], "unrecognized subcommand"),
    ] {
        let all: Vec<&str> = ["buildkite-agent"].iter().chain(arguments).copied().collect();
        project.runner(&all).expect_status(1).expect_stderr(because);
    }
    let version = project.runner(&["buildkite-agent", "--version"]).expect_status(0);
    assert!(version.stdout.starts_with("buildkite-agent version 3."), "{}", version.stdout);
    let flags = ["buildkite-agent", "env", "dump", "--no-color", "--debug", "--log-level", "info", "-format=json"];
    project.runner(&flags).expect_status(0).expect_stdout("\"USER\":\"tester\"");
    project.runner(&["buildkite-agent", "artifact", "upload", "--help"]).expect_status(0).expect_stdout("--literal");
}

/// What `pipeline upload --dry-run` prints is what Buildkite's own parser makes of the same file.
#[test]
fn a_dry_run_prints_the_pipeline_as_buildkite_reads_it() {
    let Some(corpus) = corpus() else { return };
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let environment: serde_json::Map<String, Value> =
        serde_json::from_str(&read(&corpus.join("ORACLE-ENV.json"))).unwrap();
    let mut goldens: Vec<_> =
        std::fs::read_dir(corpus.join("golden/real-world")).unwrap().map(Result::unwrap).collect();
    goldens.sort_by_key(std::fs::DirEntry::file_name);
    let mut compared = 0;
    for golden in goldens.iter().step_by(6) {
        let golden: Value = serde_json::from_str(&read(&golden.path())).unwrap();
        let documents = golden["docs"].as_array().unwrap();
        if documents.iter().any(|document| document.get("interpolated").is_none()) {
            continue;
        }
        let file = corpus.join(std::path::Path::new(golden["file"].as_str().unwrap()).file_name().unwrap());
        for (flag, part) in [("--dry-run", "interpolated"), ("--no-interpolation", "no_interpolation")] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
            command.args(["buildkite-agent", "pipeline", "upload", "--dry-run", flag]).arg(&file);
            command.env_clear().stdin(Stdio::null());
            command.envs(environment.iter().map(|(name, value)| (name, value.as_str().unwrap())));
            let said = said(&command.output().unwrap()).expect_status(0);
            let printed = serde_json::Deserializer::from_str(&said.stdout).into_iter::<Value>();
            let printed: Vec<Value> = printed.map(Result::unwrap).collect();
            let expected: Vec<&Value> = documents.iter().map(|document| &document[part]).collect();
            assert_eq!(printed.iter().collect::<Vec<_>>(), expected, "{}, {part}", file.display());
            compared += 1;
        }
    }
    assert!(compared >= 80, "only {compared} compared");
}
