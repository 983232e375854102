//! Process groups of the operating system, with their output in the job's log.

use super::super::Error;
use super::error::cannot_start;
use crate::agent::JobLog;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A process, everything it started, and the task that copies their output.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub(super) group: Group,
    pub(super) grace: Duration,
    copy: Option<JoinHandle<()>>,
    ended: Option<Ended>,
    /// Something that left the group holds the output open.
    pub(super) strays: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Status(u8),
    /// By a signal.
    Signal(u8),
}

/// A process group of our own making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(Pid);

impl Group {
    /// Ends all of it at once.
    pub(super) fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        if let Err(error) = kill_process_group(self.0, signal) {
            // A group that has ended already is what was wanted.
            tracing::debug!(%error, group = ?self.0, "no signal sent");
        }
    }
}

/// How long output of left-over grandchildren is waited for once the process itself has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

impl Process {
    /// Starts a program as the leader of a new process group. Standard output and error share one pipe, so that
    /// their order is kept.
    pub fn spawn(
        program: &str,
        args: &[String],
        env: &BTreeMap<String, String>,
        directory: &Path,
        grace: Duration,
        log: JobLog,
    ) -> Result<Self, Error> {
        let failed = |error: std::io::Error| cannot_start(program, &error);
        let (read, write) = std::io::pipe().map_err(failed)?;
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .envs(env)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(write.try_clone().map_err(failed)?)
            .stderr(write)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let Some(pid) = pid else {
            child.start_kill().map_err(failed)?;
            return Err(Error::Failed(format!("`{program}` ended before it could be followed")));
        };
        let copy = tokio::spawn(copy_output(pipe::Receiver::from_owned_fd(read.into()).map_err(failed)?, log));
        Ok(Self { child, group: Group(pid), grace, copy: Some(copy), ended: None, strays: false })
    }

    /// Waits for the end and for the last of the output.
    pub async fn wait(&mut self) -> Result<Ended, Error> {
        if let Some(ended) = self.ended {
            return Ok(ended);
        }
        let status =
            self.child.wait().await.map_err(|error| Error::Failed(format!("cannot wait for the process: {error}")))?;
        if let Some(mut copy) = self.copy.take() {
            // A background process that keeps the pipe open must not keep the step from ending.
            if tokio::time::timeout(OUTPUT_GRACE, &mut copy).await.is_err() {
                copy.abort();
                self.strays = true;
            }
        }
        // What it left running ends with it.
        self.group.kill();
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "the kernel gives 0 to 255")]
        let ended = match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Status(code as u8),
            (None, Some(signal)) => Ended::Signal(signal as u8),
            (None, None) => return Err(Error::Failed(format!("the process ended in an unknown way: {status}"))),
        };
        self.ended = Some(ended);
        Ok(ended)
    }

    /// Asks the group to end, and ends it after the grace time.
    pub async fn stop(&mut self) -> Result<(), Error> {
        self.group.signal(Signal::TERM);
        let grace = self.grace;
        if tokio::time::timeout(grace, self.wait()).await.is_err() {
            self.group.kill();
            self.wait().await?;
        }
        self.group.kill();
        Ok(())
    }
}

async fn copy_output(mut from: pipe::Receiver, log: JobLog) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) => break,
            Ok(count) => log.write(&buffer[..count]),
            Err(error) => {
                log.line(&format!("error: the rest of the output is lost: {error}"));
                break;
            }
        }
    }
}
