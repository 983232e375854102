//! Takes any bytes through every stage between a pipeline file and its plan. Nothing may panic, hang or grow without
//! bound, every place that a finding names must be in the text, and every plan must be one that can be run.

#![no_main]

use fuzz::pipeline::{Diagnostic, Env, Precedence, Source, parse_all};
use fuzz::plan::explain::{Facts, explain, find};
use fuzz::plan::{self, BuildContext, Plan};
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;

fuzz_target!(|bytes: &[u8]| {
    let Ok(source) = Source::from_bytes("pipeline.yml", bytes) else { return };
    let parsed = match parse_all(&source) {
        Ok(parsed) => parsed,
        Err(finding) => return check_places(&source, &[finding]),
    };
    for mut parsed in parsed {
        check_places(&source, &parsed.warnings);
        assert!(parsed.pipeline.to_json().is_object());
        let written = parsed.pipeline.clone();
        let env: Env = [("A", "é"), ("A_TOKEN", "secret"), ("CI", "true")].into_iter().collect();
        if let Err(finding) = parsed.pipeline.interpolate(&mut env.clone(), Precedence::Pipeline) {
            check_places(&source, &[finding]);
            continue;
        }
        assert!(parsed.pipeline.to_json().is_object());
        match plan::build_with_origins(&parsed.pipeline, "pipeline.yml", &context()) {
            Ok((plan, origins, warnings)) => {
                check_places(&source, &warnings);
                check_plan(&plan);
                assert_eq!(origins.len(), plan.jobs.len());
                let (source, pipeline, secret) = (&source, &parsed.pipeline, |name: &str| name.ends_with("_TOKEN"));
                let facts =
                    Facts { source, written: &written, pipeline, env: &env, plan: &plan, origins: &origins, secret };
                check_explanation(facts);
            }
            Err(findings) => check_places(&source, &findings),
        }
    }
});

fn context() -> BuildContext {
    BuildContext {
        branch: "main".to_owned(),
        commit: "1adf".to_owned(),
        message: "a message".to_owned(),
        default_branch: "main".to_owned(),
        source: "ui".to_owned(),
        ..BuildContext::default()
    }
}

fn check_places(source: &Source, findings: &[Diagnostic]) {
    for span in findings.iter().filter_map(|finding| finding.span) {
        assert!(source.text.get(span.start..span.end).is_some(), "{span:?} is not in the text");
        assert!(source.position(span.start) <= source.position(span.end));
    }
}

/// Names are unique, every dependency is there, and no job waits for itself.
fn check_plan(plan: &Plan) {
    let names: HashSet<&str> = plan.jobs.iter().map(|job| job.name.as_str()).collect();
    assert_eq!(names.len(), plan.jobs.len());
    for (id, job) in plan.jobs() {
        assert!(job.depends_on.iter().all(|edge| edge.job != id && edge.job.index() < plan.jobs.len()));
    }
}

/// A job's step can be found and explained. One is enough: each is work of the size of the pipeline.
fn check_explanation(facts: Facts<'_>) {
    let Some(job) = facts.plan.jobs.get(facts.source.text.len() % facts.plan.jobs.len().max(1)) else { return };
    let step = find(&facts, &job.name).expect("a job has a step");
    assert!(explain(facts, step).is_ok());
}
