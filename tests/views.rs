//! Plans and explanations as the program shows them.

use crate::project::Project;
use serde_json::Value;

const PIPELINE: &str = r#"env:
  REGISTRY: registry.example.com/$TEAM
  DB_PASSWORD: hunter2hunter2
steps:
  - key: first
    label: "Say <b>\"hi\"</b>"
    uses: ./steps/echo.wasm
    grants: { workspace: read }
  - wait
  - group: "Checks [1]"
    steps:
      - { label: "unit %n", key: unit, command: "unit $REGISTRY $MY_TOKEN", parallelism: 3 }
  - { label: "Ship", key: ship, command: ship, if: build.branch == "main", timeout_in_minutes: 5 }
"#;

fn project() -> Project {
    Project::with(PIPELINE).component("echo").env("MY_TOKEN", "token-abcdef").env("TEAM", "orders")
}

#[test]
fn drawings() {
    let project = project();
    let mermaid = project.runner(&["plan", "--format", "mermaid", "--branch", "topic"]).expect_status(0);
    let mermaid = mermaid.expect_stdout("flowchart TD\n").expect_stdout("[\"Say #60;b#62;#34;hi#34;#60;#47;b#62;\"]");
    mermaid
        .expect_stdout("subgraph g0[\"Checks #91;1#93;\"]")
        .expect_stdout("[\"unit #37;n ×3\"]")
        .expect_stdout(" skipped\n");
    let dot = project.runner(&["plan", "--format", "dot", "--branch", "topic"]).expect_status(0);
    let dot = dot.expect_stdout("digraph plan {").expect_stdout(r#"label="Say &lt;b&gt;\"hi\"&lt;/b&gt;""#);
    dot.expect_stdout("style=dashed").expect_stdout("n1 -> n2;");
}

#[test]
fn json_is_the_plan_itself() {
    let project = project();
    let read = |arguments: &[&str]| -> Value {
        serde_json::from_str(&project.runner(arguments).expect_status(0).stdout).unwrap()
    };
    let plan = read(&["plan", "--json"]);
    assert_eq!(plan, read(&["plan", "--format", "json"]));
    assert_eq!(plan["jobs"].as_array().unwrap().len(), 6);
    assert!(plan["jobs"][0]["kind"]["step"]["component"]["digest"].as_str().unwrap().starts_with("sha256:"));
    project.runner(&["plan", "--json", "--format", "dot"]).expect_status(2).expect_stderr("cannot be used with");
}

#[test]
fn a_step_is_explained() {
    let project = project();
    let said = project.runner(&["explain", "ship", "--branch", "topic"]).expect_status(0);
    let said = said.expect_stdout("as written  pipeline.yml:13\n").expect_stdout("if: build.branch == \"main\"");
    let said =
        said.expect_stdout("does not hold: build.branch is \"topic\"").expect_stdout("`wait`: the barrier before it");
    said.expect_stdout("timeout_in_minutes 5").expect_stdout("skipped: `if: build.branch == \"main\"` does not hold");

    let said = project.runner(&["explain", "first"]).expect_status(0);
    let said =
        said.expect_stdout("`./steps/echo.wasm` is echo 1.0.0, sha256:").expect_stdout("workspace: {\"read\":[\".\"]");
    said.expect_stdout("pipeline.yml:8:5");
}

#[test]
fn an_explanation_as_json_has_no_secret() {
    let project = project();
    let said = project.runner(&["explain", "unit", "--json", "--env", "TEAM=payments"]).expect_status(0);
    for secret in ["token-abcdef", "hunter2hunter2"] {
        assert!(!said.stdout.contains(secret), "{}", said.stdout);
    }
    let explanation: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(explanation["effective"]["command"], "unit registry.example.com/payments [REDACTED]");
    assert_eq!(explanation["changed"][0]["written"], "unit $REGISTRY $MY_TOKEN");
    assert_eq!(explanation["variables"][1]["value"], "[REDACTED]");
    assert_eq!(explanation["variables"][1]["from"], "the environment of the runner");
    assert_eq!(explanation["jobs"].as_array().unwrap().len(), 3);
}

#[test]
fn unknown_steps() {
    let project = project();
    let said = project.runner(&["explain", "shipp"]).expect_status(2);
    said.expect_stderr("pipeline.yml has no step `shipp`")
        .expect_stderr("did you mean `ship`? there are: first, wait, unit, ship");
}

#[test]
fn very_many_findings_are_not_all_shown() {
    let project = Project::with(&("steps:\n".to_owned() + &"  - { command: x, depends_on: nowhere }\n".repeat(5000)));
    let said = project.runner(&["check"]).expect_status(3).expect_stderr("there are 4950 more");
    assert_eq!(said.stderr.matches("no step has the key").count(), 50);
}
