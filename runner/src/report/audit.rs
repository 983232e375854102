//! Who did what in a run, and what was granted or refused.

use super::moment::{self, Moment};
use super::text;
use crate::event::{Event, EventKind};
use crate::plan::{JobId, Plan};
use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;
use serde::Serialize;

const DIM: Style = Style::new().dimmed();
const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// One line of an audit. Its field names are an interface.
#[derive(Debug, Serialize)]
pub struct AuditEntry {
    /// Position in the run's log.
    pub sequence: u64,
    /// When.
    pub at: Moment,
    /// What.
    #[serde(flatten)]
    pub act: Act,
}

/// What somebody did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Act {
    /// A host call was granted or refused, before it was done.
    Grant {
        /// Name of the job that asked.
        job: String,
        /// Its attempt.
        attempt: u32,
        /// `docker`, `aws`, `secrets`, …
        capability: String,
        /// The verb.
        operation: String,
        /// What it is about; of a secret its name.
        subject: String,
        /// Whether it was granted.
        allowed: bool,
    },
    /// A person let the run go on.
    Unblocked {
        /// The block or input step.
        job: String,
        /// Who, as they call themselves.
        by: String,
        /// The account; empty when it is not recorded.
        account: String,
        /// The machine; empty when it is not recorded.
        host: String,
        /// What was filled in.
        fields: IndexMap<String, String>,
    },
    /// The run was asked to end.
    Cancelled {
        /// Who.
        by: String,
        /// Whether jobs got no time to clean up.
        now: bool,
    },
    /// A job was asked to end.
    JobCancelled {
        /// Which one.
        job: String,
        /// Who.
        by: String,
    },
    /// Jobs were to run again.
    Retried {
        /// Which ones.
        jobs: Vec<String>,
        /// Whether everything that depends on them was to run again too.
        dependents: bool,
        /// Who.
        by: String,
    },
    /// A job added steps to the run.
    Uploaded {
        /// Which job.
        job: String,
        /// Its attempt.
        attempt: u32,
        /// Names of the jobs it added.
        jobs: Vec<String>,
        /// Whether the jobs that had not begun were taken out.
        replace: bool,
    },
}

/// The lines of an audit, in the order of the log. The plan is the run's, with what jobs have added.
#[must_use]
pub fn audit(plan: &Plan, events: Vec<Event>) -> Vec<AuditEntry> {
    let name = |job: JobId| plan.job(job).name.clone();
    let entry = |event: Event| {
        let act = match event.kind {
            EventKind::GrantDecided { job, attempt, decision } => Act::Grant {
                job,
                attempt,
                capability: decision.capability,
                operation: decision.operation,
                subject: decision.subject,
                allowed: decision.allowed,
            },
            EventKind::Unblocked { job, by, fields, account, host } => {
                Act::Unblocked { job: name(job), by, account, host, fields }
            }
            EventKind::CancelRequested { by, now } => Act::Cancelled { by, now },
            EventKind::JobCancelRequested { job, by } => Act::JobCancelled { job: name(job), by },
            EventKind::JobsRetried { jobs, by, dependents } => {
                Act::Retried { jobs: jobs.into_iter().map(name).collect(), dependents, by }
            }
            EventKind::StepsUploaded { job, attempt, replace, jobs, .. } => {
                let jobs = jobs.into_iter().map(|job| job.name).collect();
                Act::Uploaded { job: name(job), attempt, jobs, replace }
            }
            _ => return None,
        };
        Some(AuditEntry { sequence: event.sequence, at: Moment(event.at), act })
    };
    events.into_iter().filter_map(entry).collect()
}

/// An audit for people.
#[must_use]
pub fn text(entries: &[AuditEntry]) -> String {
    let mut out = String::new();
    for entry in entries {
        let (style, word, what) = line(&entry.act);
        let time = moment::for_people(entry.at.0);
        out.push_str(&format!("{DIM}{time}{DIM:#} {style}{word:<9}{style:#} {}\n", text::plain(&what)));
    }
    out
}

fn line(act: &Act) -> (Style, &'static str, String) {
    match act {
        Act::Grant { job, attempt, capability, operation, subject, allowed } => {
            let (style, word) = if *allowed { (GREEN, "granted") } else { (RED, "refused") };
            let again = if *attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
            (style, word, format!("{job}{again}: {capability} {operation} `{subject}`"))
        }
        Act::Unblocked { job, by, account, host, fields } => {
            let account = if account.is_empty() { String::new() } else { format!(" ({account} on {host})") };
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let fields = if fields.is_empty() { String::new() } else { format!(" with {}", fields.join(", ")) };
            (YELLOW, "unblocked", format!("{job} by {by}{account}{fields}"))
        }
        Act::Cancelled { by, now } => {
            (YELLOW, "cancelled", format!("the run by {by}{}", if *now { ", at once" } else { "" }))
        }
        Act::JobCancelled { job, by } => (YELLOW, "cancelled", format!("{job} by {by}")),
        Act::Retried { jobs, dependents, by } => {
            let more = if *dependents { " and what depends on them" } else { "" };
            (YELLOW, "retried", format!("{}{more} by {by}", jobs.join(", ")))
        }
        Act::Uploaded { job, jobs, replace, .. } => {
            let instead = if *replace { " in place of what had not begun" } else { "" };
            (YELLOW, "uploaded", format!("by {job}: {}{instead}", jobs.join(", ")))
        }
    }
}
