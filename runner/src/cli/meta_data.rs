//! `runner meta-data`

use super::error::{Error, ExitStatus};
use super::opened::Opened;
use super::plan::{json, print};
use crate::report::text::{plain, printable};
use clap::Args;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Show the meta-data of a run, or the value of one key.
#[derive(Debug, Args)]
pub(super) struct MetaData {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// Only the value of this key, as it is
    key: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl MetaData {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = Opened::find(&self.directory, self.run.as_deref()).await?;
        let number = opened.record.number;
        let state = opened.state().await?;
        let data = state.data().meta_data();
        let Some(key) = &self.key else {
            if self.json {
                print(&json(data)?)?;
            } else if data.is_empty() {
                print(&format!("run {number} has no meta-data\n"))?;
            } else {
                let lines = data.iter().map(|(key, value)| format!("{}={}", plain(key), plain(value)));
                print(&(lines.collect::<Vec<_>>().join("\n") + "\n"))?;
            }
            return Ok(ExitStatus::Passed);
        };
        let value = data.get(key).ok_or_else(|| {
            let known: Vec<String> = data.keys().take(20).map(|key| plain(key)).collect();
            let help = match known.as_slice() {
                [] => "it has no meta-data".to_owned(),
                known => format!("its keys are: {}", known.join(", ")),
            };
            Error::usage(format!("run {number} has no meta-data `{}`", plain(key))).help(help)
        })?;
        if self.json {
            print(&json(value)?)?;
        } else if std::io::stdout().is_terminal() {
            // A program gets the value as it is; a terminal would obey what is in it.
            let lines: Vec<String> = value.lines().map(printable).collect();
            print(&format!("{}\n", lines.join("\n")))?;
        } else {
            print(&format!("{value}\n"))?;
        }
        Ok(ExitStatus::Passed)
    }
}
