//! What every process of a job carries in its environment, and ending the processes that carry it.
//!
//! A process can leave its group; what it was started with stays with it and with everything it starts.

use crate::capability::JobName;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, getpid, pidfd_open, pidfd_send_signal};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Names the attempts a process is of, as `RUN/JOB/ATTEMPT`; several, the outermost first, with spaces between them,
/// when a job runs the runner itself.
pub const ATTEMPT_VARIABLE: &str = "RUNNER_ATTEMPT";

/// How often processes are looked for: until none is found, because one may start another while it is being ended.
const PASSES: usize = 200;
/// Between two passes: what was ended takes a moment to be gone.
const PAUSE: Duration = Duration::from_millis(10);

/// The mark of an attempt's processes, behind the one that the runner carries itself.
pub(super) fn mark(name: &JobName) -> String {
    let own = of_attempt(name);
    match std::env::var(ATTEMPT_VARIABLE) {
        Ok(outer) if !outer.is_empty() => format!("{outer} {own}"),
        _ => own,
    }
}

fn of_attempt(JobName { run, job, attempt, .. }: &JobName) -> String {
    format!("{run}/{job}/{attempt}")
}

/// Ends every process of the run that this user has, wherever it has gone; returns how many. For a run that no process
/// drives. Blocks for some milliseconds, or for as long as the kernel takes.
///
/// # Errors
/// When there are still some after a while: a process that the kernel cannot end, or one that multiplies.
pub fn end_run(run: &str) -> Result<usize, Lasting> {
    end(|mark| mark.strip_prefix(run).is_some_and(|rest| rest.starts_with('/')))
}

/// Ends every process of one attempt, wherever it has gone; returns how many. Blocks as [`end_run`] does.
pub(super) fn end_attempt(name: &JobName) -> Result<usize, Lasting> {
    let own = of_attempt(name);
    end(|mark| mark == own)
}

/// Processes do not end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("processes that were left do not end: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
pub struct Lasting(Vec<i32>);

fn end(is_meant: impl Fn(&str) -> bool) -> Result<usize, Lasting> {
    let mut ended = HashSet::new();
    for _ in 0..PASSES {
        let found = find(&is_meant);
        if found.is_empty() {
            return Ok(ended.len());
        }
        for one in found {
            match one.kill() {
                Ok(()) => drop(ended.insert(one)),
                Err(error) => tracing::warn!(pid = one.pid, %error, "a process that was left cannot be ended"),
            }
        }
        std::thread::sleep(PAUSE);
    }
    match find(&is_meant) {
        found if found.is_empty() => Ok(ended.len()),
        found => Err(Lasting(found.into_iter().map(|one| one.pid).collect())),
    }
}

/// A process. The moment it started tells it from another one that was given its number later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Running {
    pid: i32,
    started: u64,
}

impl Running {
    /// Ends it, and no other: the number is looked at again once the process it stands for can no longer change.
    fn kill(self) -> Result<(), Errno> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(()) };
        let gone_is_fine = |result: Result<(), Errno>| match result {
            Err(Errno::SRCH) => Ok(()),
            other => other,
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) if stat(self.pid).is_some_and(|stat| stat.started == self.started) => {
                gone_is_fine(pidfd_send_signal(handle, Signal::KILL))
            }
            Ok(_) => Ok(()),
            Err(error) => gone_is_fine(Err(error)),
        }
    }
}

struct Stat {
    parent: i32,
    started: u64,
    is_gone: bool,
}

