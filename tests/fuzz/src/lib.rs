//! The pure rooms of the runner, compiled by themselves: without all the rest they are instrumented in seconds.

#[path = "../../../runner/src/pipeline/mod.rs"]
pub mod pipeline;
#[path = "../../../runner/src/plan/mod.rs"]
pub mod plan;
