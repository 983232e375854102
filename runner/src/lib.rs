//! `runner` executes delivery pipelines written as code; every step is a sandboxed WebAssembly component.

pub mod agent;
pub mod capability;
pub mod event;
pub mod host;
pub mod plan;
pub mod run;
