//! Reads `JUnit` reports among the run's artifacts and annotates the run with what failed.

mod report;
mod summary;

use report::Report;
use runner_sdk::annotations::{self, Annotation, Style};
use runner_sdk::{Context, Failure, Needs, Step, Unknown, artifacts, log};

/// Which reports, and how to sum them up.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// Artifacts that are `JUnit` reports: a path, or a pattern in which `*` stands for any run of characters.
    #[schemars(length(min = 1))]
    artifacts: String,
    /// What a failure is called by, besides its name.
    #[serde(default)]
    failure_format: FailureFormat,
    /// Whether the step fails when a test failed.
    #[serde(default)]
    fail_build_on_error: bool,
    /// How many of the slowest tests to name.
    #[serde(default)]
    report_slowest: usize,
    /// Whether to name skipped tests.
    #[serde(default)]
    report_skipped: bool,
    /// Whether to annotate when nothing failed.
    #[serde(default)]
    always_annotate: bool,
    /// The annotation's name; a later one of the same name takes its place.
    #[serde(default = "default_context")]
    context: String,
}

fn default_context() -> String {
    "junit".to_owned()
}

/// What a failure is called by, besides its name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureFormat {
    /// The class.
    #[default]
    Classname,
    /// The file.
    File,
}

/// What later jobs can read.
#[derive(serde::Serialize, schemars::JsonSchema)]
pub struct Outputs {
    /// Reports that were read.
    files: usize,
    /// Tests in them.
    tests: u64,
    /// Tests that failed.
    failures: u64,
    /// Tests that could not be run.
    errors: u64,
    /// Tests that were left out.
    skipped: u64,
}

struct JunitAnnotate;

impl Step for JunitAnnotate {
    const NAME: &'static str = "junit-annotate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Sums up JUnit reports.";
    type Params = Params;
    type Outputs = Outputs;

    fn needs(_params: &Params, _unknown: &Unknown) -> Result<Needs, Failure> {
        Ok(Needs::new().artifacts(false).annotations())
    }

    fn run(params: Params) -> Result<Outputs, Failure> {
        let query = params.artifacts.trim_start_matches("./");
        let mut report = Report::default();
        let mut paths: Vec<String> = Vec::new();
        for artifact in artifacts::all().context("list the run's artifacts")? {
            if matches(query, &artifact.path) && !paths.contains(&artifact.path) {
                paths.push(artifact.path);
            }
        }
        if paths.is_empty() {
            return Err(Failure::new(format!("no artifact of this run matches `{query}`"))
                .remedy("Store the reports with `artifact_paths` or the artifacts plugin in the steps before."));
        }
        for path in &paths {
            let text = artifacts::fetch(path).context(format!("fetch `{path}`"))?;
            report.read(&text).map_err(|reason| {
                Failure::new(format!("`{path}` is no JUnit report: {reason}"))
                    .remedy("Let the pattern in `artifacts` match JUnit reports only.")
            })?;
        }
        let summary = summary::summary(&report, &params);
        log::group(&summary::line(&report));
        if report.has_failed() || params.always_annotate {
            for failed in summary::failed(&report, params.failure_format) {
                log::info(&failed);
            }
            let style = if report.has_failed() { Style::Error } else { Style::Info };
            let annotation = Annotation { context: params.context.clone(), style, body: summary, extras: Vec::new() };
            annotations::annotate(&annotation).context("annotate the run")?;
        }
        if report.has_failed() && params.fail_build_on_error {
            return Err(Failure::new(format!("tests failed: {}", summary::line(&report))));
        }
        let Report { tests, failures, errors, skipped, .. } = report;
        Ok(Outputs { files: paths.len(), tests, failures, errors, skipped })
    }
}

/// Whether a query for artifacts finds this path: `*` stands for any run of characters, across directories too.
fn matches(query: &str, path: &str) -> bool {
    let crossing = query.replace("**/", "*").replace('*', "**/*");
    query == path || fast_glob::glob_match(query, path) || fast_glob::glob_match(&crossing, path)
}

runner_sdk::export_step!(JunitAnnotate);
