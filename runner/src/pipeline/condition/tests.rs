//! Tables of conditions.

use std::collections::HashMap;

use super::{Condition, Context, ErrorKind, Scope};

fn context() -> Context {
    let mut context = Context::default();
    context.build.branch = Some("main".to_owned());
    context.build.state = Some("passed".to_owned());
    context.build.number = Some(7);
    context.build.tag = Some("  ".to_owned());
    context.build.creator.teams = Some(vec!["everyone".to_owned(), "deploy".to_owned()]);
    context.env = HashMap::from([
        ("branch".to_owned(), "main".to_owned()),
        ("empty".to_owned(), String::new()),
        ("two".to_owned(), "2".to_owned()),
    ]);
    context
}

#[track_caller]
fn holds(text: &str) -> bool {
    let condition = Condition::parse(text, Scope::Build).unwrap_or_else(|error| panic!("{text}: {error}"));
    condition.evaluate(&context()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn values() {
    let cases = [
        ("true", true),
        ("true || false && false", true),
        ("(true || false) && false", false),
        ("!false", true),
        ("1 == 1 && 010 == 8", true),
        ("'feature' == \"feature\"", true),
        ("'größe' == \"größe\" // ü", true),
        ("build.branch == 'main' // the rest is a comment", true),
        ("// first\nbuild.number == 7", true),
        ("build.tag == null", true),
        ("build.message == null", true),
        ("build.message =~ /x/", false),
        ("build.message !~ /x/", true),
        ("build.branch =~ /^MA/i", true),
        ("build.branch =~ /^ma(?=in$)/", true),
        ("build.pull_request.labels includes 'x'", false),
        ("build.creator.teams includes 'deploy'", true),
        ("build.creator.teams includes /^dep/", true),
        ("['a', 'main'] includes build.branch", true),
        ("!build.pull_request.draft", true),
        ("build.pull_request.draft", false),
        ("1 == 2 ? 3 == 4 : 5 == 5", true),
        ("false ? true : false ? true : true", true),
        ("build.env('nope') == null && env('nope') == ''", true),
        ("build.env('empty') == ''", true),
        ("env('BUILDKITE_PULL_REQUEST') == 'false'", true),
        ("false && ${nope:?} == 'x'", false),
    ];
    for (text, expected) in cases {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn shell_expansions() {
    let cases = [
        "$branch == 'main'",
        "$branch.deploy == 'main.deploy'",
        "${branch} == 'main'",
        "${nope} == null",
        "${branch-xx} == 'main'",
        "${nope-xx} == 'xx'",
        "${nope-${branch}s} == 'mains'",
        "${branch+xx} == 'xx'",
        "${nope+xx} == ''",
        "${empty:-xx} == 'xx'",
        "${empty:+xx} == ''",
        "${branch:1:2} == 'ai'",
        "${branch: -1} == 'n'",
        "${branch:2:$two} == 'in'",
        "${branch:${empty:-1}:${two+2}} == 'ai'",
        "${branch:25:2} == ''",
        "\"${branch}\" == 'main'",
        r#""C:\\${branch}" == "C:\\main""#,
        "\"cost $$5\" == \"cost $5\"",
        "'${branch}' != 'main'",
        r#""\x41\102" == 'AB'"#,
    ];
    for text in cases {
        assert!(holds(text), "{text}");
    }
    for text in ["${nope:?} == 'x'", "${branch:3:$branch} == 'x'"] {
        let condition = Condition::parse(text, Scope::Build).unwrap();
        assert_eq!(condition.evaluate(&context()).unwrap_err().kind, ErrorKind::Evaluation, "{text}");
    }
}

#[test]
fn mistakes() {
    let parse = [
        "",
        "  // nothing",
        "nope != == one",
        "&& true",
        "true true",
        "(true",
        "build..branch == 'x'",
        "['a'] @> 'a'",
        "a = b",
        "'open",
        "/open",
        "09 == 9",
        "'a' =~ /a/x",
        "'a' =~ /(?<=a)/",
        "'a' =~ /(?<n>a)/",
        "'a' =~ /a++/",
        "'a' =~ /a{1,2}+/",
        "'a' =~ /(/",
        "$ == 'x'",
        "'x'(1)",
    ];
    let validation = [
        "build.brunch == 'main'",
        "nope('x') == 'y'",
        "env() == ''",
        "env(1) == ''",
        "build.env('BUILDKITE_AGENT_ACCESS_TOKEN') == null",
        "env('$FOO') == 'x'",
        "1 == 'one'",
        "true == 'true'",
        "'d' =~ 'hello'",
        "true =~ /true/",
        "'x' includes 'y'",
        "!build.creator.teams includes 'x'",
        "build.state == 'faillled'",
        "'passed' == build.state",
        "build.state =~ /pass/",
        "['passed'] includes build.state",
        "(true ? 'x' : 1) == null",
        "false && missing == 'x'",
        "'text'",
        "null",
        "step.outcome == 'passed'",
    ];
    for (texts, kind) in [(&parse[..], ErrorKind::Parse), (&validation[..], ErrorKind::Validation)] {
        for text in texts {
            let error = Condition::parse(text, Scope::Build).expect_err(text);
            assert_eq!(error.kind, kind, "{text}: {error}");
            assert!(error.start <= error.end && error.end <= text.len(), "{text}: {error:?}");
        }
    }
}

#[test]
fn errors_teach() {
    let help = |text: &str| Condition::parse(text, Scope::Build).unwrap_err().help.unwrap_or_default();
    assert_eq!(help("build.brunch == 'main'"), "did you mean `build.branch`?");
    assert_eq!(help("build.state == 'pased'"), "did you mean `passed`?");
    assert_eq!(help("true & true"), "combine with `&&`");
    let error = Condition::parse("true && build.brunch == 'x'", Scope::Build).unwrap_err();
    assert_eq!((error.start, error.end), (8, 20));
}

#[test]
fn variables_of_steps_exist_in_their_notifications() {
    assert!(Condition::parse("step.outcome == 'hard_failed'", Scope::Step).is_ok());
}

#[test]
fn hostile_conditions() {
    let deep = ["(".repeat(5000), "!".repeat(5000), "[".repeat(5000), "true ? ".repeat(2000), "true && ".repeat(2000)];
    for text in deep {
        assert_eq!(Condition::parse(&text, Scope::Build).unwrap_err().kind, ErrorKind::Parse);
    }
    assert!(Condition::parse(&format!("'{}' == ''", "x".repeat(20_000)), Scope::Build).is_err());
    assert!(Condition::parse(&"${x:-".repeat(1000), Scope::Build).is_err());
    let slow = Condition::parse("'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' =~ /^(a|aa)+(?=b)$/", Scope::Build)
        .unwrap();
    assert_eq!(slow.evaluate(&Context::default()).unwrap_err().kind, ErrorKind::Evaluation);
}
