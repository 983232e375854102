//! `runner explain`

use super::error::{Error, ExitStatus};
use super::plan::{json, print};
use super::prepare::{PipelineFlags, Prepared};
use super::run::warn;
use crate::agent::is_secret_name;
use crate::pipeline;
use crate::plan::explain::{Facts, NotFound, explain, find};
use crate::report::plan::explanation;
use clap::Args;

/// Names that are shown.
const MAX_NAMES: usize = 40;

/// Show why a step is what it is.
///
/// The step as written and with its variables replaced; where each variable comes from; and every rule that applied:
/// defaults, group, condition, matrix, dependencies, component, grants, limits. Values of variables whose name is a
/// secret's, such as `MY_TOKEN`, are not shown.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The step: its key, the name of one of its jobs, or its label
    step: String,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipeline: PipelineFlags,
}

impl Explain {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let Prepared { source, plan, warnings, document, origins, env, .. } = self.pipeline.prepare().await?;
        warn(&source, &warnings);
        let invalid = |finding| Error::pipeline(ExitStatus::InvalidPipeline, source.clone(), vec![finding]);
        let written = pipeline::parse(&source).map_err(invalid)?.pipeline;
        let facts = Facts {
            source: &source,
            written: &written,
            pipeline: &document,
            env: &env,
            plan: &plan,
            origins: &origins,
            secret: is_secret_name,
        };
        let step = find(&facts, &self.step).map_err(|not_found| self.unknown(&source.name, not_found))?;
        let explained = explain(facts, step).map_err(invalid)?;
        print(&if self.json { json(&explained)? } else { explanation(&explained) })?;
        Ok(ExitStatus::Passed)
    }

    fn unknown(&self, file: &str, not_found: NotFound) -> Error {
        match not_found {
            NotFound::Unknown { close, known } => {
                let meant = close.map(|close| format!("did you mean `{close}`? ")).unwrap_or_default();
                Error::usage(format!("{file} has no step `{}`", self.step))
                    .help(format!("{meant}there are: {}", row(&known)))
            }
            NotFound::Several(names) => Error::usage(format!("several steps have the label `{}`", self.step))
                .help(format!("name one by its job: {}", names.join(", "))),
        }
    }
}

fn row(names: &[String]) -> String {
    let shown = names[..names.len().min(MAX_NAMES)].join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more; `runner plan` has them"),
    }
}
