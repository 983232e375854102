//! Plans in every form.

#![expect(clippy::needless_raw_string_hashes, reason = "written by UPDATE_EXPECT=1")]

use super::{View, dot, mermaid, text};
use crate::pipeline::{Source, parse};
use crate::plan::{BuildContext, Settings, build_with_origins};
use expect_test::expect;

fn shown(pipeline: &str, show: impl Fn(&View<'_>) -> String) -> String {
    let pipeline = parse(&Source::new("p.yml", pipeline)).unwrap().pipeline;
    let context = BuildContext { branch: "main".to_owned(), ..BuildContext::default() };
    let (plan, origins, _) = build_with_origins(&pipeline, "p.yml", &context, &Settings::default()).unwrap();
    show(&View::new(&plan, &origins, &pipeline))
}

const PIPELINE: &str = r#"
- { key: lint, command: "./lint\nsecond" }
- wait: { continue_on_failure: true }
- group: Deep
  steps:
    - { label: ":test: unit %n", command: unit, parallelism: 3, concurrency: 2, concurrency_group: db }
    - { label: "on {{matrix}}", command: "go {{matrix}}", matrix: [linux, mac], depends_on: [{ step: lint, allow_failure: true }] }
- { block: "Go?", prompt: "Sure?", fields: [{ text: Why, key: why }] }
- { command: deploy, branches: release, key: deploy }
"#;

fn plain(view: &View<'_>) -> String {
    anstream::adapter::strip_str(&text(view)).to_string()
}

#[test]
fn text_is_a_few_lines_a_step() {
    expect![[r#"
        p.yml: 6 jobs to run, 1 skipped, 1 stop for a person; branch main

        lint  ./lint
            command   ./lint
                      second

        ── wait
            after     everything above, passed or failed

        group Deep

          unit-0-1 … unit-2-3 (3 jobs)  unit %n
              after     wait
              jobs      unit 0, unit 1, unit 2
              command   unit
              at once   2 of `db`

          on-linux-1, on-mac-2 (2 jobs)  on {{matrix}}
              after     lint (may fail)
              jobs      on linux, on mac
              command   go linux
                        for the first; others differ

        ── go  Go?
            after     everything above
            waits for Sure?
            fields    why

        deploy
            skipped   the branch `main` does not match `branches: release`
            after     go
    "#]]
    .assert_eq(&shown(PIPELINE, plain));
}

#[test]
fn text_stays_short_with_many_jobs() {
    let mut pipeline = String::from("steps:\n");
    for step in 0..30 {
        pipeline += &format!("- {{ command: run {step}, parallelism: 10, key: k{step} }}\n");
    }
    pipeline += "- { command: end, depends_on: [";
    pipeline += &(0..30).map(|step| format!("k{step}")).collect::<Vec<_>>().join(", ");
    pipeline += "] }\n";
    let text = shown(&pipeline, plain);
    assert!(text.starts_with("p.yml: 301 jobs to run"), "{text}");
    assert!(text.lines().count() < 150, "{text}");
    assert!(text.contains("k0-1 … k0-10, k1-1 … k1-10,") && text.contains("and 18 more"), "{text}");
}

#[test]
fn mermaid_has_every_step() {
    expect![[r##"
        flowchart TD
          n0["#46;#47;lint"]
          n1(["wait"])
          n4{{"Go#63;"}}
          n5["deploy"]
          subgraph g0["Deep"]
            n2["unit #37;n ×3"]
            n3["on #123;#123;matrix#125;#125; ×2"]
          end
          n0 -.-> n1
          n1 --> n2
          n0 -.-> n3
          n1 --> n4
          n2 --> n4
          n3 --> n4
          n0 --> n4
          n4 --> n5
          classDef skipped stroke-dasharray: 5 5
          class n5 skipped
    "##]]
    .assert_eq(&shown(PIPELINE, mermaid));
}

#[test]
fn dot_has_every_step() {
    expect![[r#"
        digraph plan {
          node [shape=box];
          n0 [label="./lint"];
          n1 [label="wait", shape=oval];
          n4 [label="Go?", shape=hexagon];
          n5 [label="deploy", style=dashed];
          subgraph cluster_0 {
            label="Deep";
            n2 [label="unit %n ×3"];
            n3 [label="on {{matrix}} ×2"];
          }
          n0 -> n1 [style=dashed];
          n1 -> n2;
          n0 -> n3 [style=dashed];
          n1 -> n4;
          n2 -> n4;
          n3 -> n4;
          n0 -> n4;
          n4 -> n5;
        }
    "#]]
    .assert_eq(&shown(PIPELINE, dot));
}

#[test]
fn labels_cannot_leave_their_place() {
    let cases = [
        (r#"a "quoted" b"#, "a #34;quoted#34; b", r#"a \"quoted\" b"#),
        (r"back\slash \N", r"back#92;slash #92;N", r"back\\slash \\N"),
        ("<b>&amp;", "#60;b#62;#38;amp#59;", "&lt;b&gt;&amp;amp;"),
        ("x]:::y %%{init}", "x#93;#58;#58;#58;y #37;#37;#123;init#125;", "x]:::y %%{init}"),
        ("line\nbreak\u{1b}", "line break ", "line break "),
        ("1. list - `code` #35;", "1#46; list #45; #96;code#96; #35;35#59;", "1. list - `code` #35;"),
        ("run ./a.b/c-d", "run #46;#47;a.b/c-d", "run ./a.b/c-d"),
        ("é 日本 🚀", "é 日本 #128640;", "é 日本 🚀"),
    ];
    for (label, for_mermaid, for_dot) in cases {
        assert_eq!(mermaid::escape(label), for_mermaid, "{label}");
        assert_eq!(dot::escape(label), for_dot, "{label}");
    }
}

#[test]
fn labels_without_anything_to_show() {
    for label in ["\"\\u001b[31m\"", "' '", "\"\\u0007\""] {
        let pipeline = format!("[{{ command: x, label: {label} }}]");
        assert!(shown(&pipeline, mermaid).contains("n0[\""), "{label}");
        assert!(!shown(&pipeline, mermaid).contains("[\"\"]"), "{label}");
        assert!(!shown(&pipeline, dot).contains('\u{1b}'), "{label}");
        assert!(!shown(&pipeline, plain).contains(['\u{1b}', '\u{7}']), "{label}");
    }
}

proptest::proptest! {
    #[test]
    fn no_label_leaves_its_place(label in proptest::arbitrary::any::<String>()) {
        let escaped = mermaid::escape(&label);
        let allowed = |character: char| character.is_alphanumeric() || " ,.-/#;".contains(character);
        proptest::prop_assert!(escaped.chars().all(allowed), "{escaped}");
        // A quote ends a label of Graphviz unless an odd number of backslashes stands before it.
        let escaped = dot::escape(&label);
        for (at, _) in escaped.match_indices('"') {
            let before = &escaped[..at];
            let backslashes = before.len() - before.trim_end_matches('\\').len();
            proptest::prop_assert!(backslashes % 2 == 1, "{escaped}");
        }
        let backslashes = escaped.len() - escaped.trim_end_matches('\\').len();
        proptest::prop_assert!(backslashes.is_multiple_of(2) && !escaped.contains(char::is_control), "{escaped}");
    }
}
