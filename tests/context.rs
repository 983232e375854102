//! What is built, in real repositories and as CI systems tell it, and what depends on it.

use crate::project::{Project, Said};
use std::process::Command;

/// Runs git in a project and returns what it says.
fn git(project: &Project, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Carol", "-c", "user.email=carol@example.com", "-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(project.path())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", project.path().join(".home"))
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit(project: &Project, message: &str) -> String {
    git(project, &["add", "-A"]);
    git(project, &["commit", "-q", "-m", message]);
    git(project, &["rev-parse", "HEAD"])
}

fn write(project: &Project, name: &str, content: &str) {
    let path = project.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A repository whose first commit has the pipeline and is also where `origin/main` is.
fn repository(pipeline: &str) -> Project {
    let project = Project::with(pipeline).file("docs/a.md", "a\n").file("src/a.rs", "a\n");
    git(&project, &["init", "-q"]);
    commit(&project, "First");
    git(&project, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    project
}

const SHOW: &str = "steps:
  - command: |
      echo \"[$$BUILDKITE_BRANCH|$$BUILDKITE_COMMIT|$$BUILDKITE_MESSAGE|$$BUILDKITE_BUILD_AUTHOR_EMAIL]\"
      echo \"[$$BUILDKITE_REPO|$$BUILDKITE_PIPELINE_SLUG|$$BUILDKITE_PULL_REQUEST|$$BUILDKITE_SOURCE]\"
      echo \"short ${BUILDKITE_COMMIT:0:7}\"
";

#[test]
fn git_says_what_is_built() {
    let project = repository(SHOW);
    git(&project, &["remote", "add", "origin", "https://ci:token-1@example.com/acme/Orders.git"]);
    let first = git(&project, &["rev-parse", "HEAD"]);
    git(&project, &["switch", "-q", "-c", "topic"]);
    write(&project, "src/b.rs", "b\n");
    let second = commit(&project, "Second");
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout(&format!("[topic|{second}|Second|carol@example.com]"));
    let said = said.expect_stdout("[https://example.com/acme/Orders.git|orders|false|ui]");
    let said = said.expect_stdout(&format!("short {}", &second[..7]));
    assert!(!said.stdout.contains("token-1"), "{}", said.stdout);
    let said = project.runner(&["run", "--commit", "HEAD~1", "--branch", "other", "--source", "api"]).expect_status(0);
    let said = said.expect_stdout(&format!("[other|{first}|First|carol@example.com]"));
    said.expect_stdout(&format!("short {}", &first[..7])).expect_stdout("|false|api]");
    let said = project.runner(&["run", "--commit", "nowhere"]).expect_status(0);
    said.expect_stdout("[topic|nowhere||]").expect_stderr("the commit `nowhere` is not in this repository");
    git(&project, &["checkout", "-q", "--detach"]);
    project.runner(&["run"]).expect_status(0).expect_stdout(&format!("[|{second}|Second|"));
}

#[test]
fn git_is_left_alone_when_nothing_depends_on_it() {
    use std::os::unix::fs::PermissionsExt;
    let pipeline = |step: &str| format!("steps:\n  - {step}\n");
    for (step, asked) in [("uses: ./steps/echo.wasm", false), ("{ uses: ./steps/echo.wasm, if_changed: src/** }", true)]
    {
        let project =
            Project::with(&pipeline(step)).component("echo").file("bin/git", "#!/bin/sh\ntouch asked\nexit 1\n");
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(project.path().join("bin/git"), executable).unwrap();
        let path = format!("{}:/usr/bin:/bin", project.path().join("bin").display());
        let asked_file = project.path().join("asked");
        let project = project.env("PATH", &path);
        project.runner(&["check"]).expect_status(0);
        assert_eq!(asked_file.exists(), asked, "{step}");
    }
}

#[test]
fn a_pull_request_from_a_fork_is_not_the_branch_it_is_called() {
    let event = r#"{
        "action": "opened",
        "repository": { "default_branch": "main" },
        "pull_request": {
            "number": 12, "title": "Fix it", "draft": false, "user": { "login": "someone" },
            "labels": [{ "name": "slow" }],
            "base": { "ref": "main", "repo": { "full_name": "acme/orders" } },
            "head": { "ref": "main", "user": { "login": "someone" }, "repo": { "full_name": "someone/orders" } }
        }
    }"#;
    let pipeline = "steps:
  - { key: deploy, command: touch deployed, branches: main }
  - { key: forked, command: 'true', if: build.pull_request.repository.fork }
  - { key: labelled, command: 'true', if: \"build.pull_request.labels includes 'slow'\" }
  - { key: number, command: 'true', if: build.number == 17 }
  - command: echo \"<$$BUILDKITE_BRANCH $$BUILDKITE_PULL_REQUEST $$BUILDKITE_MESSAGE $$BUILDKITE_BUILD_NUMBER>\"
  - command: echo \"<$$BUILDKITE_PULL_REQUEST_BASE_BRANCH $$BUILDKITE_PULL_REQUEST_LABELS $$BUILDKITE_ORGANIZATION_SLUG>\"
";
    let project = repository(pipeline);
    git(&project, &["checkout", "-q", "--detach"]);
    write(&project, ".home/event.json", event);
    let path = project.path().join(".home/event.json").display().to_string();
    let project = [
        ("CI", "true"),
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_EVENT_NAME", "pull_request"),
        ("GITHUB_EVENT_PATH", path.as_str()),
        ("GITHUB_REF", "refs/pull/12/merge"),
        ("GITHUB_HEAD_REF", "main"),
        ("GITHUB_BASE_REF", "main"),
        ("GITHUB_REPOSITORY", "acme/orders"),
        ("GITHUB_REPOSITORY_OWNER", "acme"),
        ("GITHUB_SHA", "83a20ec058e2fb00e7fa4558c4c6e81e2dcf253d"),
        ("GITHUB_RUN_NUMBER", "17"),
    ]
    .into_iter()
    .fold(project, |project, (name, value)| project.env(name, value));
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("5 passed, 1 skipped");
    let said = said.expect_stdout("<someone:main 12 Fix it 17>").expect_stdout("<main slow acme>");
    said.expect_stdout("the branch `someone:main` does not match `branches: main`");
    assert!(!project.path().join("deployed").exists());
    project.runner(&["run", "--branch", "main"]).expect_status(0);
    assert!(project.path().join("deployed").exists(), "flags are over everything");
    write(&project, ".home/event.json", "{");
    project.runner(&["check"]).expect_status(7).expect_stderr("event.json (GITHUB_EVENT_PATH) cannot be read");
}

#[test]
fn values_for_protected_variables_are_ignored_and_listed() {
    let project = Project::with(
        "env: { BUILDKITE_BRANCH: mine, LEVEL: pipeline }
steps:
  - env: { CI: 'no', BUILDKITE_REPO: mine }
    agents: { queue: deploy }
    command: |
      echo \"<$$BUILDKITE_BRANCH $$CI $$BUILDKITE_REPO $$LEVEL $$BUILDKITE_IGNORED_ENV $$BUILDKITE_AGENT_META_DATA_QUEUE>\"
",
    );
    let said = project.runner(&["run", "--branch", "b", "--env", "LEVEL=build", "--env", "BUILDKITE_TAG=mine"]);
    let ignored = "BUILDKITE_BRANCH,BUILDKITE_TAG,CI";
    said.expect_status(0).expect_stdout(&format!("<b true mine build {ignored} deploy>"));
}

const CHANGED: &str = "steps:
  - { key: code, command: 'true', if_changed: src/** }
  - { key: docs, command: 'true', if_changed: ['**.md', docs/**] }
  - { key: notes, command: 'true', if_changed: { include: docs/**, exclude: docs/a.md } }
  - { key: new, command: 'true', if_changed: new.txt }
  - { wait: ~, key: barrier, if_changed: nothing }
  - group: all
    if_changed: 'src/{b,c}.rs'
    steps: [{ key: member, command: 'true' }]
  - { key: always, command: 'true' }
";

/// The keys of the steps that are not skipped.
fn runs(project: &Project, arguments: &[&str]) -> (Vec<String>, Said) {
    let said = project.runner(&[&["plan", "--json"], arguments].concat()).expect_status(0);
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let jobs = plan["jobs"].as_array().unwrap();
    let (barriers, jobs): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job["kind"] == "wait");
    assert!(barriers.iter().all(|barrier| barrier["skip"].is_null()), "`if_changed` is for what does something");
    let jobs = jobs.into_iter().filter(|job| job["skip"].is_null());
    (jobs.map(|job| job["step_key"].as_str().unwrap().to_owned()).collect(), said)
}

#[test]
fn steps_whose_files_have_not_changed_are_skipped() {
    let project = repository(CHANGED);
    git(&project, &["switch", "-q", "-c", "topic"]);
    write(&project, "docs/a.md", "b\n");
    commit(&project, "Docs");
    assert_eq!(runs(&project, &[]).0, ["docs", "always"]);
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("skipped: no changed file matches `if_changed`").expect_stdout("2 passed, 4 skipped");
    // Main goes on; what counts is where the branch left it.
    git(&project, &["switch", "-q", "main"]);
    write(&project, "src/main.rs", "m\n");
    commit(&project, "Code on main");
    git(&project, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    git(&project, &["switch", "-q", "topic"]);
    assert_eq!(runs(&project, &[]).0, ["docs", "always"]);
    // On main itself it is the last commit, and of a merge what it brought.
    git(&project, &["switch", "-q", "main"]);
    assert_eq!(runs(&project, &[]).0, ["code", "always"]);
    git(&project, &["merge", "-q", "--no-ff", "-m", "Merge", "topic"]);
    git(&project, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    assert_eq!(runs(&project, &[]).0, ["docs", "always"]);
    // A file that has moved has left one place and come to another.
    git(&project, &["switch", "-q", "-c", "moved"]);
    git(&project, &["mv", "src/a.rs", "docs/b.rs"]);
    commit(&project, "Move");
    assert_eq!(runs(&project, &[]).0, ["code", "docs", "notes", "always"]);
}

#[test]
fn the_working_tree_counts_unless_a_ci_system_runs_us() {
    let project = repository(CHANGED);
    git(&project, &["switch", "-q", "-c", "topic"]);
    write(&project, "docs/n.md", "n\n");
    commit(&project, "Note");
    write(&project, "src/b.rs", "not even added\n");
    write(&project, "new.txt", "added\n");
    git(&project, &["add", "new.txt"]);
    write(&project, "docs/a.md", "changed\n");
    assert_eq!(runs(&project, &[]).0, ["code", "docs", "notes", "new", "member", "always"]);
    let below = runs(&project, &["-C", "docs", "../pipeline.yml"]).0;
    assert_eq!(below, ["code", "docs", "notes", "new", "member", "always"], "paths are those of the repository");
    let project = project.env("CI", "true");
    assert_eq!(runs(&project, &[]).0, ["docs", "notes", "always"]);
}

#[test]
fn changes_are_those_against_the_branch_the_build_goes_to() {
    let project = repository(CHANGED);
    git(&project, &["switch", "-q", "-c", "release"]);
    write(&project, "src/b.rs", "b\n");
    let release = commit(&project, "Release");
    git(&project, &["update-ref", "refs/remotes/origin/release", "HEAD"]);
    git(&project, &["switch", "-q", "-c", "topic"]);
    write(&project, "new.txt", "new\n");
    commit(&project, "New");
    assert_eq!(runs(&project, &[]).0, ["code", "new", "member", "always"]);
    let pull_request = ["--pull-request", "7", "--pull-request-base-branch", "release"];
    assert_eq!(runs(&project, &pull_request).0, ["new", "always"]);
    let base = format!("BUILDKITE_GIT_DIFF_BASE={release}");
    assert_eq!(runs(&project, &["--env", &base]).0, ["new", "always"]);
    git(&project, &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/release"]);
    assert_eq!(runs(&project, &[]).0, ["new", "always"], "the default branch");
}

#[test]
fn nothing_is_skipped_when_nobody_knows_what_changed() {
    let all = ["code", "docs", "notes", "new", "member", "always"];
    let (keys, said) = runs(&Project::with(CHANGED), &[]);
    assert_eq!(keys, all);
    said.expect_stderr("nobody knows which files the build changes").expect_stderr("not a git repository");
    let project = repository(CHANGED);
    let (keys, said) = runs(&project, &["--env", "BUILDKITE_GIT_DIFF_BASE=origin/nowhere"]);
    assert_eq!(keys, all);
    let said = said.expect_stderr("pipeline.yml:2").expect_stderr("`origin/nowhere` is not in this repository");
    said.expect_stderr("BUILDKITE_GIT_DIFF_BASE");
    git(&project, &["switch", "-q", "--orphan", "lonely"]);
    write(&project, "pipeline.yml", CHANGED);
    commit(&project, "Lonely");
    let (keys, said) = runs(&project, &[]);
    assert_eq!(keys, all);
    said.expect_stderr("have no commit in common");
    git(&project, &["update-ref", "refs/remotes/origin/main", "HEAD"]);
    let (keys, said) = runs(&project, &[]);
    assert_eq!((keys, said.stderr.as_str()), (vec!["always".to_owned()], ""), "the first commit changes its own files");
    let project = repository("steps:\n  - { key: broken, command: 'true', if_changed: 'src/{a' }\n");
    let (keys, said) = runs(&project, &[]);
    assert_eq!(keys, ["broken"]);
    said.expect_stderr("pipeline.yml:2:").expect_stderr("in `src/{a`, a `{` is not closed");
}

#[test]
fn secrets_become_variables_and_are_replaced_in_the_log() {
    let project = Project::with(
        "secrets: { SHARED: stored-shared, OVER: stored-shared }
steps:
  - key: named
    secrets: { OVER: stored-own }
    command: |
      echo \"$$OVER|$$SHARED\" > seen
      echo \"own $$OVER, shared $$SHARED\"
  - key: listed
    secrets: [stored_listed]
    command: echo \"$$stored_listed\" >> seen_listed; echo \"listed $$stored_listed\"
",
    )
    .env("stored-shared", "value-shared")
    .env("stored-own", "value-own")
    .env("stored_listed", "value-listed");
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("own [REDACTED], shared [REDACTED]").expect_stdout("listed [REDACTED]");
    assert!(!said.stdout.contains("value-") && said.stderr.is_empty(), "{}{}", said.stdout, said.stderr);
    let seen = |name: &str| std::fs::read_to_string(project.path().join(name)).unwrap();
    assert_eq!((seen("seen").as_str(), seen("seen_listed").as_str()), ("value-own|value-shared\n", "value-listed\n"));
    // The newest events may still be in the journal beside the database.
    let files = [".runner/runs.db", ".runner/runs.db-wal"].map(|name| std::fs::read(project.path().join(name)));
    let events = files.into_iter().flatten().flatten().collect::<Vec<u8>>();
    let events = String::from_utf8_lossy(&events);
    assert!(events.contains(r#""operation":"set","subject":"stored-own""#), "the use is not in the event log");
    assert!(!events.contains("value-"), "a value is in the event log");
}

#[test]
fn a_secret_that_is_not_there_fails_its_job() {
    let project = Project::with(
        "steps:
  - { key: without, command: touch never, secrets: { TOKEN: API_TOKEN } }
  - { key: other, command: 'true' }
",
    );
    let said = project.runner(&["run"]).expect_status(1).expect_stdout("1 passed, 1 failed");
    said.expect_stdout("the secret `API_TOKEN` is not set: the runner's environment has no variable API_TOKEN");
    assert!(!project.path().join("never").exists());
    let project = Project::with("steps:\n  - { command: 'true', secrets: { BUILDKITE_BRANCH: X } }\n");
    project.runner(&["check"]).expect_status(3).expect_stderr("cannot hold a secret").expect_stderr("pipeline.yml:2:");
}

#[test]
fn a_component_has_the_secrets_it_may_see() {
    let project = Project::with(
        "secrets: [SHARED]
steps:
  - { key: seen, uses: ./steps/echo.wasm, secrets: [OWN], grants: { env: [OWN] } }
  - { key: unseen, uses: ./steps/echo.wasm, secrets: [OWN] }
",
    )
    .component("echo");
    let said = project.runner(&["plan", "--json"]).expect_status(0);
    let said = said.expect_stderr("the component does not see the secret in `OWN`");
    let said = said.expect_stderr("grants: { env: [OWN] }").expect_stderr("pipeline.yml:4:");
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let secrets = |job: usize| plan["jobs"][job]["kind"]["step"]["secrets"].clone();
    assert_eq!(secrets(0), serde_json::json!([{ "variable": "OWN", "name": "OWN" }]));
    assert!(secrets(1).is_null(), "{}", secrets(1));
}

#[test]
fn steps_take_over_what_the_pipeline_says() {
    let project = Project::with(
        "agents: { queue: default, os: linux }
priority: 3
checkout: { depth: 5, lfs: true, flags: { clone: -v } }
secrets: { A: a, B: b }
env: { LEVEL: pipeline, OTHER: pipeline }
steps:
  - { key: plain, command: 'true' }
  - key: own
    command: 'true'
    agents: [queue=deploy]
    priority: -1
    checkout: { depth: 1, lfs: ~ }
    secrets: { B: own, C: c }
",
    );
    let said = project.runner(&["plan", "--json"]).expect_status(0);
    let plan: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let (plain, own) = (&plan["jobs"][0], &plan["jobs"][1]);
    assert_eq!((&plain["priority"], &own["priority"]), (&serde_json::json!(3), &serde_json::json!(-1)));
    let (plain, own) = (&plain["kind"]["step"], &own["kind"]["step"]);
    assert_eq!(plain["agents"], serde_json::json!({ "queue": "default", "os": "linux" }));
    assert_eq!(own["agents"], serde_json::json!({ "queue": "deploy" }));
    assert_eq!(plain["checkout"], serde_json::json!({ "depth": 5, "lfs": true, "flags": { "clone": "-v" } }));
    assert_eq!(own["checkout"], serde_json::json!({ "depth": 1, "lfs": true, "flags": { "clone": "-v" } }));
    let secret = |variable: &str, name: &str| serde_json::json!({ "variable": variable, "name": name });
    assert_eq!(plain["secrets"], serde_json::json!([secret("A", "a"), secret("B", "b")]));
    assert_eq!(own["secrets"], serde_json::json!([secret("A", "a"), secret("B", "own"), secret("C", "c")]));
}

#[test]
fn uploaded_steps_are_left_out_for_what_has_not_changed_too() {
    let project = repository("steps:\n  - command: buildkite-agent pipeline upload more.yml\n").file(
        "more.yml",
        "steps:\n  - { key: docs, command: 'true', if_changed: 'docs/**' }\n  - { key: src, command: 'true', if_changed: 'src/**' }\n",
    );
    git(&project, &["switch", "-q", "-c", "topic"]);
    write(&project, "src/b.rs", "b\n");
    commit(&project, "Second");
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("2 passed, 1 skipped");
    said.expect_stdout("▶ src").expect_stdout("no changed file matches `if_changed`");
}
