//! Runs one step component on wasmtime.

pub mod bindings;
mod engine;
mod run;
mod stdio;
mod store;

pub use engine::{EngineError, LoadedComponent, StepEngine};
pub use run::{CallError, Description, Ended, Invocation, Planner, run};
pub use store::{Services, StoreError};
