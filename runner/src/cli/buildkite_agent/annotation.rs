//! `buildkite-agent annotate` and `buildkite-agent annotation`

use super::client::call;
use super::flags::{Ignored, Own};
use super::{Failure, Outcome, is_piped, stdin};
use crate::agent::job_api::protocol::Call;
use crate::event::AnnotationStyle;
use clap::{Args, Subcommand};

/// Bytes of an annotation's body.
const MAX_BODY: usize = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Annotate {
    /// Markdown, at most 1 MiB; from standard input when left out. Without any, only the style changes
    body: Option<String>,
    /// Name of the annotation: a later one of the same name takes its place [default: default]
    #[arg(long, env = "BUILDKITE_ANNOTATION_CONTEXT", hide_env_values = true)]
    context: Option<String>,
    /// How it is meant: success, info, warning or error
    #[arg(long, env = "BUILDKITE_ANNOTATION_STYLE", hide_env_values = true)]
    style: Option<String>,
    /// Add to the end of the annotation of that name
    #[arg(long, env = "BUILDKITE_ANNOTATION_APPEND")]
    append: bool,
    /// 1 to 10; higher comes first
    #[arg(long, env = "BUILDKITE_ANNOTATION_PRIORITY", default_value = "3",
        value_parser = clap::value_parser!(u8).range(1..=10))]
    priority: u8,
    /// Whether it is the run's or the job's own: build or job
    #[arg(long, env = "BUILDKITE_ANNOTATION_SCOPE", default_value = "build")]
    scope: String,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl Annotate {
    pub(super) fn run(self) -> Outcome {
        self.own.check()?;
        let body = match self.body {
            Some(body) if !body.is_empty() => body,
            _ if is_piped() => stdin(MAX_BODY as u64, "the annotation")?,
            _ => String::new(),
        };
        if body.len() > MAX_BODY {
            return Err(format!("annotation body size ({}B) exceeds maximum ({MAX_BODY}B)", body.len()).into());
        }
        let style = match self.style.as_deref() {
            None | Some("") => None,
            Some("success") => Some(AnnotationStyle::Success),
            Some("info") => Some(AnnotationStyle::Info),
            Some("warning") => Some(AnnotationStyle::Warning),
            Some("error") => Some(AnnotationStyle::Error),
            Some(other) => {
                return Err(format!(
                    "failed to annotate build: {other:?} is no style; expected success, info, warning or error"
                )
                .into());
            }
        };
        let annotate = Call::Annotate {
            context: named(self.context),
            style,
            body,
            append: self.append,
            priority: self.priority,
            own_job: is_jobs(&self.scope)?,
        };
        call(&annotate).map(drop).map_err(|failure| failure.during("failed to annotate build"))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Annotation {
    /// Take an annotation away
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    /// Name of the annotation [default: default]
    #[arg(long, env = "BUILDKITE_ANNOTATION_CONTEXT", hide_env_values = true)]
    context: Option<String>,
    /// Whether it is the run's or the job's own: build or job
    #[arg(long, env = "BUILDKITE_ANNOTATION_SCOPE", default_value = "build")]
    scope: String,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

impl Annotation {
    pub(super) fn run(self) -> Outcome {
        let Self::Remove(Remove { context, scope, own, .. }) = self;
        own.check()?;
        let removed = call(&Call::AnnotationRemove { context: named(context), own_job: is_jobs(&scope)? });
        removed.map(drop).map_err(|failure| failure.during("failed to remove annotation"))
    }
}

fn named(context: Option<String>) -> String {
    context.filter(|context| !context.is_empty()).unwrap_or_else(|| "default".to_owned())
}

fn is_jobs(scope: &str) -> Result<bool, Failure> {
    match scope {
        "build" | "" => Ok(false),
        "job" => Ok(true),
        other => Err(format!("{other:?} is no scope of an annotation; expected build or job").into()),
    }
}
