//! The explanation of a step as text.

use super::view::{clip, short};
use crate::plan::explain::Explanation;
use crate::report::text::printable;
use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// Lines of the step that are shown.
const MAX_LINES: usize = 200;
/// Jobs that are shown.
const MAX_JOBS: usize = 60;
/// Characters of a variable's value that are shown.
const MAX_VALUE: usize = 120;

/// The explanation, with colours.
#[must_use]
pub fn explanation(explanation: &Explanation) -> String {
    let mut out =
        format!("{BOLD}as written{BOLD:#}  {DIM}{}:{}{DIM:#}\n", printable(&explanation.file), explanation.line);
    let width = (explanation.line + explanation.written.len()).to_string().len();
    for (number, line) in (explanation.line..).zip(explanation.written.iter().take(MAX_LINES)) {
        out.push_str(&format!("  {DIM}{number:>width$} |{DIM:#} {}\n", printable(line)));
    }
    more(&mut out, explanation.written.len(), MAX_LINES, "lines");
    let marks = if explanation.changed.is_empty() {
        "nothing was changed by variables"
    } else {
        "lines marked with ~ were changed by variables"
    };
    out.push_str(&format!("\n{BOLD}in effect{BOLD:#}  {DIM}{marks}{DIM:#}\n"));
    let lines = in_effect(explanation);
    for (changed, line) in lines.iter().take(MAX_LINES) {
        let line = printable(line);
        out.push_str(&if *changed { format!("{GREEN}~ {line}{GREEN:#}\n") } else { format!("  {line}\n") });
    }
    more(&mut out, lines.len(), MAX_LINES, "lines");
    if !explanation.variables.is_empty() {
        out.push_str(&format!("\n{BOLD}variables{BOLD:#}\n"));
    }
    for variable in &explanation.variables {
        let value = match (&variable.value, &variable.from) {
            (Some(value), Some(from)) => format!("= {:?}, from {from}", clip(value, MAX_VALUE)),
            _ => "is not set".to_owned(),
        };
        let places = printable(&variable.places.join(", "));
        out.push_str(&format!("  {} {}  {DIM}{places}{DIM:#}\n", printable(&variable.name), printable(&value)));
    }
    out.push_str(&format!("\n{BOLD}rules{BOLD:#}\n"));
    for rule in &explanation.rules {
        let place = rule.place.as_ref().map(|place| format!("  {DIM}{}{DIM:#}", printable(place)));
        let text = printable(&rule.text.replace('\n', " "));
        out.push_str(&format!("  {:<18} {text}{}\n", rule.subject, place.unwrap_or_default()));
    }
    out.push_str(&format!("\n{BOLD}jobs{BOLD:#}\n"));
    if explanation.jobs.is_empty() {
        out.push_str("  none\n");
    }
    for job in explanation.jobs.iter().take(MAX_JOBS) {
        let part = job.part.as_ref().map(|part| format!("  ({})", short(part))).unwrap_or_default();
        let label = if job.label == job.name { String::new() } else { format!("  {}", short(&job.label)) };
        let skip = job.skip.as_ref().map(|reason| format!("  {YELLOW}skipped: {}{YELLOW:#}", short(reason)));
        out.push_str(&format!("  {}{label}{part}{}\n", job.name, skip.unwrap_or_default()));
    }
    more(&mut out, explanation.jobs.len(), MAX_JOBS, "jobs");
    out
}

fn more(out: &mut String, all: usize, shown: usize, what: &str) {
    if let more @ 1.. = all.saturating_sub(shown) {
        out.push_str(&format!("  {DIM}… and {more} more {what}; --json has them{DIM:#}\n"));
    }
}

/// The attributes in effect as lines of YAML, and of each whether variables changed it.
fn in_effect(explanation: &Explanation) -> Vec<(bool, String)> {
    let Value::Object(attributes) = &explanation.effective else {
        return yaml(&explanation.effective).into_iter().map(|line| (false, line)).collect();
    };
    let mut lines = Vec::new();
    for (key, value) in attributes {
        let change = explanation.changed.iter().find(|change| change.attribute == *key);
        let before = change.map(|change| attribute(key, &change.written));
        for line in attribute(key, value) {
            let changed = before.as_ref().is_some_and(|before| !before.contains(&line));
            lines.push((changed, line));
        }
    }
    lines
}

fn attribute(key: &str, value: &Value) -> Vec<String> {
    yaml(&Value::Object(Map::from_iter([(key.to_owned(), value.clone())])))
}

fn yaml(value: &Value) -> Vec<String> {
    // Values of a pipeline are plain data; what cannot be YAML is still readable as JSON, which is YAML.
    let text = serde_saphyr::to_string(value).unwrap_or_else(|_| value.to_string());
    text.trim_end().lines().map(ToOwned::to_owned).collect()
}
