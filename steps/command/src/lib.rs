//! Runs a command line in a shell, with the semantics of Buildkite's agent.

use runner_sdk::processes::{self, Exit, Options};
use runner_sdk::{Context, Error, Failure, Step, log};

/// The parameters of a `command:` step.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The script; several commands are lines of one script.
    command: String,
    /// Added to the job's environment.
    #[serde(default)]
    env: std::collections::BTreeMap<String, String>,
    /// Seconds between asking the command to end and ending it.
    #[serde(default = "default_grace")]
    grace_seconds: u32,
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
        let script = params.command.trim();
        if script.is_empty() {
            return Err(Failure::new("the command is empty").remedy("Write what to run in `command`."));
        }
        let file = !script.contains(['\n', '\0'])
            && processes::is_file(script).or_else(|error| match error {
                // A script is not a path: one that could not even be looked up is no file.
                Error::Invalid(_) | Error::NotFound(_) => Ok(false),
                other => Err(other),
            })?;
        let (program, args) = if file {
            (format!("./{}", script.trim_start_matches("./")), vec![])
        } else {
            // `bash -e -c`: no pipefail and no -u, and one shell for the whole list.
            ("/bin/bash".to_owned(), vec!["-e".to_owned(), "-c".to_owned(), params.command.clone()])
        };
        let options = Options {
            env: params.env.into_iter().collect(),
            directory: String::new(),
            grace_seconds: params.grace_seconds,
            extras: Vec::new(),
        };
        let process = processes::spawn(&program, &args, &options).context(format!("start `{program}`"))?;
        match process.wait() {
            Ok(Exit::Status(0)) => Ok(Outputs {}),
            Ok(Exit::Status(status)) => {
                Err(Failure::new(format!("the command exited with status {status}")).exit_status(status))
            }
            Ok(Exit::Signal(number)) => {
                let signal = signal_name(number);
                Err(Failure::new(format!("the command was ended by {signal}"))
                    .exit_status(128u8.saturating_add(number))
                    .signal(signal))
            }
            Err(Error::Cancelled) => {
                log::warning("cancelled: asking the command to end");
                process.stop().context("stop the command")?;
                Err(Failure::new("the command was cancelled").exit_status(143))
            }
            Err(other) => Err(other.into()),
        }
    }
}

/// The signal's name on Linux (signal(7)).
fn signal_name(number: u8) -> String {
    const NAMES: [&str; 15] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM",
    ];
    let name = usize::from(number).checked_sub(1).and_then(|index| NAMES.get(index));
    name.map_or_else(|| format!("signal {number}"), |name| format!("SIG{name}"))
}

runner_sdk::export_step!(Command);
