//! A run as lines on standard output: for people at a terminal, and for CI logs.

use super::gate::unblock_command;
use super::job_log::{self, JobLogReader, Line};
use super::text;
use crate::agent::{JobLog, LocalAgent};
use crate::event::{AnnotationStyle, Event, EventKind, JobResult, Outcome, RunResult};
use crate::log::{EventLog, RunRecord};
use crate::plan::{JobId, JobKind, Plan};
use crate::run::{JobState, RunState};
use anstyle::{AnsiColor, Style};
use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Follows one run.
pub struct Terminal {
    log: Arc<dyn EventLog>,
    record: RunRecord,
    state: RunState,
    logs: PathBuf,
    to: Output,
    /// Running jobs: when they started, and how much of their log has been shown.
    running: BTreeMap<JobId, Shown>,
    /// Width of the names before log lines.
    width: usize,
    started_at: u64,
    /// Events up to this one have been shown by another process.
    shown: u64,
    /// Names of the jobs that are shown; all of them when there are none.
    only: Option<HashSet<String>>,
    /// Whether there is nothing to do any more when nobody reads.
    for_reader: bool,
    closed: bool,
    /// Sequence of the last event that has been shown.
    seen: watch::Sender<u64>,
}

/// Where a report goes.
#[derive(Debug, Clone)]
pub enum Output {
    /// To standard output.
    Stdout,
    /// Into the log of the job that started the run.
    Log(JobLog),
}

struct Shown {
    at: u64,
    log: JobLogReader,
}

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Longest name that has a column of its own.
const MAX_WIDTH: usize = 24;

impl Terminal {
    /// A reader of this run that has read nothing yet.
    pub fn new(log: Arc<dyn EventLog>, record: RunRecord, plan: Arc<Plan>, logs: PathBuf, to: Output) -> Self {
        let names = plan.jobs.iter().filter(|job| matches!(job.kind, JobKind::Step(_))).map(|job| job.name.len());
        Self {
            log,
            width: names.max().unwrap_or_default().min(MAX_WIDTH),
            state: RunState::new(plan),
            record,
            logs,
            to,
            running: BTreeMap::new(),
            started_at: 0,
            shown: 0,
            only: None,
            for_reader: false,
            closed: false,
            seen: watch::Sender::new(0),
        }
    }

    /// Shows only what comes after this event: the rest was shown when it happened.
    #[must_use]
    pub fn after(mut self, sequence: u64) -> Self {
        self.shown = sequence;
        self
    }

    /// Told the sequence of the last event that has been shown.
    #[must_use]
    pub fn seen(&self) -> watch::Receiver<u64> {
        self.seen.subscribe()
    }

    /// Shows these jobs only, by name; all when nothing is given. Ends when nobody reads any more.
    #[must_use]
    pub fn for_reader(mut self, only: Option<HashSet<String>>) -> Self {
        (self.only, self.for_reader) = (only, true);
        self
    }

    /// Shows events and logs as they come, until nobody tells of any more.
    pub async fn follow(mut self, mut progress: watch::Receiver<u64>, mut appended: mpsc::Receiver<Arc<Path>>) {
        let mut logs_open = true;
        let mut paths = Vec::new();
        while !(self.closed && self.for_reader) {
            tokio::select! {
                biased;
                count = appended.recv_many(&mut paths, 1024), if logs_open => {
                    logs_open = count > 0;
                    paths.sort_unstable();
                    paths.dedup();
                    let mut out = Vec::new();
                    for path in paths.drain(..) {
                        self.show_log(&path, &mut out);
                    }
                    self.print(&out);
                }
                changed = progress.changed() => {
                    self.catch_up().await;
                    if changed.is_err() {
                        break;
                    }
                }
            }
        }
        let mut out = Vec::new();
        self.close(&mut out);
        self.print(&out);
    }

    async fn catch_up(&mut self) {
        match self.log.read(&self.record.id, self.state.sequence()).await {
            Ok(events) => {
                let mut out = Vec::new();
                for event in events {
                    self.show(&event, &mut out);
                }
                self.print(&out);
                self.seen.send_replace(self.state.sequence());
            }
            Err(error) => tracing::warn!(%error, "the report cannot read the run"),
        }
    }

