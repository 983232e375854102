//! One run: where it stands, what became of its jobs, and what can be done next.

use super::gate::unblock_command;
use super::history::{History, RunSummary, Standing, Unblocked, Waited};
use super::moment::{self, Moment};
use super::runs::mark;
use super::text;
use crate::agent::LocalAgent;
use crate::event::{Annotation, Artifact, Outcome};
use crate::plan::{GateField, Job, JobId, JobKind};
use crate::run::JobState;
use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Jobs of a run that are shown one by one, whatever became of them.
const MANY: usize = 100;
/// Lines of a message that are shown.
const MAX_LINES: usize = 20;
/// Names that are shown in a row.
const MAX_NAMES: usize = 5;

/// Everything there is to know of a run. Its field names are an interface.
#[derive(Debug, Serialize)]
pub struct RunView<'a> {
    /// What a list of runs says.
    #[serde(flatten)]
    pub run: RunSummary,
    /// Every job, in the order of the plan.
    pub jobs: Vec<JobView<'a>>,
    /// What jobs show to people.
    pub annotations: Vec<&'a Annotation>,
    /// The files kept with it.
    pub artifacts: &'a [Artifact],
    /// What jobs and people have written down for jobs.
    pub meta_data: &'a BTreeMap<String, String>,
    /// Directory of the jobs' logs.
    pub logs: PathBuf,
}

/// One job.
#[derive(Debug, Serialize)]
pub struct JobView<'a> {
    /// Unique in the run.
    pub name: &'a str,
    /// `key` of its step.
    pub key: Option<&'a str>,
    /// What people call it.
    pub label: &'a str,
    /// What people call its group.
    pub group: Option<&'a str>,
    /// `step`, `trigger`, `wait` or `gate`.
    pub kind: &'static str,
    /// What state it is in.
    pub state: JobState,
    /// Whether it tells somebody how the run has ended, and changes nothing itself.
    pub notification: bool,
    /// Why it is skipped.
    pub skip: Option<&'a str>,
    /// Names of the jobs that have to be over before it starts and are not.
    pub waits_for: Vec<&'a str>,
    /// Its attempts, the first one first.
    pub attempts: Vec<AttemptView<'a>>,
    /// What a block or input step waits for, once it has been reached.
    pub gate: Option<GateView<'a>>,
}

/// One attempt of a job.
#[derive(Debug, Serialize)]
pub struct AttemptView<'a> {
    /// 1 for the first.
    pub attempt: u32,
    /// How it ended; nothing while it runs, and when it was lost with the process that ran it.
    pub outcome: Option<Outcome>,
    /// When it began.
    pub started_at: Moment,
    /// When it ended, or was found to be lost.
    pub ended_at: Option<Moment>,
    /// Milliseconds between the two.
    pub duration_ms: Option<u64>,
    /// 0 to 255, or -1 when it never ran to an end.
    pub exit_status: Option<i32>,
    /// The signal that ended its process; empty when none did.
    pub signal: &'a str,
    /// Why it failed; empty when it did not.
    pub message: &'a str,
    /// What can be done about it; empty when there is nothing to say.
    pub remedy: &'a str,
    /// Its outputs.
    pub outputs: Option<&'a Map<String, Value>>,
    /// Its log; the file is not there when it has said nothing.
    pub log: PathBuf,
}

/// A block or input step that was reached.
#[derive(Debug, Serialize)]
pub struct GateView<'a> {
    /// Since when it waits, or has waited.
    pub since: Moment,
    /// What it asks.
    pub prompt: &'a str,
    /// What has to be filled in.
    pub fields: &'a [GateField],
    /// Teams and accounts that may let it go on; empty for everybody.
    pub allowed_teams: &'a [String],
    /// What to type to let it go on; nothing when it waits no more.
    pub command: Option<String>,
    /// Who let it go on.
    pub unblocked: Option<&'a Unblocked>,
}

impl<'a> RunView<'a> {
    /// Of this run, whose jobs' logs are in this directory.
    #[must_use]
    pub fn new(run: RunSummary, history: &'a History, logs: &Path) -> Self {
        let data = history.state.data();
        let jobs = history.state.plan().jobs().map(|(id, job)| JobView::new(run.number, id, job, history, logs));
        Self {
            jobs: jobs.collect(),
            annotations: data.annotations(),
            artifacts: data.artifacts(),
            meta_data: data.meta_data(),
            logs: logs.to_owned(),
            run,
        }
    }
}

