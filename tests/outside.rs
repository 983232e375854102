//! Trouble with what is outside: a registry that refuses, a stack that fails, Ctrl-C while containers run.

use crate::project::{Project, on_the_engine, said};
use std::process::Command;
use std::time::{Duration, Instant};

const REGISTRY: &str = "127.0.0.1:5050";

fn tagging(image: &str) -> Project {
    Project::with(&format!(
        "steps:
  - key: image
    uses: docker-tag@1
    with: {{ image: {image}, tags: [v1, feature/x] }}
    grants:
      workspace: read
      docker: {{ build: [.], push: [{image}] }}
"
    ))
    .file("Dockerfile", "FROM scratch\nCOPY hello /hello\n")
    .file("hello", "hello\n")
}

#[test]
fn an_image_is_pushed_once_for_all_its_tags() {
    let image = format!("{REGISTRY}/test-tags");
    let said = tagging(&image).runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("feature-x");
    let digest = said.stdout.split("sha256:").nth(1).unwrap().get(..64).unwrap().to_owned();
    for tag in ["v1", "feature-x"] {
        let url = format!("http://{REGISTRY}/v2/test-tags/manifests/{tag}");
        let accept = "Accept: application/vnd.docker.distribution.manifest.v2+json";
        let head = Command::new("curl").args(["-fsSI", "-H", accept, &url]).output().unwrap();
        let head = String::from_utf8_lossy(&head.stdout).into_owned();
        assert!(head.contains(&digest), "{tag}: {head}\n{}", said.stdout);
    }
}

#[test]
fn a_registry_that_does_not_answer() {
    let project = tagging("127.0.0.1:5059/test-refused");
    let said = project.runner(&["run"]).expect_status(1);
    said.expect_stdout("127.0.0.1:5059/test-refused").expect_stdout("connection refused").expect_stdout("does it run?");
    assert!(on_the_engine(project.path()).is_empty());
}

#[test]
fn a_build_that_fails() {
    let image = format!("{REGISTRY}/test-broken");
    let project = tagging(&image).file("Dockerfile", "FROM scratch\nCOPY missing /missing\n");
    project.runner(&["run"]).expect_status(1).expect_stdout("missing");
}

#[test]
fn a_stack_that_fails_says_why_and_what_to_do() {
    let stack = format!("test-failing-{}", std::process::id());
    let project = Project::with(&format!(
        "steps:
  - key: deploy
    uses: deploy@1
    with: {{ stack: {stack}, template: failing.yml }}
    grants:
      workspace: read
      aws: {{ account: \"000000000000\", region: us-east-1, stacks: [{stack}], operations: [deploy, read] }}
"
    ))
    .file(
        "failing.yml",
        "Resources:
  Topic: { Type: AWS::SNS::Topic }
  Handle: { Type: AWS::CloudFormation::WaitConditionHandle }
  Wait:
    Type: AWS::CloudFormation::WaitCondition
    DependsOn: Topic
    Properties: { Handle: !Ref Handle, Timeout: 1 }
",
    );
    let said = project.runner(&["run"]).expect_status(1);
    let said = said.expect_stdout("ROLLBACK_COMPLETE").expect_stdout("WaitCondition timed out");
    said.expect_stdout("what to do");
    // Once it is mended the next run clears the remains away and creates it.
    let project = project.file("failing.yml", "Resources:\n  Topic: { Type: AWS::SNS::Topic }\n");
    project.runner(&["run"]).expect_status(0).expect_stdout("CREATE_COMPLETE");
    delete(&stack);
}

#[test]
fn cloudformation_that_does_not_answer() {
    let project = Project::with(
        "steps:
  - uses: deploy@1
    with: { stack: orders, template: t.yml }
    grants:
      workspace: read
      aws: { account: \"000000000000\", region: us-east-1, stacks: [orders], operations: [deploy, read] }
",
    )
    .file("t.yml", "Resources:\n  Topic: { Type: AWS::SNS::Topic }\n")
    .env("AWS_ENDPOINT_URL", "http://127.0.0.1:4669");
    project.runner(&["run"]).expect_status(1).expect_stdout("127.0.0.1:4669");
}

#[test]
fn nothing_is_left_of_containers_when_a_run_is_interrupted() {
    let project = Project::with(
        "steps:
  - key: tests
    uses: compose-test@1
    grants: { workspace: read, docker: { images: [\"debian:12-slim\"], containers: {} } }
",
    )
    .file(
        "docker-compose.test.yml",
        "services:
  db: { image: \"debian:12-slim\", command: sleep 600, volumes: [data:/data] }
  tests: { image: \"debian:12-slim\", command: [sh, -c, \"echo up; sleep 600\"], depends_on: [db] }
volumes: { data: {} }
",
    );
    let child = project.start(&["run"]);
    let give_up = Instant::now() + Duration::from_mins(1);
    while on_the_engine(project.path()).is_empty() {
        assert!(Instant::now() < give_up, "no container appeared");
        std::thread::sleep(Duration::from_millis(50));
    }
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    said(&child.wait_with_output().unwrap()).expect_status(6).expect_stdout("run 1 was cancelled");
    assert!(on_the_engine(project.path()).is_empty());
}

/// Deletes a stack the way any client would.
fn delete(stack: &str) {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let query = format!("{endpoint}/?Action=DeleteStack&Version=2010-05-15&StackName={stack}");
    let status = Command::new("curl")
        .args(["-fsS", "-o", "/dev/null", "--aws-sigv4", "aws:amz:us-east-1:cloudformation", "-u", "test:test", &query])
        .status();
    assert!(status.unwrap().success(), "cannot delete {stack}");
}
