//! The pipeline as written: what the parser recognised, with the place of everything.
//!
//! The fields here are the ones the format itself gives a type while parsing; all other keys stay in `rest` as
//! they were written, so that interpolation can still change them. Their typed reading is
//! [`attribute`](super::attribute), to be asked for after interpolation.

use indexmap::IndexMap;

use super::diagnostic::{Span, Spanned};
use super::node::{Mapping, Node};

/// A pipeline file.
#[derive(Debug, Clone, Default)]
pub struct Pipeline {
    /// The steps in the order of the file.
    pub steps: Vec<Step>,
    /// The environment of the whole build. `None` when the file has no `env`.
    pub env: Option<IndexMap<String, EnvValue>>,
    /// Secrets for every command step.
    pub secrets: Vec<Secret>,
    /// Checkout settings for every command step.
    pub checkout: Option<Checkout>,
    /// Every other top-level key (`agents`, `notify`, `image`, `priority`, `cache` and unknown ones).
    pub rest: Mapping,
}

/// One step as written; matrix and parallelism are not expanded yet.
#[derive(Debug, Clone)]
pub struct Step {
    /// What kind of step it is.
    pub kind: StepKind,
    /// The whole item in the list of steps.
    pub span: Span,
}

/// The kinds of steps.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// Runs a command, a plugin or a component.
    Command(Box<CommandStep>),
    /// A barrier.
    Wait(PlainStep),
    /// `block`, `input` or `manual`.
    Input(PlainStep),
    /// Starts a build of another pipeline.
    Trigger(PlainStep),
    /// Steps shown together.
    Group(GroupStep),
    /// Could not be understood; kept as written. A pipeline that has one must not be run.
    Unknown(UnknownStep),
}

/// A step that runs a command, a plugin or a component. What few steps have is boxed.
#[derive(Debug, Clone, Default)]
pub struct CommandStep {
    /// `key`, `id` or `identifier`; the step's name for dependencies.
    pub key: Option<Spanned<String>>,
    /// `label` or `name`.
    pub label: Option<Spanned<String>>,
    /// The lines of `command` or `commands` as one shell script; `None` when neither key is present.
    pub command: Option<Spanned<String>>,
    /// The plugins in order.
    pub plugins: Vec<Plugin>,
    /// The secrets of this step.
    pub secrets: Vec<Secret>,
    /// The environment of this step.
    pub env: IndexMap<String, EnvValue>,
    /// A signature made by another agent; never interpolated.
    pub signature: Option<Box<Signature>>,
    /// The matrix, not expanded.
    pub matrix: Option<Box<Matrix>>,
    /// What is cached between builds.
    pub cache: Option<Box<Cache>>,
    /// How the repository is checked out.
    pub checkout: Option<Box<Checkout>>,
    /// Every other key: `if`, `depends_on`, `retry`, …, our `uses`, `with` and `grants`, and unknown ones.
    pub rest: Mapping,
}

/// One variable of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvValue {
    /// Where the name was written.
    pub key_span: Span,
    /// The value as text.
    pub value: Spanned<String>,
}

/// A wait, input or trigger step: the format gives its keys no type while parsing.
#[derive(Debug, Clone)]
pub enum PlainStep {
    /// Written as one word, such as `- wait`.
    Word(Spanned<String>),
    /// Written as a mapping.
    Mapping(Mapping),
}

/// A group of steps.
#[derive(Debug, Clone, Default)]
pub struct GroupStep {
    /// `key`, `id` or `identifier`.
    pub key: Option<Spanned<String>>,
    /// The name: `group`, else `label`, else `name`.
    pub group: Option<Spanned<String>>,
    /// The steps in it.
    pub steps: Vec<Step>,
    /// Every other key.
    pub rest: Mapping,
}

/// A step that could not be understood.
#[derive(Debug, Clone)]
pub struct UnknownStep {
    /// The step as written.
    pub contents: Node,
    /// Why it was not understood, for the person who has to mend it.
    pub reason: super::diagnostic::Diagnostic,
}

/// A plugin of a command step.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugin {
    /// Where it comes from, as written: `docker#v5.0.0`.
    pub source: Spanned<String>,
    /// Its configuration; null when there is none.
    pub config: Node,
}

/// A secret that becomes an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name of the secret in its store.
    pub key: Spanned<String>,
    /// The variable to set; empty when the file names none.
    pub environment_variable: Spanned<String>,
}

/// A signature over a command step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// The algorithm, such as `EdDSA`.
    pub algorithm: String,
    /// The names of the fields that are signed.
    pub signed_fields: Vec<String>,
    /// The signature itself.
    pub value: String,
}

/// The matrix of a command step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matrix {
    /// Dimension to values; the one dimension of a plain list has the empty name. `None` when there is no `setup`.
    pub setup: Option<IndexMap<String, Vec<Spanned<String>>>>,
    /// Changes to single combinations.
    pub adjustments: Vec<MatrixAdjustment>,
    /// Unknown keys.
    pub rest: Mapping,
    /// The whole matrix.
    pub span: Span,
}

/// A change to one combination of a matrix, or an additional combination.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixAdjustment {
    /// Dimension to value.
    pub with: IndexMap<String, Spanned<String>>,
    /// `skip` as written: a boolean or a reason.
    pub skip: Option<Node>,
    /// Every other key, `soft_fail` among them.
    pub rest: Mapping,
    /// The whole adjustment.
    pub span: Span,
}

/// What a step caches between builds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cache {
    /// Written as `cache: false`.
    pub disabled: bool,
    /// The name of the cache volume.
    pub name: Option<String>,
    /// The paths to keep.
    pub paths: Vec<Spanned<String>>,
    /// The size of the cache volume, such as `20g`.
    pub size: Option<String>,
    /// Every other key; our `inputs` and `outputs` among them.
    pub rest: Mapping,
    /// The whole value.
    pub span: Span,
}

/// How the repository is checked out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Checkout {
    /// The settings as written: `skip`, `submodules`, `lfs`, `depth`, `flags`, `sparse`, `ssh_secret`,
    /// `commit_verification` and unknown ones.
    pub settings: Mapping,
    /// The whole value.
    pub span: Span,
}
