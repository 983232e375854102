//! The run's meta-data.

use super::caller::{Answer, Caller, plain};
use super::protocol::Reply;
use crate::capability::Error;
use crate::event::EventKind;
use futures_util::future::try_join_all;
use indexmap::IndexMap;

/// Bytes of a key.
const MAX_KEY: usize = 255;

/// Bytes of a value; Buildkite's limit.
const MAX_VALUE: usize = 100 << 10;

impl Caller {
    /// Sets all values, or none when one of them cannot be.
    pub(super) async fn set_meta_data(&self, values: IndexMap<String, String>) -> Answer {
        for (key, value) in &values {
            if key.trim().is_empty() || key.len() > MAX_KEY {
                return Err(Error::Invalid(format!(
                    "a meta-data key of {} bytes; expected 1 to {MAX_KEY}, and not only spaces",
                    key.len()
                )));
            }
            if value.trim().is_empty() || value.len() > MAX_VALUE {
                return Err(Error::Invalid(format!(
                    "the value of the meta-data `{key}` has {} bytes; expected 1 byte to 100 KiB, and not only spaces",
                    value.len()
                )));
            }
        }
        for key in values.keys() {
            self.scope.check_name("a meta-data key", key)?;
        }
        let mut warnings = Vec::new();
        let mut events = Vec::with_capacity(values.len());
        for (key, value) in values {
            let value = self.without_secrets(&value, &format!("the value of the meta-data `{key}`"), &mut warnings);
            events.push(self.record(EventKind::MetaDataSet { key, value }));
        }
        // Together, so that they share one write to the disk.
        try_join_all(events).await?;
        Ok((Reply::Done, warnings))
    }

    pub(super) async fn meta_data(&self, key: String) -> Answer {
        let value = self.scope.recorder.read(move |run| run.data().meta_data().get(&key).cloned());
        Ok(plain(Reply::Value(value.await?)))
    }

    pub(super) async fn meta_data_keys(&self) -> Answer {
        let keys = self.scope.recorder.read(|run| run.data().meta_data().keys().cloned().collect());
        Ok(plain(Reply::Names(keys.await?)))
    }
}
