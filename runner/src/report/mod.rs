//! What people read: a run's events as they come, and a plan before it runs. Readers never change what happens, and
//! what happens never waits for them.

pub mod plan;
mod terminal;
mod text;

pub use terminal::{Output, Terminal};
pub(crate) use text::printable;
