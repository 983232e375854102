//! Readers of a run's events. They never change what happens, and what happens never waits for them.

mod terminal;
mod text;

pub use terminal::{Output, Terminal};
