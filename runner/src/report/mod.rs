//! What people read: a run's events as they come, and a plan before it runs. Readers never change what happens, and
//! what happens never waits for them.

pub(crate) mod gate;
pub mod plan;
mod terminal;
pub(crate) mod text;

pub use terminal::{Output, Terminal};
