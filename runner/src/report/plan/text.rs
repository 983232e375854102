//! A plan as text: a few lines a step, however many jobs it became.

use super::view::{Node, View, clip, short};
use crate::plan::origin::Order;
use crate::plan::{ComponentPin, JobKind, Phase, StepJob};
use crate::report::text::printable;
use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// Names that are shown in a row.
const MAX_NAMES: usize = 12;
/// Characters of a line that is not the user's to break.
const MAX_LINE: usize = 160;
/// Lines of a command that are shown.
const MAX_COMMAND: usize = 5;

/// The whole plan, with colours.
#[must_use]
pub fn text(view: &View<'_>) -> String {
    let mut out = headline(view);
    let mut section = None;
    for node in &view.nodes {
        if node.section != section {
            if let Some(name) = node.section.and_then(|section| view.sections.get(section)) {
                out.push_str(&format!("\n{CYAN}group {name}{CYAN:#}\n"));
            }
            section = node.section;
        }
        let indent = if section.is_some() { "  " } else { "" };
        out.push('\n');
        for line in describe(view, node) {
            out.push_str(&format!("{indent}{line}\n"));
        }
    }
    out.push_str(&components(view));
    out
}

fn headline(view: &View<'_>) -> String {
    let jobs = &view.plan.jobs;
    let steps = jobs.iter().filter(|job| matches!(job.kind, JobKind::Step(_)));
    let (skipped, run): (Vec<_>, Vec<_>) = steps.partition(|job| job.skip.is_some());
    let gates = jobs.iter().filter(|job| matches!(job.kind, JobKind::Gate(_)) && job.skip.is_none()).count();
    let mut counts = vec![format!("{} to run", plural(run.len(), "job"))];
    if !skipped.is_empty() {
        counts.push(format!("{} skipped", skipped.len()));
    }
    if gates > 0 {
        counts.push(format!("{} for a person", plural(gates, "stop")));
    }
    let context = &view.plan.context;
    let commit: String = context.commit.chars().take(12).collect();
    let facts = [("branch", context.branch.as_str()), ("commit", &commit), ("tag", &context.tag)];
    let facts: Vec<String> = facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name} {}", short(value)))
        .collect();
    let facts = if facts.is_empty() { String::new() } else { format!("{DIM}; {}{DIM:#}", facts.join(", ")) };
    format!("{}: {}{facts}\n", printable(&view.plan.pipeline), counts.join(", "))
}

fn plural(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}

fn describe(view: &View<'_>, node: &Node<'_>) -> Vec<String> {
    let job = node.job();
    let rule = if node.is_barrier() { format!("{DIM}──{DIM:#} ") } else { String::new() };
    let mut title = format!("{rule}{BOLD}{}{BOLD:#}", node.names());
    if node.jobs.len() > 1 {
        title.push_str(&format!(" ({} jobs)", node.jobs.len()));
    }
    let label = &node.label;
    if *label != job.name && !(matches!(job.kind, JobKind::Wait) && label == "wait") {
        title.push_str(&format!("  {label}"));
    }
    let mut lines = vec![title];
    let mut line = |name: &str, value: &str| lines.push(format!("    {DIM}{name:<9}{DIM:#} {value}"));
    if let Some(reason) = &job.skip {
        line("skipped", &format!("{YELLOW}{}{YELLOW:#}", short(reason)));
    }
    if let Some(after) = after(view, node) {
        line("after", &after);
    }
    match &job.kind {
        JobKind::Wait => {}
        JobKind::Gate(gate) => {
            let prompt = if gate.prompt.is_empty() { "a person".to_owned() } else { short(&gate.prompt) };
            line("waits for", &format!("{YELLOW}{prompt}{YELLOW:#}"));
            let fields: Vec<String> = gate.fields.iter().map(|field| short(&field.key)).collect();
            if !fields.is_empty() {
                line("fields", &row(&fields));
            }
        }
        JobKind::Trigger(trigger) => line("triggers", &short(&trigger.pipeline)),
        // What it would do does not matter then; `--format json` has it.
        JobKind::Step(_) if job.skip.is_some() => {}
        JobKind::Step(step) => describe_step(node, step, &mut line),
    }
    if let Some(group) = &job.concurrency {
        line("at once", &format!("{} of `{}`", group.limit, short(&group.name)));
    }
    lines
}

