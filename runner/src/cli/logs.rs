//! `runner logs`

use super::error::{Error, ExitStatus};
use super::opened::{Opened, jobs_named};
use crate::agent::LocalAgent;
use crate::log::EventLog;
use crate::plan::JobId;
use crate::report::job_log::{JobLogReader, Line, shown, text_of};
use crate::report::text::{label, plain};
use crate::report::{Attempt, History, Output, Terminal};
use crate::run::DriveError;
use anstyle::Style;
use clap::Args;
use serde_json::json;
use std::collections::HashMap;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Show what the jobs of a run have said.
///
/// Without JOB the logs of all jobs follow each other, in the order of the pipeline. With -f lines are shown as they come,
/// of all jobs at once, until the run or the job is over, or the run waits for a person and no process drives it.
#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// The job, by name, or by the key of its step
    job: Option<String>,
    /// Go on as more comes
    #[arg(short, long)]
    follow: bool,
    /// This attempt of the job [default: the last one]
    #[arg(long, value_name = "NUMBER", requires = "job", conflicts_with = "follow")]
    attempt: Option<u32>,
    /// An object per line, for programs: job, attempt, line
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// How often it is looked for more.
const POLL: Duration = Duration::from_millis(200);

/// How long a run that is not over may be without a process that drives it before nothing more is expected of it.
const PATIENCE: Duration = Duration::from_secs(1);

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

impl Logs {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = Opened::find(&self.directory, self.run.as_deref()).await?;
        let history = opened.history().await?;
        let jobs = match &self.job {
            Some(job) => {
                let begun = |state: &crate::run::RunState, job: JobId| state.attempt(job) > 0;
                Some(jobs_named(&history.state, std::slice::from_ref(job), "shown", begun)?)
            }
            None => None,
        };
        let logs = opened.files()?.logs;
        let ended = match (self.follow, self.json) {
            (false, _) => tokio::task::block_in_place(|| self.show(&history, jobs.as_deref(), &logs)),
            (true, false) => follow(&opened, history, jobs, &logs).await,
            (true, true) => follow_as_json(&opened, history, jobs, &logs).await,
        };
        match ended {
            Ok(()) | Err(Ended::Closed) => Ok(ExitStatus::Passed),
            Err(Ended::Failed(error)) => Err(error),
        }
    }

    /// What is there, one log after the other.
    fn show(&self, history: &History, jobs: Option<&[JobId]>, logs: &Path) -> Result<(), Ended> {
        let plan = history.state.plan();
        let all: Vec<JobId> = plan.jobs().map(|(id, _)| id).collect();
        let mut out = anstream::stdout().lock();
        for id in jobs.unwrap_or(&all) {
            let job = plan.job(*id);
            let attempts = history.attempts(*id);
            let Some(attempt) = self.choose(&job.name, attempts, jobs.is_some())? else { continue };
            let mut reader = JobLogReader::new(LocalAgent::log_file(logs, job, attempt.number));
            // Between titles each line of a log has a margin, so that it cannot pass for a title.
            let several = jobs.is_none_or(|jobs| jobs.len() > 1);
            if !self.json && several {
                let again = if attempt.number > 1 { format!(" (attempt {})", attempt.number) } else { String::new() };
                writeln!(out, "{BOLD}▶ {}{BOLD:#} {}{again}", job.name, plain(&label(&job.label)))?;
            }
            let mut line = |line: &[u8]| {
                if self.json {
                    as_json(&mut out, &job.name, attempt.number, line)
                } else {
                    as_text(&mut out, several, line)
                }
            };
            drain(&mut reader, true, &mut line)?;
        }
        out.flush()?;
        Ok(())
    }

    /// The attempt that is meant; nothing for a job that has not run and was not named.
    fn choose<'a>(&self, name: &str, attempts: &'a [Attempt], named: bool) -> Result<Option<&'a Attempt>, Ended> {
        let found = match self.attempt {
            Some(number) => attempts.iter().find(|attempt| attempt.number == number),
            None => attempts.last(),
        };
        match (found, attempts.len()) {
            (None, 0) if named => Err(Error::usage(format!("`{name}` has not run")).into()),
            (None, count) if named => {
                let number = self.attempt.unwrap_or_default();
                let message = format!("`{name}` has no attempt {number}");
                Err(Error::usage(message).help(format!("it has had {count}")).into())
            }
            (found, _) => Ok(found),
        }
    }
}

/// Why showing came to an end before there was nothing more to show.
enum Ended {
    /// Whoever read has seen enough.
    Closed,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(Error::environment(format!("cannot show the log: {error}"))),
        }
    }
}

