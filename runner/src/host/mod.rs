//! Runs one step component on wasmtime.

pub mod bindings;
