//! Abuses the process capability: `spawn` with a program, its arguments and a directory, `is-file` with a path.

use runner_sdk::processes::{self, Options};
use runner_sdk::{Failure, Step};

/// What to try.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// Name of the verb.
    attack: String,
    /// Program or path.
    target: String,
    /// Arguments.
    #[serde(default)]
    args: Vec<String>,
    /// Working directory.
    #[serde(default)]
    directory: String,
    /// Environment.
    #[serde(default)]
    env: Vec<(String, String)>,
    /// How many times.
    #[serde(default = "once")]
    times: u32,
}

fn once() -> u32 {
    1
}

/// What it got.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    got: String,
}

struct Hostile;

impl Step for Hostile {
    const NAME: &'static str = "hostile-process";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Abuses the process capability.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(params: Params) -> Result<Outputs, Failure> {
        let options =
            Options { env: params.env, directory: params.directory, grace_seconds: u32::MAX, extras: Vec::new() };
        let got = match params.attack.as_str() {
            "spawn" => {
                let mut started = Vec::new();
                for _ in 0..params.times {
                    started.push(processes::spawn(&params.target, &params.args, &options)?);
                }
                let ended = started.first().map(processes::Process::wait).transpose()?;
                format!("{ended:?}")
            }
            "leave-running" => {
                std::mem::forget(processes::spawn(&params.target, &params.args, &options)?);
                "left".to_owned()
            }
            "is-file" => processes::is_file(&params.target)?.to_string(),
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

runner_sdk::export_step!(Hostile);
