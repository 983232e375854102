//! Letting go of runs: what there is, what of it is beyond the limits, and taking it away.

use super::cache;
use super::error::Error;
use super::opened::Opened;
use super::project::{Project, cache_directory};
use crate::log::{EventLog, LogError, RunRecord, SqliteLog};
use crate::plan::retention::{Beyond, Hold, Kept, Retention};
use crate::report::Standing;
use crate::run::now;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use walkdir::WalkDir;

/// A run that was let go, or would be.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) record: RunRecord,
    /// The limit it was beyond; `None` when a person named it.
    pub(super) beyond: Option<Beyond>,
    /// Bytes of its logs and artifacts.
    pub(super) size: u64,
}

/// What takes room on the disk.
#[derive(Debug, Default)]
pub(super) struct DiskUse {
    /// Runs that are kept.
    pub(super) runs: usize,
    /// Bytes of their logs and artifacts.
    pub(super) files: u64,
    /// Bytes of the event log.
    pub(super) log: u64,
    /// Bytes of compiled components, for all projects of this user.
    pub(super) components: u64,
    /// Bytes of results of steps, for all projects of this user.
    pub(super) steps: u64,
}

/// How often a run looks for what is beyond the limits.
const EVERY: Duration = Duration::from_hours(1);

/// Compiled components that nobody has used for so long are removed; compiling one again takes a second.
const UNUSED: Duration = Duration::from_hours(30 * 24);

/// The runs of a project, and what they take.
pub(super) struct Collector<'a> {
    project: &'a Project,
    log: Arc<SqliteLog>,
    runs: Vec<(RunRecord, Kept)>,
}

impl<'a> Collector<'a> {
    /// Looks at every run.
    pub(super) async fn survey(project: &'a Project) -> Result<Self, Error> {
        let log = Arc::new(project.log()?);
        let mut runs = Vec::new();
        for record in log.runs(None).await? {
            let hold = hold(project, &log, &record).await?;
            let size = size_of(&project.run_directory(&record.id)?);
            let kept = Kept { hold, last: record.updated_at, size };
            runs.push((record, kept));
        }
        Ok(Self { project, log, runs })
    }

    /// The runs that are beyond the limits.
    pub(super) fn beyond(&self, limits: Retention) -> Vec<Gone> {
        let kept: Vec<Kept> = self.runs.iter().map(|(_, kept)| *kept).collect();
        let beyond = limits.beyond(&kept, now());
        beyond.into_iter().map(|(position, beyond)| self.gone(position, Some(beyond))).collect()
    }

    /// The runs that a person named.
    ///
    /// # Errors
    /// For one that is not there, or that a process drives.
    pub(super) async fn named(&self, references: &[String]) -> Result<Vec<Gone>, Error> {
        let mut gone = Vec::new();
        for reference in references {
            let (record, _) = self.log.open(reference).await?;
            let Some(position) = self.runs.iter().position(|(other, _)| other.id == record.id) else { continue };
            if matches!(lock(&self.project.run_directory(&record.id)?)?, Lock::Taken) {
                let number = record.number;
                return Err(Error::usage(format!("a process is driving run {number}"))
                    .help(format!("`runner cancel {number}` ends it")));
            }
            gone.push(self.gone(position, None));
        }
        Ok(gone)
    }

    fn gone(&self, position: usize, beyond: Option<Beyond>) -> Gone {
        let (record, kept) = &self.runs[position];
        Gone { record: record.clone(), beyond, size: kept.size }
    }

    /// Takes the runs away: first out of the log, so that what is listed is whole, then their files. One that a process
    /// has begun to drive meanwhile stays. Gives those that are gone.
    pub(super) async fn remove(&mut self, runs: Vec<Gone>) -> Result<Vec<Gone>, Error> {
        let mut removed = Vec::new();
        for run in runs {
            let directory = self.project.run_directory(&run.record.id)?;
            if run.record.result.is_none()
                && let Some(opened) = Opened::if_there(self.project.clone(), self.log.clone(), &run.record.id).await?
            {
                opened.remove_leftovers().await?;
            }
            let _lock = match lock(&directory)? {
                Lock::Taken => continue,
                Lock::Held(file) => Some(file),
                Lock::Nothing => None,
            };
            match self.log.remove(&run.record.id).await {
                // What has no room frees some first.
                Err(LogError::Full { .. }) => {
                    remove_directory(&directory)?;
                    self.log.remove(&run.record.id).await?;
                }
                removed => removed?,
            }
            remove_directory(&directory)?;
            self.runs.retain(|(record, _)| record.id != run.record.id);
            removed.push(run);
        }
        self.remove_strays().await?;
        Ok(removed)
    }

