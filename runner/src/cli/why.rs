//! `runner why`

use super::error::{Error, ExitStatus};
use super::project::Project;
use crate::cache::{Difference, differences};
use crate::event::{CacheKey, CachedFrom, Event, EventKind};
use crate::log::{EventLog, RunRecord, SqliteLog};
use crate::plan::{Job, JobId, JobKind};
use crate::report::printable;
use crate::run::{DriveError, RunState};
use clap::Args;
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Tell why a step ran again, or why it was answered from the cache.
///
/// A step that ran is compared with the latest earlier run of the same step in this project: which files, variables,
/// parameters and so on are new, gone or changed.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Number of the run, as `runner run` printed it
    run: String,
    /// The step, by key, or one of its jobs, by name
    step: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Why a job ran, or did not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "result")]
enum Reason {
    /// It was answered from the cache.
    Hit { from: CachedFrom },
    /// It ran, because nothing was found.
    Miss {
        key: String,
        /// What came of looking.
        reason: String,
        /// With what it is compared.
        compared_with: Option<Earlier>,
        differences: Vec<Difference>,
        /// Why its own result was not kept; empty when it was, or it did not pass.
        not_kept: String,
    },
    /// It ran without looking.
    NotLooked { reason: String },
    /// It did not run.
    NotRun { reason: String },
}

/// An earlier job of the same step.
#[derive(Debug, Serialize)]
struct Earlier {
    /// Number of its run.
    run: u64,
    /// Why its result was not kept; `None` when it was, or it is not known.
    not_kept: Option<String>,
}

/// A job and why it ran, or did not.
#[derive(Debug, Serialize)]
struct Answer {
    job: String,
    #[serde(flatten)]
    reason: Reason,
}

/// Differences that are printed; JSON has them all.
const MAX_SHOWN: usize = 20;

impl Why {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let project = Project::open(&self.directory)?;
        let log = project.log()?;
        let (record, plan) = log.open(&self.run).await?;
        let events = log.read(&record.id, 0).await?;
        let state = RunState::replay(Arc::new(plan), &events).map_err(DriveError::from)?;
        let jobs = self.jobs(&state, record.number)?;
        let mut answers = Vec::new();
        for (id, job) in jobs {
            let reason = reason(&log, &record, &events, id, job).await?;
            answers.push(Answer { job: job.name.clone(), reason });
        }
        let text = if self.json {
            serde_json::to_string_pretty(&answers).map_err(|error| Error::environment(error.to_string()))? + "\n"
        } else {
            answers.iter().map(|answer| told(record.number, answer)).collect()
        };
        let written = anstream::stdout().write_all(text.as_bytes());
        written.map_err(|error| Error::environment(format!("cannot write: {error}")))?;
        Ok(ExitStatus::Passed)
    }

    /// The jobs that are meant.
    fn jobs<'a>(&self, state: &'a RunState, run: u64) -> Result<Vec<(JobId, &'a Job)>, Error> {
        let all = || state.plan().jobs().filter(|(_, job)| matches!(job.kind, JobKind::Step(_)));
        let named = |(_, job): &(JobId, &Job)| job.name == self.step;
        let found: Vec<_> = match all().find(named) {
            Some(one) => vec![one],
            None => all().filter(|(_, job)| job.step_key.as_ref() == Some(&self.step)).collect(),
        };
        if found.is_empty() {
            let names: Vec<&str> = all().take(MAX_SHOWN).map(|(_, job)| job.name.as_str()).collect();
            let help = format!("its jobs are: {}", names.join(", "));
            return Err(Error::usage(format!("run {run} has no step `{}`", self.step)).help(help));
        }
        Ok(found)
    }
}

/// What the log of a run says of one job and the cache.
#[derive(Default)]
struct Logged<'a> {
    /// The last look into the cache.
    checked: Option<(u32, &'a CacheKey, &'a str)>,
    /// Why the result of that attempt was not kept; empty when it was.
    written: Option<&'a str>,
    /// Whose result the last one was.
    cached: Option<&'a CachedFrom>,
    started: bool,
}

fn logged(events: &[Event], id: JobId) -> Logged<'_> {
    let mut found = Logged::default();
    for event in events {
        match &event.kind {
            EventKind::JobStarted { job, .. } if *job == id => {
                found = Logged { started: true, ..Logged::default() };
            }
            EventKind::CacheChecked { job, attempt, key, missed } if *job == id => {
                found.checked = Some((*attempt, key, missed));
            }
            EventKind::CacheWritten { job, refused, .. } if *job == id => found.written = Some(refused),
            EventKind::JobFinished { job, result, .. } if *job == id => found.cached = result.cached.as_deref(),
            _ => {}
        }
    }
    found
}

