//! `buildkite-agent lock`

use super::client::{call, unexpected};
use super::flags::{Ignored, duration};
use super::{Failure, Outcome, print};
use crate::agent::job_api::protocol::{Call, Reply};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(super) enum Lock {
    /// Wait for a lock, take it, and print what it is released by
    ///
    /// It is given back when the job ends at the latest.
    Acquire(Acquire),
    /// Give a lock back
    Release(Release),
    /// Begin work that is done once in a run
    ///
    /// Prints `do` when the caller is to do the work and to call `lock done`, or waits until it is done and prints
    /// `done`.
    Do(Acquire),
    /// Say that work begun with `lock do` is done
    Done(Named),
    /// Print what holds a lock; an empty line when nothing does
    Get(Named),
}

#[derive(Debug, Args)]
pub(super) struct Acquire {
    #[command(flatten)]
    lock: Named,
    /// How long to wait, such as 30s or 5m; without end when left out
    #[arg(long, value_name = "DURATION", env = "BUILDKITE_LOCK_WAIT_TIMEOUT", value_parser = duration)]
    lock_wait_timeout: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    #[command(flatten)]
    lock: Named,
    /// What `lock acquire` printed
    token: String,
}

#[derive(Debug, Args)]
pub(super) struct Named {
    /// Its name
    key: String,
    /// `machine`: locks are of this user on this machine
    #[arg(long, value_name = "SCOPE", env = "BUILDKITE_LOCK_SCOPE", default_value = "machine")]
    lock_scope: String,
    #[arg(long, hide = true)]
    sockets_path: Option<String>,
    #[command(flatten)]
    ignored: Ignored,
}

impl Named {
    fn name(self) -> Result<String, Failure> {
        if self.lock_scope != "machine" {
            return Err("only 'machine' scope for locks is supported".to_owned().into());
        }
        Ok(self.key)
    }
}

impl Acquire {
    fn parts(self) -> Result<(String, Option<u64>), Failure> {
        Ok((self.lock.name()?, self.lock_wait_timeout.filter(|wait| *wait > 0)))
    }
}

impl Lock {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Acquire(acquire) => {
                let (key, wait) = acquire.parts()?;
                let doing = |failure: Failure| failure.during("could not acquire lock");
                match call(&Call::LockAcquire { key, wait }).map_err(doing)? {
                    Reply::Value(Some(token)) => print(&format!("{token}\n")),
                    other => Err(unexpected(&other)),
                }
            }
            Self::Release(Release { lock, token }) => {
                let released = call(&Call::LockRelease { key: lock.name()?, token });
                released.map(drop).map_err(|failure: Failure| failure.during("could not release lock"))
            }
            Self::Do(acquire) => {
                let (key, wait) = acquire.parts()?;
                let doing = |failure: Failure| failure.during("couldn't start do-once lock");
                match call(&Call::OnceBegin { key, wait }).map_err(doing)? {
                    Reply::Flag(begun) => print(if begun { "do\n" } else { "done\n" }),
                    other => Err(unexpected(&other)),
                }
            }
            Self::Done(lock) => {
                let done = call(&Call::OnceDone { key: lock.name()? });
                done.map(drop).map_err(|failure: Failure| failure.during("couldn't complete do-once lock"))
            }
            Self::Get(lock) => match call(&Call::LockGet { key: lock.name()? })? {
                Reply::Value(holder) => print(&format!("{}\n", holder.unwrap_or_default())),
                other => Err(unexpected(&other)),
            },
        }
    }
}