    fn print(&mut self, out: &[u8]) {
        match &self.to {
            _ if out.is_empty() => {}
            Output::Stdout => {
                let mut stdout = anstream::stdout().lock();
                // Nobody reads any more: the run goes on all the same, and its log has everything.
                self.closed |= stdout.write_all(out).and_then(|()| stdout.flush()).is_err();
            }
            Output::Log(log) => log.write(out),
        }
    }

    fn show(&mut self, event: &Event, out: &mut Vec<u8>) {
        let before = self.states();
        if let Err(error) = self.state.apply(event) {
            tracing::warn!(%error, "the report skips an event");
            return;
        }
        if event.sequence <= self.shown && !matches!(event.kind, EventKind::RunCreated { .. }) {
            return;
        }
        match &event.kind {
            EventKind::RunCreated { .. } => self.header(event.at, out),
            EventKind::JobStarted { job, attempt } => {
                let planned = self.state.plan().job(*job);
                let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                self.line(out, DIM, "▶", &planned.name, &format!("{}{again}", text::label(&planned.label)));
                let path = LocalAgent::log_file(&self.logs, planned, *attempt);
                self.running.insert(*job, Shown { at: event.at, log: JobLogReader::new(path) });
            }
            EventKind::JobFinished { job, result, .. } => self.job_finished(*job, event.at, result, out),
            EventKind::Blocked { job } => {
                let planned = self.state.plan().job(*job);
                self.line(
                    out,
                    YELLOW,
                    "⏸",
                    &planned.name,
                    &format!("{}: waits for a person", text::label(&planned.label)),
                );
            }
            EventKind::Unblocked { job, by, .. } => {
                let planned = self.state.plan().job(*job);
                self.line(out, GREEN, "▶", &planned.name, &format!("unblocked by {}", text::printable(by)));
            }
            EventKind::CancelRequested { by, now } => {
                let number = self.record.number;
                let means = match (self.state.running_jobs().next(), now) {
                    (None, _) => String::new(),
                    (Some(_), true) => "; running jobs are ended at once".to_owned(),
                    (Some(_), false) => format!(
                        "; running jobs have 10 seconds to clean up (Ctrl-C once more, or `runner cancel {number} --now`, \
                         ends them at once)"
                    ),
                };
                self.line(out, YELLOW, "■", "cancelled", &format!("by {}{means}", text::printable(by)));
            }
            EventKind::JobCancelRequested { job, by } => {
                let name = self.state.plan().job(*job).name.clone();
                self.line(out, YELLOW, "■", &name, &format!("cancelled by {}", text::printable(by)));
            }
            EventKind::JobInterrupted { job, attempt } => {
                self.running.remove(job);
                let name = self.state.plan().job(*job).name.clone();
                let again = if self.state.state(*job).is_over() { "" } else { "; it is tried again" };
                self.line(out, YELLOW, "↻", &name, &format!("attempt {attempt} was lost{again}"));
            }
            EventKind::JobsRetried { jobs, by, .. } => {
                for job in jobs {
                    let name = self.state.plan().job(*job).name.clone();
                    self.line(out, YELLOW, "↻", &name, &format!("is run again for {}", text::printable(by)));
                }
            }
            EventKind::StepsUploaded { job, replace, jobs, .. } => {
                let planned = self.state.plan().clone();
                let names = jobs.iter().filter(|job| matches!(job.kind, JobKind::Step(_))).map(|job| job.name.len());
                self.width = names.chain([self.width]).max().unwrap_or_default().min(MAX_WIDTH);
                let instead = if *replace { " in place of what has not begun" } else { "" };
                let added = if jobs.len() == 1 { "1 step".to_owned() } else { format!("{} steps", jobs.len()) };
                self.line(out, DIM, "⇡", &planned.job(*job).name, &format!("added {added}{instead}"));
            }
            EventKind::Annotated { annotation, .. } => {
                let (style, word) = match annotation.style {
                    AnnotationStyle::Default => (DIM, "annotation"),
                    AnnotationStyle::Info => (DIM, "info"),
                    AnnotationStyle::Success => (GREEN, "success"),
                    AnnotationStyle::Warning => (YELLOW, "warning"),
                    AnnotationStyle::Error => (RED, "error"),
                };
                let name = &text::plain(annotation.job.as_deref().unwrap_or(&annotation.context));
                for line in annotation.body.lines().filter(|line| !line.trim().is_empty()) {
                    self.line(out, style, "✎", name, &format!("{word}: {}", text::printable(line)));
                }
            }
            EventKind::RunFinished { result } => self.run_finished(*result, event.at, out),
            EventKind::GrantDecided { job, decision, .. } if !decision.allowed => {
                let what = format!("refused: {} {} `{}`", decision.capability, decision.operation, decision.subject);
                self.line(out, RED, "✋", job, &text::printable(&what));
            }
            EventKind::CacheChecked { .. }
            | EventKind::CacheWritten { .. }
            | EventKind::GrantDecided { .. }
            | EventKind::MetaDataSet { .. }
            | EventKind::ArtifactStored { .. }
            | EventKind::AnnotationRemoved { .. }
            | EventKind::StepUpdated { .. } => {}
        }
        if let Some(before) = before {
            self.settled(&before, out);
        }
    }

