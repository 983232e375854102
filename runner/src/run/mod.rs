//! One execution of a plan: what state it is in, what happens next, and the loop that makes it happen.

mod account;
mod answer;
mod append;
mod drive;
mod lease;
mod recorder;
mod schedule;
mod state;

pub use account::Account;
pub use answer::{Answer, answer};
pub use append::{append, catch_up};
pub use drive::{Assignment, DriveError, Driver, Executor, Finished, Stop};
pub use recorder::{Observed, Question, RecordError, Recorder, Request};
pub use schedule::{Command, Slots, is_idle, schedule};
pub use state::{Illegal, JobState, RunData, RunState};

pub(crate) use drive::{now, user};
