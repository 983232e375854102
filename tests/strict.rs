//! `runner check --strict` and `runner schema`.

use crate::corpus::corpus;
use crate::project::{Project, root, tell};
use expect_test::expect;
use runner::pipeline::lint::lint;
use runner::pipeline::schema::json_schema;
use runner::pipeline::{Diagnostic, Env, Precedence, Source, document, parse};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn read(path: &Path) -> Source {
    let name = path.display().to_string();
    Source::from_bytes(name, &std::fs::read(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pipelines in a directory, in order.
fn pipelines(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|name| name == "yml")).collect();
    paths.sort();
    paths
}

/// What a JSON Schema has against a file.
fn refusals(schema: &jsonschema::Validator, source: &Source) -> Vec<String> {
    let node = document::first(source).unwrap_or_else(|error| panic!("{}: {error}", source.name)).unwrap();
    schema.iter_errors(&node.to_json()).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn schema() -> jsonschema::Validator {
    jsonschema::draft7::new(&json_schema()).unwrap()
}

/// What the strict check has against a file.
fn strictly(source: &Source, env: &BTreeMap<String, String>) -> Vec<Diagnostic> {
    let mut env: Env = env.iter().map(|(name, value)| (name, value.clone())).collect();
    if let Ok(mut parsed) = parse(source)
        && let Err(error) = parsed.pipeline.interpolate(&mut env, Precedence::Pipeline)
    {
        tell(&format!("{}: {error}", source.name));
    }
    lint(source, &env).join(Vec::new())
}

/// The kind of a finding: its message without what is quoted from the file.
fn kind(finding: &Diagnostic) -> String {
    finding.message.split('`').step_by(2).collect::<Vec<_>>().join("…")
}

#[test]
fn the_schema_is_one() {
    let schema = json_schema();
    assert!(jsonschema::meta::is_valid(&schema));
    let said = Project::new().runner(&["schema"]).expect_status(0);
    assert_eq!(serde_json::from_str::<Value>(&said.stdout).unwrap(), schema);
    let definitions = schema["definitions"].as_object().unwrap();
    assert!(definitions["command_step"]["properties"]["retry"]["description"].is_string());
    for (name, definition) in definitions {
        for (key, property) in definition["properties"].as_object().unwrap() {
            assert!(property["description"].is_string(), "{name}.{key} is not described");
        }
    }
}

#[test]
fn the_schema_accepts_what_is_valid() {
    let Some(corpus) = corpus() else { return };
    let verdicts: BTreeMap<String, Value> =
        serde_json::from_slice(&std::fs::read(corpus.join("SCHEMA-RESULTS.json")).unwrap()).unwrap();
    let schema = schema();
    let (mut valid, mut invalid, mut accepted) = (0, 0, 0);
    let mut failures = Vec::new();
    for (name, verdict) in verdicts.iter().filter(|(_, verdict)| verdict["status"] != "yaml-error") {
        let refusals = refusals(&schema, &read(&corpus.join(name)));
        if verdict["status"] == "valid" {
            valid += 1;
            if !refusals.is_empty() {
                failures.push(format!("{name}: {}", refusals.join("\n")));
            }
        } else {
            invalid += 1;
            accepted += usize::from(refusals.is_empty());
        }
    }
    tell(&format!("{} of {valid} valid files accepted", valid - failures.len()));
    tell(&format!("{accepted} of {invalid} accepted that Buildkite's own schema refuses"));
    assert!(valid > 800 && failures.is_empty(), "{}", failures.join("\n\n"));
    // Left are files of another format, steps written as a mapping, and extension keys such as `expeditor`.
    assert_eq!((accepted, invalid), (34, 48));
}

#[test]
fn the_schema_accepts_what_parsers_accept() {
    let schema = schema();
    for text in [
        "[{command: x}, wait]",
        "steps: [{command: x, timeout_in_minutes: '30', agents: queue=x, label: ~}]",
        "steps: [{command: x, timeout: '${T:-5}', parallelism: $N, soft_fail: $SOFT}]",
        "steps: [{command: x, checkout: {skip: true}, agent_query_rules: [a=b], artifacts: [a]}]",
        "steps: [{block: b, submit: Go, fields: [{text: t, key: a/b}]}]",
        "steps: [{trigger: t, parallelism: 2}, {wait: ~}, {command: x, x-own: 1, matrix: {setup: [a, 1, true]}}]",
        "steps: [{uses: a@1, with: {x: 1}, grants: {workspace: read}, cache: {inputs: [a], outputs: b}}]",
        "common: {a: 1}\nnotify: [{slack: x, if: build.branch == 'a'}]\nsteps: []",
    ] {
        assert_eq!(refusals(&schema, &Source::new("p.yml", text)), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn the_schema_refuses_mistakes() {
    let schema = schema();
    for text in [
        "steps: x",
        "env: {}",
        "steps: [{command: x, branch: main}]",
        "steps: [{command: x, parallelism: many}]",
        "steps: [{command: x, timeout_in_minutes: 0}]",
        "steps: [{command: x, retry: {automatic: {limit: 11}}}]",
        "steps: [{command: x, retry: {automatc: true}}]",
        "steps: [{command: x, concurrency_method: odered}]",
        "steps: [{command: x, key: 'a b'}]",
        "steps: [{command: x, depends_on: [{setp: a}]}]",
        "steps: [{block: b, fields: [{select: s, key: k, options: []}]}]",
        "steps: [{wait: ~, fields: []}]",
        "steps: [{group: g, steps: [{group: h, steps: [wait]}]}]",
        "steps: [{uses: a@1, grants: {docker: {privileged: true}}}]",
        "steps: [{trigger: t, build: {brnach: b}}]",
        "notify: [{slak: x}]\nsteps: []",
        "steps: [nonsense]",
    ] {
        assert!(!refusals(&schema, &Source::new("p.yml", text)).is_empty(), "{text}");
    }
}

#[test]
fn the_examples_are_in_order() {
    let schema = schema();
    let mut paths: Vec<PathBuf> = Vec::new();
    for example in std::fs::read_dir(root().join("examples")).unwrap() {
        let directory = example.unwrap().path();
        paths.extend(pipelines(&directory).into_iter().filter(|path| path.ends_with("pipeline.yml")));
        paths.extend(Some(directory.join(".buildkite/pipeline.yml")).filter(|path| path.exists()));
    }
    assert!(paths.len() >= 2, "{paths:?}");
    for path in paths {
        let source = read(&path);
        assert_eq!(refusals(&schema, &source), Vec::<String>::new(), "{}", path.display());
        assert_eq!(strictly(&source, &BTreeMap::new()), [], "{}", path.display());
    }
}

/// Real files have real mistakes; the count of each kind is written down so that a change of it is seen.
#[test]
fn real_files() {
    let Some(corpus) = corpus() else { return };
    let env = serde_json::from_slice(&std::fs::read(corpus.join("ORACLE-ENV.json")).unwrap()).unwrap();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let (mut files, mut clean) = (0, 0);
    for path in pipelines(&corpus) {
        let source = read(&path);
        let findings = strictly(&source, &env);
        files += 1;
        clean += usize::from(findings.is_empty());
        for finding in &findings {
            assert!(finding.span.is_some(), "{}: {finding}", source.name);
            *kinds.entry(kind(finding)).or_default() += 1;
        }
    }
    let mut said = format!("{clean} of {files} files without a finding\n");
    for (kind, count) in kinds {
        said += &format!("{count:5} {kind}\n");
    }
    tell(said.trim_end());
    expect![[r#"
        254 of 313 files without a finding
            1 $ENVIRONMENT: not set
            1 in the condition: expected a boolean, found a list of strings
           63 unknown key … at the top of the file
          181 unknown key … in a command step
           30 … is replaced by nothing when the file is read, because it is not set then
            1 … is replaced when the file is read, before there is a job
    "#]]
    .assert_eq(&said);
}

#[test]
fn all_findings_in_one_go() {
    let project = Project::with(
        r#"env:
  IMAGE: orders
stpes: []
steps:
  - label: Tests
    key: tests
    command: |
      for n in 1 2; do
        echo $n
      done
    branch: main
    parallelism: many
    retry:
      automatic:
        - limit: 11
        - exit_status: 5

  - wait: ~
    continue_on_failre: true

  - block: Release?
    skip: true
    if: build.brnch == "main"
    fields:
      - select: Where
        key: where
        options: [{ label: Test, value: test }]
        default: prod

  - group: Deployment
    steps:
      - command: ./deploy $TARGET
        key: tests
        env: { TARGET: test }
        depends_on: tets
        depends_on: tests
      - command: ./check
        depends_on: tets
        if: false
        notify:
          - slack: '#releases'
            if: step.outcom == "passed"
"#,
    );
    let said = project.runner(&["check", "--strict"]).expect_status(3);
    expect![[r#"
        error: unknown key `stpes` at the top of the file
         --> pipeline.yml:3:1
          |
        3 | stpes: []
          | ^^^^^
          |
          = help: did you mean `steps`?

        error: `n` is replaced by nothing when the file is read, because it is not set then
         --> pipeline.yml:9:14
          |
        9 |         echo $n
          |              ^^
          |
          = help: write `$$n` to leave it to the shell of the job, or set `n` in the `env` at the top of the file

        error: unknown key `branch` in a command step
          --> pipeline.yml:11:5
           |
        11 |     branch: main
           |     ^^^^^^
           |
           = help: did you mean `branches`?

        error: `parallelism` is a string
          --> pipeline.yml:12:18
           |
        12 |     parallelism: many
           |                  ^^^^ expected an integer

        error: `limit` is 11, expected at most 10
          --> pipeline.yml:15:18
           |
        15 |         - limit: 11
           |                  ^^

        error: unknown key `continue_on_failre` in a wait step
          --> pipeline.yml:19:5
           |
        19 |     continue_on_failre: true
           |     ^^^^^^^^^^^^^^^^^^
           |
           = help: did you mean `continue_on_failure`?

        error: unknown key `skip` in a block step
          --> pipeline.yml:22:5
           |
        22 |     skip: true
           |     ^^^^
           |
           = help: it is a key of a command step, a trigger step and a group

        error: in the condition: `build.brnch` is not a variable
          --> pipeline.yml:23:9
           |
        23 |     if: build.brnch == "main"
           |         ^^^^^^^^^^^
           |
           = help: did you mean `build.branch`?

        error: the default `prod` is none of the options
          --> pipeline.yml:28:18
           |
        28 |         default: prod
           |                  ^^^^
           |
           = help: the values are `test`

        error: `TARGET` is replaced when the file is read, before the `env` of the step is set
          --> pipeline.yml:32:27
           |
        32 |       - command: ./deploy $TARGET
           |                           ^^^^^^^
           |
           = help: write `$$TARGET` to leave it to the shell of the job

        error: the key `tests` has already been used by another step
          --> pipeline.yml:33:14
           |
        33 |         key: tests
           |              ^^^^^

        error: the key `depends_on` stands here more than once; only the last one counts
          --> pipeline.yml:35:9
           |
        35 |         depends_on: tets
           |         ^^^^^^^^^^ this one is ignored

        error: no step has the key `tets`
          --> pipeline.yml:38:21
           |
        38 |         depends_on: tets
           |                     ^^^^
           |
           = help: did you mean `tests`?

        error: the step never runs: its condition never holds
          --> pipeline.yml:39:13
           |
        39 |         if: false
           |             ^^^^^
           |
           = help: remove the step, or say why it is left out: `skip: REASON`

        error: in the condition: `step.outcom` is not a variable
          --> pipeline.yml:42:17
           |
        42 |             if: step.outcom == "passed"
           |                 ^^^^^^^^^^^
           |
           = help: did you mean `step.outcome`?

    "#]]
    .assert_eq(&said.stderr);
    project.runner(&["check"]).expect_status(3);
}

#[test]
fn a_wait_step_can_be_waited_for() {
    let project = Project::with("steps: [{command: a}, {wait: ~, key: w}, {command: b, depends_on: w}]");
    project.runner(&["check", "--strict"]).expect_status(0);
    project.runner(&["plan"]).expect_status(0).expect_stdout("after     w\n");
}

/// What follows from an error is no second one.
#[test]
fn a_step_with_an_error_is_still_there() {
    let project = Project::with(
        r#"steps:
  - { block: Go?, key: go, blocked_state: odd }
  - { command: a, key: a, parallelism: many }
  - { wait: ~, key: w }
  - { command: b, depends_on: [go, a, goo, w] }
"#,
    );
    let said = project.runner(&["check"]).expect_status(3);
    let said: Vec<&str> = said.stderr.lines().filter(|line| line.contains("error") || line.contains("help")).collect();
    assert_eq!(
        said,
        [
            "error: unknown `blocked_state` `odd`",
            "error: `parallelism` is a string",
            "error: no step has the key `goo`",
            "  = help: did you mean `go`?",
        ]
    );
}

#[test]
fn the_format_lets_it_pass() {
    let project = Project::with("steps:\n  - command: 'true'\n    branch: main\n    notify: [{ slack: \"#ops\" }]\n");
    project.runner(&["check"]).expect_status(0).expect_stdout("1 job to run");
    let said = project.runner(&["check", "--strict"]).expect_status(3);
    expect![[r##"
        error: unknown key `branch` in a command step
         --> pipeline.yml:3:5
          |
        3 |     branch: main
          |     ^^^^^^
          |
          = help: did you mean `branches`?

        warning: nothing is sent: `slack` of `notify` is not mapped to a component
         --> pipeline.yml:4:14
          |
        4 |     notify: [{ slack: "#ops" }]
          |              ^^^^^^^^^^^^^^^^^
          |
          = help: map it in runner.yml:
                  notify:
                    "slack": { uses: ./steps/notify.wasm, grants: {} }

    "##]]
    .assert_eq(&said.stderr);
    // What this version cannot do is no mistake of the file.
    let project = Project::with("steps:\n  - command: 'true'\n    notify: [{ slack: \"#ops\" }]\n");
    project.runner(&["check", "--strict"]).expect_status(0).expect_stderr("warning: nothing is sent");
}

#[test]
fn the_environment_counts() {
    let project = Project::with("steps: [{command: 'echo $TARGET'}]");
    project.runner(&["check", "--strict"]).expect_status(3).expect_stderr("write `$$TARGET`");
    project.runner(&["check", "--strict", "--env", "TARGET=a"]).expect_status(0);
    project.env("TARGET", "a").runner(&["check", "--strict"]).expect_status(0);
}

#[test]
fn what_is_not_about_the_pipeline_stays() {
    let project = Project::new();
    project.runner(&["check", "--strict", "nowhere.yml"]).expect_status(3).expect_stderr("cannot be read");
    let project = Project::with("steps: [");
    project.runner(&["check", "--strict"]).expect_status(3).expect_stderr("invalid YAML");
}