impl<'a> JobView<'a> {
    fn new(run: u64, id: JobId, job: &'a Job, history: &'a History, logs: &Path) -> Self {
        let plan = history.state.plan();
        let attempts = history.attempts(id).iter().map(|attempt| {
            let result = attempt.result.as_ref();
            AttemptView {
                attempt: attempt.number,
                outcome: result.map(|result| result.outcome),
                started_at: Moment(attempt.started_at),
                ended_at: attempt.ended_at.map(Moment),
                duration_ms: attempt.ended_at.map(|ended| ended.saturating_sub(attempt.started_at)),
                exit_status: result.map(|result| result.exit_status),
                signal: result.map_or("", |result| &result.signal),
                message: result.map_or("", |result| &result.message),
                remedy: result.map_or("", |result| &result.remedy),
                outputs: result.map(|result| &result.outputs),
                log: LocalAgent::log_file(logs, job, attempt.number),
            }
        });
        let state = history.state.state(id);
        let gate = match (&job.kind, history.waited(id)) {
            (JobKind::Gate(gate), Some(Waited { since, unblocked })) => Some(GateView {
                since: Moment(*since),
                prompt: &gate.prompt,
                fields: &gate.fields,
                allowed_teams: &gate.allowed_teams,
                command: (state == JobState::Blocked).then(|| unblock_command(run, job)),
                unblocked: unblocked.as_ref(),
            }),
            _ => None,
        };
        Self {
            name: &job.name,
            key: job.step_key.as_deref(),
            label: &job.label,
            group: job.group_label.as_deref().or(job.group.as_deref()),
            kind: match job.kind {
                JobKind::Step(_) => "step",
                JobKind::Trigger(_) => "trigger",
                JobKind::Wait => "wait",
                JobKind::Gate(_) => "gate",
            },
            state,
            notification: job.notification.is_some(),
            skip: job.skip.as_deref(),
            waits_for: history.waits_for(id).into_iter().map(|job| plan.job(job).name.as_str()).collect(),
            attempts: attempts.collect(),
            gate,
        }
    }

    /// Whether it is shown by itself even where there are many.
    fn stands_out(&self) -> bool {
        let at_work = matches!(self.state, JobState::Running | JobState::Blocked);
        at_work || matches!(self.state, JobState::Failed | JobState::SoftFailed)
    }
}

/// A run for people; `all` shows every job, however many there are.
#[must_use]
pub fn text(view: &RunView<'_>, now: u64, all: bool) -> String {
    let mut out = head(view, now);
    let few = all || view.jobs.len() <= MANY;
    let shown = |job: &&JobView<'_>| job.kind != "wait" && (few || job.stands_out());
    let limit = if all { usize::MAX } else { MANY };
    let jobs: Vec<&JobView<'_>> = view.jobs.iter().filter(shown).take(limit).collect();
    let width = jobs.iter().map(|job| job.name.chars().count()).max().unwrap_or_default().min(24);
    if !jobs.is_empty() {
        out.push('\n');
    }
    for job in &jobs {
        describe(job, width, now, &mut out);
    }
    out.push_str(&rest(view, &jobs));
    out.push_str(&besides(view));
    out.push_str(&next(view));
    out
}

fn head(view: &RunView<'_>, now: u64) -> String {
    let run = &view.run;
    let (style, mark) = mark(run.state);
    let commit: String = run.commit.chars().take(12).collect();
    let facts = [&run.pipeline, &run.branch, &commit].map(|fact| text::plain(fact));
    let facts: Vec<String> = facts.into_iter().filter(|fact| !fact.is_empty()).collect();
    let title =
        format!("{BOLD}run {}{BOLD:#} {style}{mark} {}{style:#}  {}\n", run.number, run.state.word(), facts.join(" "));
    let message = text::plain(run.message.lines().next().unwrap_or_default());
    let message = if message.is_empty() { message } else { format!("  {message}\n") };
    let took = text::duration(run.duration_ms);
    let time = match run.state {
        Standing::Running => format!("for {took}"),
        Standing::Blocked | Standing::Interrupted => {
            format!("last event {}", since(now.saturating_sub(run.updated_at.0)))
        }
        Standing::Passed | Standing::Failed | Standing::Cancelled => format!("took {took}"),
    };
    let who = text::plain(&run.who());
    let who = if who.is_empty() { who } else { format!("{who}, ") };
    format!("{title}{message}  {DIM}{who}{}, {time}, id {}{DIM:#}\n", moment::for_people(run.created_at.0), run.id)
}

fn since(milliseconds: u64) -> String {
    match moment::ago(milliseconds).as_str() {
        "now" => "just now".to_owned(),
        time => format!("{time} ago"),
    }
}

