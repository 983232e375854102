//! The project's directory: its pipeline file, and what the runner keeps in it.

use super::error::{Error, ExitStatus};
use crate::log::SqliteLog;
use crate::pipeline::{Diagnostic, Source};
use crate::plan::Settings;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a pipeline is looked for when none is named; Buildkite's agent looks in the same places.
pub(super) const PLACES: [&str; 9] = [
    "buildkite.yml",
    "buildkite.yaml",
    "buildkite.json",
    ".buildkite/pipeline.yml",
    ".buildkite/pipeline.yaml",
    ".buildkite/pipeline.json",
    "buildkite/pipeline.yml",
    "buildkite/pipeline.yaml",
    "buildkite/pipeline.json",
];

/// Also looked for: the name a project without Buildkite would choose.
const OWN_PLACE: &str = "pipeline.yml";

/// What a project tells the runner about itself, in its directory.
const SETTINGS: &str = "runner.yml";

/// A project's directory.
#[derive(Debug, Clone)]
pub(super) struct Project {
    /// Its absolute path: the workspace of its jobs.
    pub(super) directory: PathBuf,
}

impl Project {
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let directory = directory
            .canonicalize()
            .map_err(|error| Error::usage(format!("the directory {} cannot be used: {error}", directory.display())))?;
        Ok(Self { directory })
    }

    /// Reads the pipeline file that was named, or the one in the usual places.
    pub(super) fn pipeline(&self, named: Option<&Path>) -> Result<Source, Error> {
        let (name, path) = match named {
            Some(named) => {
                let shown = named.strip_prefix(&self.directory).unwrap_or(named);
                (shown.display().to_string(), self.directory.join(named))
            }
            None => self.search()?,
        };
        let bytes = std::fs::read(&path).map_err(|error| {
            Error::invalid(format!("the pipeline file {name} cannot be read: {error}"))
                .help("name another file, or leave it out to look in the usual places (see `runner run --help`)")
        })?;
        Source::from_bytes(name.clone(), &bytes).map_err(|finding: Diagnostic| {
            Error::pipeline(ExitStatus::InvalidPipeline, Source::new(name, ""), vec![finding])
        })
    }

    /// Reads `runner.yml`; the defaults where there is none.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let path = self.directory.join(SETTINGS);
        let bytes = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Settings::default()),
            other => other.map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))?,
        };
        let wrong = |source: Source, finding| Error::pipeline(ExitStatus::InvalidPipeline, source, vec![finding]);
        let source =
            Source::from_bytes(SETTINGS, &bytes).map_err(|finding| wrong(Source::new(SETTINGS, ""), finding))?;
        Settings::read(&source).map_err(|finding| wrong(source.clone(), finding))
    }

    fn search(&self) -> Result<(String, PathBuf), Error> {
        let there = |place: &str| self.directory.join(place).is_file();
        let mut found: Vec<&str> = PLACES.into_iter().filter(|place| there(place)).collect();
        if found.is_empty() {
            found.extend(Some(OWN_PLACE).filter(|place| there(place)));
        }
        match found.as_slice() {
            [one] => Ok(((*one).to_owned(), self.directory.join(one))),
            [] => Err(Error::invalid(format!("there is no pipeline file in {}", self.directory.display()))
                .help(format!("name one: `runner run FILE`; or make one of {OWN_PLACE}, {}", PLACES.join(", ")))),
            several => Err(Error::invalid(format!("there are several pipeline files: {}", several.join(", ")))
                .help("name the one to use: `runner run FILE`")),
        }
    }

    /// The project's short name: that of its directory, in lower case.
    pub(super) fn slug(&self) -> String {
        self.directory.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
    }

    /// The file of the pipeline that a trigger step names: `SLUG` or `PROJECT-SLUG` for `pipeline.SLUG.yml` or
    /// `SLUG.yml`, and the project's own slug for its own pipeline.
    pub(super) fn triggered(&self, settings: &Settings, slug: &str) -> Result<PathBuf, Error> {
        if let Some(file) = settings.pipelines.get(slug) {
            return Ok(self.directory.join(file));
        }
        let own = self.slug();
        let short = slug.strip_prefix(&own).and_then(|rest| rest.strip_prefix('-'));
        let mut places = Vec::new();
        for slug in [Some(slug), short].into_iter().flatten().filter(|slug| !slug.contains(['/', '\\'])) {
            for directory in [".buildkite/", "buildkite/", ""] {
                for extension in ["yml", "yaml", "json"] {
                    places.push(format!("{directory}pipeline.{slug}.{extension}"));
                    places.push(format!("{directory}{slug}.{extension}"));
                }
            }
        }
        let found = places.iter().map(|place| self.directory.join(place)).find(|path| path.is_file());
        if found.is_none() && slug == own {
            return self.search().map(|(_, path)| path);
        }
        found.ok_or_else(|| {
            let likely = short.unwrap_or(slug);
            Error::invalid(format!("the pipeline `{slug}` that a step triggers has no file in this project"))
                .help(format!(
                    "make .buildkite/pipeline.{likely}.yml, or name its file in runner.yml:\npipelines:\n  {slug}: path/to/pipeline.yml"
                ))
        })
    }

    /// Opens the log of the project's runs, in `.runner/`, which is made when it is not there.
    pub(super) fn log(&self) -> Result<SqliteLog, Error> {
        let home = self.home();
        let make = || -> std::io::Result<()> {
            // What a repository brings along may lead elsewhere; and what is there is for this user alone.
            for place in [&home, &self.runs(), &self.database()] {
                if place.is_symlink() {
                    return Err(std::io::Error::other(format!("{} is a link", place.display())));
                }
            }
            make_durably(&home)?;
            let ignore = home.join(".gitignore");
            if !ignore.exists() {
                std::fs::write(ignore, "*\n")?;
            }
            Ok(())
        };
        make().map_err(|error| Error::environment(format!("cannot make {}: {error}", home.display())))?;
        Ok(SqliteLog::open(&self.database())?)
    }

    /// Where that log is.
    pub(super) fn database(&self) -> PathBuf {
        self.home().join("runs.db")
    }

    /// The directory with the files of all runs, each in one named by the run's identifier.
    pub(super) fn runs(&self) -> PathBuf {
        self.home().join("runs")
    }

    /// The directory with the files of one run.
    ///
    /// # Errors
    /// For what is no identifier: it would lead anywhere.
    pub(super) fn run_directory(&self, run: &str) -> Result<PathBuf, Error> {
        let is_identifier = uuid::Uuid::try_parse(run).is_ok_and(|id| id.hyphenated().to_string() == run);
        if !is_identifier {
            let message = format!("the log at {} names a run `{}`", self.database().display(), run.escape_debug());
            return Err(
                Error::environment(message).help("that is no identifier of a run: somebody has changed the file")
            );
        }
        Ok(self.runs().join(run))
    }

    /// The files of a run, made when they are not there.
    pub(super) fn run_files(&self, run: &str) -> Result<RunFiles, Error> {
        let directory = self.run_directory(run)?;
        let files = RunFiles {
            logs: directory.join("logs"),
            artifacts: directory.join("artifacts"),
            temporary: directory.join("tmp"),
            directory,
        };
        for directory in [&files.logs, &files.artifacts] {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(|error| Error::environment(format!("cannot make {}: {error}", directory.display())))?;
        }
        Ok(files)
    }

    /// What the runner keeps in the project.
    pub(super) fn home(&self) -> PathBuf {
        self.directory.join(".runner")
    }
}

