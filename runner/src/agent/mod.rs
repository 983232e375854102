//! Runs one job on the step host and reports how it ended.

mod environment;
mod execute;
mod log;
mod trigger;
mod upload;

pub use environment::{JobEnvironment, JobFacts, RunFacts, is_secret_name, job_environment, own_environment};
pub use execute::LocalAgent;
pub use log::JobLog;
pub use trigger::{Ending, Triggers};
pub use upload::{Upload, Uploader};
