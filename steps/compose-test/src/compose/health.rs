//! `healthcheck`.

use super::keys::{self, Place};
use super::model::HealthCheck;
use super::problem::{Code, Findings};
use super::value;
use super::yaml::{Node, Value};

/// Reads a health check.
pub fn read(node: &Node, findings: &mut Findings) -> Option<HealthCheck> {
    let mut health = HealthCheck { test: Vec::new(), interval: 0, timeout: 0, start_period: 0, retries: 0 };
    let mut disabled = false;
    for entry in value::map(node, findings) {
        let node = &entry.node;
        match entry.key.as_str() {
            "test" => health.test = test(node, findings),
            "interval" => health.interval = value::duration(node, findings).unwrap_or_default(),
            "timeout" => health.timeout = value::duration(node, findings).unwrap_or_default(),
            "start_period" => health.start_period = value::duration(node, findings).unwrap_or_default(),
            "retries" => health.retries = value::number(node, findings).unwrap_or_default(),
            "disable" => disabled = value::boolean(node, findings).unwrap_or_default(),
            key => keys::refuse(Place::HealthCheck, key, entry.at, findings),
        }
    }
    if disabled {
        health.test = vec!["NONE".to_owned()];
    } else if health.test.is_empty() {
        let remedy = "write `test: [\"CMD\", program, argument]` or `test: a shell command`";
        findings.refuse(Code::Value, node.at, "a health check without `test`", remedy);
        return None;
    }
    Some(health)
}

fn test(node: &Node, findings: &mut Findings) -> Vec<String> {
    let test: Vec<String> = match &node.value {
        Value::Scalar(command) => vec!["CMD-SHELL".to_owned(), command.clone()],
        _ => value::texts(value::list(node, findings), findings).into_iter().map(|(text, _)| text.to_owned()).collect(),
    };
    let arguments = test.len().saturating_sub(1);
    let fits = match test.first().map(String::as_str) {
        Some("NONE") => arguments == 0,
        Some("CMD") => arguments >= 1,
        Some("CMD-SHELL") => arguments == 1,
        _ => false,
    };
    if !fits {
        let remedy =
            "write `[\"CMD\", program, argument]`, `[\"CMD-SHELL\", command]`, `[\"NONE\"]` or one text for a shell";
        findings.refuse(Code::Value, node.at, "not a test the engine knows", remedy);
    }
    test
}
