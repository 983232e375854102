//! Which files a job keeps, and which artifacts it means: globs over files, queries over artifacts.
//!
//! Globs are those of the pipeline file; in a query `*` crosses directories too.

use crate::capability::step::ArtifactStore;
use crate::capability::{Error, JobScope};
use crate::event::EventKind;
use crate::pipeline::glob::Glob;
use std::collections::HashSet;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use walkdir::WalkDir;

/// Artifacts of one attempt of a job; Buildkite's limit.
pub const MAX_ARTIFACTS: usize = 5000;

/// How files are looked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Search {
    /// Paths are taken as they are written.
    pub literal: bool,
    /// Links to directories are followed while a glob is resolved.
    pub follow_links: bool,
    /// Links to files are left out.
    pub skip_links: bool,
}

/// A file to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Where it is.
    pub path: PathBuf,
    /// The artifact's path: relative to the directory of the search, else to `/`.
    pub name: String,
}

/// The files that were found, in order, and what the user should know of.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FoundFiles {
    /// Each once.
    pub files: Vec<FoundFile>,
    /// What matched and cannot be kept.
    pub warnings: Vec<String>,
}

/// Finds the files that the globs match, looked at from a directory.
///
/// # Errors
/// A glob that cannot be read, or a file whose name is not UTF-8; as a sentence.
pub fn find(directory: &Path, globs: &[&str], search: Search) -> Result<FoundFiles, String> {
    let mut found = FoundFiles::default();
    let mut seen = HashSet::new();
    for glob in globs.iter().map(|glob| glob.trim()).filter(|glob| !glob.is_empty()) {
        let glob = if search.literal { Pattern::literal(glob) } else { Pattern::parse(glob)? };
        glob.walk(directory, search.follow_links, &mut found.warnings, |path, is_link| {
            if !(is_link && search.skip_links) && seen.insert(plain(&directory.join(&path))) {
                let name = artifact_name(&path)?;
                found.files.push(FoundFile { path: directory.join(path), name });
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// A glob and where to look for what it matches.
#[derive(Debug)]
struct Pattern {
    /// The directory that certainly holds every match, or the file itself.
    base: PathBuf,
    glob: Option<Glob>,
    /// How far below the base matches can be.
    depth: usize,
}

impl Pattern {
    fn literal(path: &str) -> Self {
        Self { base: PathBuf::from(path), glob: None, depth: 0 }
    }

    fn parse(text: &str) -> Result<Self, String> {
        const SPECIAL: [char; 7] = ['*', '?', '[', ']', '{', '}', '\\'];
        let expanded = home(text);
        let text = expanded.strip_prefix("./").unwrap_or(&expanded);
        if !text.contains(SPECIAL) {
            return Ok(Self::literal(text));
        }
        let first = text.find(SPECIAL).unwrap_or_default();
        let split = text[..first].rfind('/').map_or(0, |slash| slash + 1);
        let (base, rest) = text.split_at(split);
        let bounded = !rest.contains("**") && !rest.contains('{');
        let glob = Glob::parse(text).map_err(|reason| format!("invalid glob pattern {text:?}: {reason}"))?;
        Ok(Self {
            base: PathBuf::from(base),
            glob: Some(glob),
            depth: if bounded { rest.split('/').count() } else { usize::MAX },
        })
    }

    /// Hands out every file that matches, as a path from the directory, and whether it is a link.
    fn walk(
        &self,
        directory: &Path,
        follow_links: bool,
        warnings: &mut Vec<String>,
        mut found: impl FnMut(PathBuf, bool) -> Result<(), String>,
    ) -> Result<(), String> {
        let root = directory.join(&self.base);
        if root.symlink_metadata().is_err() {
            return Ok(());
        }
        let walk = WalkDir::new(&root).follow_links(follow_links).max_depth(self.depth).sort_by_file_name();
        // What the runner itself keeps in the project is no file of the project's.
        let own = directory.join(".runner");
        for entry in walk.into_iter().filter_entry(|entry| entry.path() != own) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    warnings.push(format!("not searched: {error}"));
                    continue;
                }
            };
            let below = entry.path().strip_prefix(&root).unwrap_or(entry.path());
            let path = if below.as_os_str().is_empty() { self.base.clone() } else { self.base.join(below) };
            if self.glob.as_ref().is_some_and(|glob| !path.to_str().is_some_and(|path| glob.matches(path))) {
                continue;
            }
            match entry.path().metadata() {
                Ok(metadata) if metadata.is_file() => found(path, entry.path_is_symlink())?,
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => warnings.push(format!("{} is not a regular file and is left out", path.display())),
                Err(error) => warnings.push(format!("{} is left out: {error}", path.display())),
            }
        }
        Ok(())
    }
}

/// A leading `~/` is the user's home.
fn home(text: &str) -> String {
    match (text.strip_prefix("~/"), std::env::var("HOME")) {
        (Some(rest), Ok(home)) if !home.is_empty() => format!("{}/{rest}", home.trim_end_matches('/')),
        _ => text.to_owned(),
    }
}

/// A path without `.` and, as far as that can be said without looking, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

/// The path under which a file is kept: what leads to `/` or out of the directory is left out, because it means
/// nothing where the artifact is fetched.
fn artifact_name(path: &Path) -> Result<String, String> {
    let mut parts = Vec::new();
    for component in plain(path).components() {
        if let Component::Normal(part) = component {
            let part = part.to_str().ok_or_else(|| format!("the name of {} is not UTF-8", path.display()))?;
            parts.push(part.to_owned());
        }
    }
    Ok(parts.join("/"))
}

/// Which artifacts are meant.
#[derive(Debug)]
pub struct Query(Glob);

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = text.trim_start_matches("./").trim_start_matches('/');
        let mut glob = String::with_capacity(plain.len());
        let mut characters = plain.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' if glob.ends_with("**") => {}
                '*' => glob.push_str("**"),
                '\\' => glob.extend(std::iter::once(character).chain(characters.next())),
                other => glob.push(other),
            }
        }
        Glob::parse(&glob).map(Self).map_err(|reason| format!("invalid artifact query {text:?}: {reason}"))
    }

    /// Whether an artifact's path is meant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }
}

