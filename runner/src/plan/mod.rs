//! The plan: an immutable graph of jobs, decided before anything runs. No input, output or clock in here.

mod build;
mod context;
pub mod grant;
mod job;
mod outputs;
pub mod variables;

pub use build::build;
pub use context::{BuildContext, Person, PullRequest};
pub use job::{
    ComponentPin, ConcurrencyGroup, Dependency, Gate, GateField, Job, JobId, JobKind, Parallel, Plan, RetryRule,
    SecretVariable, SoftFailRule, StepJob,
};
pub use outputs::{OutputReference, references, substitute};
