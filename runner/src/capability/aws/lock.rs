//! One job at a time changes a stack. The service refuses a second operation on most states, not on all.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

/// The right to change a stack, until it is dropped.
pub(super) type Lease = OwnedMutexGuard<()>;

/// Per process, whoever made the clients: two runs in one process must not meet on a stack either.
static LOCKS: LazyLock<Mutex<HashMap<String, Arc<Lock<()>>>>> = LazyLock::new(Mutex::default);

/// The lease, unless somebody has it.
pub(super) fn try_take(key: &str) -> Option<Lease> {
    lock_of(key).try_lock_owned().ok()
}

/// The lease, when everybody who asked before has given it back.
pub(super) async fn take(key: &str) -> Lease {
    lock_of(key).lock_owned().await
}

fn lock_of(key: &str) -> Arc<Lock<()>> {
    let mut locks = LOCKS.lock().unwrap_or_else(PoisonError::into_inner);
    // A lock that only this map holds is free and waited for by nobody.
    locks.retain(|name, lock| name == key || Arc::strong_count(lock) > 1);
    locks.entry(key.to_owned()).or_default().clone()
}
