//! Which failures are soft, and which are tried again.

use serde::{Deserialize, Serialize};

use super::reader::{Reader, boolean, integer, wrong};
use crate::pipeline::diagnostic::{Diagnostic, Span};
use crate::pipeline::node::{Mapping, Node, NodeKind};

/// How often an automatic rule retries when it does not say so.
const DEFAULT_RETRY_LIMIT: u64 = 2;
/// How often a rule may retry at most.
const MAX_RETRY_LIMIT: u64 = 10;

/// Which failures leave the build able to pass.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SoftFail {
    /// None: every failure counts.
    #[default]
    Never,
    /// All of them.
    Always,
    /// Those with one of these exit statuses.
    On(Vec<ExitStatus>),
}

/// A pattern for exit statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// `*`: every failure of a process, 1 to 255.
    Any,
    /// This one, from -1 to 255. -1 means that the job was lost or never ran.
    Code(i64),
}

/// What a job does after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct Retry {
    /// The automatic rules; the first that matches applies, each with its own counter.
    pub automatic: Vec<AutomaticRetry>,
    /// What a person may do.
    pub manual: ManualRetry,
}

/// One rule for automatic retries. All its patterns must match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct AutomaticRetry {
    /// The exit statuses it is for.
    pub exit_status: Vec<ExitStatus>,
    /// The signal it is for: without `SIG`, in upper case.
    pub signal: Pattern,
    /// The reason of the signal it is for.
    pub signal_reason: Pattern,
    /// How often it retries, 0 to 10.
    pub limit: u64,
    /// Where the rule was written.
    #[serde(skip)]
    pub span: Span,
}

/// A pattern for something that may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// `*`: anything, also its absence.
    Any,
    /// `none`: only its absence.
    Absent,
    /// Exactly this.
    Is(String),
}

/// What a person may do with a finished job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub struct ManualRetry {
    /// Whether it can be retried.
    pub allowed: bool,
    /// Whether it can be retried after it has passed.
    pub permit_on_passed: bool,
    /// Why it cannot be retried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How a job ended, as far as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended<'a> {
    /// The exit status.
    pub exit_status: i64,
    /// The signal that ended it, with or without `SIG`.
    pub signal: Option<&'a str>,
    /// Why there was a signal.
    pub signal_reason: Option<&'a str>,
}

impl Default for ManualRetry {
    fn default() -> Self {
        Self { allowed: true, permit_on_passed: false, reason: None }
    }
}

impl SoftFail {
    /// Whether a failure with this exit status is soft.
    pub fn covers(&self, exit_status: i64) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::On(statuses) => statuses.iter().any(|status| status.matches(exit_status)),
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        reader.node(&["soft_fail"]).map_or(Self::Never, |node| Self::from_node(node, reader))
    }

    fn from_node(node: &Node, reader: &mut Reader<'_>) -> Self {
        match &node.kind {
            NodeKind::Sequence(items) => {
                let mut statuses = Vec::with_capacity(items.len());
                for item in items {
                    match item.get("exit_status") {
                        Some(status) => statuses.extend(exit_status(reader, status)),
                        None => reader.report(wrong("soft_fail", item, "a mapping with `exit_status`")),
                    }
                }
                Self::On(statuses)
            }
            _ => match boolean(node) {
                Some(true) => Self::Always,
                Some(false) => Self::Never,
                None => {
                    reader.report(wrong("soft_fail", node, "true, false or a list of `exit_status`"));
                    Self::Never
                }
            },
        }
    }

    /// Reads the value of a `soft_fail` key that stands outside a step, such as in a matrix adjustment.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let nothing = Mapping::new();
        let mut reader = Reader::new(&nothing);
        let value = Self::from_node(node, &mut reader);
        reader.finish(value)
    }
}

impl ExitStatus {
    /// Whether the pattern covers an exit status.
    pub fn matches(self, exit_status: i64) -> bool {
        match self {
            Self::Any => (1..=255).contains(&exit_status),
            Self::Code(code) => code == exit_status,
        }
    }
}

impl Retry {
    /// The first automatic rule that covers an end, with its place in the list.
    pub fn rule_for(&self, ended: Ended<'_>) -> Option<(usize, &AutomaticRetry)> {
        self.automatic.iter().enumerate().find(|(_, rule)| rule.covers(ended))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        reader
            .nested("retry", |retry, _| Self { automatic: automatic(retry), manual: manual(retry) })
            .unwrap_or_default()
    }