    /// Files of runs that the log does not know: a process was killed while it took a run away.
    async fn remove_strays(&self) -> Result<(), Error> {
        let there = match std::fs::read_dir(self.project.runs()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            there => there.map_err(|error| fault(&self.project.runs(), &error))?,
        };
        // Listed before the log is read: a run is in the log before it has files.
        let there: Vec<_> = there.filter_map(Result::ok).map(|entry| entry.path()).collect();
        let known: HashSet<String> = self.log.runs(None).await?.into_iter().map(|run| run.id).collect();
        for directory in there {
            let id = directory.file_name().unwrap_or_default().to_string_lossy();
            if uuid::Uuid::parse_str(&id).is_ok() && !known.contains(&*id) && !matches!(lock(&directory)?, Lock::Taken)
            {
                remove_directory(&directory)?;
            }
        }
        Ok(())
    }

    /// Gives room in the log back to the disk. Whoever writes to it meanwhile waits.
    pub(super) fn compact(&self) -> Result<(), Error> {
        Ok(self.log.compact()?)
    }

    /// What takes room now.
    pub(super) fn disk_use(&self) -> DiskUse {
        let home = self.project.home();
        let length = |name: &str| std::fs::metadata(home.join(name)).map_or(0, |metadata| metadata.len());
        DiskUse {
            runs: self.runs.len(),
            files: self.runs.iter().map(|(_, kept)| kept.size).sum(),
            log: ["runs.db", "runs.db-wal"].into_iter().map(length).sum(),
            components: size_of(&cache_directory().join("components")),
            steps: cache::used().unwrap_or_else(|error| {
                tracing::warn!(%error, "results of steps cannot be counted");
                0
            }),
        }
    }
}

/// Lets go of what is beyond the limits, at most once an hour. A run is not worth less because this fails.
pub(super) async fn collect_now_and_then(project: &Project) {
    let stamp = project.home().join("collected");
    let age = std::fs::metadata(&stamp).and_then(|stamp| stamp.modified()).map(|at| at.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age < EVERY) {
        return;
    }
    let collect = async {
        let written = std::fs::write(&stamp, "");
        written.map_err(|error| fault(&stamp, &error))?;
        let mut collector = Collector::survey(project).await?;
        let gone = collector.beyond(project.settings()?.retention);
        trim_caches(project)?;
        let gone = collector.remove(gone).await?;
        collector.log.checkpoint()?;
        Ok::<_, Error>(gone)
    };
    match collect.await {
        Ok(gone) => tracing::debug!(runs = gone.len(), "old runs are removed"),
        Err(error) => tracing::warn!("old runs are not removed: {}", error.message()),
    }
}

/// Removes compiled components that were not used for a month, and results of steps beyond their limit.
pub(super) fn trim_caches(project: &Project) -> Result<(), Error> {
    if let Err(error) = cache::shrink(&project.settings()?.cache) {
        tracing::warn!(%error, "results of steps are not removed");
    }
    remove_unused_components();
    Ok(())
}

fn remove_unused_components() {
    let old = |time: io::Result<SystemTime>| time.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNUSED));
    for entry in WalkDir::new(cache_directory().join("components")).into_iter().filter_map(Result::ok) {
        let Ok(metadata) = entry.metadata() else { continue };
        // Where no times of access are kept it is as old as it is.
        if metadata.is_file()
            && old(metadata.accessed())
            && old(metadata.modified())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "an unused component is not removed");
        }
    }
}

/// What keeps a run.
async fn hold(project: &Project, log: &Arc<SqliteLog>, record: &RunRecord) -> Result<Hold, Error> {
    if matches!(lock(&project.run_directory(&record.id)?)?, Lock::Taken) {
        return Ok(Hold::Always);
    }
    if record.result.is_some() {
        return Ok(Hold::None);
    }
    let standing = async {
        match Opened::if_there(project.clone(), log.clone(), &record.id).await? {
            Some(opened) => opened.standing().await,
            None => Ok(Standing::Interrupted),
        }
    };
    match standing.await {
        Ok(Standing::Blocked) => Ok(Hold::Always),
        Ok(_) => Ok(Hold::UntilOld),
        Err(error) => {
            // What cannot be read cannot be gone on with, but may be repaired.
            tracing::warn!(run = record.number, "a run is damaged: {}", error.message());
            Ok(Hold::UntilOld)
        }
    }
}

enum Lock {
    /// A process drives the run.
    Taken,
    /// Nobody else does while this is held.
    Held(File),
    /// The run has no files.
    Nothing,
}

/// The lock of a run whose files may be gone.
fn lock(directory: &Path) -> Result<Lock, Error> {
    let path = directory.join("lock");
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock::Nothing),
        Err(error) => Err(fault(&path, &error)),
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(Lock::Held(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(Lock::Taken),
            Err(std::fs::TryLockError::Error(error)) => Err(fault(&path, &error)),
        },
    }
}

fn remove_directory(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fault(directory, &error)),
        _ => Ok(()),
    }
}

/// Bytes of all files below.
fn size_of(directory: &Path) -> u64 {
    let files = WalkDir::new(directory).into_iter().filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}

fn fault(path: &Path, error: &io::Error) -> Error {
    Error::environment(format!("cannot use {}: {error}", path.display()))
}
