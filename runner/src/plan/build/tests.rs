//! Plans of small pipelines.

use super::build;
use crate::pipeline::{Source, parse};
use crate::plan::BuildContext;

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