    /// The states before an event, where it is cheap enough to tell what else the event settled.
    fn states(&self) -> Option<Vec<JobState>> {
        const MANY: usize = 500;
        (self.state.plan().jobs.len() <= MANY)
            .then(|| self.state.plan().jobs().map(|(id, _)| self.state.state(id)).collect())
    }

    /// Jobs that will not run, now that something else has been decided.
    fn settled(&self, before: &[JobState], out: &mut Vec<u8>) {
        for ((id, job), before) in self.state.plan().jobs().zip(before) {
            let now = self.state.state(id);
            if now == *before || matches!(job.kind, JobKind::Wait) {
                continue;
            }
            match now {
                JobState::Skipped => {
                    let reason = job.skip.as_deref().unwrap_or_default();
                    self.line(out, DIM, "↷", &job.name, &format!("skipped: {}", text::printable(reason)));
                }
                JobState::NotRun => self.line(out, DIM, "✗", &job.name, "not run: something before it failed"),
                _ => {}
            }
        }
    }

    fn header(&mut self, at: u64, out: &mut Vec<u8>) {
        self.started_at = at;
        let context = &self.state.plan().context;
        let commit = context.commit.get(..12).unwrap_or(&context.commit);
        let what = [context.branch.as_str(), commit].into_iter().filter(|part| !part.is_empty());
        let what: Vec<&str> = what.collect();
        push(
            out,
            &format!(
                "{BOLD}run {}{BOLD:#} {} {DIM}{}{DIM:#}\n",
                self.record.number,
                text::printable(&self.record.pipeline),
                text::printable(&what.join(" "))
            ),
        );
    }

    fn job_finished(&mut self, job: JobId, at: u64, result: &JobResult, out: &mut Vec<u8>) {
        let name = self.state.plan().job(job).name.clone();
        let mut took = String::new();
        if let Some(shown) = self.running.get(&job) {
            took = text::duration(at.saturating_sub(shown.at));
            let path = shown.log.path().to_owned();
            while !self.is_shown(job) {
                self.show_log(&path, out);
                self.print(out);
                out.clear();
            }
        }
        let rest = self.running.remove(&job).map(|mut shown| shown.log.take_rest()).unwrap_or_default();
        if !rest.is_empty() {
            self.log_line(&name, &rest, out);
        }
        let (style, mark, word) = match result.outcome {
            Outcome::Passed => (GREEN, "✔", "passed"),
            Outcome::SoftFailed => (YELLOW, "✘", "failed softly"),
            Outcome::Failed => (RED, "✘", "failed"),
            Outcome::Cancelled => (YELLOW, "■", "cancelled"),
        };
        if let Some(from) = &result.cached {
            let key = from.key.get(..12).unwrap_or(&from.key);
            let place = if from.remote.is_empty() { String::new() } else { format!(" on {}", from.agent) };
            let what = format!("from run {}{place} (cache {key})", from.number);
            self.line(out, GREEN, "~", &name, &text::printable(&what));
            return;
        }
        let status =
            if result.exit_status > 0 { format!(" (exit status {})", result.exit_status) } else { String::new() };
        self.line(out, style, mark, &name, &format!("{word} after {took}{status}"));
        for (label, text) in [("", &result.message), ("what to do: ", &result.remedy)] {
            for line in text.lines() {
                self.line(out, DIM, " ", &name, &format!("{label}{}", text::printable(line)));
            }
        }
        if self.state.state(job) == JobState::Ready {
            self.line(out, YELLOW, "↻", &name, "is tried again");
        }
    }

