//! Writes step components for `runner` in Rust.
//!
//! A component is a type that implements [`Step`], exported with [`export_step!`]:
//!
//! ```ignore
//! use runner_sdk::{Failure, Needs, Step, log};
//!
//! /// Where to greet from.
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! struct Params { name: String }
//!
//! #[derive(serde::Serialize, schemars::JsonSchema)]
//! struct Outputs { greeting: String }
//!
//! struct Greet;
//! impl Step for Greet {
//!     const NAME: &str = "greet";
//!     const VERSION: &str = env!("CARGO_PKG_VERSION");
//!     const SUMMARY: &str = "Greets by name.";
//!     type Params = Params;
//!     type Outputs = Outputs;
//!     fn run(params: Params) -> Result<Outputs, Failure> {
//!         log::info(&format!("greeting {}", params.name));
//!         Ok(Outputs { greeting: format!("Hello, {}!", params.name) })
//!     }
//! }
//! runner_sdk::export_step!(Greet);
//! ```

mod entry;
mod failure;
pub mod log;
mod needs;

#[expect(clippy::pedantic, reason = "generated")]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        inline: "
            package runner:sdk;
            world component {
                include runner:step/step@0.1.0;
                include runner:process/process@0.1.0;
                include runner:docker/docker@0.1.0;
                include runner:aws/aws@0.1.0;
            }
        ",
        path: ["../../wit/step", "../../wit/process", "../../wit/docker", "../../wit/aws"],
        world: "runner:sdk/component",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "runner_sdk::bindings",
    });
}

pub use bindings::runner::aws::cloudformation;
pub use bindings::runner::docker;
pub use bindings::runner::process::processes;
pub use bindings::runner::step::types::Error;
pub use bindings::runner::step::{annotations, artifacts, context, meta_data, secrets};
pub use entry::{Adapter, Step, Unknown};
pub use failure::{Context, Failure};
pub use needs::Needs;
