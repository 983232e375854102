//! `runner check`

use super::error::{Error, ExitStatus};
use super::prepare::{PipelineFlags, Prepared};
use super::run::warn;
use super::secrets;
use crate::plan::JobKind;
use clap::Args;
use std::io::Write;

/// Check a pipeline without running it.
///
/// Makes every check that `runner run` makes before its first job: the file, the components, their parameters and
/// grants. Needs neither Docker nor AWS.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also find what the format lets pass: unknown keys, values of the wrong kind, steps that never run, variables
    /// that are replaced by nothing; the exit status is then 3
    #[arg(long)]
    strict: bool,
    /// Also look for the secrets that the pipeline names, and say which source has each; the exit status is 7 when one is
    /// missing
    #[arg(long)]
    secrets: bool,
    #[command(flatten)]
    pipeline: PipelineFlags,
}

impl Check {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let (project, source) = self.pipeline.open()?;
        let prepared = if self.strict {
            self.pipeline.plan_strictly(project, source).await?
        } else {
            self.pipeline.plan(project, source).await?
        };
        let Prepared { project, source, plan, warnings, settings, .. } = prepared;
        warn(&source, &warnings);
        let steps = plan.jobs.iter().filter(|job| matches!(job.kind, JobKind::Step(_)));
        let (skipped, runs): (Vec<_>, Vec<_>) = steps.partition(|job| job.skip.is_some());
        let skipped = if skipped.is_empty() { String::new() } else { format!(", {} skipped", skipped.len()) };
        let jobs = if runs.len() == 1 { "1 job".to_owned() } else { format!("{} jobs", runs.len()) };
        let text = format!("{} is all right: {jobs} to run{skipped}", source.name);
        writeln!(anstream::stdout(), "{text}").map_err(|error| Error::environment(error.to_string()))?;
        if self.secrets {
            return secrets::check(&plan, &secrets::of(&settings, &project.directory)).await;
        }
        Ok(ExitStatus::Passed)
    }
}
