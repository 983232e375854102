//! Tables of files and of what the strict check says about them.

use super::*;

fn said(text: &str) -> Vec<String> {
    let source = Source::new("p.yml", text);
    let findings = lint(&source, &[("SET", "1")].into_iter().collect());
    let show = |finding: Diagnostic| {
        let place = finding.span.map(|span| source.position(span.start).to_string()).unwrap_or_default();
        let more = [finding.label, finding.help].into_iter().flatten().collect::<Vec<_>>().join("; ");
        format!("{place} {} ({more})", finding.message)
    };
    findings.join(Vec::new()).into_iter().map(show).collect()
}

#[track_caller]
fn check(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        assert_eq!(said(text), *expected, "{text}");
    }
}

#[test]
fn nothing_to_say() {
    check(&[
        ("steps: [wait, block, {command: x}, {wait: ~, continue_on_failure: true}]", &[]),
        ("- command: x\n- wait\n", &[]),
        ("steps: ~", &[]),
        ("steps: [{command: x, timeout_in_minutes: '30', agents: queue=x, label: ~, parallelism: $N, x-mine: 1}]", &[]),
        (
            "steps: [{command: [a, 5, true], retry: {automatic: '${R:-true}'}, env: {A: 1, B: ~}, skip: '{{matrix}}'}]",
            &[],
        ),
        ("steps: [{block: b, fields: [{key: k}]}, {wait: {continue_on_failure: true}}, {input: {fields: []}}]", &[]),
        ("steps: [{command: x, '$KEY': 1, plugins: [{'a#1': {anything: [1]}}]}]", &[]),
        ("common: &c {env: {A: 1}}\nbase: &b [x]\nv: &v 1\nsteps: [{<<: *c, command: *b, priority: *v}]", &[]),
        ("x-mine: {a: 1}\nsteps: []", &[]),
        ("a: &a {env: {}}\nb: &b {<<: *a, command: x}\nsteps: [*b]", &[]),
        ("not: [yaml", &[]),
        ("", &[]),
        ("just text", &[]),
    ]);
}

#[test]
fn unknown_keys() {
    check(&[
        (
            "steps: [{command: x, branch: main}]",
            &["1:22 unknown key `branch` in a command step (did you mean `branches`?)"],
        ),
        ("stpes: []", &["1:1 unknown key `stpes` at the top of the file (did you mean `steps`?)"]),
        ("env: {}", &["1:1 the pipeline has no `steps` ()"]),
        ("steps: []\nretry: {}", &["2:1 unknown key `retry` at the top of the file (it is a key of a command step)"]),
        ("steps: []\nname: n", &["2:1 unknown key `name` at the top of the file (it is a key of steps)"]),
        (
            "steps: []\ncommon: {env: {}}",
            &["2:1 unknown key `common` at the top of the file (it has no effect; begin keys of your own with `x-`)"],
        ),
        (
            "a: &a {env: {}}\nb: *a\nsteps: [*a]",
            &["2:1 unknown key `b` at the top of the file (it has no effect; begin keys of your own with `x-`)"],
        ),
        (
            "steps: [{wait: ~, fields: []}]",
            &["1:19 unknown key `fields` in a wait step (it is a key of a block step and an input step)"],
        ),
        ("steps: [{comand: x}]", &["1:10 unknown key `comand` in the step (did you mean `command`?)"]),
        (
            "steps: [{command: x, retry: {automatc: true}}]",
            &["1:30 unknown key `automatc` in `retry` (did you mean `automatic`?)"],
        ),
        (
            "steps: [{command: x, depends_on: [{step: a, allow_fail: true}]}]",
            &["1:45 unknown key `allow_fail` in a dependency (did you mean `allow_failure`?)"],
        ),
        (
            "steps: [{input: i, fields: [{key: k, text: t, options: [], hnit: h}]}]",
            &[
                "1:38 unknown key `text` in a select field (it has no effect; begin keys of your own with `x-`)",
                "1:56 `options` is empty (expected at least one)",
                "1:60 unknown key `hnit` in a select field (did you mean `hint`?)",
            ],
        ),
        (
            "steps: [{trigger: t, build: {brnach: b}}]",
            &["1:30 unknown key `brnach` in `build` (did you mean `branch`?)"],
        ),
        (
            "steps: [{command: x, matrix: {setup: [a], adjustment: []}, soft_fail: [{exit_code: 1}]}]",
            &[
                "1:43 unknown key `adjustment` in `matrix` (did you mean `adjustments`?)",
                "1:72 an item of `soft_fail` has no `exit_status` ()",
                "1:73 unknown key `exit_code` in an item of `soft_fail` (it has no effect; begin keys of your own with `x-`)",
            ],
        ),
        (
            "notify: [{slak: x}, {slack: '#a', iff: x}]\nsteps: []",
            &[
                "1:11 unknown key `slak` in this mapping (did you mean `slack`?)",
                "1:35 unknown key `iff` in a Slack notification (did you mean `if`?)",
            ],
        ),
        (
            "steps: [{uses: a@1, grants: {dokcer: {}, docker: {privileged: true}}, checkout: {shallow: true}}]",
            &[
                "1:30 unknown key `dokcer` in `grants` (did you mean `docker`?)",
                "1:51 unknown key `privileged` in `docker` (it has no effect; begin keys of your own with `x-`)",
                "1:82 unknown key `shallow` in `checkout` (it has no effect; begin keys of your own with `x-`)",
            ],
        ),
        (
            "steps: [{group: g, steps: [{comand: x, label: l}, {group: h, steps: []}]}]",
            &[
                "1:29 unknown key `comand` in the step (did you mean `command`?)",
                "1:51 a group cannot stand in a group ()",
            ],
        ),
    ]);
}

