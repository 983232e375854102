//! Steps that are answered from the cache, and steps that must not be.

use crate::project::{Project, root};
use std::path::Path;

/// A cache of its own, with the compiled components of all tests.
pub(crate) fn cache() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let shared = root().join("target/test-cache/components");
    if shared.exists() {
        let copied = std::process::Command::new("cp").arg("-a").arg(shared).arg(directory.path()).status();
        assert!(copied.unwrap().success());
    }
    directory
}

pub(crate) fn project(pipeline: &str, cache: &Path) -> Project {
    Project::with(pipeline).file("src/a.txt", "one\n").env("RUNNER_CACHE_DIR", cache.to_str().unwrap())
}

/// Counts in a file that no cache knows of how often it has run.
pub(crate) const COUNTING: &str = r#"
steps:
  - key: build
    label: Build
    command: |
      echo x >> runs
      echo "building with $${CC:-cc}"
      mkdir -p dist && cat src/*.txt > dist/out && chmod +x dist/out && ln -sf out dist/link
      buildkite-agent meta-data set built yes
      echo "*fine*" | buildkite-agent annotate --style success --context build
    env: { LEVEL: "1" }
    artifact_paths: "dist/out"
    cache: { inputs: [src], outputs: [dist], env: [CC] }
  - wait
  - key: use
    command: cat dist/out; buildkite-agent meta-data get built; mkdir -p got; buildkite-agent artifact download dist/out got/; cat got/dist/out
"#;

pub(crate) fn runs(project: &Project) -> usize {
    std::fs::read_to_string(project.path().join("runs")).unwrap_or_default().lines().count()
}

pub(crate) fn tree(project: &Project) {
    use std::os::unix::fs::PermissionsExt;
    let out = project.path().join("dist/out");
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "one\n");
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_link(project.path().join("dist/link")).unwrap(), Path::new("out"));
}

#[test]
fn an_unchanged_step_is_answered_with_all_it_has_made() {
    let cache = cache();
    let project = project(COUNTING, cache.path());
    project.runner(&["run"]).expect_status(0).expect_stdout("building with cc");
    tree(&project);
    std::fs::remove_dir_all(project.path().join("dist")).unwrap();
    std::fs::remove_dir_all(project.path().join("got")).unwrap();
    let said = project.runner(&["run"]).expect_status(0);
    let said = said.expect_stdout("~ build").expect_stdout("from run 1 (cache ").expect_stdout("building with cc");
    said.expect_stdout("success: *fine*").expect_stdout("yes");
    tree(&project);
    assert_eq!(runs(&project), 1);
    assert_eq!(std::fs::read_to_string(project.path().join("got/dist/out")).unwrap(), "one\n");
    let why = project.runner(&["why", "2", "build"]).expect_status(0);
    why.expect_stdout("build did not run in run 2: everything it depends on is as in run 1");
    project
        .runner(&["why", "1", "build"])
        .expect_stdout("there is no entry of this key")
        .expect_stdout("no earlier run");
    project.runner(&["why", "2", "use"]).expect_stdout("has no `cache`");
    project.runner(&["why", "2", "nothing"]).expect_status(2).expect_stderr("its jobs are: build, use");
}

#[test]
fn each_change_makes_the_step_run_and_is_named() {
    let cache = cache();
    let pipeline = "
steps:
  - key: build
    command: echo x >> runs; echo $$LEVEL; mkdir -p out; cp src/a.txt out/
    env: { LEVEL: \"1\" }
    cache: { inputs: [src, '*.mk'], outputs: out, env: [CC] }
";
    let mut project = project(pipeline, cache.path());
    let why = |project: &Project, number: usize, expected: &str| {
        let said = project.runner(&["why", &number.to_string(), "build"]).expect_status(0);
        said.expect_stdout(expected);
    };
    project.runner(&["run"]).expect_status(0).expect_stdout("`*.mk` in `inputs` matches no file");
    let mut number = 1;
    let mut step = |project: &Project, arguments: &[&str], expected: &str| {
        number += 1;
        project.runner(arguments).expect_status(0);
        assert_eq!(runs(project), number, "{expected}");
        why(project, number, expected);
    };
    let write = |project: &Project, file: &str, text: &str| std::fs::write(project.path().join(file), text).unwrap();
    write(&project, "src/a.txt", "two\n");
    step(&project, &["run"], "file `src/a.txt` has changed");
    write(&project, "src/b.txt", "");
    step(&project, &["run"], "file `src/b.txt` is new");
    std::fs::remove_file(project.path().join("src/b.txt")).unwrap();
    write(&project, "x.mk", "");
    step(&project, &["run"], "file `src/b.txt` is gone");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(project.path().join("x.mk"), executable).unwrap();
    step(&project, &["run"], "file `x.mk` has changed");
    std::os::unix::fs::symlink("a.txt", project.path().join("src/link")).unwrap();
    step(&project, &["run"], "file `src/link` is new");
    write(&project, "pipeline.yml", &pipeline.replace("LEVEL: \"1\"", "LEVEL: \"2\""));
    step(&project, &["run"], "variable `LEVEL` has changed");
    write(
        &project,
        "pipeline.yml",
        &pipeline.replace("LEVEL: \"1\"", "LEVEL: \"2\"").replace("cp src/a.txt", "cp src/*"),
    );
    step(&project, &["run"], "parameter `command` has changed");
    step(&project, &["run", "--env", "MORE=1"], "variable `MORE` is new");
    write(&project, "pipeline.yml", &pipeline.replace("outputs: out", "outputs: ['out/**']"));
    step(&project, &["run"], "glob of outputs `out/**` is new");
    project = project.env("CC", "clang");
    step(&project, &["run"], "variable `CC` is new");
    // What differs between any two runs, or is not named, is no change.
    project = project.env("HOME", "/").env("UNNAMED", "1");
    project.runner(&["run", "--branch", "other", "--message", "another"]).expect_status(0).expect_stdout("~ build");
}

#[test]
fn flags_switch_it_off_or_renew_it() {
    let cache = cache();
    let project = project(COUNTING, cache.path());
    for (arguments, expected) in
        [(&["run"][..], 1), (&["run", "--no-cache"], 2), (&["run", "--refresh-cache"], 3), (&["run"], 3)]
    {
        project.runner(arguments).expect_status(0);
        assert_eq!(runs(&project), expected, "{arguments:?}");
    }
    project.runner(&["run"]).expect_stdout("from run 3 (");
    project.runner(&["why", "2", "build"]).expect_stdout("switched off");
    project.runner(&["why", "3", "build"]).expect_stdout("--refresh-cache");
    project.runner(&["run", "--no-cache", "--refresh-cache"]).expect_status(2);
}

#[test]
fn outputs_reach_later_steps_from_the_cache_too() {
    let cache = cache();
    let pipeline = "
steps:
  - { key: first, uses: ./steps/echo.wasm, with: { outputs: { digest: abc, size: 3 } }, cache: { inputs: src } }
  - { key: second, uses: ./steps/echo.wasm, with: { exit_status: \"{{ steps.first.outputs.size }}\" }, cache: { inputs: src } }
";
    let project = project(pipeline, cache.path()).component("echo");
    project.runner(&["run"]).expect_status(1).expect_stdout("(exit status 3)");
    // The second has failed, and is not kept.
    let said = project.runner(&["run"]).expect_status(1);
    said.expect_stdout("~ first").expect_stdout("(exit status 3)");
    project.runner(&["why", "2", "second"]).expect_stdout("but its result was not kept: it did not pass");
    let json = project.runner(&["why", "2", "first", "--json"]).expect_status(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json[0]["result"], &json[0]["from"]["number"]), (&"hit".into(), &1.into()), "{json}");
}

#[test]
fn a_job_that_is_entangled_with_its_run_is_not_kept() {
    let cache = cache();
    for (command, expected) in [
        ("buildkite-agent meta-data set a b; buildkite-agent meta-data get a", "looked at data of its run"),
        ("printf 'steps: [{command: \"true\"}]' | buildkite-agent pipeline upload", "added steps to its run"),
        ("buildkite-agent step update label new", "its run"),
        ("buildkite-agent lock get x", "looked at a lock"),
        ("buildkite-agent lock do x && buildkite-agent lock done x", "took a lock"),
        ("echo more >> src/a.txt", "the input `src/a.txt` changed while the job ran"),
        ("touch src/new", "the input `src/new` changed while the job ran"),
        ("ln -s /etc out", "the link `out` leads out of the workspace"),
        ("true", "`outputs` match no file"),
    ] {
        let command = format!("{}; echo x >> runs", command.replace('\'', "''"));
        let step =
            format!("steps:\n  - {{ key: build, command: '{command}', cache: {{ inputs: src, outputs: [out] }} }}\n");
        let project = project(&step, cache.path()).file("kept", "");
        let said = project.runner(&["run"]).expect_status(0);
        said.expect_stdout("cache: not kept: ").expect_stdout(expected);
        project.runner(&["why", "1", "build"]).expect_stdout(expected);
    }
}

#[test]
fn what_acts_on_the_world_is_refused_before_it_runs() {
    let cache = cache();
    let pipeline = "
steps:
  - uses: docker-tag@1
    with: { image: 127.0.0.1:5050/x, tags: [a] }
    grants: { workspace: read, docker: { build: [.], push: [127.0.0.1:5050/x] } }
    cache: { inputs: src }
";
    let said = project(pipeline, cache.path()).runner(&["check"]).expect_status(3);
    said.expect_stderr("may push images").expect_stderr("allow: [push]");
    project(&pipeline.replace("inputs: src", "inputs: src, allow: push"), cache.path())
        .runner(&["check"])
        .expect_status(0);
    let said = project("steps: [{command: make, cache: {inputs: ../x}}]", cache.path()).runner(&["check"]);
    said.expect_status(3).expect_stderr("leads upwards");
}

#[test]
fn values_of_secrets_are_in_no_key_and_in_no_entry() {
    let cache = cache();
    let pipeline = "
env: { DEPLOY_TOKEN: in-the-pipeline-0123 }
steps:
  - key: build
    command: echo x >> runs; echo \"$$SECRET_ONE $$DEPLOY_TOKEN\"; buildkite-agent meta-data set a \"$$SECRET_ONE\"
    secrets: [SECRET_ONE]
    cache: { inputs: src, allow: secrets }
";
    let project = project(pipeline, cache.path()).env("SECRET_ONE", "hunter22-hunter22");
    project.runner(&["run"]).expect_status(0);
    project.runner(&["run"]).expect_status(0).expect_stdout("~ build").expect_stdout("[REDACTED]");
    let found = std::process::Command::new("grep")
        .args(["-rlaE", "hunter22|in-the-pipeline-0123"])
        .arg(cache.path().join("steps"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    // Another value does not make it run: only the name counts.
    let project = project.env("SECRET_ONE", "hunter23-hunter23");
    project.runner(&["run"]).expect_status(0).expect_stdout("~ build");
    assert_eq!(runs(&project), 1);
}

/// Every file below a part of the store.
pub(crate) fn stored(cache: &Path, part: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(cache.join("steps").join(part)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// What somebody does to a store.
type Damage<'a> = Box<dyn Fn(&Path) + 'a>;

#[test]
fn what_is_damaged_is_thrown_out_and_the_step_runs() {
    let flip = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
        std::fs::write(path, bytes).unwrap();
    };
    let damages: [(&str, Damage<'_>); 4] = [
        ("flipped", Box::new(|cache| stored(cache, "blobs").iter().for_each(|path| flip(path)))),
        (
            "truncated",
            Box::new(|cache| {
                for path in stored(cache, "blobs") {
                    let file = std::fs::File::options().write(true).open(path).unwrap();
                    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
                }
            }),
        ),
        ("no digest", Box::new(|cache| std::fs::write(&stored(cache, "keys")[0], "../../../etc/passwd").unwrap())),
        (
            "of another key",
            Box::new(|cache| {
                let keys = stored(cache, "keys");
                let (first, second) = (std::fs::read(&keys[0]).unwrap(), std::fs::read(&keys[1]).unwrap());
                std::fs::write(&keys[0], second).unwrap();
                std::fs::write(&keys[1], first).unwrap();
            }),
        ),
    ];
    for (name, damage) in damages {
        let cache = cache();
        let project = project(COUNTING, cache.path());
        project.runner(&["run"]).expect_status(0);
        if name == "of another key" {
            project.runner(&["run", "--env", "OTHER=1"]).expect_status(0);
        }
        let before = runs(&project);
        damage(cache.path());
        let said = project.runner(&["run"]).expect_status(0).expect_stderr("the entry is damaged");
        assert_eq!(runs(&project), before + 1, "{name}: {}", said.stdout);
        tree(&project);
        project.runner(&["run"]).expect_status(0).expect_stdout("~ build");
    }
}

#[test]
fn the_store_stays_within_its_size() {
    let cache = cache();
    let pipeline = "
steps:
  - { key: big, command: 'mkdir -p out; head -c 200000 /dev/zero | tr \"\\0\" \"$$(head -c 1 src/a.txt)\" > out/x', cache: { inputs: src, outputs: out } }
";
    let project = project(pipeline, cache.path()).file("runner.yml", "cache: { size: 500KiB }");
    let write = |text: &str| std::fs::write(project.path().join("src/a.txt"), text).unwrap();
    for text in ["a", "b"] {
        write(text);
        project.runner(&["run"]).expect_status(0);
    }
    // Used again, so that the other one has to go.
    write("a");
    project.runner(&["run"]).expect_stdout("from run 1 ");
    write("c");
    project.runner(&["run"]).expect_status(0);
    write("a");
    project.runner(&["run"]).expect_stdout("from run 1 ");
    write("b");
    project.runner(&["run"]).expect_status(0);
    project.runner(&["why", "6", "big"]).expect_stdout("there is no entry of this key");
    let bytes: u64 = stored(cache.path(), "blobs").iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(bytes <= 500 << 10, "{bytes}");
    let project = project.file("runner.yml", "cache: { size: 1KiB }");
    write_file(&project, "d");
    project.runner(&["run"]).expect_status(0).expect_stdout("cache: not kept: it has 2");
}

fn write_file(project: &Project, text: &str) {
    std::fs::write(project.path().join("src/a.txt"), text).unwrap();
}

#[test]
fn a_pull_request_answers_only_itself() {
    let cache = cache();
    let project = project(COUNTING, cache.path());
    let own = ["run", "--pull-request", "7"];
    for (arguments, expected) in
        [(&own[..], 1), (&own, 1), (&["run", "--pull-request", "8"], 2), (&["run"], 3), (&own, 3)]
    {
        project.runner(arguments).expect_status(0);
        assert_eq!(runs(&project), expected, "{arguments:?}");
    }
}

#[test]
fn processes_share_the_store() {
    let cache = cache();
    let pipeline = "
steps:
  - { key: build, command: 'cat src/a.txt; date +%N', parallelism: 4, cache: { inputs: src } }
";
    let clones = [project(pipeline, cache.path()), project(pipeline, cache.path()), project(pipeline, cache.path())];
    let started: Vec<_> = clones.iter().map(|project| project.start(&["run"])).collect();
    for run in started {
        crate::project::said(&run.wait_with_output().unwrap()).expect_status(0);
    }
    let said = project(pipeline, cache.path()).runner(&["run"]).expect_status(0);
    assert_eq!(said.stdout.matches("~ build").count(), 4, "{}", said.stdout);
}
