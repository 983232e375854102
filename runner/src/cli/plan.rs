//! `runner plan`

use super::error::{Error, ExitStatus};
use super::prepare::{PipelineFlags, Prepared};
use super::run::warn;
use crate::report::plan::{View, dot, mermaid, text};
use clap::{Args, ValueEnum};
use std::io::Write;

/// Show what a run would do.
///
/// Jobs, what they wait for, why one is skipped, components with digests, and grants. In the drawings the jobs of one
/// step are one box; skipped steps and edges whose failure is no reason not to run are dashed.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// In which form
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    pipeline: PipelineFlags,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// Everything, for programs
    Json,
    /// A Mermaid flowchart, for Markdown
    Mermaid,
    /// A graph for Graphviz
    Dot,
}

impl Plan {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let Prepared { source, plan, warnings, document, origins, .. } = self.pipeline.prepare().await?;
        warn(&source, &warnings);
        let view = View::new(&plan, &origins, &document);
        let format = if self.json { Format::Json } else { self.format };
        let shown = match format {
            Format::Text => text(&view),
            Format::Json => json(&plan)?,
            Format::Mermaid => mermaid(&view),
            Format::Dot => dot(&view),
        };
        print(&shown)?;
        Ok(ExitStatus::Passed)
    }
}

/// Data for programs.
pub(super) fn json(data: &impl serde::Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string_pretty(data).map_err(|error| Error::environment(error.to_string()))? + "\n")
}

/// Writes to standard output.
pub(super) fn print(text: &str) -> Result<(), Error> {
    let written = anstream::stdout().write_all(text.as_bytes());
    // Whoever reads has seen enough.
    let written =
        written.or_else(|error| if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) });
    written.map_err(|error| Error::environment(format!("cannot write to standard output: {error}")))
}