#[test]
fn repeated_keys() {
    check(&[
        (
            "steps:\n- command: x\n  env: {A: 1}\n  env: {B: 1}\n",
            &["3:3 the key `env` stands here more than once; only the last one counts (this one is ignored)"],
        ),
        (
            "steps: [{command: x, name: a, label: b, key: k, id: i}]",
            &[
                "1:22 `name` means the same as `label`, which stands here too and wins (ignored; remove one of the two)",
                "1:49 `id` means the same as `key`, which stands here too and wins (ignored; remove one of the two)",
            ],
        ),
    ]);
}

#[test]
fn values() {
    let cases = [
        ("parallelism: many", "`parallelism` is a string (expected an integer of at least 0)"),
        ("parallelism: -1", "-1 is out of bounds (expected an integer of at least 0)"),
        ("timeout_in_minutes: 1.5", "`timeout_in_minutes` is a number (expected an integer of at least 1)"),
        ("soft_fail: maybe", "`soft_fail` is a string (expected true or false or a list)"),
        ("branches: {a: b}", "`branches` is a mapping (expected a string or a list of strings)"),
        ("branches:", "`branches` has no value (expected a string or a list of strings)"),
        ("branches: [[a]]", "an item of `branches` is a list (expected a string)"),
        ("concurrency_method: odered", "unknown word `odered` (expected `ordered`, `eager`; did you mean `ordered`?)"),
        ("retry: {automatic: {limit: 11}}", "11 is out of bounds (expected an integer from 0 to 10)"),
        (
            "retry: {automatic: [{exit_status: 256}]}",
            "256 is out of bounds (expected `*` or an integer from -1 to 255 or a list)",
        ),
        ("cancel_on_build_failing: 1", "`cancel_on_build_failing` is an integer (expected true or false)"),
        ("env: [A]", "`env` is a list (expected a mapping)"),
        ("label: 2020-01-01", "`label` is a date (expected a string)"),
        ("grants: {docker: {containers: {cpus: none}}}", "`cpus` is a string (expected a number of at least 0.01)"),
    ];
    for (attribute, expected) in cases {
        let found = said(&format!("steps:\n- command: x\n  {attribute}\n"));
        assert_eq!(found.len(), 1, "{attribute}: {found:?}");
        let (_, message) = found[0].split_once(' ').unwrap();
        assert_eq!(message, expected, "{attribute}");
    }
    let long = format!("steps: [{{command: x, skip: {}}}]", "y".repeat(71));
    assert_eq!(said(&long), ["1:28 the text has 71 bytes (expected at most 70)"]);
    check(&[(
        "steps: [{block: b, fields: [{text: t, key: a b}]}, {group: g, steps: []}, 5]",
        &[
            "1:44 `a b` has characters that cannot stand here (expected letters, digits and _-/)",
            "1:70 `steps` is empty (expected at least one)",
            "1:75 the step is an integer (expected `wait`, `waiter`, `block`, `input`, `manual` or a mapping)",
        ],
    )]);
}

#[test]
fn conditions() {
    check(&[
        (
            "steps: [{command: x, skip: true, if: build.brnch == 'a'}]",
            &["1:38 in the condition: `build.brnch` is not a variable (did you mean `build.branch`?)"],
        ),
        (
            "notify: [{slack: x, if: step.state == 'a'}]\nsteps: [{command: x, notify: [{slack: y, if: step.outcome == 'passed'}]}]",
            &[
                "1:25 in the condition: `step.state` is not known before the step runs (variables of steps exist only in the `if` of a step's notifications)",
            ],
        ),
        (
            "steps:\n- group: g\n  if: |\n    true &&\n    nope\n  steps: [wait]",
            &["5:5 in the condition: `nope` is not a variable ()"],
        ),
        (
            "steps: [{command: x, if: '$$X == ${SET}'}, {command: x, if: '$MISSING && true'}, {command: x, if: ''}]",
            &["1:26 in the condition: expected a string, found an integer ()"],
        ),
    ]);
}