    /// Reads the value of a `retry` key that stands in a step which may not be readable as a whole.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub fn parse(node: &Node) -> Result<Self, Vec<Diagnostic>> {
        let Some(mapping) = node.as_mapping() else {
            return Err(vec![wrong("retry", node, "a mapping")]);
        };
        let mut reader = Reader::new(mapping);
        let value = Self { automatic: automatic(&mut reader), manual: manual(&mut reader) };
        reader.finish(value)
    }
}

impl AutomaticRetry {
    fn covers(&self, ended: Ended<'_>) -> bool {
        let signal = ended.signal.map(signal_name);
        self.exit_status.iter().any(|status| status.matches(ended.exit_status))
            && self.signal.matches(signal.as_deref())
            && self.signal_reason.matches(ended.signal_reason)
    }

    /// `automatic: true`: every failure of a process, twice.
    pub fn everything(span: Span) -> Self {
        Self {
            exit_status: vec![ExitStatus::Any],
            signal: Pattern::Any,
            signal_reason: Pattern::Any,
            limit: DEFAULT_RETRY_LIMIT,
            span,
        }
    }
}

impl Pattern {
    fn matches(&self, value: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => value.is_none(),
            Self::Is(expected) => value == Some(expected),
        }
    }

    fn parse(text: &str, normalise: impl Fn(&str) -> String) -> Self {
        match text {
            "*" => Self::Any,
            _ if text.eq_ignore_ascii_case("none") => Self::Absent,
            _ => Self::Is(normalise(text)),
        }
    }
}

fn signal_name(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    upper.strip_prefix("SIG").map_or(upper.clone(), ToOwned::to_owned)
}

fn automatic(reader: &mut Reader<'_>) -> Vec<AutomaticRetry> {
    let Some(node) = reader.node(&["automatic"]) else { return Vec::new() };
    let items = match &node.kind {
        NodeKind::Sequence(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let mut rules = Vec::with_capacity(items.len());
    for item in items {
        match (&item.kind, boolean(item)) {
            (NodeKind::Mapping(mapping), _) => rules.push(reader.within(mapping, item.span, automatic_rule)),
            (_, Some(true)) => rules.push(AutomaticRetry::everything(item.span)),
            (_, Some(false)) => {}
            (_, None) => reader.report(wrong("automatic", item, "true, false or a rule such as `{exit_status: 1}`")),
        }
    }
    rules
}

fn automatic_rule(rule: &mut Reader<'_>, span: Span) -> AutomaticRetry {
    let mut result = AutomaticRetry::everything(span);
    if let Some(node) = rule.node(&["exit_status"]) {
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node));
        result.exit_status = items.iter().filter_map(|item| exit_status(rule, item)).collect();
    }
    if let Some(signal) = rule.text(&["signal"]) {
        result.signal = Pattern::parse(&signal, signal_name);
    }
    if let Some(reason) = rule.text(&["signal_reason"]) {
        result.signal_reason = Pattern::parse(&reason, ToOwned::to_owned);
    }
    if let Some(limit) = rule.count(&["limit"], 0) {
        if limit.value > MAX_RETRY_LIMIT {
            let message = format!("`limit` is {}, expected at most {MAX_RETRY_LIMIT}", limit.value);
            rule.report(Diagnostic::error(message).at(limit.span));
        }
        result.limit = limit.value;
    }
    result
}

fn manual(reader: &mut Reader<'_>) -> ManualRetry {
    let mut result = ManualRetry::default();
    let Some(node) = reader.node(&["manual"]) else { return result };
    if let Some(allowed) = boolean(node) {
        result.allowed = allowed;
    } else {
        reader.nested("manual", |manual, _| {
            result.allowed = manual.boolean("allowed").unwrap_or(result.allowed);
            result.permit_on_passed = manual.boolean("permit_on_passed").unwrap_or(result.permit_on_passed);
            result.reason = manual.text(&["reason"]).map(|reason| reason.value);
        });
    }
    result
}

fn exit_status(reader: &mut Reader<'_>, node: &Node) -> Option<ExitStatus> {
    match (node.as_str(), integer(node)) {
        (Some("*"), _) => Some(ExitStatus::Any),
        (_, Some(code)) if (-1..=255).contains(&code) => Some(ExitStatus::Code(code)),
        _ => {
            reader.report(wrong("exit_status", node, "`\"*\"` or an integer from -1 to 255"));
            None
        }
    }
}
