//! Runs as a table of 80 columns.

use super::history::{RunSummary, Standing};
use super::{moment, text};
use anstyle::{AnsiColor, Style};

const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// A line a run, the newest first as given.
#[must_use]
pub fn table(runs: &[RunSummary], now: u64) -> String {
    let mut out = format!(
        "{DIM}{:>5} {:<13} {:<14} {:<12} {:<8} {:>9} {:>6} {}{DIM:#}\n",
        "RUN", "STATE", "PIPELINE", "BRANCH", "COMMIT", "TOOK", "AGE", "BY"
    );
    for run in runs {
        let (style, mark) = mark(run.state);
        let commit: String = run.commit.chars().take(8).collect();
        let columns = [
            format!("{BOLD}{:>5}{BOLD:#}", run.number),
            format!("{style}{mark} {:<11}{style:#}", run.state.word()),
            format!("{:<14}", ending(&text::plain(&run.pipeline), 14)),
            format!("{:<12}", beginning(&text::plain(&run.branch), 12)),
            format!("{:<8}", text::plain(&commit)),
            format!("{:>9}", brief(run.duration_ms)),
            format!("{:>6}", moment::ago(now.saturating_sub(run.created_at.0))),
            beginning(&text::plain(&run.who()), 6),
        ];
        out.push_str(columns.join(" ").trim_end());
        out.push('\n');
    }
    out
}

/// The colour and the mark of a state.
pub(super) fn mark(state: Standing) -> (Style, &'static str) {
    let (colour, mark) = match state {
        Standing::Running => (AnsiColor::Cyan, "▶"),
        Standing::Blocked => (AnsiColor::Yellow, "⏸"),
        Standing::Interrupted => (AnsiColor::Yellow, "↻"),
        Standing::Passed => (AnsiColor::Green, "✔"),
        Standing::Failed => (AnsiColor::Red, "✘"),
        Standing::Cancelled => (AnsiColor::Yellow, "■"),
    };
    (colour.on_default(), mark)
}

/// A span of time in at most nine characters.
fn brief(milliseconds: u64) -> String {
    match milliseconds / 60_000 {
        0 => text::duration(milliseconds),
        minutes @ 1..60 => format!("{minutes}m {}s", milliseconds % 60_000 / 1000),
        minutes @ 60..6000 => format!("{}h {}m", minutes / 60, minutes % 60),
        minutes => format!("{} d", minutes / 1440),
    }
}

fn beginning(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width - 1).chain(['…']).collect()
}

/// The end of a path says more than its beginning.
fn ending(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    ['…'].into_iter().chain(text.chars().skip(count - width + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_table_fits_80_columns_and_nothing_in_it_moves_the_cursor() {
        let run = |number: u64, state, pipeline: &str, branch: &str, duration_ms| RunSummary {
            number,
            id: String::new(),
            state,
            pipeline: pipeline.to_owned(),
            branch: branch.to_owned(),
            commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
            message: String::new(),
            creator: "Ana Bolena".to_owned(),
            source: "ui".to_owned(),
            triggered_by: (number == 12).then_some(11),
            created_at: moment::Moment(1000),
            updated_at: moment::Moment(1000 + duration_ms),
            duration_ms,
        };
        let runs = [
            run(12_345, Standing::Running, ".buildkite/pipeline.deploy.yml", "feature/a-long-one", 59_999),
            run(12, Standing::Blocked, "pipeline.yml", "main\u{1b}[2J\u{202e}", 3_599_000),
            run(11, Standing::Interrupted, "pipeline.yml", "", 359_999_000),
            run(3, Standing::Failed, "pipeline.yml", "main", 9_999_999_000),
        ];
        let table = anstream::adapter::strip_str(&table(&runs, 400_000_000)).to_string();
        expect![[r"
              RUN STATE         PIPELINE       BRANCH       COMMIT        TOOK    AGE BY
            12345 ▶ running     …ne.deploy.yml feature/a-l… 01234567    59.9 s    4 d Ana B…
               12 ⏸ blocked     pipeline.yml   main         01234567   59m 59s    4 d run 11
               11 ↻ interrupted pipeline.yml                01234567   99h 59m    4 d Ana B…
                3 ✘ failed      pipeline.yml   main         01234567     115 d    4 d Ana B…
        "]]
        .assert_eq(&table);
        assert!(table.lines().all(|line| line.chars().count() <= 80));
    }
}