/// Where the files of one run are.
#[derive(Debug, Clone)]
pub(super) struct RunFiles {
    directory: PathBuf,
    /// One file per attempt of a job.
    pub(super) logs: PathBuf,
    /// One directory per job.
    pub(super) artifacts: PathBuf,
    /// What jobs need while they run.
    pub(super) temporary: PathBuf,
}

/// Makes a directory and those above it that are not there; they are on the disk when this returns.
fn make_durably(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(above) = directory.parent() {
        make_durably(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    directory.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
}

impl RunFiles {
    /// Removes the files that jobs needed while they ran; whether there were any. For a run whose jobs have ended.
    pub(super) fn remove_temporary(&self) -> std::io::Result<bool> {
        match std::fs::remove_dir_all(&self.temporary) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// As [`lock`](Self::lock), with patience: whoever looks whether the run is driven holds it for a moment.
    pub(super) async fn take(&self) -> Result<Option<File>, Error> {
        for _ in 0..10 {
            if let Some(lock) = self.lock()? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.lock()
    }

    /// Whether a process drives the run, or removes what is left of it. Looking hinders nobody who looks as well.
    pub(super) fn is_taken(&self) -> Result<bool, Error> {
        let path = self.directory.join("lock");
        let fault = |error: std::io::Error| Error::environment(format!("cannot lock {}: {error}", path.display()));
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(fault)?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(std::fs::TryLockError::WouldBlock) => Ok(true),
            Err(std::fs::TryLockError::Error(error)) => Err(fault(error)),
        }
    }

    /// Takes the run for this process; nothing when another process drives it. The kernel gives it back when the
    /// process ends, however it ends.
    pub(super) fn lock(&self) -> Result<Option<File>, Error> {
        let path = self.directory.join("lock");
        let fault = |error: std::io::Error| Error::environment(format!("cannot lock {}: {error}", path.display()));
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(fault)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(fault(error)),
        }
    }
}

/// Where compiled components are kept, for all projects of this user.
pub(super) fn cache_directory() -> PathBuf {
    place_of("RUNNER_CACHE_DIR", "XDG_CACHE_HOME", ".cache/runner")
}

/// Where runs of all projects of this user on this machine meet: the queue of concurrency groups.
pub(super) fn state_directory() -> PathBuf {
    place_of("RUNNER_STATE_DIR", "XDG_STATE_HOME", ".local/state/runner")
}

/// The directory that the first variable names, or `runner` in the one that the second names, or this one at home.
fn place_of(own: &str, shared: &str, at_home: &str) -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set(own)
        .or_else(|| set(shared).map(|shared| shared.join("runner")))
        .or_else(|| set("HOME").map(|home| home.join(at_home)))
        .unwrap_or_else(|| std::env::temp_dir().join(format!("runner-{}", rustix::process::geteuid().as_raw())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_identifier_names_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let project = Project::open(directory.path()).unwrap();
        let id = uuid::Uuid::now_v7().to_string();
        assert!(project.run_directory(&id).unwrap().starts_with(project.runs()));
        for other in ["", ".", "..", "../../..", "/", "/home", "a/b", &format!("{id}/.."), &id.to_uppercase()] {
            assert!(project.run_directory(other).is_err(), "{other:?}");
            assert!(project.run_files(other).is_err(), "{other:?}");
        }
    }
}
