//! Runs one job on the step host and reports how it ended.

mod environment;
mod execute;
mod log;

pub use environment::{JobEnvironment, RunFacts, is_secret_name, job_environment, own_environment};
pub use execute::LocalAgent;
pub use log::JobLog;
