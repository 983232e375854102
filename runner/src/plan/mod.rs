//! The plan: an immutable graph of jobs, decided before anything runs. No input, output or clock in here.

mod build;
pub mod cache;
mod context;
pub mod explain;
pub mod grant;
mod job;
pub mod origin;
mod outputs;
pub mod retention;
pub mod settings;
mod teams;
pub mod variables;

pub use build::{build, build_with_origins, extend};
pub use cache::{CacheRule, CacheSettings};
pub use context::{BuildContext, Person, PullRequest};
pub use job::{
    ComponentPin, ConcurrencyGroup, Dependency, Gate, GateField, Job, JobId, JobKind, Notification, Parallel, Phase,
    Plan, SecretVariable, StepJob, TriggerJob,
};
pub use origin::{Order, Origin};
pub use outputs::{OutputReference, as_text, references, substitute};
pub use settings::Settings;
pub use teams::Teams;
