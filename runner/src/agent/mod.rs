//! Runs one job on the step host and reports how it ended.

pub mod artifact;
mod cached;
mod environment;
mod execute;
pub mod job_api;
mod log;
mod trigger;
mod upload;

pub(crate) use environment::is_secret_name;
pub use environment::{JobEnvironment, JobFacts, RunFacts, job_environment, own_environment};
pub use execute::LocalAgent;
pub use log::JobLog;
pub use trigger::{Ending, Triggers};
pub use upload::{ChangedFiles, Upload, Uploader};
