//! Pipelines of real projects, as they are in their repositories, run for real. What they call that is theirs (a script
//! of the repository) is stood in for by a script of the same name that shows what reached it; the pipelines themselves
//! are not touched.

use crate::project::{Project, Said, root};
use std::path::Path;

/// A pipeline of the corpus at the place where its project has it.
fn place(project: Project, corpus: &str, at: &str) -> Project {
    let file = root().join("../shared/corpus/buildkite").join(corpus);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; the corpus stands beside the repository", file.display()));
    project.file(at, &text)
}

fn with(corpus: &str) -> Project {
    place(Project::new(), corpus, ".buildkite/pipeline.yml")
}

fn script(project: Project, at: &str, text: &str) -> Project {
    use std::os::unix::fs::PermissionsExt;
    let project = project.file(at, &format!("#!/bin/bash\nset -eu\n{text}\n"));
    let path = project.path().join(at);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    project
}

fn read(path: &Path, name: &str) -> String {
    std::fs::read_to_string(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn lines(said: &Said, text: &str) -> usize {
    said.stdout.lines().filter(|line| line.contains(text)).count()
}

#[test]
fn terasa_a_list_of_steps_at_the_top() {
    with("terasa__buildkite.yml").runner(&["run"]).expect_status(0).expect_stdout("3 passed");
}

#[test]
fn aliakbar_infra() {
    with("AliakbarSu__infra.yml").runner(&["run"]).expect_status(0).expect_stdout("Hello World");
}

#[test]
fn useful_snippets() {
    let project = with("SvenSchindler__useful-snippets.yml").file("here", "");
    project.runner(&["run"]).expect_status(0).expect_stdout("here");
}

#[test]
fn oasis_core_code_skip() {
    let project = with("oasisprotocol__oasis-core__code-skip.pipeline.yml");
    project.runner(&["run"]).expect_status(0).expect_stdout("1 passed");
}

#[test]
fn monofo_with_keys_of_its_own() {
    let project = with("vital-software__monofo__test_projects_flexible-structure_pipeline.yml");
    project.runner(&["run"]).expect_status(0);
    assert_eq!(read(project.path(), "foo1"), "foo1\n");
}

#[test]
fn buildkite_groups() {
    let said = with("buildkite__group-step-example.yml").runner(&["run"]).expect_status(0).expect_stdout("5 passed");
    assert_eq!(lines(&said, "│ .buildkite/steps/"), 5, "{}", said.stdout);
}

#[test]
fn buildkite_parallel_jobs_uploaded_by_the_first_step() {
    let project = place(Project::new(), "buildkite__bash-parallel-example__template.yml", "template.yml");
    let project = place(project, "buildkite__bash-parallel-example.yml", ".buildkite/pipeline.yml");
    let project = script(
        project,
        "script.sh",
        "echo \"part $BUILDKITE_PARALLEL_JOB of $BUILDKITE_PARALLEL_JOB_COUNT\" > part$BUILDKITE_PARALLEL_JOB",
    );
    project.runner(&["run", "template.yml"]).expect_status(0).expect_stdout("6 passed");
    for part in 0..5 {
        assert_eq!(read(project.path(), &format!("part{part}")), format!("part {part} of 5\n"));
    }
}

#[test]
fn buildkite_block_with_fields() {
    let release = "for key in release-name release-notes release-type; do
  echo \"$key=$(buildkite-agent meta-data get $key)\"
done > released";
    let project = script(with("buildkite__block-step-example.yml"), "release.sh", release);
    project.runner(&["run"]).expect_status(5).expect_stdout("--field release-name=…");
    project.runner(&["unblock", "1"]).expect_status(2).expect_stderr("release-name");
    let fields = ["unblock", "1", "--field", "release-name=Ada", "--field", "release-type=stable"];
    project.runner(&fields).expect_status(0).expect_stdout("run 1 passed");
    assert_eq!(read(project.path(), "released"), "release-name=Ada\nrelease-notes=\nrelease-type=stable\n");
}

#[test]
fn buildkite_input_that_nothing_waits_for() {
    let project = script(with("buildkite__input-step-example.yml"), "script.sh", "touch ran");
    project.runner(&["run"]).expect_status(5);
    assert!(project.path().join("ran").exists());
    project.runner(&["unblock", "1", "--field", "name=Ada"]).expect_status(0).expect_stdout("run 1 passed");
}

#[test]
fn buildkite_trigger_of_a_deployment() {
    let project = with("buildkite__dependent-pipeline-example.yml");
    let deploy = ".buildkite/dependent-pipeline-example-deploy.yml";
    let project = place(project, "buildkite__dependent-pipeline-example__pipeline.deploy.yml", deploy);
    let said = project.runner(&["run", "--branch", "main"]).expect_status(0);
    let said =
        said.expect_stdout("run 1 passed").expect_stdout("run 2 of dependent-pipeline-example-deploy has started");
    said.expect_stderr("waiting for 1 run");
    let said = project.runner(&["run", "--branch", "topic"]).expect_status(0);
    said.expect_stdout("the branch `topic` does not match `branches: main`");
}

#[test]
fn buildkite_monorepo_services() {
    let project = with("buildkite__monorepo-example__test_.buildkite_pipeline.yml");
    project.runner(&["run"]).expect_status(0).expect_stdout("Running Tests...");
    let project = with("buildkite__monorepo-example__service-app_.buildkite_pipeline.yml");
    let project = script(project, "service-app/bin/deploy", "echo \"deploying $BUILDKITE_BRANCH\"");
    let said = project.runner(&["run", "--branch", "main"]).expect_status(0);
    said.expect_stdout("Building the Service App...").expect_stdout("deploying main");
}

#[test]
fn rally_integration_tests() {
    let project = with("elastic__rally__it_pipeline.yml").file(".buildkite/it/run.sh", "echo \"python $1\"\n");
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("python 3.10").expect_stdout("python 3.13");
}

#[test]
fn gdk_for_unity_workers_with_artifacts() {
    let worker = "mkdir -p logs build/assembly/$WORKER_TYPE
echo \"$SCRIPTING_BACKEND\" > logs/$WORKER_TYPE-$BUILDKITE_JOB_ID.log
echo \"$BUILD_ENVIRONMENT\" > build/assembly/$WORKER_TYPE/worker.zip";
    let project = with("spatialos__gdk-for-unity__release-qa.steps.yml");
    let project = script(project, ".shared-ci/scripts/build-worker.sh", worker);
    let launch = "mkdir launched; buildkite-agent artifact download 'build/assembly/*' launched";
    let project = script(project, "ci/launch.sh", launch);
    project.runner(&["run"]).expect_status(0).expect_stdout("5 passed");
    assert_eq!(read(project.path(), "launched/build/assembly/MobileClient/worker.zip"), "cloud\n");
}

#[test]
fn cocoa_notifier_uploads_once_a_person_says_so() {
    let project = with("3planesoft__bugsnag-cocoa__block.full.yml")
        .file(".buildkite/pipeline.full.yml", "steps:\n  - { label: Full, command: touch full }\n");
    project.runner(&["run"]).expect_status(5);
    project.runner(&["unblock", "1"]).expect_status(0).expect_stdout("added 1 step").expect_stdout("run 1 passed");
    assert!(project.path().join("full").exists());
}

#[test]
fn docker_tags_choose_the_pipeline_to_upload() {
    let project = with("tapendium__docker__tag.yml").file(
        ".buildkite/deploy.yml",
        "steps:\n  - command: echo \"$CONTAINER_NAME from $IMAGE_TAG_NAME\" > deployed\n",
    );
    project.runner(&["run", "--tag", "pact-cli/1.2"]).expect_status(0).expect_stdout("1 skipped");
    assert_eq!(read(project.path(), "deployed"), "pact-cli from pact-cli:1.2\n");
    let said = project.runner(&["run", "--tag", "skip/1.2.3"]).expect_status(0);
    said.expect_stdout("I have a custom deployment pipeline");
}

#[test]
fn tutorial_with_steps_made_by_a_script() {
    let project = with("Qarik-Group__buildkite-tutorial__pipeline.ask-to-continue.yml");
    let project =
        script(project, "src/generate-and-store-number.sh", "buildkite-agent meta-data set number 3; echo stored");
    let project = script(
        project,
        "src/generate-steps-from-stored-number.sh",
        "echo 'steps:'
for i in $(seq \"$(buildkite-agent meta-data get number)\"); do
  echo \"  - command: buildkite-agent meta-data set collect-$i $i\"
done",
    );
    let project = script(
        project,
        "src/fetch-and-display-number.sh",
        "for key in $(buildkite-agent meta-data keys | grep \"^$1-\"); do buildkite-agent meta-data get \"$key\"; echo; done > sum",
    );
    project.runner(&["run"]).expect_status(5).expect_stdout("stored");
    project.runner(&["unblock", "1"]).expect_status(0).expect_stdout("added 3 steps").expect_stdout("run 1 passed");
    let sum: Vec<u32> = read(project.path(), "sum").lines().filter_map(|line| line.trim().parse().ok()).collect();
    assert_eq!(sum, [1, 2, 3]);
}
