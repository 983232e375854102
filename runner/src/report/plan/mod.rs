//! A plan as text and as a drawing, and the explanation of one of its steps.

mod dot;
mod explain;
mod mermaid;
mod text;
mod view;

pub use dot::dot;
pub use explain::explanation;
pub use mermaid::mermaid;
pub use text::text;
pub use view::View;

#[cfg(test)]
mod tests;
