//! The plan: an immutable graph of jobs, decided before anything runs. No input, output or clock in here.

mod build;
mod context;
pub mod grant;
mod job;
mod outputs;
pub mod settings;

pub use build::{build, build_with, extend};
pub use context::BuildContext;
pub use job::{
    ComponentPin, ConcurrencyGroup, Dependency, Gate, GateField, Job, JobId, JobKind, Phase, Plan, StepJob, TriggerJob,
};
pub use outputs::{OutputReference, as_text, references, substitute};
pub use settings::Settings;
