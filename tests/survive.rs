//! Whatever ends the program, and whenever: the run goes on, and ends as if nothing had happened.

use crate::kill::{Kill, Random, Undisturbed, all, survives, undisturbed};
use crate::project::{Project, tell};
use std::time::Duration;

const STEPS: &str = r#"steps:
  - { key: words, label: words, uses: ./steps/echo.wasm, with: { outputs: { word: blue } } }
  - label: "echo {{matrix}}"
    uses: ./steps/echo.wasm
    with: { outputs: { number: "{{matrix}}" } }
    matrix: [a, b]
  - key: build
    label: build
    artifact_paths: built.txt
    command: |
      setsid sleep 600 > /dev/null 2>&1 & stray=$$!
      echo built > built.txt
      buildkite-agent meta-data set colour blue
      buildkite-agent annotate "all is well" --context build
      kill $$stray
  - wait
  - group: parts
    steps:
      - label: "part {{matrix}}"
        command: echo part {{matrix}} | tee part-{{matrix}}.txt; buildkite-agent artifact upload part-{{matrix}}.txt
        matrix: [1, 2]
      - label: flaky
        command: test -e tried || { touch tried; exit 3; }
        retry: { automatic: { exit_status: 3, limit: 2 } }
  - label: upload
    command: |
      echo 'steps: [{label: added, command: "true"}, {label: more, command: "true"}]' | buildkite-agent pipeline upload
  - wait
  - label: last
    depends_on: words
    env: { WORD: "{{ steps.words.outputs.word }}" }
    command: |
      buildkite-agent artifact download built.txt got
      test "$$(cat got/built.txt) $$WORD $$(buildkite-agent meta-data get colour)" = "built blue blue"
"#;

fn steps() -> Project {
    Project::with(STEPS).component("echo")
}

/// Every boundary in every way.
fn boundaries(expected: &Undisturbed) -> Vec<Vec<Kill>> {
    let mut cases = Vec::new();
    for at in 1..=expected.syncs {
        cases.extend([vec![Kill::Before(at)], vec![Kill::After(at)], vec![Kill::Power(at)]]);
        // And once more while it goes on.
        if at % 3 == 0 {
            cases.push(vec![Kill::After(at), Kill::Power(2), Kill::Before(3)]);
        }
    }
    cases
}

#[test]
fn a_run_survives_its_death_at_every_boundary() {
    let expected = undisturbed(steps());
    let cases = boundaries(&expected);
    let ended = all(&cases, |kills| survives(steps(), &expected, kills));
    tell(&format!("{} boundaries: {ended} of {} runs were killed at one", expected.syncs, cases.len()));
    assert!(ended * 10 > cases.len() * 8, "{ended} of {}", cases.len());
}

#[test]
fn a_run_survives_its_death_at_any_moment() {
    let expected = undisturbed(steps());
    let (mut random, seed) = Random::seeded();
    let most = u64::try_from(expected.took.as_micros()).unwrap();
    let mut moment = || {
        let time = Duration::from_micros(random.below(most));
        if random.below(3) == 0 { Kill::Reboot(time) } else { Kill::At(time) }
    };
    let cases: Vec<_> = (0..60).map(|case| (0..=case % 3).map(|_| moment()).collect::<Vec<_>>()).collect();
    tell(&format!("random moments: SURVIVE_SEED={seed}"));
    let ended = all(&cases, |kills| survives(steps(), &expected, kills));
    tell(&format!("{ended} of {} runs were killed at a random moment", cases.len()));
    assert!(ended * 10 > cases.len() * 8, "{ended} of {}", cases.len());
}

#[test]
fn a_run_survives_a_full_disk() {
    let expected = undisturbed(steps());
    let cases: Vec<_> = (1..=expected.writes).step_by(9).map(|at| vec![Kill::Full(at)]).collect();
    let ended = all(&cases, |kills| survives(steps(), &expected, kills));
    tell(&format!("{} writes: {ended} of {} runs met a full disk", expected.writes, cases.len()));
    assert!(ended * 10 > cases.len() * 8, "{ended} of {}", cases.len());
}

const TRIGGERING: &str = "steps:
  - { label: before, command: echo x >> before }
  - { label: child, trigger: child, build: { meta_data: { from: parent } } }
  - wait
  - { label: after, command: echo x >> after }
";
const TRIGGERED: &str = "steps:
  - { label: reads, command: test \"$$(buildkite-agent meta-data get from)\" = parent }
  - wait
  - { label: stores, command: echo kept > kept.txt; buildkite-agent artifact upload kept.txt }
";

#[test]
fn a_triggered_run_survives_with_its_parent_and_is_not_made_twice() {
    let project = || Project::with(TRIGGERING).file("child.yml", TRIGGERED);
    let expected = undisturbed(project());
    let cases: Vec<_> = boundaries(&expected).into_iter().step_by(2).collect();
    let ended = all(&cases, |kills| survives(project(), &expected, kills));
    tell(&format!("{} boundaries: {ended} of {} triggering runs were killed at one", expected.syncs, cases.len()));
    assert!(ended * 10 > cases.len() * 8, "{ended} of {}", cases.len());
}

#[test]
fn a_run_that_waits_for_a_person_survives() {
    let project = || {
        Project::with(
            "steps:
  - { label: before, command: echo x >> before }
  - { label: go, block: Go?, key: go }
  - { label: after, command: echo x >> after }
",
        )
    };
    let expected = undisturbed(project());
    let cases = boundaries(&expected);
    let ended = all(&cases, |kills| survives(project(), &expected, kills));
    tell(&format!("{} boundaries: {ended} of {} blocked runs were killed at one", expected.syncs, cases.len()));
    assert!(ended * 10 > cases.len() * 7, "{ended} of {}", cases.len());
}
