//! Components: what `uses` refers to, where it comes from, and whether a step may use it as it wants to.

mod admit;
mod asked;
mod built_in;
mod compiled;
mod diagnose;
mod reference;
mod resolve;

pub use admit::{Refusal, RefusalKind, admit};
pub use asked::{Asked, Problem};
pub use built_in::{BuiltIn, built_in};
pub use compiled::CompiledCache;
pub(crate) use compiled::private_directory;
pub use diagnose::diagnose;
pub use reference::{Reference, ReferenceError};
pub use resolve::{Components, Loaded, ResolveError};
