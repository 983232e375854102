//! One execution of a plan: what state it is in, what happens next, and the loop that makes it happen.

mod answer;
mod drive;
mod recorder;
mod schedule;
mod state;

pub use answer::answer;
pub use drive::{Answer, Assignment, DriveError, Driver, Executor, Finished, Stop};
pub use recorder::{Observed, Question, RecordError, Recorder, Request};
pub use schedule::{Command, Slots, schedule};
pub use state::{Illegal, JobState, RunData, RunState};

pub(crate) use drive::{now, user};
