//! `buildkite-agent artifact`

use super::client::{call, fetch, store, unexpected};
use super::flags::{Ignored, Own, step_reference};
use super::{Failure, Outcome, note, print, warn};
use crate::agent::artifact::{self, FoundFile, FoundFiles, MAX_ARTIFACTS, Search};
use crate::agent::job_api::protocol::{Call, FoundArtifact, Reply};
use clap::{Args, Subcommand};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[derive(Debug, Subcommand)]
pub(super) enum Artifact {
    /// Keep files with the run
    ///
    /// Quote the pattern, so that the shell leaves it alone. `*` stays within a directory, `**` crosses directories;
    /// `{a,b}`, `?` and `[abc]` choose. Directories are not kept, the files in them are: write `log/**`.
    Upload(Upload),
    /// Get files of the run back
    ///
    /// They keep their paths below DIR; when DIR ends with the first part of an artifact's path, that part is there
    /// once. In QUERY, `*` crosses directories. Of several artifacts with one path the newest counts.
    Download(Download),
    /// List files of the run
    ///
    /// In the format, %p is the path, %j the job, %s the size in bytes, %c when it was kept, %S and %T the SHA-1 and
    /// SHA-256 digests, %i an identifier, and %u where the file is.
    Search(SearchFlags),
    /// Print the digest of the one file that QUERY finds
    Shasum(Shasum),
}

#[derive(Debug, Args)]
pub(super) struct Upload {
    /// Which files, seen from the current directory; several separated by `;`
    #[arg(value_name = "PATTERN")]
    paths: String,
    /// Has no effect but a warning: files are kept with the run
    #[arg(value_name = "DESTINATION", env = "BUILDKITE_ARTIFACT_UPLOAD_DESTINATION", hide_env_values = true)]
    destination: Option<String>,
    /// The paths are no patterns
    #[arg(long, env = "BUILDKITE_AGENT_ARTIFACT_LITERAL")]
    literal: bool,
    /// What separates paths; nothing does when it is empty
    #[arg(long, value_name = "TEXT", env = "BUILDKITE_AGENT_ARTIFACT_DELIMITER", default_value = ";")]
    delimiter: String,
    /// Follow links to directories while resolving a pattern
    #[arg(
        long = "glob-resolve-follow-symlinks",
        alias = "follow-symlinks",
        env = "BUILDKITE_AGENT_ARTIFACT_GLOB_RESOLVE_FOLLOW_SYMLINKS"
    )]
    follow_links: bool,
    /// Leave out links to files
    #[arg(long = "upload-skip-symlinks", env = "BUILDKITE_ARTIFACT_UPLOAD_SKIP_SYMLINKS")]
    skip_links: bool,
    #[arg(long, hide = true)]
    content_type: Option<String>,
    #[arg(long = "no-multipart-artifact-upload", hide = true)]
    no_multipart: bool,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Found {
    /// Which files; `*` stands for anything, `/` too
    query: String,
    /// Only those of this step (its key or label) or job
    #[arg(long)]
    step: Option<String>,
    /// Has no effect: what a job kept in an earlier attempt is there unless a later one kept it again
    #[arg(long, env = "BUILDKITE_AGENT_INCLUDE_RETRIED_JOBS")]
    include_retried_jobs: bool,
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    ignored: Ignored,
}

