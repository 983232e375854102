//! One execution of a plan.

mod recorder;

pub use recorder::{RecordError, Recorder, Request};
