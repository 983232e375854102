//! The summary people read: Markdown.

use crate::report::{Case, Outcome, Report};
use crate::{FailureFormat, Params};

/// Failures shown in full; the rest is counted.
const MAX_SHOWN: usize = 100;
/// Bytes after which no further failure is shown in full: an annotation has 1 MiB at most.
const MAX_BYTES: usize = 512 << 10;

/// The counts in a line.
pub fn line(report: &Report) -> String {
    let Report { tests, failures, errors, skipped, .. } = report;
    format!("{tests} tests, {failures} failed, {errors} with errors, {skipped} skipped")
}

/// The whole summary.
pub fn summary(report: &Report, params: &Params) -> String {
    let mut text = format!("**{}**\n", line(report));
    let failed: Vec<&Case> =
        report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed | Outcome::Error)).collect();
    let mut shown = 0;
    for case in failed.iter().take(MAX_SHOWN) {
        if text.len() > MAX_BYTES {
            break;
        }
        shown += 1;
        text.push_str(&format!("\n<details>\n<summary>{}</summary>\n", escaped(&title(case, params.failure_format))));
        if !case.detail.is_empty() {
            text.push_str(&format!("\n<pre><code>{}</code></pre>\n", escaped(&case.detail)));
        }
        text.push_str("\n</details>\n");
    }
    let total = usize::try_from(report.failures + report.errors).unwrap_or(usize::MAX);
    if total > shown {
        text.push_str(&format!("\nand {} more\n", total - shown));
    }
    if params.report_skipped {
        list(&mut text, "Skipped", report.cases.iter().filter(|case| case.outcome == Outcome::Skipped), |case| {
            title(case, params.failure_format)
        });
    }
    if params.report_slowest > 0 {
        let mut slowest: Vec<&Case> = report.cases.iter().filter(|case| case.time > 0.0).collect();
        slowest.sort_by(|a, b| b.time.total_cmp(&a.time));
        list(&mut text, "Slowest", slowest.into_iter().take(params.report_slowest), |case| {
            format!("{} ({:.2} s)", title(case, params.failure_format), case.time)
        });
    }
    text
}

/// A line for each failure.
pub fn failed(report: &Report, format: FailureFormat) -> Vec<String> {
    let failed = |case: &&Case| matches!(case.outcome, Outcome::Failed | Outcome::Error);
    report.cases.iter().filter(failed).take(MAX_SHOWN).map(|case| format!("failed: {}", title(case, format))).collect()
}

fn list<'a>(text: &mut String, heading: &str, cases: impl Iterator<Item = &'a Case>, show: impl Fn(&Case) -> String) {
    let items: Vec<String> = cases.take(MAX_SHOWN).map(|case| format!("* {}\n", escaped(&show(case)))).collect();
    if !items.is_empty() {
        text.push_str(&format!("\n{heading}:\n\n{}", items.concat()));
    }
}

fn title(case: &Case, format: FailureFormat) -> String {
    let place = match format {
        FailureFormat::Classname => &case.class,
        FailureFormat::File => &case.file,
    };
    if place.is_empty() { case.name.clone() } else { format!("{} in {place}", case.name) }
}

/// Text that stays text in Markdown and HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params {
            artifacts: "*".to_owned(),
            failure_format: FailureFormat::Classname,
            fail_build_on_error: false,
            report_slowest: 1,
            report_skipped: true,
            always_annotate: false,
            context: "junit".to_owned(),
        }
    }

    #[test]
    fn failures_first_and_markup_stays_text() {
        let mut report = Report::default();
        report
            .read(b"<testsuite><testcase name='slow' time='3'/><testcase name='&lt;b&gt;' classname='c'><failure>&lt;/pre&gt;</failure></testcase><testcase name='s'><skipped/></testcase></testsuite>")
            .unwrap();
        let expected = "**3 tests, 1 failed, 0 with errors, 1 skipped**\n\n<details>\n<summary>&lt;b&gt; in c</summary>\n\n\
            <pre><code>&lt;/pre&gt;</code></pre>\n\n</details>\n\nSkipped:\n\n* s\n\nSlowest:\n\n* slow (3.00 s)\n";
        assert_eq!(summary(&report, &params()), expected);
    }
}
