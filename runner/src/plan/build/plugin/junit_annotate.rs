//! `junit-annotate`: a summary of `JUnit` reports; a step of its own, or after a command.

use super::options::Options;
use super::{Plugged, StepFacts};
use crate::plan::grant::{Access, Grants};
use crate::plan::job::Phase;
use serde_json::{Map, Value};

/// Maps the junit-annotate plugin.
pub(super) fn map(options: &mut Options<'_>, facts: &StepFacts<'_>) -> Plugged {
    options.without_effect(&["run-in-docker", "ruby-image", "job-uuid-file-pattern", "annotate", "test-summary"]);
    options.refuse(&[("run-annotate", "remove it")]);
    let mut params = Map::new();
    match options.text("artifacts") {
        Some(artifacts) => drop(params.insert("artifacts".to_owned(), artifacts.value.into())),
        None => {
            options.error(options.span(), "the plugin `junit-annotate` names no reports", "add `artifacts: PATTERN`");
        }
    }
    for (name, param) in [
        ("always-annotate", "always_annotate"),
        ("fail-build-on-error", "fail_build_on_error"),
        ("report-skipped", "report_skipped"),
    ] {
        if let Some(flag) = options.flag(name) {
            params.insert(param.to_owned(), flag.into());
        }
    }
    if let Some(format) = options.text("failure-format") {
        params.insert("failure_format".to_owned(), format.value.into());
    }
    if let Some(context) = options.text("context") {
        params.insert("context".to_owned(), context.value.into());
    }
    if let Some(slowest) = options.text("report-slowest") {
        match slowest.parse::<u32>() {
            Ok(slowest) => drop(params.insert("report_slowest".to_owned(), slowest.into())),
            Err(_) => options.error(slowest.span, "`report-slowest` is no whole number", ""),
        }
    }
    let phase = Phase {
        uses: "junit-annotate@1".to_owned(),
        params: Value::Object(params),
        grants: Grants { artifacts: Some(Access::Read), annotations: true, ..Grants::default() },
        ..Phase::default()
    };
    match facts.command {
        Some(_) => Plugged { after: vec![phase], ..Plugged::default() },
        None => Plugged { instead: Some(phase), ..Plugged::default() },
    }
}
