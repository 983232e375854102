//! The plan: an immutable graph of jobs, decided before anything runs. No input, output or clock in here.

mod build;
mod context;
pub mod explain;
pub mod grant;
mod job;
pub mod origin;
mod outputs;

pub use build::{build, build_with_origins};
pub use context::BuildContext;
pub use job::{
    ComponentPin, ConcurrencyGroup, Dependency, Gate, GateField, Job, JobId, JobKind, Plan, RetryRule, SoftFailRule,
    StepJob,
};
pub use origin::{Order, Origin};
pub use outputs::{OutputReference, references, substitute};
