//! Tables of attributes.

use super::{BlockedState, ConcurrencyMethod, Ended, ExitStatus, FieldKind, SoftFail};
use crate::pipeline::{CommandStep, Diagnostic, Source, Step, StepKind, parse};

fn step(text: &str) -> Step {
    let parsed = parse(&Source::new("p.yml", format!("steps:\n  - {text}"))).unwrap();
    parsed.pipeline.steps.into_iter().next().unwrap()
}

fn command(text: &str) -> CommandStep {
    match step(&format!("{{command: x, {text}}}")).kind {
        StepKind::Command(command) => *command,
        other => panic!("{other:?}"),
    }
}

fn mistakes(text: &str) -> Vec<Diagnostic> {
    command(text).attributes().expect_err(text)
}

#[test]
fn command_attributes() {
    let step = command(
        "id: k, name: n, uses: a@1, with: {x: 1}, grants: {docker: {}}, timeout: '30', soft_fail: [{exit_status: 3}], \
         artifacts: 'a;b/**', agents: [queue=x, linux], priority: -1, parallelism: 4, concurrency: 1, \
         concurrency_group: g, concurrency_method: eager, depends_on: [a, {step: b, allow_failure: 'true'}], \
         cache: {inputs: [src], outputs: out}, skip: 'not yet'",
    );
    let attributes = step.attributes().unwrap();
    assert_eq!(attributes.shared.key.unwrap().value, "k");
    assert_eq!(attributes.shared.label.unwrap().value, "n");
    assert_eq!(attributes.shared.skip.unwrap().value, "not yet");
    let dependencies = attributes.shared.depends_on.unwrap().value;
    assert_eq!((dependencies[0].allow_failure, dependencies[1].allow_failure), (false, true));
    assert_eq!(attributes.uses.unwrap().value, "a@1");
    assert!(attributes.with.is_some() && attributes.grants.is_some());
    assert_eq!(attributes.timeout_in_minutes.unwrap().value, 30);
    assert_eq!(attributes.soft_fail, SoftFail::On(vec![ExitStatus::Code(3)]));
    assert_eq!(attributes.artifact_paths.iter().map(|path| path.as_str()).collect::<Vec<_>>(), ["a", "b/**"]);
    let agents = attributes.agents.unwrap();
    assert_eq!((agents["queue"].as_str(), agents["linux"].as_str()), ("x", "true"));
    assert_eq!((attributes.priority, attributes.parallelism.unwrap().value), (Some(-1), 4));
    assert_eq!(attributes.concurrency.unwrap().method, ConcurrencyMethod::Eager);
    let cache = attributes.cache.unwrap();
    assert_eq!((cache.inputs[0].as_str(), cache.outputs[0].as_str()), ("src", "out"));
}

#[test]
fn dependencies() {
    let depends_on = |text: &str| command(text).attributes().unwrap().shared.depends_on.map(|list| list.value.len());
    assert_eq!(depends_on("a: b"), None);
    assert_eq!(depends_on("depends_on: ~"), Some(0));
    assert_eq!(depends_on("depends_on: []"), Some(0));
    assert_eq!(depends_on("depends_on: a"), Some(1));
}

#[test]
fn skipping() {
    let skipped = |text: &str| command(text).attributes().unwrap().shared.skip.map(|reason| reason.value);
    assert_eq!(skipped("skip: true"), Some(String::new()));
    assert_eq!(skipped("skip: why"), Some("why".to_owned()));
    for text in ["skip: false", "skip: ''", "skip: 'false'", "skip: ~"] {
        assert_eq!(skipped(text), None, "{text}");
    }
}

