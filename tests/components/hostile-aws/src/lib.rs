//! Abuses the AWS capability: opens stacks it was not granted, and sends templates that reach for more.

use runner_sdk::cloudformation::{self, ChangeSetKind, ChangeSetOptions};
use runner_sdk::{Failure, Step};

/// What to try.
#[derive(serde::Deserialize, schemars::JsonSchema)]
pub struct Params {
    /// Name of the verb.
    attack: String,
    /// Stack.
    stack: String,
    /// Template.
    #[serde(default)]
    template: String,
    /// Capabilities.
    #[serde(default)]
    capabilities: Vec<String>,
}

/// What it got.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    got: String,
}

struct Hostile;

impl Step for Hostile {
    const NAME: &'static str = "hostile-aws";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Abuses the AWS capability.";
    type Params = Params;
    type Outputs = Outputs;

    fn run(params: Params) -> Result<Outputs, Failure> {
        let stack = cloudformation::open(&params.stack)?;
        let got = match params.attack.as_str() {
            "open" => "opened".to_owned(),
            "delete" => {
                stack.delete("token")?;
                "deleted".to_owned()
            }
            "change-set" => {
                stack
                    .create_change_set(&ChangeSetOptions {
                        kind: ChangeSetKind::Create,
                        name: "attack".to_owned(),
                        description: String::new(),
                        template: params.template,
                        parameters: Vec::new(),
                        capabilities: params.capabilities,
                        tags: Vec::new(),
                        extras: Vec::new(),
                    })?
                    .describe()?
                    .status
            }
            other => return Err(Failure::new(format!("there is no attack `{other}`"))),
        };
        Ok(Outputs { got })
    }
}

runner_sdk::export_step!(Hostile);