#[derive(Debug, Args)]
pub(super) struct Download {
    #[command(flatten)]
    found: Found,
    /// An existing directory
    #[arg(value_name = "DIR")]
    destination: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct SearchFlags {
    #[command(flatten)]
    found: Found,
    /// How to print each
    #[arg(long, value_name = "TEXT", default_value = "%j %p %c\n", hide_default_value = true)]
    format: String,
    /// Finding nothing is no failure
    #[arg(long)]
    allow_empty_results: bool,
}

#[derive(Debug, Args)]
pub(super) struct Shasum {
    #[command(flatten)]
    found: Found,
    /// SHA-256 instead of SHA-1
    #[arg(long)]
    sha256: bool,
}

impl Artifact {
    pub(super) fn run(self) -> Outcome {
        match self {
            Self::Upload(upload) => upload.run().map_err(|failure| failure.during("failed to upload artifacts")),
            Self::Download(download) => {
                download.run().map_err(|failure| failure.during("failed to download artifacts"))
            }
            Self::Search(search) => search.run(),
            Self::Shasum(shasum) => shasum.run(),
        }
    }
}

impl Upload {
    fn run(self) -> Outcome {
        self.own.check()?;
        if let Some(destination) = self.destination.as_deref().filter(|destination| !destination.is_empty()) {
            if !["s3://", "gs://", "rt://", "https://"].iter().any(|scheme| destination.starts_with(scheme)) {
                return Err(format!(
                    "{destination:?} is no upload destination. \
                     Did you forget to surround your artifact upload pattern in double quotes?"
                )
                .into());
            }
            note(&format!("warning: {destination} is not used: the files are kept with the run"));
        }
        let globs: Vec<&str> = match self.delimiter.as_str() {
            "" => vec![&self.paths],
            delimiter => self.paths.split(delimiter).collect(),
        };
        let search = Search { literal: self.literal, follow_links: self.follow_links, skip_links: self.skip_links };
        let directory = std::env::current_dir().map_err(|error| format!("getting working directory: {error}"))?;
        let FoundFiles { files, warnings } = artifact::find(&directory, &globs, search)?;
        warn(&warnings);
        if files.is_empty() {
            note(&format!("No files matched paths: {}", self.paths));
            return Ok(());
        }
        if files.len() > MAX_ARTIFACTS {
            let count = files.len();
            return Err(format!("{count} files match {:?}; a job keeps at most {MAX_ARTIFACTS}", self.paths).into());
        }
        note(&format!("Found {} files that match {:?}", files.len(), self.paths));
        for FoundFile { path, name } in files {
            let mut file = File::open(&path).map_err(|error| format!("opening file {}: {error}", path.display()))?;
            store(&name, &mut file)?;
        }
        Ok(())
    }
}

impl Found {
    /// The artifacts that are meant; of several with one path only the newest, unless all are asked for.
    fn artifacts(&self, all: bool) -> Result<Vec<FoundArtifact>, Failure> {
        self.own.check()?;
        let step = self.step.as_deref().filter(|step| !step.is_empty()).map(step_reference);
        match call(&Call::ArtifactSearch { query: self.query.clone(), step, all })? {
            Reply::Artifacts(artifacts) => Ok(artifacts),
            other => Err(unexpected(&other)),
        }
    }
}

impl Download {
    fn run(self) -> Outcome {
        let destination = std::path::absolute(&self.destination).map_err(|error| error.to_string())?;
        let shown = destination.display();
        let metadata = destination
            .metadata()
            .map_err(|error| format!("could not find information about destination: {shown} {error}"))?;
        if !metadata.is_dir() {
            return Err(format!("{shown} is not a directory").into());
        }
        let artifacts = self.found.artifacts(false)?;
        if artifacts.is_empty() {
            return Err("no artifacts found for downloading".to_owned().into());
        }
        note(&format!("Found {} artifacts. Starting to download to: {shown}", artifacts.len()));
        for artifact in &artifacts {
            let target = target(&destination, &artifact.path);
            download(artifact, &target).map_err(|failure| failure.during(&artifact.path))?;
        }
        Ok(())
    }
}

/// Where an artifact goes: the destination's last part and the path's first are one when they are the same. What
/// leads upwards is left out.
fn target(destination: &Path, path: &str) -> PathBuf {
    let parts: Vec<Component<'_>> =
        Path::new(path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let shared = parts.first().is_some_and(|first| destination.components().next_back() == Some(*first));
    let base = if shared { destination.parent().unwrap_or(destination) } else { destination };
    base.join(parts.iter().collect::<PathBuf>())
}

/// Under its own name only once it is whole and what was kept.
fn download(artifact: &FoundArtifact, target: &Path) -> Outcome {
    let fault = |error: std::io::Error| format!("cannot write {}: {error}", target.display());
    let directory = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory).map_err(fault)?;
    let mut builder = tempfile::Builder::new();
    // As any program would create it.
    let builder = builder.prefix(".download-").permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(directory).map_err(fault)?;
    let mut digest = Digesting { to: file.as_file_mut(), digest: Sha256::new() };
    fetch(&artifact.job, &artifact.path, &mut digest)?;
    let digest = format!("sha256:{:x}", digest.digest.finalize());
    if digest != artifact.digest {
        return Err(format!("its content is {digest}, and not {} as when it was kept", artifact.digest).into());
    }
    file.persist(target).map_err(|error| fault(error.error))?;
    Ok(())
}

/// Writes through, and keeps the digest of what went through.
struct Digesting<'a, D> {
    to: &'a mut dyn Write,
    digest: D,
}

