//! Returns its parameters as outputs: the smallest useful component, for tests and measurements.

use runner_sdk::{Failure, Step};
use serde_json::{Map, Value};

/// Anything.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// What to return.
    #[serde(default)]
    outputs: Map<String, Value>,
    /// Ends with this exit status when it is not 0.
    #[serde(default)]
    exit_status: u8,
}

/// What it was given.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Outputs(Map<String, Value>);

struct Echo;

impl Step for Echo {
    const NAME: &'static str = "echo";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Returns its parameters as outputs.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(params: Params) -> Result<Outputs, Failure> {
        match params.exit_status {
            0 => Ok(Outputs(params.outputs)),
            status => Err(Failure::new("asked to fail").exit_status(status)),
        }
    }
}

runner_sdk::export_step!(Echo);