fn after(view: &View<'_>, node: &Node<'_>) -> Option<String> {
    if node.edges.is_empty() {
        return None;
    }
    let tolerant = node.edges.iter().all(|edge| edge.allow_failure);
    if node.is_barrier() && node.order == Order::Place {
        let scope = if node.section.is_some() { "everything above in the group" } else { "everything above" };
        return Some(format!("{scope}{}", if tolerant { ", passed or failed" } else { "" }));
    }
    let names = node.edges.iter().map(|edge| {
        let may_fail = if edge.allow_failure { " (may fail)" } else { "" };
        format!("{}{may_fail}", view.nodes[edge.to].names())
    });
    Some(row(&names.collect::<Vec<_>>()))
}

fn row(names: &[String]) -> String {
    let shown = names[..names.len().min(MAX_NAMES)].join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn describe_step(node: &Node<'_>, step: &StepJob, line: &mut impl FnMut(&str, &str)) {
    let mut labels: Vec<String> = node.jobs.iter().map(|job| short(&job.label)).collect();
    labels.dedup();
    if labels.len() > 1 {
        line("jobs", &row(&labels));
    }
    if step.command {
        let command = step.params["command"].as_str().unwrap_or_default().trim_end();
        let mut names = std::iter::once("command").chain(std::iter::repeat(""));
        for text in command.lines().take(MAX_COMMAND) {
            line(names.next().unwrap_or_default(), &clip(&printable(text), MAX_LINE));
        }
        if let more @ 1.. = command.lines().count().saturating_sub(MAX_COMMAND) {
            line("", &format!("{DIM}… and {}{DIM:#}", plural(more, "more line")));
        }
    } else {
        if let Some(pin) = &step.component {
            let digest = pin.digest.get(..19).unwrap_or(&pin.digest);
            line("uses", &format!("{}@{} {digest}", printable(&pin.name), printable(&pin.version)));
        }
        line("with", &clip(&printable(&step.params.to_string()), MAX_LINE));
    }
    let first = &node.job().kind;
    let differs = |kind: &JobKind| match (kind, first) {
        (JobKind::Step(one), JobKind::Step(other)) => one.params != other.params,
        _ => false,
    };
    if node.jobs.iter().any(|job| differs(&job.kind)) {
        line("", &format!("{DIM}for the first; others differ{DIM:#}"));
    }
    match serde_json::to_value(&step.grants) {
        Ok(serde_json::Value::Object(grants)) if !grants.is_empty() => {
            for (index, (kind, grant)) in grants.iter().enumerate() {
                let name = if index == 0 { "grants" } else { "" };
                line(name, &printable(&format!("{kind}: {grant}")));
            }
        }
        _ if step.command => {}
        _ => line("grants", "nothing"),
    }
    describe_phases("before", &step.before, line);
    describe_phases("then", &step.after, line);
}

/// What runs before or after a job's own component, with its grants.
fn describe_phases(when: &str, phases: &[Phase], line: &mut impl FnMut(&str, &str)) {
    let mut names = std::iter::once(when).chain(std::iter::repeat(""));
    for phase in phases {
        let name = names.next().unwrap_or_default();
        if let Some(command) = phase.params["command"].as_str().filter(|_| phase.command) {
            line(name, &clip(&printable(&format!("the command {command:?}")), MAX_LINE));
            continue;
        }
        let component = phase.component.as_ref().map_or(&phase.uses, |pin| &pin.name);
        line(name, &clip(&printable(&format!("{component} with {}", phase.params)), MAX_LINE));
        if let Ok(grants) = serde_json::to_value(&phase.grants) {
            line("", &printable(&format!("granted {grants}")));
        }
    }
}

/// The components with their whole digests, once each.
fn components(view: &View<'_>) -> String {
    let mut found: IndexMap<&str, (&ComponentPin, usize)> = IndexMap::new();
    for job in &view.plan.jobs {
        let JobKind::Step(step) = &job.kind else { continue };
        let all = std::iter::once(&step.component).chain(step.phases().map(|phase| &phase.component));
        // A job counts once, however often it runs a component.
        let mut pins: Vec<&ComponentPin> = all.flatten().collect();
        pins.sort_by_key(|pin| &pin.digest);
        pins.dedup();
        for pin in pins {
            found.entry(&pin.digest).or_insert((pin, 0)).1 += 1;
        }
    }
    if found.is_empty() {
        return String::new();
    }
    let lines = found.values().map(|(pin, jobs)| {
        let name = format!("{}@{}", printable(&pin.name), printable(&pin.version));
        format!("  {name:<22} {}  {DIM}{}{DIM:#}\n", pin.digest, plural(*jobs, "job"))
    });
    format!("\ncomponents\n{}", lines.collect::<String>())
}