#[test]
fn never() {
    let never = |attribute: &str| said(&format!("steps:\n- command: x\n  {attribute}\n")).join("\n");
    for (attribute, expected) in [
        ("if: false", "its condition never holds"),
        ("if: '\"a\" == \"b\" || false'", "its condition never holds"),
        ("branches: main !main", "its `branches` exclude every branch"),
        ("branches: [main, '!*']", "its `branches` exclude every branch"),
        ("parallelism: 0", "a `parallelism` of 0 makes no jobs"),
        ("retry: {automatic: [true, {exit_status: 5}]}", "the retry rule never applies"),
        ("retry: {automatic: [{exit_status: [1, 2]}, {exit_status: 2, limit: 0}]}", "the retry rule never applies"),
    ] {
        assert!(never(attribute).contains(expected), "{attribute}: {}", never(attribute));
    }
    for attribute in [
        "if: true",
        "if: build.branch == \"a\" && false",
        "if: env(\"A\") == \"b\"",
        "branches: main !release",
        "branches: '!main'",
        "branches: $X !$X",
        "parallelism: 1",
        "skip: true",
        "retry: {automatic: [{exit_status: 1}, true]}",
        "retry: {automatic: [true, {exit_status: -1}]}",
        "retry: {automatic: [{signal: SIGKILL}, {exit_status: 1}]}",
        "retry: {automatic: [{limit: 0}]}",
    ] {
        assert_eq!(never(attribute), "", "{attribute}");
    }
}

#[test]
fn variables_of_commands() {
    check(&[
        ("env: {OWN: 1}\nsteps: [{command: 'a $SET $$B ${C:-d} ${D-} \\$E $(f) $1 $BUILDKITE_BRANCH $CI $_G'}]", &[]),
        ("steps:\n- command: |\n    # a comment on $THIS\n    true\n", &[]),
        (
            "steps:\n- commands:\n  - a\n  - |\n    x=1\n    echo $x ${x:0:1}\n- command: echo $x\n",
            &[
                "6:10 `x` is replaced by nothing when the file is read, because it is not set then (write `$$x` to leave it to the shell of the job, or set `x` in the `env` at the top of the file; also in line 7)",
            ],
        ),
        (
            "steps: [{command: git switch $BUILDKITE_BRNACH}]",
            &[
                "1:30 there is no variable `BUILDKITE_BRNACH`, so it is replaced by nothing (did you mean `BUILDKITE_BRANCH`?)",
            ],
        ),
        (
            "steps: [{command: echo $SET, env: {SET: 2}}]",
            &[
                "1:24 `SET` is replaced when the file is read, before the `env` of the step is set (write `$$SET` to leave it to the shell of the job)",
            ],
        ),
        (
            "steps: [{command: test $BUILDKITE_PARALLEL_JOB, parallelism: 2}]",
            &[
                "1:24 `BUILDKITE_PARALLEL_JOB` is replaced when the file is read, before there is a job (write `$$BUILDKITE_PARALLEL_JOB` to leave it to the shell of the job)",
            ],
        ),
        (
            "steps: [{command: 'a ${X?no} ${Y%z}', label: '${1}', signature: {value: '${1}'}}]",
            &[
                "1:30 expected `}`, `:-`, `-`, `:` or `?` after the name, found `%` (to leave the expansion to the shell of the job, write `$$` instead of `$`)",
                "1:47 expected the name of a variable, which begins with a letter, found `1` (to leave the expansion to the shell of the job, write `$$` instead of `$`)",
            ],
        ),
    ]);
}

#[test]
fn answers() {
    check(&[
        (
            "steps: [{block: b, fields: [{key: k, text: t}, {key: k, select: s, options: [{value: a}, {value: a}], default: c}]}]",
            &[
                "1:54 another field of the step has the key `k` (overwrites its answer)",
                "1:98 another option has the value `a` ()",
                "1:112 the default `c` is none of the options (the values are `a`)",
            ],
        ),
        ("steps: [{input: b, fields: [{key: k, select: s, options: [{value: $A}], default: c}]}]", &[]),
    ]);
}

#[test]
fn joined_with_the_ordinary_check() {
    let source = Source::new("p.yml", "steps: [{command: x, parallelism: many, branch: a, retry: {}}]");
    let findings = lint(&source, &Env::default());
    assert_eq!(findings.clone().join(Vec::new()).len(), 2);
    let place = |text: &str| {
        let start = source.text.find(text).unwrap();
        Span::new(start, start + text.len())
    };
    let ordinary = vec![Diagnostic::error("z").at(place("retry")), Diagnostic::error("bad").at(place("many"))];
    let elsewhere = vec![Diagnostic::error("e").at(place("x"))];
    assert_eq!(lint(&Source::new("p.yml", "env: {A: x}"), &Env::default()).join(elsewhere).len(), 2);
    let joined: Vec<String> = findings.join(ordinary).iter().map(ToString::to_string).collect();
    assert_eq!(joined, ["bad", "unknown key `branch` in a command step", "z"]);
}

#[test]
fn many_findings_are_cut() {
    let mut text = "steps:\n".to_owned();
    for index in 0..20_000 {
        text += &format!("- {{command: x, key{index}: y}}\n");
    }
    let findings = lint(&Source::new("p.yml", text), &Env::default());
    assert_eq!(findings.0.len(), MAX_KEPT);
    let shown = findings.join(Vec::new());
    assert_eq!(shown.len(), MAX_SHOWN + 1);
    assert!(shown.last().unwrap().message.contains("there is more"));
}
