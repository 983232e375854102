//! What people read: a run's events as they come or as they came, and a plan before it runs. Readers never change what
//! happens, and what happens never waits for them.

pub mod audit;
pub(crate) mod gate;
mod history;
pub(crate) mod job_log;
pub(crate) mod moment;
pub mod plan;
pub mod runs;
pub mod show;
mod terminal;
pub(crate) mod text;

pub use history::{Attempt, History, RunSummary, Standing, Unblocked, Waited};
pub use moment::Moment;
pub use terminal::{Output, Terminal};

pub(crate) use text::{bytes, printable};
