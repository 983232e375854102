//! `runner` executes delivery pipelines written as code; every step is a sandboxed WebAssembly component.

pub mod agent; // runs one job
pub mod cache; // results of jobs, kept for later ones
pub mod capability; // what a component reaches outside
pub mod cli; // arguments in, exit code out
pub mod component; // what `uses` refers to
pub mod event; // every fact that can happen to a run
pub mod host; // one component on wasmtime
pub mod log; // where events are kept
pub mod pipeline; // YAML text to pipeline
pub mod plan; // pipeline to jobs
pub mod queue; // who may work on what
pub mod registry; // artifacts in OCI registries
pub mod report; // readers of events
pub mod run; // one execution of a plan
pub mod secret; // values by name, and where none may be written