/// Hands out the lines that have come; at the end also one without a line break.
fn drain(
    reader: &mut JobLogReader,
    over: bool,
    line: &mut impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    loop {
        let text = reader.read()?;
        for one in text.split_inclusive(|byte| *byte == b'\n') {
            line(one)?;
        }
        if reader.is_read() {
            break;
        }
    }
    let rest = if over { reader.take_rest() } else { Vec::new() };
    if rest.is_empty() { Ok(()) } else { line(&rest) }
}

fn as_text(out: &mut impl Write, margin: bool, line: &[u8]) -> std::io::Result<()> {
    let Some(line) = shown(line) else { return Ok(()) };
    if margin {
        write!(out, "  {DIM}│{DIM:#} ")?;
    }
    match line {
        Line::Title(title) => writeln!(out, "{BOLD}{title}{BOLD:#}"),
        Line::Text(line) if line.contains('\u{1b}') => writeln!(out, "{line}\u{1b}[0m"),
        Line::Text(line) => writeln!(out, "{line}"),
    }
}

fn as_json(out: &mut impl Write, job: &str, attempt: u32, line: &[u8]) -> std::io::Result<()> {
    writeln!(out, "{}", json!({ "job": job, "attempt": attempt, "line": text_of(line) }))
}

/// As the terminal of the run shows it.
async fn follow(opened: &Opened, history: History, jobs: Option<Vec<JobId>>, logs: &Path) -> Result<(), Ended> {
    let name = |job: &JobId| history.state.plan().job(*job).name.clone();
    let names = jobs.as_ref().map(|jobs| jobs.iter().map(name).collect());
    let (progress, progressed) = watch::channel(0);
    let (appended, changed) = mpsc::channel(1024);
    let terminal = Terminal::new(
        opened.log.clone(),
        opened.record.clone(),
        opened.plan().clone(),
        logs.to_owned(),
        Output::Stdout,
    );
    let report = tokio::spawn(terminal.for_reader(names).follow(progressed, changed));
    let watched = watch_run(opened, history, jobs, |history| {
        progress.send_replace(history.state.sequence());
        for job in history.state.running_jobs() {
            let path = LocalAgent::log_file(logs, history.state.plan().job(job), history.state.attempt(job));
            // A full channel has the reader look at the logs all the same.
            drop(appended.try_send(path.into()));
        }
        if progress.is_closed() { Err(Ended::Closed) } else { Ok(()) }
    });
    let watched = watched.await;
    drop((progress, appended));
    match report.await {
        Ok(()) => watched,
        Err(error) => Err(Error::environment(format!("the report broke: {error}")).into()),
    }
}

async fn follow_as_json(opened: &Opened, history: History, jobs: Option<Vec<JobId>>, logs: &Path) -> Result<(), Ended> {
    let only = jobs.clone();
    let mut readers: HashMap<(JobId, u32), Option<JobLogReader>> = HashMap::new();
    let watched = watch_run(opened, history, jobs, |history| {
        let mut out = std::io::stdout().lock();
        for (id, job) in history.state.plan().jobs() {
            if only.as_ref().is_some_and(|only| !only.contains(&id)) {
                continue;
            }
            for attempt in history.attempts(id) {
                let open = || Some(JobLogReader::new(LocalAgent::log_file(logs, job, attempt.number)));
                let reader = readers.entry((id, attempt.number)).or_insert_with(open);
                let Some(log) = reader else { continue };
                // What ended before its end was written down has said everything by now.
                let over = attempt.ended_at.is_some();
                drain(log, over, &mut |line| as_json(&mut out, &job.name, attempt.number, line))?;
                if over {
                    *reader = None;
                }
            }
        }
        Ok(out.flush()?)
    });
    watched.await
}

/// Looks at a run again and again, until it or these jobs are over, or nothing more is expected of it.
async fn watch_run(
    opened: &Opened,
    mut history: History,
    jobs: Option<Vec<JobId>>,
    mut look: impl FnMut(&History) -> Result<(), Ended>,
) -> Result<(), Ended> {
    let mut driven = Instant::now();
    loop {
        look(&history)?;
        let all = || jobs.iter().flatten().all(|job| history.state.state(*job).is_over());
        if history.state.run_result().is_some() || jobs.is_some() && all() {
            return Ok(());
        }
        if opened.is_driven()? {
            driven = Instant::now();
        } else if driven.elapsed() > PATIENCE {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
        let news = opened.log.read(&opened.record.id, history.state.sequence()).await.map_err(Error::from)?;
        for event in news {
            history.follow(&event).map_err(DriveError::from).map_err(Error::from)?;
        }
    }
}
