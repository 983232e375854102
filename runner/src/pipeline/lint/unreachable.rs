//! Steps and rules that can never do anything.

use std::collections::HashSet;

use super::steps::{WrittenStep, steps};
use super::{Findings, Same, is_later, settled};
use crate::pipeline::attribute::{ExitStatus, Pattern, Retry};
use crate::pipeline::branches;
use crate::pipeline::condition::{Condition, Scope};
use crate::pipeline::diagnostic::{Diagnostic, Span};
use crate::pipeline::node::{Mapping, Node};

/// Reports only what is certain, whatever is built.
pub(super) fn check(root: &Node, findings: &mut Findings) {
    for WrittenStep { keys, .. } in steps(root) {
        let never = [condition(keys), branches(keys), parallelism(keys)];
        for (reason, place) in never.into_iter().flatten() {
            let finding = Diagnostic::error(format!("the step never runs: {reason}")).at(place);
            findings
                .report(finding.help("remove the step, or say why it is left out: `skip: REASON`"), Same::At(place));
        }
        if let Some(retry) = keys.get("retry").and_then(|entry| Retry::parse(&entry.value).ok()) {
            retry_rules(&retry, findings);
        }
    }
}

type Never = Option<(&'static str, Span)>;

fn condition(step: &Mapping) -> Never {
    let (text, place) = settled(step, "if")?;
    let condition = Condition::parse(&text, Scope::Build).ok()?;
    (condition.constant() == Some(false)).then_some(("its condition never holds", place))
}

fn branches(step: &Mapping) -> Never {
    let node = &step.get("branches")?.value;
    let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
    let texts: Vec<String> = items.iter().map(Node::to_text).collect::<Result<_, _>>().ok()?;
    if texts.iter().any(|text| is_later(text)) {
        return None;
    }
    branches::is_empty(&texts).then_some(("its `branches` exclude every branch", node.span))
}

fn parallelism(step: &Mapping) -> Never {
    let (text, place) = settled(step, "parallelism")?;
    (text.trim() == "0").then_some(("a `parallelism` of 0 makes no jobs", place))
}

/// Reports rules whose every failure an earlier rule takes.
fn retry_rules(retry: &Retry, findings: &mut Findings) {
    let mut all = false;
    let mut codes: HashSet<i64> = HashSet::new();
    for rule in &retry.automatic {
        let taken = |status: &ExitStatus| match status {
            ExitStatus::Any => all,
            ExitStatus::Code(code) => codes.contains(code) || (all && ExitStatus::Any.matches(*code)),
        };
        if !rule.exit_status.is_empty() && rule.exit_status.iter().all(taken) {
            let message = "the retry rule never applies: rules before it take all its exit statuses";
            let finding = Diagnostic::error(message).at(rule.span);
            let help = "the first rule that matches applies; put the narrower rule first";
            findings.report(finding.help(help), Same::Nowhere);
        }
        if rule.signal == Pattern::Any && rule.signal_reason == Pattern::Any {
            for status in &rule.exit_status {
                match status {
                    ExitStatus::Any => all = true,
                    ExitStatus::Code(code) => {
                        codes.insert(*code);
                    }
                }
            }
        }
    }
}