#[test]
fn retries() {
    let step = command(
        "retry: {automatic: [{exit_status: [1, -1], limit: 3}, {signal: sigterm}, {exit_status: '*', signal: none}]}",
    );
    let retry = step.attributes().unwrap().retry;
    let rule =
        |exit_status, signal| retry.rule_for(Ended { exit_status, signal, signal_reason: None }).map(|(rule, _)| rule);
    assert_eq!(rule(1, None), Some(0));
    assert_eq!(rule(-1, None), Some(0));
    assert_eq!(rule(143, Some("SIGTERM")), Some(1));
    assert_eq!(rule(137, Some("KILL")), None);
    assert_eq!(rule(2, None), Some(2));
    assert_eq!(rule(0, None), None);
    let always = command("retry: {automatic: true, manual: {allowed: false, reason: no}}").attributes().unwrap().retry;
    assert_eq!((always.automatic[0].limit, always.manual.allowed), (2, false));
    assert!(command("retry: {automatic: false}").attributes().unwrap().retry.automatic.is_empty());
}

#[test]
fn soft_failures() {
    let covers = |text: &str, status| command(text).attributes().unwrap().soft_fail.covers(status);
    assert!(covers("soft_fail: true", -1) && covers("soft_fail: [{exit_status: '*'}]", 7));
    assert!(!covers("soft_fail: [{exit_status: 1}]", 2) && !covers("soft_fail: 'false'", 1));
}

#[test]
fn wrong_attributes_are_all_reported_at_their_places() {
    let findings = mistakes("timeout_in_minutes: 0, soft_fail: maybe, if: x, branches: y, concurrency: 2, uses: 5");
    assert_eq!(findings.len(), 5, "{findings:?}");
    assert!(findings.iter().all(|finding| finding.span.is_some()));
    for text in [
        "timeout_in_minutes: soon",
        "retry: {automatic: [{limit: 11}]}",
        "retry: {automatic: [{exit_status: 256}]}",
        "concurrency_group: g",
        "depends_on: [{step: ~}]",
        "depends_on: [[a]]",
        "parallelism: 2, matrix: [a]",
        "agents: {q: [a]}",
        "with: [a]",
        "key: a b",
        "key: 6abcd532-f9b7-41e9-8717-40fb75a82b5d",
    ] {
        mistakes(text);
    }
}

#[test]
fn inputs() {
    let StepKind::Input(block) = step(
        "block: Deploy?\n    blocked_state: running\n    fields:\n      - {text: Why, key: why, required: false, format: '[a-z]+'}\n      - {select: To, key: to, default: t, options: [{label: Test, value: t}]}",
    )
    .kind
    else {
        panic!()
    };
    let attributes = block.input_attributes().unwrap();
    assert!(attributes.barrier);
    assert_eq!(attributes.shared.label.unwrap().value, "Deploy?");
    assert_eq!(attributes.blocked_state, BlockedState::Running);
    assert!(!attributes.fields[0].required);
    assert!(matches!(&attributes.fields[1].kind, FieldKind::Select { options, .. } if options[0].value == "t"));
    let barrier = |text: &str| match step(text).kind {
        StepKind::Input(input) => input.input_attributes().unwrap().barrier,
        other => panic!("{other:?}"),
    };
    assert!(barrier("block") && barrier("manual: m") && barrier("{type: block}"));
    assert!(!barrier("input") && !barrier("input: {prompt: p}") && !barrier("{type: input, label: l}"));
}

#[test]
fn waits_and_triggers() {
    let StepKind::Wait(wait) = step("wait: {continue_on_failure: true}").kind else { panic!() };
    assert!(wait.wait_attributes().unwrap().continue_on_failure);
    let trigger = step("{trigger: deploy, async: true, build: {env: {A: 1}}}");
    let StepKind::Trigger(plain) = &trigger.kind else { panic!() };
    let attributes = plain.trigger_attributes(trigger.span).unwrap();
    assert_eq!((attributes.pipeline.as_str(), attributes.detached), ("deploy", true));
    assert_eq!(attributes.build.env["A"].value, "1");
    let nothing = step("{trigger: ~}");
    let StepKind::Trigger(plain) = &nothing.kind else { panic!() };
    assert!(plain.trigger_attributes(nothing.span).is_err());
}