async fn reason(log: &SqliteLog, record: &RunRecord, events: &[Event], id: JobId, job: &Job) -> Result<Reason, Error> {
    let JobKind::Step(step) = &job.kind else {
        return Ok(Reason::NotLooked { reason: "it is not a step that runs".to_owned() });
    };
    let found = logged(events, id);
    if let Some(from) = found.cached {
        return Ok(Reason::Hit { from: from.clone() });
    }
    let Some((_, key, missed)) = found.checked else {
        let reason = match (&step.cache, found.started, &job.skip) {
            (_, false, Some(skip)) => return Ok(Reason::NotRun { reason: format!("it was skipped: {skip}") }),
            (_, false, None) => return Ok(Reason::NotRun { reason: "it has not begun".to_owned() }),
            (None, true, _) => "the step has no `cache` with `inputs`, so it runs every time",
            (Some(_), true, _) => "the cache was not used: it was switched off, or the log of the job says why",
        };
        return Ok(Reason::NotLooked { reason: reason.to_owned() });
    };
    let earlier = earlier(log, record, &job.name).await?;
    let differences = earlier.as_ref().map(|(_, before)| differences(before, key)).unwrap_or_default();
    Ok(Reason::Miss {
        key: key.digest.clone(),
        reason: missed.to_owned(),
        compared_with: earlier.map(|(earlier, _)| earlier),
        differences,
        not_kept: found.written.unwrap_or_default().to_owned(),
    })
}

/// The key of the latest earlier run of the job that looked for one.
async fn earlier(log: &SqliteLog, record: &RunRecord, name: &str) -> Result<Option<(Earlier, CacheKey)>, Error> {
    let mut runs = log.runs(None).await?;
    runs.retain(|run| run.number < record.number && run.pipeline == record.pipeline);
    runs.sort_unstable_by_key(|run| std::cmp::Reverse(run.number));
    for run in runs {
        let (run, plan) = log.open(&run.id).await?;
        let events = log.read(&run.id, 0).await?;
        let state = RunState::replay(Arc::new(plan), &events).map_err(DriveError::from)?;
        let Some((id, _)) = state.plan().jobs().find(|(_, job)| job.name == name) else { continue };
        let found = logged(&events, id);
        if let Some((_, key, _)) = found.checked {
            let not_kept = match (found.cached, found.written) {
                (Some(_), _) | (None, Some("")) => None,
                (None, Some(refused)) => Some(refused.to_owned()),
                (None, None) => Some("it did not pass".to_owned()),
            };
            return Ok(Some((Earlier { run: run.number, not_kept }, key.clone())));
        }
    }
    Ok(None)
}

fn told(run: u64, answer: &Answer) -> String {
    let job = &answer.job;
    let text = match &answer.reason {
        Reason::NotRun { reason } => format!("{job} did not run in run {run}: {reason}\n"),
        Reason::NotLooked { reason } => format!("{job} ran in run {run}: {reason}\n"),
        Reason::Hit { from } => {
            let CachedFrom { key, number, agent, remote, .. } = from;
            let place = if remote.is_empty() { String::new() } else { format!("\n  fetched from {remote}") };
            format!(
                "{job} did not run in run {run}: everything it depends on is as in run {number} on {agent}\n  key {key}{place}\n"
            )
        }
        Reason::Miss { reason, compared_with, differences, not_kept, .. } => {
            let mut text = format!("{job} ran in run {run}: {reason}\n");
            match compared_with {
                None => text.push_str("  no earlier run of this step in this project has looked for one\n"),
                Some(Earlier { run, not_kept }) if differences.is_empty() => {
                    let why = not_kept.as_deref().map_or_else(
                        || "its result has been thrown out since, or was not usable".to_owned(),
                        |reason| format!("its result was not kept: {reason}"),
                    );
                    text.push_str(&format!("  everything is as in run {run}, but {why}\n"));
                }
                Some(Earlier { run, .. }) => {
                    text.push_str(&format!("  compared with run {run}:\n"));
                    for difference in differences.iter().take(MAX_SHOWN) {
                        text.push_str(&format!("    {difference}\n"));
                    }
                    if let more @ 1.. = differences.len().saturating_sub(MAX_SHOWN) {
                        text.push_str(&format!("    and {more} more; --json shows them all\n"));
                    }
                }
            }
            if !not_kept.is_empty() {
                text.push_str(&format!("  its result was not kept: {not_kept}\n"));
            }
            text
        }
    };
    text.lines().map(|line| printable(line) + "\n").collect()
}
