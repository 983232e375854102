//! Variables in commands that are replaced when the file is read and were meant for the shell of the job.

use indexmap::IndexMap;

use super::steps::steps;
use super::{Findings, MAX_SHOWN, Same, documented, locate};
use crate::pipeline::diagnostic::{Diagnostic, Source, Span};
use crate::pipeline::interpolate::{Env, expansions};
use crate::pipeline::load::Kind;
use crate::pipeline::node::Node;

/// Variables that every job has with a value of its own. While the file is read there is no job yet.
const OF_THE_JOB: [&str; 12] = [
    "BUILDKITE_COMMAND_EXIT_STATUS",
    "BUILDKITE_GROUP_ID",
    "BUILDKITE_GROUP_KEY",
    "BUILDKITE_GROUP_LABEL",
    "BUILDKITE_JOB_ID",
    "BUILDKITE_LABEL",
    "BUILDKITE_LAST_HOOK_EXIT_STATUS",
    "BUILDKITE_PARALLEL_JOB",
    "BUILDKITE_PARALLEL_JOB_COUNT",
    "BUILDKITE_RETRY_COUNT",
    "BUILDKITE_STEP_ID",
    "BUILDKITE_STEP_KEY",
];

/// Why a variable does not get the value that was meant.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Reason {
    Unset,
    /// It begins like one of Buildkite's, and there is none of that name.
    Misspelt(&'static str),
    SetInStep,
    OfTheJob,
}

/// Reports every such variable once, with all its places.
pub(super) fn check(root: &Node, source: &Source, env: &Env, findings: &mut Findings) {
    let mut found: IndexMap<(String, Reason), Vec<Span>> = IndexMap::new();
    for step in steps(root).iter().filter(|step| step.kind == Some(Kind::Command)) {
        let own = step.keys.get("env").and_then(|entry| entry.value.as_mapping());
        let command = ["commands", "command"].iter().find_map(|key| step.keys.get(*key)).map(|entry| &entry.value);
        let Some(command) = command else { continue };
        for line in command.as_sequence().unwrap_or(std::slice::from_ref(command)) {
            let Some(text) = line.as_str() else { continue };
            let mut seen: Vec<&str> = Vec::new();
            for expansion in expansions(text).unwrap_or_default() {
                let name = expansion.name;
                let reason = if OF_THE_JOB.contains(&name) {
                    Reason::OfTheJob
                } else if own.is_some_and(|own| own.contains_key(name)) {
                    Reason::SetInStep
                } else if env.get(name).is_some() {
                    continue;
                } else if let Some(meant) = documented::meant(name) {
                    Reason::Misspelt(meant)
                } else if is_of_the_build(name) {
                    continue;
                } else {
                    Reason::Unset
                };
                let in_comment =
                    text[..expansion.start].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('#'));
                if in_comment || expansion.has_alternative || seen.contains(&name) || found.len() >= MAX_SHOWN {
                    continue;
                }
                seen.push(name);
                let place = locate(source, line.span, text, expansion.start, expansion.end);
                found.entry((name.to_owned(), reason)).or_default().push(place);
            }
        }
    }
    for ((name, reason), mut places) in found {
        places.sort_by_key(|place| place.start);
        places.dedup();
        findings.report(finding(&name, reason, &places, source), Same::Nowhere);
    }
}

/// Whether Buildkite itself sets the variable before it reads the file.
fn is_of_the_build(name: &str) -> bool {
    name == "CI" || name == "BUILDKITE" || name.starts_with("BUILDKITE_")
}

fn finding(name: &str, reason: Reason, places: &[Span], source: &Source) -> Diagnostic {
    let (message, other) = match reason {
        Reason::Unset => (
            format!("`{name}` is replaced by nothing when the file is read, because it is not set then"),
            format!(", or set `{name}` in the `env` at the top of the file"),
        ),
        Reason::Misspelt(_) => (format!("there is no variable `{name}`, so it is replaced by nothing"), String::new()),
        Reason::SetInStep => {
            (format!("`{name}` is replaced when the file is read, before the `env` of the step is set"), String::new())
        }
        Reason::OfTheJob => {
            (format!("`{name}` is replaced when the file is read, before there is a job"), String::new())
        }
    };
    let mut help = match reason {
        Reason::Misspelt(meant) => format!("did you mean `{meant}`?"),
        _ => format!("write `$${name}` to leave it to the shell of the job{other}"),
    };
    if let [_, others @ ..] = places
        && !others.is_empty()
    {
        /// More lines than these would hide the advice.
        const LINES: usize = 5;
        let mut lines: Vec<String> = others.iter().map(|place| source.position(place.start).line.to_string()).collect();
        lines.dedup();
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        help.push_str(&format!("; also in line {}", lines.join(", ")));
        if more > 0 {
            help.push_str(&format!(" and {more} more"));
        }
    }
    let finding = Diagnostic::error(message).help(help);
    places.first().map_or(finding.clone(), |place| finding.at(*place))
}
