//! The time the caller's job has.

use super::caller::{Caller, plain};
use super::protocol::Reply;
use std::time::Duration;

impl Caller {
    /// Counts from the beginning of the attempt; when that much has passed, the job ends now.
    pub(super) fn set_limit(&self, minutes: u64) -> (Reply, Vec<String>) {
        self.limit.send_replace(Some(Duration::from_secs(minutes.saturating_mul(60))));
        self.scope.log.line(&format!("the job now has {minutes} minutes from its beginning on"));
        plain(Reply::Done)
    }
}
