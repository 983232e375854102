//! Plugins and commands in containers: what pipelines written for Buildkite's plugins do here.

use crate::corpus::corpus;
use crate::project::{Project, on_the_engine, tell};
use runner::pipeline::{Env, Precedence, Source, parse_all};
use runner::plan::{BuildContext, build};

const IMAGE: &str = "debian:12-slim";
const REGISTRY: &str = "127.0.0.1:5050";

fn read(project: &Project, path: &str) -> String {
    std::fs::read_to_string(project.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_command_runs_in_its_image_and_its_files_come_back() {
    let project = Project::with(&format!(
        "image: {IMAGE}
env: {{ FROM_PIPELINE: pipeline }}
steps:
  - key: make
    env: {{ FROM_STEP: step }}
    command:
      - cd sub
      - tr a-z A-Z < in > out
      - printf 'echo hi' > ../made.sh; chmod 755 ../made.sh; echo evil > ../.git/config
      - echo $$FROM_PIPELINE $$FROM_STEP $$BUILDKITE_STEP_KEY $$CI \"$$SECRET_OF_HOST\" $$PWD $$BUILDKITE_BUILD_CHECKOUT_PATH > ../env
      - test -n \"$$BASH_VERSION\"
    artifact_paths: sub/o*
  - wait
  - key: fails
    env: {{ CHANGED: \"{{{{ steps.make.outputs.changed_files }}}}\" }}
    command: echo $$CHANGED > report; exit 7
    soft_fail: [{{ exit_status: 7 }}]
"
    ))
    .file("sub/in", "abc\n")
    .file("untouched", "x\n")
    .file(".git/config", "as it was\n")
    .env("SECRET_OF_HOST", "hunter22-secret");
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("the command exited with status 7 in `debian:12-slim`");
    assert_eq!(read(&project, "sub/out"), "ABC\n");
    assert_eq!(read(&project, "env"), "pipeline step make true  /workdir/sub /workdir\n");
    assert_eq!(read(&project, "report"), "3\n", "what a failing command leaves comes back too");
    assert_eq!(read(&project, ".git/config"), "as it was\n");
    let mode = std::os::unix::fs::MetadataExt::mode(&project.path().join("made.sh").metadata().unwrap());
    assert_eq!(mode & 0o777, 0o755);
    let run = std::fs::read_dir(project.path().join(".runner/runs")).unwrap().next().unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(run.path().join("artifacts/make/sub/out")).unwrap(), "ABC\n");
    assert!(on_the_engine(project.path()).is_empty());
}

#[test]
fn secrets_of_a_step_reach_its_container_and_no_log() {
    let project = Project::with(&format!(
        "secrets: [SHARED_SECRET]
steps:
  - image: {IMAGE}
    secrets: {{ OWN: OTHER_SECRET }}
    command: echo $$SHARED_SECRET $$OWN; test $${{#OWN}}$${{#SHARED_SECRET}} = 1415
"
    ))
    .env("SHARED_SECRET", "hunter22-secret")
    .env("OTHER_SECRET", "hunter3-secret");
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("[REDACTED] [REDACTED]");
    assert!(!said.stdout.contains("hunter"), "{}", said.stdout);
}

#[test]
fn a_plan_shows_what_runs_around_a_command() {
    let project = Project::with(
        "steps:
  - command: make
    plugins:
      - docker-login#v3: { username: ci }
      - artifacts#v1: { download: a, upload: b }
",
    );
    let said = project.runner(&["plan"]).expect_status(0);
    said.expect_stdout("before    the command \"printf").expect_stdout("then      artifacts with {\"upload\"");
}

#[test]
fn bounds_and_network_of_an_image_step_are_grants() {
    let project = Project::with(&format!(
        "steps:
  - key: small
    image: {IMAGE}
    command: test $$(ls /sys/class/net) = lo; tail -c 64M /dev/zero | tail
    grants: {{ docker: {{ containers: {{ memory: 32MiB }} }} }}
"
    ));
    project.runner(&["run"]).expect_status(1).expect_stdout("used more memory than it may");
    let project = Project::with(&format!(
        "steps:\n  - {{ image: \"{IMAGE}\", command: \"true\", grants: {{ process: [/bin/true] }} }}\n"
    ));
    project.runner(&["check"]).expect_status(3).expect_stderr("`process` cannot be granted here");
}

#[test]
fn the_docker_plugin() {
    let project = Project::with(&format!(
        "steps:
  - key: shell
    command: echo \"$$GREETING $$PASSED [$$HIDDEN] $$0\" > out; pwd >> out; echo made > made/file; ls -d /empty /fast >> out
    env: {{ PASSED: passed, HIDDEN: hidden }}
    plugins:
      - docker#v5.12.0:
          image: {IMAGE}
          environment: [GREETING=hello, PASSED, HOST_TOKEN, NOT_SET]
          volumes: [\"./made:/workdir/made\", /empty]
          tmpfs: [/fast]
          propagate-aws-auth-tokens: false
          memory: 256m
          always-pull: false
  - key: words
    plugins:
      - docker#v3.0.0: {{ image: \"{IMAGE}\", command: [sh, -c, \"test -z \\\"$$(ls -A .)\\\" && echo $$HOST_TOKEN\"], mount-checkout: false, workdir: /tmp, environment: [HOST_TOKEN] }}
"
    ))
    .env("HOST_TOKEN", "hunter22-secret");
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("[REDACTED]");
    assert!(!said.stdout.contains("hunter22"), "{}", said.stdout);
    assert_eq!(read(&project, "out"), "hello passed [] /bin/sh\n/workdir\n/empty\n/fast\n");
    assert_eq!(read(&project, "made/file"), "made\n");
}

#[test]
fn a_cancelled_container_gets_its_grace_and_leaves_nothing() {
    let project = Project::with(&format!(
        "steps:
  - key: slow
    image: {IMAGE}
    command: trap 'echo asked to end; exit 1' TERM; echo up; while true; do sleep 0.1; done
"
    ));
    let child = project.start(&["run"]);
    let give_up = std::time::Instant::now() + std::time::Duration::from_mins(1);
    let log = || -> Option<String> {
        let run = std::fs::read_dir(project.path().join(".runner/runs")).ok()?.next()?.ok()?;
        std::fs::read_to_string(run.path().join("logs/slow.1.log")).ok()
    };
    while !log().is_some_and(|log| log.contains("up")) {
        assert!(std::time::Instant::now() < give_up, "the container did not start");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    crate::project::said(&child.wait_with_output().unwrap()).expect_status(6).expect_stdout("asked to end");
    assert!(on_the_engine(project.path()).is_empty());
}

#[test]
fn what_would_reach_the_host_is_refused_at_its_place() {
    for (option, problem, place) in [
        ("privileged: true", "`privileged` of the plugin `docker` is not available", "6:11"),
        ("devices: [/dev/kvm]", "`devices` of the plugin", "6:11"),
        ("cap-add: [SYS_ADMIN]", "`cap-add` of the plugin", "6:11"),
        ("volumes: [\"/etc:/x\"]", "`/etc` is outside of the checkout", "6:21"),
        ("volumes: [\"../up:/x\"]", "`../up` is outside of the checkout", "6:21"),
        ("volumes: [\"./a/../../b:/x\"]", "`./a/../../b` is outside of the checkout", "6:21"),
        ("volumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]", "the engine's socket cannot be given", "6:21"),
        ("volumes: [\"cache:/x\"]", "would outlive the job", "6:21"),
        ("network: host", "the network `host` is not the job's own", "6:20"),
        ("pid: host", "`pid` of the plugin", "6:11"),
        ("privilegd: true", "`privilegd` of the plugin `docker` is not available", "6:11"),
        ("memory: lots", "`memory` is `lots`", "6:19"),
    ] {
        let project = Project::with(&format!(
            "steps:
  - command: make
    plugins:
      - docker#v5.12.0:
          image: {IMAGE}
          {option}
"
        ));
        project
            .runner(&["check"])
            .expect_status(3)
            .expect_stderr(problem)
            .expect_stderr(&format!("pipeline.yml:{place}"));
    }
    // Switched off they ask for nothing.
    let project = Project::with(&format!(
        "steps:\n  - {{ command: make, plugins: [{{ docker#v5: {{ image: \"{IMAGE}\", privileged: false, mount-buildkite-agent: true }} }}] }}\n"
    ));
    project.runner(&["check"]).expect_status(0).expect_stderr("there is no `buildkite-agent` in the container");
}

const COMPOSE: &str = "services:
  app:
    build: .
    environment: { COLOUR: \"${COLOUR}\" }
    volumes: [\".:/app\"]
    working_dir: /app
    depends_on: [helper]
    ports: [\"8080\"]
  helper: { image: \"debian:12-slim\", command: sleep 60 }
";

fn compose(pipeline: &str) -> Project {
    Project::with(pipeline)
        .file("docker-compose.yml", COMPOSE)
        .file("Dockerfile", "FROM debian:12-slim\nARG NAME=none\nENV BUILT_AS=$NAME\n")
}

#[test]
fn the_docker_compose_plugin_runs_a_service() {
    let project = compose(
        "env: { COLOUR: green }
steps:
  - key: tests
    command: getent hosts helper > /dev/null; echo $$COLOUR $$PASSED $$BUILT_AS > result; echo evil > .git/config
    env: { PASSED: passed }
    plugins:
      - docker-compose#v4.14.0:
          run: app
          env: [PASSED]
          args: [NAME=test]
          service-ports: true
          use-aliases: true
          cli-version: 2
  - key: words
    plugins:
      - docker-compose#v3.0.0: { run: app, command: [sh, -c, \"exit 9\"], dependencies: false }
    soft_fail: [{ exit_status: 9 }]
",
    )
    .file(".git/config", "as it was\n");
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("files of `.` were changed")
        .expect_stdout("`helper` started")
        .expect_stdout("exited with code 9");
    assert_eq!(read(&project, "result"), "green passed test\n");
    assert_eq!(read(&project, ".git/config"), "as it was\n");
    assert!(on_the_engine(project.path()).is_empty());
}

#[test]
fn the_docker_compose_plugin_builds_and_pushes() {
    let pipeline = format!(
        "env: {{ COLOUR: red }}
steps:
  - key: image
    plugins:
      - docker-compose#v4.14.0:
          build: app
          push: \"app:{REGISTRY}/test-compose:v1\"
          image-repository: {REGISTRY}/test-compose-built
          no-cache: true
          cache-from: [\"app:{REGISTRY}/test-compose:v0\"]
  - wait
  - command: docker rmi {REGISTRY}/test-compose:v1; docker pull -q {REGISTRY}/test-compose:v1; echo \"$$PUSHED\"
    env: {{ PUSHED: \"later steps see {{{{ steps.image.outputs.pushed }}}}\" }}
"
    );
    let said = compose(&pipeline).runner(&["run"]).expect_status(0);
    said.expect_stderr("`cache-from` has no effect")
        .expect_stdout(&format!("pushed {REGISTRY}/test-compose:v1 as sha256:"))
        .expect_stdout(&format!("later steps see [\"{REGISTRY}/test-compose@sha256:"));
    let tags = std::process::Command::new("curl")
        .args(["-fsS", &format!("http://{REGISTRY}/v2/test-compose-built/tags/list")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&tags.stdout).contains("-app-build-1"), "{tags:?}");
}

#[test]
fn compose_options_that_are_refused() {
    for (option, problem) in [
        ("run: app\n          config: [a.yml, b.yml]", "several Compose files are not merged"),
        (
            "run: app\n          mount-ssh-agent: true",
            "`mount-ssh-agent` of the plugin `docker-compose` is not available",
        ),
        ("run: app\n          volumes: [\"/usr/bin/x:/usr/bin/x\"]", "outside of the checkout"),
        ("push: app", "`app` does not say where to push"),
        ("config: a.yml", "says nothing to do"),
        ("run: app\n          push: \"app:x/y:1\"", "one step runs a service and pushes images"),
    ] {
        let pipeline =
            format!("steps:\n  - command: make\n    plugins:\n      - docker-compose#v4:\n          {option}\n");
        Project::with(&pipeline).runner(&["check"]).expect_status(3).expect_stderr(problem);
    }
}

#[test]
fn artifacts_go_around_a_command() {
    let project = Project::with(
        "steps:
  - key: make
    command: mkdir -p out/deep; echo one > out/a.txt; echo two > out/deep/b.txt; echo x > out/c.log; exit 3
    soft_fail: true
    plugins:
      - artifacts#v1.9.4:
          upload: [\"out/**/*.txt\", { from: out/c.log, to: renamed.log }, \"none/*\"]
  - wait
  - command: rm -r out
  - wait
  - key: use
    command: cat out/a.txt out/deep/b.txt copy.log
    plugins:
      - artifacts#v1.9.4: { download: \"out/*.txt\", step: make }
      - artifacts#v1.9.4: { download: { from: renamed.log, to: ./copy.log } }
  - key: missing
    command: touch never
    plugins:
      - artifacts#v1.9.4: { download: nothing.txt }
    soft_fail: true
",
    );
    let said = project.runner(&["run"]).expect_status(0);
    said.expect_stdout("no file matches `none/*`").expect_stdout("no artifact of this run matches `nothing.txt`");
    assert_eq!(read(&project, "copy.log"), "x\n");
    assert!(!project.path().join("never").exists(), "a failure before the command is the job's");
}

#[test]
fn an_artifact_is_written_where_the_workspace_may_be_and_nowhere_else() {
    for (to, problem) in [
        ("../up", "leads upwards"),
        ("/abs", "is absolute"),
        (".runner/runs.db", "acted upon outside of the sandbox"),
        (".git/config", "acted upon outside of the sandbox"),
    ] {
        let project = Project::with(&format!(
            "steps:
  - key: store
    command: echo x > file
    plugins: [{{ artifacts#v1: {{ upload: file }} }}]
  - wait
  - command: \"true\"
    plugins: [{{ artifacts#v1: {{ download: {{ from: file, to: \"{to}\" }} }} }}]
"
        ));
        project.runner(&["run"]).expect_status(1).expect_stdout(problem);
    }
}

#[test]
fn junit_reports_become_an_annotation() {
    let project = Project::with(
        "steps:
  - command: \"true\"
    plugins: [{ artifacts#v1: { upload: \"junit-*.xml\" } }]
  - wait
  - key: annotate
    plugins:
      - junit-annotate#v2.4.1: { artifacts: \"junit-*.xml\", fail-build-on-error: true, report-skipped: true, run-in-docker: false }
",
    )
    .file(
        "junit-1.xml",
        "<testsuites><testsuite><testcase name='adds' classname='Sum'/><testcase name='divides' classname='Sum'><failure message='by zero &lt;b&gt;'/></testcase></testsuite></testsuites>",
    )
    .file("junit-2.xml", "<testsuite><testcase name='later'><skipped/></testcase></testsuite>");
    let said = project.runner(&["run"]).expect_status(1);
    said.expect_stdout("3 tests, 1 failed, 0 with errors, 1 skipped")
        .expect_stdout("divides in Sum")
        .expect_stdout("by zero &lt;b&gt;");
    let project = project.file("junit-2.xml", "<testsuite><testcase>");
    project.runner(&["run"]).expect_status(1).expect_stdout("`junit-2.xml` is no JUnit report");
}

#[test]
fn an_annotation_needs_its_grant() {
    let project = Project::with(
        "steps:\n  - { uses: junit-annotate@1, with: { artifacts: \"*.xml\" }, grants: { artifacts: read } }\n",
    );
    project.runner(&["check"]).expect_status(4).expect_stderr("annotations: true");
}

#[test]
fn a_login_is_the_hosts_for_containers() {
    let project = Project::with(&format!(
        "steps:
  - key: run
    command: echo in the image; env
    plugins:
      - docker-login#v3.0.0: {{ server: {REGISTRY}, username: ci, password-env: REGISTRY_PASSWORD }}
      - docker#v5: {{ image: \"{REGISTRY}/test-login:v1\", always-pull: true }}
"
    ));
    push("test-login:v1");
    project.runner(&["run"]).expect_status(1).expect_stdout("the secret `REGISTRY_PASSWORD` is not set");
    let project = project.env("REGISTRY_PASSWORD", "hunter22-secret");
    let said = project.runner(&["run"]).expect_status(0).expect_stdout("in the image");
    assert!(!said.stdout.contains("REGISTRY_PASSWORD"), "{}", said.stdout);
    let plan = project.runner(&["plan"]).expect_status(0);
    plan.expect_stdout(
        "\"login\":[{\"registry\":\"127.0.0.1:5050\",\"username\":\"ci\",\"password\":\"REGISTRY_PASSWORD\"}]",
    );
}

#[test]
fn a_login_comes_before_a_command_on_this_machine() {
    let docker = "#!/bin/sh\nread -r password\necho \"docker $* with $password\" >> \"$HOME/called\"\n";
    let project = Project::with(
        "steps:
  - command: cat $$HOME/called
    plugins:
      - docker-login#v2.1.0: { username: \"it's me\", server: r.example }
      - ecr#v2.7.0: { login: true, account-ids: [\"123456789012\", public.ecr.aws], region: eu-west-1 }
",
    )
    .file(".buildkite/hooks/command", "echo hook >> \"$HOME/called\"; exit 0\n")
    .file("bin/docker", docker)
    .file("bin/aws", "#!/bin/sh\necho \"token of $*\"\n")
    .env("DOCKER_LOGIN_PASSWORD", "hunter22-secret");
    for program in ["docker", "aws"] {
        let path = project.path().join("bin").join(program);
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let path = format!("{}:{}", project.path().join("bin").display(), std::env::var("PATH").unwrap());
    let project = project.env("PATH", &path);
    let said = project.runner(&["run"]).expect_status(0);
    assert!(!said.stdout.contains("hunter22"), "{}", said.stdout);
    let called = read(&project, ".home/called");
    let expected = "docker login --username it's me --password-stdin r.example with hunter22-secret
docker login --username AWS --password-stdin 123456789012.dkr.ecr.eu-west-1.amazonaws.com with token of ecr get-login-password --region eu-west-1
docker login --username AWS --password-stdin public.ecr.aws with token of ecr-public get-login-password --region us-east-1
hook
";
    assert_eq!(called, expected);
}

#[test]
fn a_registry_of_amazon_needs_its_helper() {
    let project = Project::with(
        "steps:
  - command: make
    plugins:
      - ecr#v2.7.0: { login: true, account-ids: \"123456789012\" }
      - docker#v5: { image: \"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:1\" }
",
    );
    project.runner(&["run"]).expect_status(1).expect_stdout("`docker-credential-ecr-login` cannot be run");
}

#[test]
fn a_plugin_nobody_mapped_says_what_to_write_and_that_works() {
    let project = Project::with(
        "steps:
  - key: greet
    command: touch ran
    plugins:
      - my-org/foo#v1.2.3: { exit_status: 9 }
",
    )
    .component("echo");
    let said = project.runner(&["check"]).expect_status(3);
    let said =
        said.expect_stderr("the plugin `my-org/foo` is not mapped to a component").expect_stderr("pipeline.yml:5:9");
    let advice =
        "plugins:\n  \"my-org/foo\":\n    uses: ./steps/foo.wasm\n    runs: before\n    with: {}\n    grants: {}";
    let shown: Vec<&str> = said.stderr.lines().map(|line| line.trim_start_matches([' ', '|', '='])).collect();
    for line in advice.lines() {
        assert!(shown.contains(&line.trim_start()), "no {line:?} in\n{}", said.stderr);
    }
    // What the pipeline says goes over what the mapping says; and a failure before the command is the job's.
    let mapping = advice.replace("foo.wasm", "echo.wasm").replace("with: {}", "with: { exit_status: 0 }");
    let project = project.file("runner.yml", &mapping);
    project.runner(&["run"]).expect_status(1).expect_stdout("(exit status 9)");
    assert!(!project.path().join("ran").exists());
    let project = project.file("runner.yml", &mapping.replace("runs: before", "runs: after"));
    project.runner(&["run"]).expect_status(1).expect_stdout("(exit status 9)");
    assert!(project.path().join("ran").exists());
}

#[test]
fn mistakes_in_runner_yml_are_shown_in_it() {
    let project = Project::with("steps: [{ command: \"true\" }]").file("runner.yml", "plugins:\n  a/b: { use: x@1 }\n");
    project.runner(&["check"]).expect_status(3).expect_stderr("runner.yml:2:15").expect_stderr("unknown field `use`");
    let project = Project::with("steps:\n  - command: x\n    plugins: [{ a/b#v1: { exit_status: many } }]\n")
        .component("echo")
        .file("runner.yml", "plugins:\n  a/b: { uses: ./steps/echo.wasm }\n");
    project
        .runner(&["check"])
        .expect_status(3)
        .expect_stderr("wrong parameter for `echo`")
        .expect_stderr("pipeline.yml:3");
}

/// How much of what real pipelines ask of plugins can be planned.
#[test]
fn plugins_of_real_pipelines() {
    let Some(corpus) = corpus() else { return };
    let variables = std::fs::read_to_string(corpus.join("ORACLE-ENV.json")).unwrap();
    let variables: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&variables).unwrap();
    let env: Env = variables.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap())).collect();
    let (mut files, mut planned, mut ours, mut ours_planned) = (0, 0, 0, 0);
    let mut problems: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yml") {
            continue;
        }
        let source = Source::from_bytes(path.display().to_string(), &std::fs::read(&path).unwrap()).unwrap();
        for mut parsed in parse_all(&source).unwrap() {
            let plugins = format!("{:?}", parsed.pipeline.steps).matches("Plugin {").count();
            let json = parsed.pipeline.to_json().to_string();
            if plugins == 0 || parsed.pipeline.interpolate(&mut env.clone(), Precedence::Pipeline).is_err() {
                continue;
            }
            files += 1;
            let errors = build(&parsed.pipeline, &source.name, &BuildContext::default()).err().unwrap_or_default();
            let of_plugins: Vec<String> = errors
                .iter()
                .map(ToString::to_string)
                .filter(|text| text.contains("plugin") || text.contains("checkout") || text.contains("Compose"))
                .collect();
            planned += usize::from(of_plugins.is_empty());
            let mapped = ["artifacts", "docker", "docker-compose", "docker-login", "ecr", "junit-annotate"];
            let official = |name: &str| json.contains(&format!("buildkite-plugins/{name}-buildkite-plugin"));
            if mapped.iter().any(|name| official(name)) {
                ours += 1;
                let unmapped = |text: &&String| !text.contains("is not mapped to a component");
                ours_planned += usize::from(of_plugins.iter().filter(unmapped).count() == 0);
            }
            for problem in of_plugins {
                *problems.entry(problem).or_default() += 1;
            }
        }
    }
    tell(&format!("pipelines with plugins: {planned} of {files} are planned without an error of a plugin"));
    tell(&format!(
        "pipelines with plugins that are mapped here: {ours_planned} of {ours} without an error of one of these"
    ));
    let mut problems: Vec<(usize, String)> = problems.into_iter().map(|(problem, count)| (count, problem)).collect();
    problems.sort_by(|a, b| b.cmp(a));
    for (count, problem) in &problems {
        eprintln!("{count:4} {problem}");
    }
    assert!(
        planned >= 37 && ours_planned >= 90,
        "fewer than before: {planned} of {files} and {ours_planned} of {ours}"
    );
}

/// Pushes the small image of these tests.
fn push(name: &str) {
    let docker = |arguments: &[&str]| {
        let status = std::process::Command::new("docker").args(arguments).stdout(std::process::Stdio::null()).status();
        assert!(status.unwrap().success(), "docker {arguments:?}");
    };
    let name = format!("{REGISTRY}/{name}");
    docker(&["tag", IMAGE, &name]);
    docker(&["push", "-q", &name]);
}
