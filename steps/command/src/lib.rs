//! Runs a command line in a shell, with the semantics of Buildkite's agent: the repository's hooks around it, and the
//! files it leaves behind kept with the run.

mod phases;

use runner_sdk::{Failure, Step};

/// The parameters of a `command:` step.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The script; several commands are lines of one script.
    command: String,
    /// Added to the job's environment.
    #[serde(default)]
    env: std::collections::BTreeMap<String, String>,
    /// Globs of files to keep with the run when the command has ended, however it ended.
    #[serde(default)]
    artifact_paths: Vec<String>,
    /// Whether the repository's hooks run around it, and its `command` hook in its place.
    #[serde(default = "default_hooks")]
    hooks: bool,
    /// Seconds between asking the command to end and ending it.
    #[serde(default = "default_grace")]
    grace_seconds: u32,
}

fn default_hooks() -> bool {
    true
}

fn default_grace() -> u32 {
    9
}

/// What later jobs can read.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {}

struct Command;

impl Step for Command {
    const NAME: &'static str = "command";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Runs a command line in a shell.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(params: Params) -> Result<Outputs, Failure> {
        if params.command.trim().is_empty() {
            return Err(Failure::new("the command is empty").remedy("Write what to run in `command`."));
        }
        phases::run(&params).map(|()| Outputs {})
    }
}

runner_sdk::export_step!(Command);
