//! Runs that are killed while they reach outside leave nothing there: no container, network, volume or change set.

use crate::kill::{Facts, Kill, Random, all, go_on, undisturbed};
use crate::project::{Project, tell};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

fn composing() -> Project {
    Project::with(
        "steps:
  - label: tests
    uses: compose-test@1
    grants: { workspace: read, docker: { images: [\"debian:12-slim\"], containers: {} } }
  - wait
  - { label: after, command: echo x >> after }
",
    )
    .file(
        "docker-compose.test.yml",
        "services:
  db: { image: \"debian:12-slim\", command: sleep 600, volumes: [data:/data], stop_signal: SIGKILL }
  tests: { image: \"debian:12-slim\", command: [sh, -c, \"echo up; sleep 0.3\"], depends_on: [db] }
volumes: { data: {} }
",
    )
}

#[test]
fn containers_of_a_killed_run_are_removed_before_it_goes_on() {
    let expected = undisturbed(composing());
    let (mut random, seed) = Random::seeded();
    let most = u64::try_from(expected.took.as_micros()).unwrap();
    let moments = (0..6).map(|_| vec![Kill::At(Duration::from_micros(random.below(most)))]);
    let boundaries = (1..=expected.syncs).map(|at| vec![if at % 2 == 0 { Kill::Before(at) } else { Kill::After(at) }]);
    let cases: Vec<_> = boundaries.chain(moments).collect();
    tell(&format!("Docker: SURVIVE_SEED={seed}"));
    let facts = expected.facts.without_outputs();
    let ended = all(&cases, |kills| ends_so(composing(), kills, &facts));
    tell(&format!("{} boundaries: {ended} of {} runs with containers were killed", expected.syncs, cases.len()));
    assert!(ended * 10 > cases.len() * 8, "{ended} of {}", cases.len());
}

/// Kills the run, goes on, and compares, but for outputs: they tell of times and names that are new in each run.
fn ends_so(project: Project, kills: &[Kill], expected: &Facts) -> bool {
    let (victim, said, ended) = go_on(project, kills);
    let found = victim.facts(said.status).without_outputs();
    assert!(found == *expected, "{kills:?}: {found:#?}\n{}\n{}", said.stdout, said.stderr);
    ended
}

fn deploying(stack: &str) -> Project {
    Project::with(&format!(
        "steps:
  - label: deploy
    uses: deploy@1
    with: {{ stack: {stack}, template: stack.yml }}
    grants:
      workspace: read
      aws: {{ account: \"000000000000\", region: us-east-1, stacks: [{stack}], operations: [deploy, read] }}
"
    ))
    .file("stack.yml", "Resources:\n  Topic: { Type: AWS::SNS::Topic }\n")
}

#[test]
fn change_sets_of_a_killed_run_are_removed_before_it_goes_on() {
    let name = |number: usize| format!("survive-{}-{number}", std::process::id());
    let expected = undisturbed(deploying(&name(0)));
    ask("DeleteStack", &name(0));
    let facts = expected.facts.without_outputs();
    let boundaries = (1..=expected.syncs).map(|at| vec![if at % 2 == 0 { Kill::Before(at) } else { Kill::After(at) }]);
    let times = (1..8).map(|part| vec![Kill::At(expected.took * part / 8)]);
    let cases: Vec<_> = boundaries.chain(times).collect();
    let next = AtomicUsize::new(1);
    let ended = all(&cases, |kills| {
        let stack = name(next.fetch_add(1, Ordering::Relaxed));
        let ended = ends_so(deploying(&stack), kills, &facts);
        let sets = ask("ListChangeSets", &stack);
        assert!(!sets.contains(">AVAILABLE<"), "{kills:?}: {sets}");
        assert!(ask("DescribeStacks", &stack).contains("CREATE_COMPLETE"), "{kills:?}");
        ask("DeleteStack", &stack);
        ended
    });
    tell(&format!("{} boundaries: {ended} of {} deployments were killed", expected.syncs, cases.len()));
    assert!(ended * 10 > cases.len() * 7, "{ended} of {}", cases.len());
}

/// What CloudFormation answers any client.
fn ask(action: &str, stack: &str) -> String {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap();
    let query = format!("{endpoint}/?Action={action}&Version=2010-05-15&StackName={stack}");
    let output = Command::new("curl")
        .args(["-fsS", "--aws-sigv4", "aws:amz:us-east-1:cloudformation", "-u", "test:test", &query])
        .output()
        .unwrap();
    assert!(output.status.success(), "{action} {stack}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
