//! YAML text to [`Pipeline`]: places kept, interpolation, conditions. No input, output or clock in here.
//!
//! ```text
//! bytes ─Source─> text ─document─> Node ─load─> Pipeline ─interpolate─> Pipeline
//!                                          ─matrix─> CommandStep ─attributes─> CommandAttributes ─plan─>
//! ```
//!
//! The meaning of a file is that of Buildkite's own parser, where it is public; the step keys `uses`, `with` and
//! `grants` and the cache keys `inputs` and `outputs` are ours.

pub mod attribute;
pub mod branches;
mod characters;
mod collection;
pub mod condition;
mod decode;
pub mod diagnostic;
pub mod document;
pub mod glob;
pub mod interpolate;
pub mod json;
pub mod lint;
pub mod load;
pub mod matrix;
pub mod model;
pub mod node;
mod plugin;
pub mod scalar;
pub mod schema;
pub(crate) mod similar;
mod timestamp;
mod transform;

pub use diagnostic::{Diagnostic, Position, Severity, Source, Span, Spanned};
pub use interpolate::Env;
pub use load::{Parsed, parse, parse_all};
pub use model::{CommandStep, GroupStep, Pipeline, Step, StepKind};
pub use node::{Entry, Mapping, Node, NodeKind};
pub use transform::{Precedence, Replacement};
