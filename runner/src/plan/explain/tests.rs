//! Explanations of small pipelines.

use super::{Explanation, Facts, NotFound, explain, find};
use crate::pipeline::{Env, Precedence, Source, interpolate::SetBy, parse};
use crate::plan::{BuildContext, Settings, build_with_origins};

const PIPELINE: &str = r#"env:
  IMAGE: reg/$LOGIN_TOKEN
  DB_PASSWORD: hunter2
priority: 3
steps:
  - key: lint
    command: "lint $IMAGE $BUILDKITE_BRANCH ${WHO:-nobody}"
    env: { API_TOKEN: abc, PART: "${LOGIN_TOKEN:0:8}" }
  - wait: { continue_on_failure: true }
  - group: Deep tests
    if: build.branch == "main" && build.env("DB_PASSWORD") != null
    steps:
      - label: "unit %n"
        command: unit
        parallelism: 3
        priority: 1
        depends_on: [lint]
      - label: "on {{matrix.os}}"
        command: "go {{matrix.os}}"
        matrix: { setup: { os: [linux, mac] } }
  - uses: ./x.wasm
    with: { a: "{{ steps.lint.outputs.n }}" }
    key: last
    branches: release/*
  - { command: same }
  - { command: same }
  - group: Outer
    steps:
      - group: Inner
        skip: "not now"
        if: "(("
        steps: [{ command: deep, key: deep }]
"#;

fn with<T>(then: impl FnOnce(Facts<'_>) -> T) -> T {
    let source = Source::new("p.yml", PIPELINE);
    let written = parse(&source).unwrap().pipeline;
    let mut env: Env = [("LOGIN_TOKEN", "s3cretvalue")].into_iter().collect();
    env.set_from(SetBy::Build, "BUILDKITE_BRANCH", "main");
    let mut pipeline = written.clone();
    pipeline.interpolate(&mut env.clone(), Precedence::Pipeline).unwrap();
    let context = BuildContext { branch: "main".to_owned(), ..BuildContext::default() };
    let (plan, origins, _) = build_with_origins(&pipeline, "p.yml", &context, &Settings::default()).unwrap();
    let secret = |name: &str| name.ends_with("_TOKEN") || name.ends_with("_PASSWORD");
    then(Facts {
        source: &source,
        written: &written,
        pipeline: &pipeline,
        env: &env,
        plan: &plan,
        origins: &origins,
        secret,
    })
}

fn explained(name: &str) -> Explanation {
    with(|facts| explain(facts, find(&facts, name).unwrap()).unwrap())
}

fn rules(explanation: &Explanation) -> Vec<String> {
    let place = |place: &Option<String>| place.as_deref().unwrap_or("-").trim_start_matches("p.yml:").to_owned();
    explanation.rules.iter().map(|rule| format!("{} {}: {}", place(&rule.place), rule.subject, rule.text)).collect()
}

#[test]
fn variables_come_from_somewhere() {
    let explanation = explained("lint");
    let variables: Vec<(&str, Option<&str>, Option<&str>)> = explanation
        .variables
        .iter()
        .map(|variable| (variable.name.as_str(), variable.value.as_deref(), variable.from.as_deref()))
        .collect();
    assert_eq!(
        variables,
        [
            ("IMAGE", Some("reg/[REDACTED]"), Some("the pipeline's `env` at p.yml:2:10")),
            ("BUILDKITE_BRANCH", Some("main"), Some("what is built")),
            ("WHO", None, None),
            ("LOGIN_TOKEN", Some("[REDACTED]"), Some("the environment of the runner")),
        ]
    );
    assert_eq!(explanation.effective["command"], "lint reg/[REDACTED] main nobody");
    assert_eq!(
        explanation.changed.iter().map(|change| change.attribute.as_str()).collect::<Vec<_>>(),
        ["command", "env"]
    );
}

#[test]
fn no_secret_is_in_any_explanation() {
    for name in ["lint", "wait", "Deep tests", "unit-0-1", "on-linux-1", "last"] {
        let json = serde_json::to_string(&explained(name)).unwrap();
        for secret in ["s3cretvalue", "s3cretva", "hunter2", "abc"] {
            assert!(!json.contains(secret), "{secret} is in the explanation of {name}: {json}");
        }
    }
}

#[test]
fn every_rule_has_its_place() {
    assert_eq!(
        rules(&explained("unit-1-2")),
        [
            "16:9 priority: the step's own `priority` takes the place of the pipeline's",
            "2:3 env: the pipeline's variables are added: IMAGE, DB_PASSWORD",
            "10:5 group: in the group `Deep tests`",
            "11:9 if: of the group: `build.branch == \"main\" && build.env(\"DB_PASSWORD\") != null` holds: \
             build.branch is \"main\", build.env(\"DB_PASSWORD\") is \"[REDACTED]\"",
            "15:9 parallelism: 3 jobs; each knows its number as BUILDKITE_PARALLEL_JOB",
            "6:5 after: `lint`: named in `depends_on`",
            "- component: `command` has not been looked for",
            "- grants: the command is the permission to start programs on this machine",
            "16:9 priority: 1: higher goes first",
        ]
    );
    assert_eq!(
        rules(&explained("last")),
        [
            "4:1 priority: 3, from the pipeline",
            "2:3 env: the pipeline's variables are added: IMAGE, DB_PASSWORD",
            "24:15 branches: `release/*` does not match the branch `main`",
            "9:5 after: `wait`: the barrier before it",
            "6:5 after: `lint`: its output `n` is used",
            "21:5 component: `./x.wasm` is not looked for, because the step is skipped",
            "- grants: nothing: it can compute, log and read its parameters",
        ]
    );
    assert_eq!(
        rules(&explained("wait")),
        [
            "6:5 after: `lint`: stands before this wait; its failure is no reason not to run",
            "- wait: a barrier: passes when all that has to is over",
        ]
    );
}

#[test]
fn all_groups_around_a_step_count() {
    let rules = rules(&explained("deep"));
    let group = |text: &str| rules.iter().any(|rule| rule.ends_with(text));
    assert!(group("in the group `Outer`") && group("in the group `Inner`"), "{rules:?}");
    assert!(
        group("skip: of the group: skipped: not now") && !rules.iter().any(|rule| rule.contains(" if:")),
        "{rules:?}"
    );
}

#[test]
fn jobs_know_which_part_they_are() {
    let parts = |name: &str| -> Vec<String> {
        explained(name).jobs.into_iter().map(|job| format!("{} {}", job.name, job.part.unwrap_or_default())).collect()
    };
    assert_eq!(parts("unit %n"), ["unit-0-1 1 of 3", "unit-1-2 2 of 3", "unit-2-3 3 of 3"]);
    assert_eq!(parts("on linux"), ["on-linux-1 os=linux", "on-mac-2 os=mac"]);
    assert_eq!(parts("Deep tests").len(), 5);
}

#[test]
fn steps_are_found_by_every_name() {
    with(|facts| {
        let position = |name: &str| find(&facts, name);
        assert_eq!(position("lint"), Ok(0));
        assert_eq!(position("Deep tests"), Ok(2));
        assert_eq!(position("unit-2-3"), Ok(3));
        assert_eq!(position("on {{matrix.os}}"), Ok(4));
        assert_eq!(position("same-2"), Ok(7));
        assert_eq!(position("same"), Ok(6));
        let Err(NotFound::Unknown { close, known }) = position("lnit") else { panic!() };
        assert_eq!(close.as_deref(), Some("lint"));
        assert_eq!(
            known,
            [
                "lint",
                "wait",
                "unit-0-1",
                "on-linux-1",
                "last",
                "same",
                "same-2",
                "deep",
                "Deep tests",
                "Outer",
                "Inner"
            ]
        );
        let Err(NotFound::Unknown { close, .. }) = position("Deep testss") else { panic!() };
        assert_eq!(close.as_deref(), Some("Deep tests"));
        assert_eq!(position("lint reg/s3cretvalue main nobody"), Ok(0));
    });
}
