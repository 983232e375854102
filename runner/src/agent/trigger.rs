//! Jobs that start a run of another pipeline.

use super::JobLog;
use crate::event::JobResult;
use crate::plan::{Job, TriggerJob};
use tokio_util::sync::CancellationToken;

/// Starts runs of other pipelines.
#[async_trait::async_trait]
pub trait Triggers: Send + Sync {
    /// Starts the run, and waits for its end unless the job is detached. What the run reports goes to the job's log. The
    /// run that an attempt has started which was lost is gone on with: `begun_in` is the first of them.
    async fn start(&self, job: &Job, begun_in: u32, trigger: &TriggerJob, log: &JobLog, ending: Ending) -> JobResult;
}

/// How a job is asked to end.
#[derive(Debug, Clone)]
pub struct Ending {
    /// It is asked to end, and has its grace time.
    pub cancelled: CancellationToken,
    /// It has to end at once.
    pub killed: CancellationToken,
}