fn describe(job: &JobView<'_>, width: usize, now: u64, out: &mut String) {
    let (style, mark, word) = word(job.state);
    let mut facts = vec![word.to_owned()];
    match job.attempts.as_slice() {
        [] => {}
        [.., last] => {
            let ended = last.ended_at.map_or(now, |ended| ended.0);
            facts.push(text::duration(ended.saturating_sub(last.started_at.0)));
            facts.extend((last.attempt > 1).then(|| format!("attempt {}", last.attempt)));
            facts.extend(last.exit_status.filter(|status| *status > 0).map(|status| format!("exit status {status}")));
        }
    }
    facts.extend(job.skip.filter(|_| job.state == JobState::Skipped).map(text::plain));
    if let Some(gate) = &job.gate {
        match gate.unblocked {
            Some(unblocked) if job.state == JobState::Passed => facts.push(person(unblocked)),
            _ => facts.push(format!("since {}", moment::for_people(gate.since.0))),
        }
    }
    if !job.waits_for.is_empty() {
        facts.push(format!("waits for {}", row(&job.waits_for)));
    }
    let label = text::label(job.label);
    let label = if label == job.name { String::new() } else { format!("{}: ", text::plain(&label)) };
    out.push_str(&format!("{style}{mark}{style:#} {BOLD}{:<width$}{BOLD:#} {label}{}\n", job.name, facts.join(", ")));
    let mut below = |line: &str| out.push_str(&format!("  {:<width$} {line}\n", ""));
    if let Some(command) = job.gate.as_ref().and_then(|gate| gate.command.as_ref()) {
        let gate = job.gate.as_ref().map_or(&[][..], |gate| gate.allowed_teams);
        if !gate.is_empty() {
            below(&format!("may be unblocked by {}", text::plain(&gate.join(", "))));
        }
        below(&format!("to go on: {BOLD}{command}{BOLD:#}"));
    }
    let ended_well = matches!(job.state, JobState::Passed | JobState::Skipped | JobState::Removed);
    if let Some(last) = job.attempts.last().filter(|_| !ended_well) {
        for line in last.message.lines().take(MAX_LINES) {
            below(&text::plain(line));
        }
        for line in last.remedy.lines().take(MAX_LINES) {
            below(&format!("what to do: {}", text::plain(line)));
        }
    }
}

/// Who let a run go on, and when.
fn person(unblocked: &Unblocked) -> String {
    let Unblocked { at, by, account, host } = unblocked;
    let account = if account.is_empty() { String::new() } else { format!(" ({account} on {host})") };
    format!("unblocked by {}, {}", text::plain(&format!("{by}{account}")), moment::for_people(at.0))
}

fn row(names: &[&str]) -> String {
    let more = if names.len() > MAX_NAMES { format!(" and {} more", names.len() - MAX_NAMES) } else { String::new() };
    format!("{}{more}", names[..names.len().min(MAX_NAMES)].join(", "))
}

fn word(state: JobState) -> (Style, &'static str, &'static str) {
    match state {
        JobState::Pending => (DIM, "·", "not begun"),
        JobState::Ready => (DIM, "·", "about to begin"),
        JobState::Running => (AnsiColor::Cyan.on_default(), "▶", "running"),
        JobState::Blocked => (YELLOW, "⏸", "blocked"),
        JobState::Passed => (GREEN, "✔", "passed"),
        JobState::SoftFailed => (YELLOW, "✘", "failed softly"),
        JobState::Failed => (RED, "✘", "failed"),
        JobState::Skipped => (DIM, "↷", "skipped"),
        JobState::NotRun => (DIM, "✗", "not run"),
        JobState::Removed => (DIM, "↷", "replaced"),
        JobState::Cancelled => (YELLOW, "■", "cancelled"),
    }
}

/// How many jobs are not shown one by one.
fn rest(view: &RunView<'_>, shown: &[&JobView<'_>]) -> String {
    let mut counts: IndexMap<&str, usize> = IndexMap::new();
    for job in view.jobs.iter().filter(|job| job.kind != "wait") {
        *counts.entry(word(job.state).2).or_default() += 1;
    }
    for job in shown {
        counts.entry(word(job.state).2).and_modify(|count| *count -= 1);
    }
    counts.retain(|_, count| *count > 0);
    if counts.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    format!("{DIM}and {} (`--all` shows them){DIM:#}\n", counts.join(", "))
}

/// What jobs have left for people.
fn besides(view: &RunView<'_>) -> String {
    let mut out = String::new();
    for annotation in &view.annotations {
        let name = text::plain(annotation.job.as_deref().unwrap_or(&annotation.context));
        let style = format!("{:?}", annotation.style).to_lowercase();
        out.push_str(&format!("\n{BOLD}annotation{BOLD:#} {name} ({style})\n"));
        let lines = || annotation.body.lines().filter(|line| !line.trim().is_empty());
        for line in lines().take(MAX_LINES) {
            out.push_str(&format!("  {DIM}│{DIM:#} {}\n", text::plain(line)));
        }
        if let more @ 1.. = lines().count().saturating_sub(MAX_LINES) {
            out.push_str(&format!("  {DIM}│ {more} lines more in `--json`{DIM:#}\n"));
        }
    }
    out
}

/// What can be done next.
fn next(view: &RunView<'_>) -> String {
    let number = view.run.number;
    let mut lines = vec![format!("logs in {}", view.logs.display()), format!("runner logs {number}")];
    if !view.artifacts.is_empty() {
        lines.push(format!("runner artifacts {number}  ({})", view.artifacts.len()));
    }
    match view.run.state {
        Standing::Running => {
            lines.push(format!("runner logs {number} -f"));
            lines.push(format!("runner cancel {number}"));
        }
        Standing::Interrupted => lines.push(format!("runner resume {number}")),
        Standing::Failed | Standing::Cancelled => lines.push(format!("runner retry {number} --failed")),
        // The command stands with the step.
        Standing::Blocked | Standing::Passed => {}
    }
    format!("\n{DIM}{}{DIM:#}\n", lines.join("\n"))
}