/// How far a job's files reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Below the workspace, through no link that leads out of it: the step is a sandboxed component.
    Workspace,
    /// Wherever the user's files are: the step is a command.
    Machine,
}

/// Keeps the files of the workspace that a step's `artifact_paths` name, and records each; returns how many. What
/// matches and cannot be kept is in the job's log.
///
/// # Errors
/// `Invalid` for a glob that cannot be read or leads out of the workspace, `Limit` beyond 5000 files, `Failed` when a
/// file cannot be kept. Those before it are.
pub async fn keep(store: &ArtifactStore, scope: &JobScope, globs: &[String], reach: Reach) -> Result<usize, Error> {
    let root = scope.workspace.root().to_owned();
    let globs: Vec<String> = globs.iter().flat_map(|globs| globs.split(';')).map(|glob| glob.trim().into()).collect();
    if reach == Reach::Workspace {
        for glob in &globs {
            let base = Pattern::parse(glob).map_err(Error::Invalid)?.base;
            let outside = || Error::Invalid(format!("`{glob}` in artifact_paths leads out of the workspace"));
            let relative = crate::capability::relative_path(&base.to_string_lossy()).map_err(|_| outside())?;
            // A link that leads out is refused here; one that is put there later, when the file is opened.
            if root.join(&relative).symlink_metadata().is_ok() {
                scope.workspace.dir().metadata(&relative).map_err(|_| outside())?;
            }
        }
    }
    let searched = tokio::task::spawn_blocking(move || {
        let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
        find(&root, &globs, Search::default())
    });
    let found = searched.await.map_err(|error| Error::Failed(error.to_string()))?.map_err(Error::Invalid)?;
    for warning in &found.warnings {
        scope.log.line(&format!("warning: {warning}"));
    }
    if found.files.len() > MAX_ARTIFACTS {
        let count = found.files.len();
        return Err(Error::Limit(format!("artifact_paths matches {count} files; at most {MAX_ARTIFACTS} are kept")));
    }
    let count = found.files.len();
    for FoundFile { path, name } in found.files {
        scope.check_name("an artifact's path", &name)?;
        let fault = |error: std::io::Error| Error::Failed(format!("cannot read `{name}`: {error}"));
        let mut file: File = match reach {
            Reach::Workspace => scope.workspace.dir().open(&name).map_err(fault)?.into_std(),
            Reach::Machine => File::open(&path).map_err(fault)?,
        };
        let (store, job, name) = (store.clone(), scope.name.job.clone(), name.clone());
        let stored = tokio::task::spawn_blocking(move || store.store(&job, &name, &mut file)).await;
        let artifact = stored.map_err(|error| Error::Failed(error.to_string()))??;
        scope.recorder.record(EventKind::ArtifactStored { artifact }).await?;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in ["log/a.log", "log/deep/er/b.log", "log/c.txt", ".hidden/d.log", "pkg/x.tar.gz", "top.log"] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        std::os::unix::fs::symlink("log/a.log", dir.path().join("link.log")).unwrap();
        std::os::unix::fs::symlink("log", dir.path().join("dir")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("broken.log")).unwrap();
        dir
    }

    fn names(dir: &Path, globs: &str, search: Search) -> Vec<String> {
        let found = find(dir, &globs.split(';').collect::<Vec<_>>(), search).unwrap();
        found.files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn globs_find_files_as_buildkite_does() {
        let dir = tree();
        for (globs, expected) in [
            ("log/*.log", &["log/a.log"][..]),
            ("log/**/*.log", &["log/a.log", "log/deep/er/b.log"]),
            ("./log/{a,c}.*", &["log/a.log", "log/c.txt"]),
            ("log/[ab].log", &["log/a.log"]),
            ("log/?.txt", &["log/c.txt"]),
            ("*.log; log/a.log ;;top.log", &["link.log", "top.log", "log/a.log"]),
            ("**/d.log", &[".hidden/d.log"]),
            ("log", &[]),
            ("log/**", &["log/a.log", "log/c.txt", "log/deep/er/b.log"]),
            ("dir/a.log", &["dir/a.log"]),
            ("*/a.log", &["log/a.log"]),
            ("pkg/../log/a.log;log/a.log", &["log/a.log"]),
            ("{log,pkg}/*.{txt,gz}", &["log/c.txt", "pkg/x.tar.gz"]),
            ("none/*;none", &[]),
        ] {
            assert_eq!(names(dir.path(), globs, Search::default()), expected, "{globs}");
        }
        assert_eq!(names(dir.path(), "*.log", Search { skip_links: true, ..Search::default() }), ["top.log"]);
        let followed = names(dir.path(), "*/a.log", Search { follow_links: true, ..Search::default() });
        assert_eq!(followed, ["dir/a.log", "log/a.log"]);
        assert!(names(dir.path(), "*.log", Search { literal: true, ..Search::default() }).is_empty());
        let absolute = dir.path().join("log/*.log").display().to_string();
        let expected = dir.path().join("log/a.log").display().to_string();
        assert_eq!(names(Path::new("/usr"), &absolute, Search::default()), [expected.trim_start_matches('/')]);
        let upwards = names(&dir.path().join("log"), "../pkg/*", Search::default());
        assert_eq!(upwards, ["pkg/x.tar.gz"]);
    }

    #[test]
    fn what_cannot_be_kept_is_said() {
        let dir = tree();
        let found = find(dir.path(), &["*.log"], Search::default()).unwrap();
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
        assert!(found.warnings[0].contains("broken.log"));
        assert!(find(dir.path(), &["[a"], Search::default()).unwrap_err().contains("invalid glob"));
    }

    #[test]
    fn a_star_in_a_query_crosses_directories() {
        for (query, path, expected) in [
            ("pkg/*.tar.gz", "pkg/a.tar.gz", true),
            ("pkg/*.tar.gz", "pkg/deep/a.tar.gz", true),
            ("*", "any/thing", true),
            ("*.log", "deep/a.log", true),
            ("./a/b", "a/b", true),
            ("/tmp/*", "tmp/x", true),
            ("a", "a/b", false),
            ("log/**/*.xml", "log/a/b.xml", true),
        ] {
            assert_eq!(Query::parse(query).unwrap().matches(path), expected, "{query} {path}");
        }
    }
}
