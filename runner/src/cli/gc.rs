//! `runner gc`

use super::collect::{Collector, DiskUse, Gone, trim_caches};
use super::error::{Error, ExitStatus};
use super::project::Project;
use crate::plan::grant::ByteSize;
use crate::plan::retention::{Age, Beyond, Limit, Retention};
use crate::report::bytes;
use clap::Args;
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Remove old runs, and show what takes room on the disk.
///
/// Every run does so by itself, once an hour, with the limits that `retention` in runner.yml sets. A run that waits for a
/// person is never removed unless it is named, one that a process drives never at all; the newest run that is over
/// stays.
#[derive(Debug, Args)]
pub(super) struct Gc {
    /// Remove these runs, by number, whatever the limits say
    #[arg(value_name = "RUN")]
    run: Vec<String>,
    /// Keep runs so long after their last event: `12h`, `30d`; `none` for ever [default: runner.yml, else 90d]
    #[arg(long, value_name = "TIME", conflicts_with = "run")]
    age: Option<Limit<Age>>,
    /// Keep so many runs; `none` for all [default: runner.yml, else 1000]
    #[arg(long, value_name = "NUMBER", value_parser = number, conflicts_with = "run")]
    keep: Option<Limit<u64>>,
    /// Keep so much of logs and artifacts: `500MiB`; `none` for all [default: runner.yml, else 10GiB]
    #[arg(long, value_name = "SIZE", conflicts_with = "run")]
    size: Option<Limit<ByteSize>>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Gc {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let project = Project::open(&self.directory)?;
        let settings = project.settings()?.retention;
        let limits = Retention {
            age: self.age.unwrap_or(settings.age),
            runs: self.keep.unwrap_or(settings.runs),
            size: self.size.unwrap_or(settings.size),
        };
        let mut collector = Collector::survey(&project).await?;
        let mut gone = if self.run.is_empty() { collector.beyond(limits) } else { collector.named(&self.run).await? };
        if !self.dry_run {
            gone = collector.remove(gone).await?;
            trim_caches(&project)?;
            collector.compact()?;
        }
        let disk_use = collector.disk_use();
        let text = if self.json { self.json(&gone, &disk_use) } else { self.text(&gone, &disk_use) };
        anstream::stdout().write_all(text.as_bytes()).map_err(|error| Error::environment(error.to_string()))?;
        Ok(ExitStatus::Passed)
    }

    fn text(&self, gone: &[Gone], disk_use: &DiskUse) -> String {
        let removed = if self.dry_run { "would remove" } else { "removed" };
        let mut text = String::new();
        for Gone { record, beyond, size } in gone {
            let reason = beyond.map_or("named", why);
            text.push_str(&format!("{removed} run {} ({reason}, {})\n", record.number, bytes(*size)));
        }
        if gone.is_empty() {
            text.push_str("there is nothing to remove\n");
        }
        let DiskUse { runs, files, log, components, steps } = disk_use;
        let runs = if *runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
        for (what, size) in [
            (format!("logs and artifacts of {runs}"), files),
            ("the event log".to_owned(), log),
            ("compiled components, for all projects".to_owned(), components),
            ("results of steps, for all projects".to_owned(), steps),
        ] {
            text.push_str(&format!("{:>12}  {what}\n", bytes(*size)));
        }
        text
    }

    fn json(&self, gone: &[Gone], disk_use: &DiskUse) -> String {
        let gone: Vec<_> = gone
            .iter()
            .map(|Gone { record, beyond, size }| {
                let reason = beyond.map_or("named", |beyond| match beyond {
                    Beyond::Age => "age",
                    Beyond::Runs => "runs",
                    Beyond::Size => "size",
                });
                json!({ "number": record.number, "id": record.id, "reason": reason, "bytes": size })
            })
            .collect();
        let DiskUse { runs, files, log, components, steps } = disk_use;
        let disk_use = json!({ "runs": runs, "files": files, "log": log, "components": components, "steps": steps });
        format!("{:#}\n", json!({ "removed": gone, "dry_run": self.dry_run, "disk_use": disk_use }))
    }
}

fn why(beyond: Beyond) -> &'static str {
    match beyond {
        Beyond::Age => "too old",
        Beyond::Runs => "one too many",
        Beyond::Size => "too large together with the newer ones",
    }
}

fn number(text: &str) -> Result<Limit<u64>, String> {
    match text {
        "none" => Ok(Limit::None),
        number => number.parse().map(Limit::At).map_err(|_| "expected a number, or `none`".to_owned()),
    }
}