/// The meant processes and all their descendants, but neither this process nor those it was started by.
fn find(is_meant: &impl Fn(&str) -> bool) -> Vec<Running> {
    let all: BTreeMap<i32, Stat> = pids().filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let above = |pid: i32| std::iter::successors(Some(pid), |pid| all.get(pid).map(|stat| stat.parent));
    // Where numbers of processes were given anew meanwhile a line of parents may have no end.
    let spared: HashSet<i32> = above(getpid().as_raw_pid()).take(all.len() + 1).collect();
    let marked: HashSet<i32> =
        all.keys().copied().filter(|pid| !spared.contains(pid) && is_marked(*pid, is_meant)).collect();
    if marked.is_empty() {
        return Vec::new();
    }
    let is_one = |pid: i32| {
        !spared.contains(&pid)
            && above(pid).take(all.len()).take_while(|pid| !spared.contains(pid)).any(|pid| marked.contains(&pid))
    };
    let meant = all.iter().filter(|(pid, stat)| !stat.is_gone && is_one(**pid));
    meant.map(|(pid, stat)| Running { pid: *pid, started: stat.started }).collect()
}

/// Processes of this user.
fn pids() -> impl Iterator<Item = i32> {
    let user = geteuid().as_raw();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(move |entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        (entry.metadata().ok()?.uid() == user).then_some(pid)
    })
}

/// What the kernel says of a process; nothing when it has ended.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read(of(pid, "stat")).ok()?;
    // A program's name stands in parentheses and may hold anything.
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(text.get(end + 1..)?).into_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: i32::try_from(number(1)?).ok()?,
        started: number(19)?,
        is_gone: matches!(*fields.first()?, "Z" | "X"),
    })
}

fn is_marked(pid: i32, is_meant: &impl Fn(&str) -> bool) -> bool {
    // One that has ended meanwhile, or that another user's program has become, is not ours to end.
    let Ok(environment) = std::fs::read(of(pid, "environ")) else { return false };
    environment.split(|byte| *byte == 0).any(|variable| {
        let marks = variable.strip_prefix(ATTEMPT_VARIABLE.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
        marks.is_some_and(|marks| String::from_utf8_lossy(marks).split(' ').any(is_meant))
    })
}

fn of(pid: i32, file: impl Display) -> impl AsRef<Path> {
    format!("/proc/{pid}/{file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command, Stdio};

    fn name(attempt: u32) -> JobName {
        let run = uuid::Uuid::now_v7().to_string();
        JobName { run, job: "tests".to_owned(), attempt, step_key: String::new(), label: String::new() }
    }

    fn start(script: &str, mark: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env(ATTEMPT_VARIABLE, mark).stdout(Stdio::piped()).spawn().unwrap()
    }

    fn wait_for(what: impl Fn() -> bool) {
        let give_up = std::time::Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(std::time::Instant::now() < give_up);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_process_is_found_wherever_it_goes_and_no_other_is_ended() {
        let (ours, other) = (name(1), name(1));
        let dir = tempfile::tempdir().unwrap();
        let gone = dir.path().join("gone");
        // One in a session of its own whose parent has ended, and below it one with nothing in its environment.
        let script =
            format!("setsid sh -c 'env -i sleep 7801 & echo $! > {}.new; mv {0}.new {0}; wait' & exit", gone.display());
        let mut first = start(&script, &of_attempt(&ours));
        let mut nested = start("exec sleep 7802", &format!("{}/build/1 {}", other.run, of_attempt(&ours)));
        let mut stranger = start("exec sleep 7803", &of_attempt(&other));
        first.wait().unwrap();
        wait_for(|| gone.exists());
        let bare: i32 = std::fs::read_to_string(&gone).unwrap().trim().parse().unwrap();
        wait_for(|| std::fs::read_to_string(of(bare, "cmdline")).is_ok_and(|text| text.starts_with("sleep")));
        assert_eq!(end_attempt(&JobName { attempt: 2, ..ours.clone() }), Ok(0));
        assert_eq!(end_run(&ours.run[..30]), Ok(0));
        assert_eq!(end_run(&ours.run), Ok(3), "the shell, what it started, and the nested one");
        assert!(!nested.wait().unwrap().success());
        assert!(stat(bare).is_none_or(|stat| stat.is_gone));
        assert_eq!(stranger.try_wait().unwrap(), None);
        assert_eq!(end_attempt(&other), Ok(1));
        stranger.wait().unwrap();
    }
}
