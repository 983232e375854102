//! `if`: conditions over the facts of a build.
//!
//! ```text
//! text ─lexer─> tokens ─parser─> Expression ─check─> Condition ─eval(Context)─> bool
//! ```
//!
//! A condition is checked completely, all types included, when it is parsed; what is left to go wrong later is a
//! regular expression that gives up and a shell expansion that demands a variable.

mod answer;
mod check;
mod context;
mod environment;
mod eval;
mod expression;
mod lexer;
mod parser;
mod regex;
mod shell;
mod variables;

use expression::Expression;

pub use answer::Answer;
pub use context::{
    Actor, Build, BuildReference, Context, MergeQueue, Organization, PipelineFacts, PullRequest, Scm, StepFacts,
};

/// A condition that is sound: it parses, its variables exist and its types fit.
#[derive(Debug, Clone)]
pub struct Condition {
    expression: Expression,
}

/// What a condition may speak about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The build: for the `if` of a step.
    Build,
    /// The build and one of its steps: for the `if` of a notification of a step.
    Step,
}

/// Why a condition cannot be parsed or evaluated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConditionError {
    /// At which point it fails.
    pub kind: ErrorKind,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// Where the offending part starts in the text, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// The points at which a condition fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is no expression.
    Parse,
    /// The expression has no meaning: an unknown name or types that do not fit.
    Validation,
    /// The expression cannot be evaluated for this build.
    Evaluation,
}

impl Condition {
    /// Parses and checks a condition.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place in the text.
    pub fn parse(text: &str, scope: Scope) -> Result<Self, ConditionError> {
        let expression = parser::parse(text)?;
        check::check(&expression, scope)?;
        Ok(Self { expression })
    }

    /// Whether the condition holds, when that is the same for all builds because it asks for nothing.
    pub fn constant(&self) -> Option<bool> {
        if self.expression.asks() { None } else { self.evaluate(&Context::default()).ok() }
    }

    /// Whether the condition holds.
    ///
    /// # Errors
    /// A regular expression that takes too long, or a shell expansion such as `${V:?}` without its variable.
    pub fn evaluate(&self, context: &Context) -> Result<bool, ConditionError> {
        eval::evaluate(&self.expression, context)
    }
}

impl ConditionError {
    fn new(kind: ErrorKind, place: (usize, usize), message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None, start: place.0, end: place.1 }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[cfg(test)]
mod tests;
