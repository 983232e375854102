//! A project in a directory of its own, and the program run in it with an environment that holds nothing else.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Says something that is to be seen even when the test passes, which hides what macros print.
pub(crate) fn tell(text: &str) {
    std::io::stderr().write_all(format!("{text}\n").as_bytes()).unwrap();
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A project's directory; removed in the end.
pub(crate) struct Project {
    directory: tempfile::TempDir,
    env: Vec<(String, String)>,
}

/// What the program said.
pub(crate) struct Said {
    /// Exit status.
    pub(crate) status: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Said {
    /// Fails with everything that was said unless the status is this one.
    #[track_caller]
    pub(crate) fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails with everything that was said unless standard output has the text.
    #[track_caller]
    pub(crate) fn expect_stdout(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} in\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails with everything that was said unless standard error has the text.
    #[track_caller]
    pub(crate) fn expect_stderr(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in\n{}\nstdout:\n{}", self.stderr, self.stdout);
        self
    }
}

impl Project {
    /// A project with nothing in it.
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), env: Vec::new() }
    }

    /// A project with this pipeline.
    pub(crate) fn with(pipeline: &str) -> Self {
        Self::new().file("pipeline.yml", pipeline)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Copies a component built for tests to `steps/`.
    pub(crate) fn component(self, name: &str) -> Self {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let from = root().join("steps/target/wasm32-wasip2/release").join(&file);
        let to = self.path().join("steps");
        std::fs::create_dir_all(&to).unwrap();
        std::fs::copy(&from, to.join(format!("{name}.wasm")))
            .unwrap_or_else(|error| panic!("{}: {error}; run `make steps` first", from.display()));
        self
    }

    /// Copies a directory of the repository into the project.
    pub(crate) fn tree(self, from: &str) -> Self {
        let status = Command::new("cp").arg("-a").arg(root().join(from).join(".")).arg(self.path()).status();
        assert!(status.unwrap().success(), "cannot copy {from}");
        drop(std::fs::remove_dir_all(self.path().join(".runner")));
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        let home = self.path().join(".home");
        std::fs::create_dir_all(&home).unwrap();
        command.args(arguments).current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("RUNNER_STATE_DIR", home.join("state"));
        command.env("HOME", home).env("USER", "tester").env("NO_COLOR", "1");
        // Shared by all tests: compiling the same components again and again would be most of their time.
        command.env("RUNNER_CACHE_DIR", cache());
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name == "DOCKER_HOST"));
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn runner(&self, arguments: &[&str]) -> Said {
        said(&self.command(arguments).output().unwrap())
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

pub(crate) fn said(output: &Output) -> Said {
    Said {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn cache() -> PathBuf {
    root().join("target/test-cache")
}

/// Containers, networks and volumes of any run of the project in this directory.
pub(crate) fn on_the_engine(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(runs) = std::fs::read_dir(directory.join(".runner/runs")) else { return found };
    for run in runs {
        let label = format!("label=dev.runner.run={}", run.unwrap().file_name().into_string().unwrap());
        for list in [&["ps", "-aq"][..], &["network", "ls", "-q"], &["volume", "ls", "-q"]] {
            let output = Command::new("docker").args(list).args(["--filter", &label]).output().unwrap();
            assert!(output.status.success(), "docker {list:?}: is the engine up? run examples/environment/up");
            found.extend(String::from_utf8_lossy(&output.stdout).lines().map(|id| format!("{} {id}", list[0])));
        }
    }
    found
}
