//! Plans of small pipelines.

use super::build;
use crate::pipeline::{Diagnostic, Source, parse};
use crate::plan::BuildContext;

fn errors(text: &str) -> Vec<Diagnostic> {
    let pipeline = parse(&Source::new("p.yml", text)).unwrap().pipeline;
    build(&pipeline, "p.yml", &BuildContext::default()).unwrap_err()
}

fn names(text: &str) -> Vec<String> {
    let pipeline = parse(&Source::new("p.yml", text)).unwrap().pipeline;
    let (plan, _) = build(&pipeline, "p.yml", &BuildContext::default()).unwrap();
    plan.jobs.into_iter().map(|job| job.name).collect()
}

#[test]
fn names_are_unique() {
    // `x-2` is both the second job of the first step and what the next `x` would be called.
    assert_eq!(names("[{command: x, parallelism: 3}, {command: x}, {command: x}]"), ["x-1", "x-2", "x-3", "x", "x-4"]);
    assert_eq!(names("[{command: x-2}, {command: x}, {command: x}, {command: x-2}]"), ["x-2", "x", "x-3", "x-2-2"]);
    assert_eq!(names("[wait, wait, {command: wait}]"), ["wait", "wait-2", "wait-3"]);
}

#[test]
fn a_job_is_waited_for_once() {
    let text = "[{command: a, key: a}, wait, {command: b, key: b, parallelism: 2}, \
                {uses: x@1, depends_on: [b, {step: b, allow_failure: true}, a], with: {a: '{{ steps.b.outputs.n }}'}}, \
                {uses: x@1, with: {a: '{{ steps.a.outputs.n }}{{ steps.a.outputs.m }}'}}]";
    let pipeline = parse(&Source::new("p.yml", text)).unwrap().pipeline;
    let (plan, _) = build(&pipeline, "p.yml", &BuildContext::default()).unwrap();
    let edges =
        |job: usize| plan.jobs[job].depends_on.iter().map(|edge| (edge.job.0, edge.allow_failure)).collect::<Vec<_>>();
    assert_eq!(edges(4), [(2, false), (3, false), (0, false)]);
    assert_eq!(edges(5), [(1, false), (0, false)]);
}

#[test]
fn repeated_conditions_are_decided_alike() {
    let condition = "if: \"build.branch == 'main'\"";
    let text = format!("[{{command: a, {condition}}}, {{command: b, {condition}}}, {{command: c, if: 'true'}}]");
    let pipeline = parse(&Source::new("p.yml", text)).unwrap().pipeline;
    for (branch, expected) in [("main", [false, false, false]), ("other", [true, true, false])] {
        let context = BuildContext { branch: branch.to_owned(), ..BuildContext::default() };
        let (plan, _) = build(&pipeline, "p.yml", &context).unwrap();
        assert_eq!(plan.jobs.iter().map(|job| job.skip.is_some()).collect::<Vec<_>>(), expected);
    }
    assert_eq!(errors("[{command: a, if: nope}, {command: b, if: nope}]").len(), 2, "each mistake has its place");
}

#[test]
fn hostile_sizes_end_in_errors() {
    let many = "- {command: x, parallelism: 500}\n".repeat(600);
    assert!(errors(&many)[0].message.contains("more than 250000 jobs"));

    let mut dense = String::new();
    for step in 0..10 {
        dense += &format!("- {{command: x, parallelism: 500, key: k{step}}}\n");
    }
    let keys: Vec<String> = (0..10).map(|step| format!("k{step}")).collect();
    dense += &format!("- {{command: y, parallelism: 500, depends_on: [{}]}}\n", keys.join(", ")).repeat(5);
    assert!(errors(&dense)[0].message.contains("jobs in `depends_on`"));

    let mut lost = String::new();
    for step in 0..3000 {
        lost += &format!("- {{command: x, key: key-number-{step}, depends_on: nowhere}}\n");
    }
    let errors = errors(&lost);
    assert_eq!(errors.len(), 3000);
    let advice: usize = errors.iter().filter_map(|error| error.help.as_ref()).map(String::len).sum();
    assert!(advice < 30_000, "{advice} bytes of advice");
}
