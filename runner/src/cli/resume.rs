//! `runner resume`

use super::error::{Error, ExitStatus};
use super::opened::Further;
use clap::Args;

/// Go on with a run whose process has ended.
///
/// Jobs that are over stay over. An attempt that was lost with the process is made anew; what it left behind on the Docker
/// Engine is removed first.
#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    #[command(flatten)]
    further: Further,
}

impl Resume {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = self.further.open(self.run.as_deref()).await?;
        let number = opened.record.number;
        let state = opened.state().await?;
        if state.run_result().is_some() {
            return Err(Error::usage(format!("run {number} is over")).help("`runner retry` runs jobs of it again"));
        }
        if opened.is_driven()? {
            return Err(Error::usage(format!("another process is driving run {number}")));
        }
        opened.go_on(&self.further, state.sequence()).await
    }
}