impl<D: Digest> Write for Digesting<'_, D> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.digest.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.to.flush()
    }
}

/// The SHA-1 digest of an artifact's content, which is not kept with it.
fn sha1(artifact: &FoundArtifact) -> Result<String, Failure> {
    let mut digest = Digesting { to: &mut std::io::sink(), digest: Sha1::new() };
    fetch(&artifact.job, &artifact.path, &mut digest)?;
    Ok(format!("{:x}", digest.digest.finalize()))
}

fn sha256(artifact: &FoundArtifact) -> &str {
    artifact.digest.trim_start_matches("sha256:")
}

impl SearchFlags {
    fn run(self) -> Outcome {
        let artifacts = self.found.artifacts(true)?;
        if artifacts.is_empty() {
            let message = format!("no matches found for {:?}", self.found.query);
            if !self.allow_empty_results {
                return Err(message.into());
            }
            note(&message);
        }
        for artifact in &artifacts {
            print(&describe(artifact, &self.format)?)?;
        }
        Ok(())
    }
}

fn describe(artifact: &FoundArtifact, format: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let specifier = rest[at + 1..].chars().next();
        let value = match specifier {
            Some('p') => artifact.path.clone(),
            Some('j') => artifact.job.clone(),
            Some('s') => artifact.size.to_string(),
            Some('c') => moment(artifact.at)?,
            Some('S') => sha1(artifact)?,
            Some('T') => sha256(artifact).to_owned(),
            Some('u') => format!("file://{}", artifact.file),
            Some('i') => identifier(artifact),
            _ => "%".to_owned(),
        };
        text.push_str(&value);
        let known = specifier.filter(|letter| "pjscSTui".contains(*letter));
        rest = &rest[at + 1 + known.map_or(0, char::len_utf8)..];
    }
    Ok(text + rest)
}

fn moment(seconds: u64) -> Result<String, Failure> {
    let at = OffsetDateTime::from_unix_timestamp(seconds.cast_signed()).map_err(|error| error.to_string())?;
    at.format(&Rfc3339).map_err(|error| Failure::Message(error.to_string()))
}

/// The same for the same artifact, in the form of a UUID.
fn identifier(artifact: &FoundArtifact) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("{}/{}", artifact.job, artifact.path)).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

impl Shasum {
    fn run(self) -> Outcome {
        match self.found.artifacts(false)?.as_slice() {
            [] => Err("No artifacts matched the search query".to_owned().into()),
            [one] if self.sha256 => print(&format!("{}\n", sha256(one))),
            [one] => print(&format!("{}\n", sha1(one)?)),
            _ => Err("Multiple artifacts were found. Try being more specific with the search or scope by step"
                .to_owned()
                .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads_stay_below_their_destination() {
        for (destination, path, expected) in [
            ("/w/out", "pkg/a", "/w/out/pkg/a"),
            ("/w/pkg", "pkg/a", "/w/pkg/a"),
            ("/w/pkg", "../../etc/passwd", "/w/pkg/etc/passwd"),
            ("/w", "/etc/passwd", "/w/etc/passwd"),
        ] {
            assert_eq!(target(Path::new(destination), path), Path::new(expected), "{path} to {destination}");
        }
    }

    #[test]
    fn a_format_may_hold_anything() {
        let artifact = FoundArtifact {
            path: "a/%j".to_owned(),
            job: "tests".to_owned(),
            size: 3,
            digest: "sha256:00ff".to_owned(),
            at: 1_600_000_000,
            file: "/x/a".to_owned(),
        };
        let text = describe(&artifact, "%j %p %c %s %T %u 100%% %x ä%").unwrap();
        assert_eq!(text, "tests a/%j 2020-09-13T12:26:40Z 3 00ff file:///x/a 100%% %x ä%");
    }
}