    fn run_finished(&self, result: RunResult, at: u64, out: &mut Vec<u8>) {
        let (style, mark, word) = match result {
            RunResult::Passed => (GREEN, "✔", "passed"),
            RunResult::Failed => (RED, "✘", "failed"),
            RunResult::Cancelled => (YELLOW, "■", "was cancelled"),
        };
        let took = text::duration(at.saturating_sub(self.started_at));
        let number = self.record.number;
        push(out, &format!("{style}{mark} run {number} {word}{style:#} after {took}: {}\n", self.counts()));
    }

    /// How many jobs ended how.
    fn counts(&self) -> String {
        let words = [
            (JobState::Passed, "passed"),
            (JobState::SoftFailed, "failed softly"),
            (JobState::Failed, "failed"),
            (JobState::NotRun, "not run"),
            (JobState::Skipped, "skipped"),
            (JobState::Removed, "replaced"),
            (JobState::Cancelled, "cancelled"),
        ];
        let steps: Vec<JobState> = self
            .state
            .plan()
            .jobs()
            .filter(|(_, job)| matches!(job.kind, JobKind::Step(_) | JobKind::Trigger(_)) && job.notification.is_none())
            .map(|(id, _)| self.state.state(id))
            .collect();
        let count = |state: JobState| steps.iter().filter(|one| **one == state).count();
        let counts: Vec<String> = words
            .into_iter()
            .filter(|(state, _)| count(*state) > 0)
            .map(|(state, word)| format!("{} {word}", count(state)))
            .collect();
        if counts.is_empty() { "nothing to run".to_owned() } else { counts.join(", ") }
    }

    /// Where the run waits, when it has not ended.
    fn close(&self, out: &mut Vec<u8>) {
        if self.state.run_result().is_some() {
            return;
        }
        for job in self.state.blocked() {
            let planned = self.state.plan().job(job);
            let number = self.record.number;
            let command = unblock_command(number, planned);
            push(
                out,
                &format!(
                    "{YELLOW}⏸ run {number} is blocked{YELLOW:#} at `{}`; to go on: {BOLD}{command}{BOLD:#}\n",
                    text::label(&planned.label),
                ),
            );
        }
    }

    /// What is new in a job's log, as far as it can be shown in one go.
    fn show_log(&mut self, path: &Path, out: &mut Vec<u8>) {
        let Some((job, shown)) = self.running.iter_mut().find(|(_, shown)| shown.log.path() == path) else { return };
        let name = self.state.plan().job(*job).name.clone();
        match shown.log.read() {
            Ok(text) => {
                for line in text.split_inclusive(|byte| *byte == b'\n') {
                    self.log_line(&name, line, out);
                }
            }
            Err(error) => tracing::warn!(path = %path.display(), %error, "the report cannot read a log"),
        }
    }

    /// Whether all of a job's log has been shown.
    fn is_shown(&self, job: JobId) -> bool {
        self.running.get(&job).is_none_or(|shown| shown.log.is_read())
    }

    fn log_line(&self, name: &str, line: &[u8], out: &mut Vec<u8>) {
        let width = self.width;
        match job_log::shown(line) {
            _ if self.leaves_out(name) => {}
            None => {}
            Some(Line::Title(title)) => {
                push(out, &format!("  {DIM}{name:<width$} │{DIM:#} {BOLD}{title}{BOLD:#}\n"));
            }
            Some(Line::Text(line)) => push(out, &format!("  {DIM}{name:<width$} │{DIM:#} {line}\u{1b}[0m\n")),
        }
    }

    fn leaves_out(&self, name: &str) -> bool {
        self.only.as_ref().is_some_and(|only| !only.contains(name))
    }

    fn line(&self, out: &mut Vec<u8>, style: Style, mark: &str, name: &str, what: &str) {
        if self.leaves_out(name) {
            return;
        }
        let width = self.width;
        push(out, &format!("{style}{mark}{style:#} {BOLD}{name:<width$}{BOLD:#} {what}\n"));
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}
