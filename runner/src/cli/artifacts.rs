//! `runner artifacts`

use super::error::{Error, ExitStatus};
use super::opened::Opened;
use super::plan::{json, print};
use crate::agent::artifact::Query;
use crate::capability::beneath::is_protected;
use crate::capability::step::{ArtifactStore, artifact_path};
use crate::event::Artifact;
use crate::report::text::{bytes, plain};
use cap_std::fs::{Dir, OpenOptions};
use clap::Args;
use indexmap::IndexMap;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// List the files kept with a run, or copy them.
///
/// What a job has stored several times is listed once, as it was stored last.
#[derive(Debug, Args)]
pub(super) struct Artifacts {
    /// Number of the run, as `runner run` printed it [default: the newest run]
    run: Option<String>,
    /// Only files whose path matches one of these
    glob: Vec<String>,
    /// Only files of this job; can be repeated
    #[arg(long, value_name = "JOB")]
    job: Vec<String>,
    /// Copy them to this directory, each to its own path below it
    #[arg(long, value_name = "DIR")]
    download: Option<PathBuf>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    /// The project's directory
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

impl Artifacts {
    pub(super) async fn run(self) -> Result<ExitStatus, Error> {
        let opened = Opened::find(&self.directory, self.run.as_deref()).await?;
        let number = opened.record.number;
        let state = opened.state().await?;
        if let Some(job) = self.job.iter().find(|name| !state.plan().jobs.iter().any(|job| job.name == **name)) {
            return Err(Error::usage(format!("the run has no job `{}`", plain(job))));
        }
        let globs =
            self.glob.iter().map(|glob| Query::parse(glob)).collect::<Result<Vec<_>, _>>().map_err(Error::usage)?;
        let found = self.choose(&globs, state.data().artifacts());
        if found.is_empty() && (self.download.is_some() || !self.glob.is_empty()) {
            return Err(Error::usage(format!("run {number} has no such artifact"))
                .help(format!("`runner artifacts {number}` lists what there is")));
        }
        if let Some(directory) = &self.download {
            let store = ArtifactStore { root: opened.files()?.artifacts };
            tokio::task::block_in_place(|| download(&store, &found, directory))?;
        }
        if self.json {
            print(&json(&found)?)?;
        } else if let Some(directory) = &self.download {
            let files = if found.len() == 1 { "1 file".to_owned() } else { format!("{} files", found.len()) };
            print(&format!("{files} copied to {}\n", directory.display()))?;
        } else if found.is_empty() {
            print(&format!("run {number} has no artifacts\n"))?;
        } else {
            print(&table(&found))?;
        }
        Ok(ExitStatus::Passed)
    }

    /// The artifacts that are meant, each once.
    fn choose<'a>(&self, globs: &[Query], artifacts: &'a [Artifact]) -> Vec<&'a Artifact> {
        let mut found: IndexMap<(&str, &str), &Artifact> = IndexMap::new();
        for artifact in artifacts {
            let wanted = globs.is_empty() || globs.iter().any(|glob| glob.matches(&artifact.path));
            if wanted && (self.job.is_empty() || self.job.contains(&artifact.job)) {
                found.insert((&artifact.job, &artifact.path), artifact);
            }
        }
        found.into_values().collect()
    }
}

fn table(artifacts: &[&Artifact]) -> String {
    let width = artifacts.iter().map(|artifact| artifact.job.len()).max().unwrap_or_default();
    let mut out = String::new();
    for Artifact { path, size, digest, job } in artifacts {
        let digest = digest.get(..19).unwrap_or(digest);
        out.push_str(&format!("{:>10}  {digest}  {job:<width$}  {}\n", bytes(*size), plain(path)));
    }
    out
}

/// Copies artifacts below a directory and nowhere else; a copy has its name only when it is what was stored.
fn download(store: &ArtifactStore, artifacts: &[&Artifact], directory: &Path) -> Result<(), Error> {
    let mut by_path: HashMap<&str, &str> = HashMap::new();
    for Artifact { path, job, .. } in artifacts {
        if let Some(other) = by_path.insert(path, job) {
            let message = format!("`{}` was stored by {other} and by {job}", plain(path));
            return Err(Error::usage(message).help("choose one of the jobs with `--job`"));
        }
        if is_protected(Path::new(path)) {
            let message = format!("`{}`, stored by {job}, is not copied: programs act on what is there", plain(path));
            return Err(Error::usage(message).help("choose others with globs or `--job`"));
        }
    }
    let fault = |error: std::io::Error| Error::environment(format!("cannot write to {}: {error}", directory.display()));
    std::fs::create_dir_all(directory).map_err(fault)?;
    let to = Dir::open_ambient_dir(directory, cap_std::ambient_authority()).map_err(fault)?;
    for artifact in artifacts {
        copy(store, artifact, &to)?;
    }
    Ok(())
}

fn copy(store: &ArtifactStore, artifact: &Artifact, to: &Dir) -> Result<(), Error> {
    let path = artifact_path(&artifact.path).map_err(|error| Error::environment(error.to_string()))?;
    let shown = plain(&path);
    let fault = |error: std::io::Error| Error::environment(format!("cannot copy `{shown}`: {error}"));
    let mut from = store.open(artifact).map_err(|error| Error::environment(error.to_string()))?;
    if let Some(parent) = Path::new(&path).parent() {
        to.create_dir_all(parent).map_err(fault)?;
    }
    let part = format!("{path}.{}.part", uuid::Uuid::new_v4().simple());
    let mut file = to.open_with(&part, OpenOptions::new().write(true).create_new(true)).map_err(fault)?;
    let mut fill = || -> std::io::Result<String> {
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(format!("sha256:{:x}", digest.finalize()));
            }
            digest.update(&buffer[..count]);
            file.write_all(&buffer[..count])?;
        }
    };
    let filled = fill().map_err(fault).and_then(|digest| {
        if digest != artifact.digest {
            let message = format!("`{shown}` is not what was stored: its digest is {digest}, not {}", artifact.digest);
            return Err(Error::environment(message).help("its file below .runner/ was changed; run the job again"));
        }
        to.rename(&part, to, &path).map_err(fault)
    });
    if filled.is_err() {
        to.remove_file(&part).map_err(fault)?;
    }
    filled
}
