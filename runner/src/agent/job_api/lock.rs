//! Locks of this user on this machine, and work that is done once in a run.
//!
//! A lock is a locked file, held by the process that drives the run for as long as the job that took it runs: the
//! kernel gives it back when that process ends, however it ends.

use super::caller::{Answer, Caller, plain};
use super::protocol::Reply;
use crate::capability::{Error, JobName};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Every lock and every piece of work the jobs of one run know of.
#[derive(Debug, Default)]
pub(super) struct Locks {
    directory: PathBuf,
    work: Mutex<HashMap<String, Work>>,
    changed: Notify,
}

/// A lock that a job holds.
#[derive(Debug)]
pub(super) struct Held {
    key: String,
    token: String,
    file: File,
}

#[derive(Debug)]
enum Work {
    /// Somebody does it.
    Doing(Arc<JobName>),
    /// It was done.
    Done,
}

/// How often a taken lock is tried again: another process may hold it, which tells nobody when it gives it back.
const RETRY: Duration = Duration::from_millis(50);

/// Locks one job can hold: each is an open file.
const MAX_HELD: usize = 100;

/// Pieces of work one run can remember.
const MAX_WORK: usize = 10_000;

/// Bytes of a key.
const MAX_KEY: usize = 1024;

impl Locks {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, ..Self::default() }
    }

    /// What a lock is held by, or how far a piece of work is; `None` when nobody holds or does it.
    pub(super) fn state(&self, key: &str) -> Result<Option<String>, Error> {
        check(key)?;
        match self.work().get(key) {
            Some(Work::Doing(_)) => return Ok(Some("doing".to_owned())),
            Some(Work::Done) => return Ok(Some("done".to_owned())),
            None => {}
        }
        // Asking must not leave a file behind.
        let mut file = match File::open(self.path(key)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| fault(key, &error))?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(std::fs::TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).map_err(|error| fault(key, &error))?;
                Ok(Some(holder))
            }
            Err(std::fs::TryLockError::Error(error)) => Err(fault(key, &error)),
        }
    }

    /// Gives back the work that a job which has ended had begun.
    pub(super) fn abandon(&self, name: &Arc<JobName>) {
        self.work().retain(|_, work| !matches!(work, Work::Doing(by) if by == name));
        self.changed.notify_waiters();
    }

    fn try_take(&self, key: &str) -> Result<Option<Held>, Error> {
        let mut file = self.open(key)?;
        match file.try_lock() {
            Ok(()) => {
                let otp = uuid::Uuid::new_v4().simple();
                let token = format!("acquired(pid={},otp={otp})", std::process::id());
                let mut write = || {
                    file.set_len(0)?;
                    file.write_all(token.as_bytes())
                };
                write().map_err(|error| fault(key, &error))?;
                Ok(Some(Held { key: key.to_owned(), token, file }))
            }
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(fault(key, &error)),
        }
    }

    /// The lock's file. It is never removed: somebody may wait for it.
    fn open(&self, key: &str) -> Result<File, Error> {
        let open = || {
            std::fs::create_dir_all(&self.directory)?;
            File::options().create(true).truncate(false).write(true).open(self.path(key))
        };
        open().map_err(|error| fault(key, &error))
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{:x}", Sha256::digest(key)))
    }

    /// Whether the caller is to do it; `None` while somebody else does it.
    fn try_begin(&self, key: &str, name: &Arc<JobName>) -> Result<Option<bool>, Error> {
        let mut work = self.work();
        match work.get(key) {
            Some(Work::Done) => Ok(Some(false)),
            Some(Work::Doing(_)) => Ok(None),
            None if work.len() >= MAX_WORK => {
                Err(Error::Limit(format!("a run has at most {MAX_WORK} pieces of work that are done once")))
            }
            None => {
                work.insert(key.to_owned(), Work::Doing(name.clone()));
                Ok(Some(true))
            }
        }
    }

    fn work(&self) -> MutexGuard<'_, HashMap<String, Work>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    pub(super) async fn acquire(&self, key: &str, wait: Option<u64>) -> Answer {
        self.scope.recorder.entangle("took a lock, which is about what other jobs do");
        check(key)?;
        let take = async {
            loop {
                if self.held().len() >= MAX_HELD {
                    return Err(Error::Limit(format!("a job holds at most {MAX_HELD} locks; release some")));
                }
                if let Some(held) = self.locks.try_take(key)? {
                    let token = held.token.clone();
                    self.held().push(held);
                    return Ok(plain(Reply::Value(Some(token))));
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        within(wait, key, take).await
    }

    pub(super) fn release(&self, key: &str, token: &str) -> Answer {
        let mut held = self.held();
        let Some(at) = held.iter().position(|held| held.key == key && held.token == token) else {
            return Err(Error::NotFound(format!(
                "this job does not hold the lock `{}` by that token; `lock release` takes what `lock acquire` printed",
                key.escape_debug()
            )));
        };
        let released = held.swap_remove(at);
        released.file.set_len(0).map_err(|error| fault(key, &error))?;
        Ok(plain(Reply::Done))
    }

    pub(super) async fn begin_once(&self, key: &str, wait: Option<u64>) -> Answer {
        self.scope.recorder.entangle("took a lock, which is about what other jobs do");
        check(key)?;
        let begin = async {
            loop {
                // Before looking: what changes in between must wake this up.
                let changed = self.locks.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(begun) = self.locks.try_begin(key, &self.scope.name)? {
                    return Ok(plain(Reply::Flag(begun)));
                }
                changed.await;
            }
        };
        within(wait, key, begin).await
    }

    pub(super) fn finish_once(&self, key: &str) -> Answer {
        let mut work = self.locks.work();
        match work.get_mut(key) {
            Some(state @ Work::Doing(_)) => *state = Work::Done,
            Some(Work::Done) => {}
            None => {
                return Err(Error::NotFound(format!(
                    "`{}` was not begun; run `buildkite-agent lock do` first",
                    key.escape_debug()
                )));
            }
        }
        drop(work);
        self.locks.changed.notify_waiters();
        Ok(plain(Reply::Done))
    }
}

async fn within(wait: Option<u64>, key: &str, work: impl Future<Output = Answer>) -> Answer {
    let Some(wait) = wait else { return work.await };
    match tokio::time::timeout(Duration::from_millis(wait), work).await {
        Ok(answer) => answer,
        Err(_) => Err(Error::Failed(format!("`{}` was not free within {wait} ms", key.escape_debug()))),
    }
}

fn check(key: &str) -> Result<(), Error> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Error::Invalid(format!("a lock's key of {} bytes; expected 1 to {MAX_KEY}", key.len())));
    }
    Ok(())
}

fn fault(key: &str, error: &std::io::Error) -> Error {
    Error::Failed(format!("cannot lock `{}`: {error}", key.escape_debug()))
}
