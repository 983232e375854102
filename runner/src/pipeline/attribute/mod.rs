//! The keys of a step with their types, read after interpolation.
//!
//! Each `attributes` method reports everything that is wrong with the step at once, each finding at its place.
//! Keys nobody knows are left alone, as the format demands.

mod command;
mod input;
mod reader;
mod rules;
mod shared;
mod step;

pub use command::{CacheFiles, CommandAttributes, Concurrency, ConcurrencyMethod};
pub use input::{BlockedState, Choice, Field, FieldKind, InputAttributes, answer_format};
pub use rules::{AutomaticRetry, Ended, ExitStatus, ManualRetry, Pattern, Retry, SoftFail};
pub use shared::{Dependency, IfChanged, Shared};
pub use step::{GroupAttributes, PipelineAttributes, TriggerAttributes, TriggeredBuild, WaitAttributes};

#[cfg(test)]
mod tests;
