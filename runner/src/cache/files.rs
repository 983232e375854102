//! The files of a cached step: found by its globs, digested, packed and unpacked. Nothing outside of the workspace is
//! read or written, and nothing below `.git` and `.runner`; nothing is written below `.buildkite/hooks`.

use crate::capability::beneath::{self, Opened, descend, is_protected, stays_within};
use crate::pipeline::glob::Glob;
use crate::plan::cache::is_kept_out;
use cap_std::fs::Dir;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio_util::sync::CancellationToken;
use walkdir::WalkDir;

/// Input files of one job: each is a line in the run's log.
pub const MAX_INPUTS: usize = 20_000;

/// Bytes of all input files of one job: what takes minutes to read saves none.
const MAX_READ: u64 = 8 << 30;

/// Files one job can have kept.
const MAX_OUTPUTS: usize = 100_000;

/// Bytes of all files one job can have kept.
pub const MAX_BYTES: u64 = 4 << 30;

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A file: 64 hex digits of its SHA-256, and whether it can be executed.
    File(String, bool),
    /// A link and where it leads; what is there does not count.
    Link(String),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(digest, executable) => write!(f, "{digest}{}", if *executable { " executable" } else { "" }),
            Self::Link(target) => write!(f, "link to {target}"),
        }
    }
}

/// Globs in the way a cache means them: one that matches a directory stands for all that is below it.
#[derive(Debug)]
pub struct Globs(Vec<(String, Glob)>);

impl Globs {
    /// Reads globs.
    ///
    /// # Errors
    /// What is wrong with the first that is none.
    pub fn parse(globs: &[String]) -> Result<Self, String> {
        let parse = |glob: &String| {
            let plain = glob.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/");
            let parsed = Glob::parse(&plain).map_err(|reason| format!("`{glob}`: {reason}"))?;
            Ok((plain, parsed))
        };
        globs.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a path, or a directory above it, is matched.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.0.iter().any(|(_, glob)| covers(glob, path))
    }

    /// Whether something below a directory can be matched.
    fn reaches(&self, directory: &str) -> bool {
        self.0.iter().any(|(text, _)| {
            // What comes before the first character with a meaning is taken as it stands.
            let special = text.find(['*', '?', '[', ']', '{', '}', '\\']).unwrap_or(text.len());
            let base = &text[..special];
            let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
            base.starts_with(directory) || below(directory, base.trim_end_matches('/')) || directory.starts_with(base)
        })
    }

    /// The globs that match none of the paths.
    pub fn idle<'a>(&'a self, paths: &BTreeMap<String, Content>) -> impl Iterator<Item = &'a str> {
        let idle = |(_, glob): &&(String, Glob)| !paths.keys().any(|path| covers(glob, path));
        self.0.iter().filter(idle).map(|(text, _)| text.as_str()).collect::<Vec<_>>().into_iter()
    }
}

fn covers(glob: &Glob, path: &str) -> bool {
    glob.matches(path) || path.match_indices('/').any(|(end, _)| glob.matches(&path[..end]))
}

/// The paths of files and links that the globs match, in order.
///
/// # Errors
/// What cannot be read, as a sentence; more than `most` paths; a name that is not UTF-8; `stop`.
fn find(root: &Path, globs: &Globs, most: usize, stop: &CancellationToken) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let below = |path: &Path| path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
    let walk = WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter().filter_entry(|entry| {
        let kept_out = entry.file_name().to_str().is_some_and(is_kept_out);
        // A name that is not UTF-8 is looked at below.
        !kept_out && (!entry.file_type().is_dir() || below(entry.path()).is_none_or(|path| globs.reaches(&path)))
    });
    for entry in walk {
        if stop.is_cancelled() {
            return Err(STOPPED.to_owned());
        }
        let entry = entry.map_err(|error| format!("not everything can be read: {error}"))?;
        if entry.file_type().is_dir() {
            continue;
        }
        let Some(path) = below(entry.path()) else {
            // Whatever it is, no glob can name it.
            let shown = entry.path().display();
            return Err(format!("the name of `{shown}` is not UTF-8"));
        };
        if !globs.matches(&path) {
            continue;
        }
        if found.len() >= most {
            return Err(format!("the globs match more than {most} files"));
        }
        found.push(path);
    }
    Ok(found)
}

/// The digests of all files that `globs` match and `except` does not.
///
/// # Errors
/// A sentence on what cannot be read or is no file; more than [`MAX_INPUTS`] files or 8 GiB; `stop`.
pub fn digest(
    root: &Path,
    globs: &Globs,
    except: &Globs,
    stop: &CancellationToken,
) -> Result<BTreeMap<String, Content>, String> {
    let dir = open(root)?;
    let mut left = MAX_READ;
    let mut contents = BTreeMap::new();
    for path in find(root, globs, MAX_INPUTS, stop)? {
        if except.matches(&path) {
            continue;
        }
        let content = match at(&dir, &path)? {
            Found::Link(target) => Content::Link(target),
            Found::File(file) => {
                let cannot = |error: io::Error| format!("cannot read `{path}`: {error}");
                let many = || format!("the files of `inputs` have more than {} GiB", MAX_READ >> 30);
                let executable = is_executable(&file);
                // Before anything is read: a file with holes has its size at once.
                let size = file.metadata().map_err(cannot)?.len();
                if size > left {
                    return Err(many());
                }
                let mut digest = Sha256::new();
                // It may grow meanwhile.
                let read = io::copy(&mut Stoppable::new(file.take(left + 1), stop), &mut digest).map_err(cannot)?;
                left = left.checked_sub(read).ok_or_else(many)?;
                Content::File(format!("{:x}", digest.finalize()), executable)
            }
        };
        contents.insert(path, content);
    }
    Ok(contents)
}

/// Writes all files that the globs match into an archive, which is the same for the same files. Returns how many.
///
/// # Errors
/// A sentence on what cannot be read, is no file, or is a link that leads out of the workspace; too many or too large
/// files; `stop`.
pub fn pack(root: &Path, globs: &Globs, to: &mut dyn Write, stop: &CancellationToken) -> Result<usize, String> {
    let dir = open(root)?;
    let mut found = find(root, globs, MAX_OUTPUTS, stop)?;
    found.retain(|path| !is_refused(path));
    let mut tar = tar::Builder::new(to);
    let mut left = MAX_BYTES;
    for path in &found {
        let cannot = |error: io::Error| format!("cannot keep `{path}`: {error}");
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        match at(&dir, path)? {
            Found::Link(target) => {
                if !stays_inside(path, &target) {
                    return Err(format!("the link `{path}` leads out of the workspace"));
                }
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                header.set_mode(0o777);
                tar.append_link(&mut header, path, &target).map_err(cannot)?;
            }
            Found::File(file) => {
                let size = file.metadata().map_err(cannot)?.len();
                left = left
                    .checked_sub(size)
                    .ok_or_else(|| format!("the files of `outputs` have more than {} GiB", MAX_BYTES >> 30))?;
                header.set_size(size);
                header.set_mode(if is_executable(&file) { 0o755 } else { 0o644 });
                // A file that grows meanwhile is cut; one that shrinks leaves an archive that cannot be read.
                let mut exactly = Exactly { inner: Stoppable::new(file.take(size), stop), left: size };
                tar.append_data(&mut header, path, &mut exactly).map_err(cannot)?;
            }
        }
    }
    tar.into_inner().and_then(Write::flush).map_err(|error| format!("cannot keep the outputs: {error}"))?;
    Ok(found.len())
}

/// Puts the files of an archive into their places. First everything is looked at: of an archive with one entry that
/// must not be there nothing is written. Returns how many files there are.
///
/// # Errors
/// A sentence on what is wrong with the archive, or cannot be written; `stop`, which may leave some files written.
pub fn unpack(root: &Path, globs: &Globs, archive: &mut File, stop: &CancellationToken) -> Result<usize, String> {
    let dir = open(root)?;
    let broken = |error: io::Error| format!("the archive of outputs cannot be read: {error}");
    let mut left = MAX_BYTES;
    let mut count = 0;
    archive.rewind().map_err(broken)?;
    for entry in tar::Archive::new(Stoppable::new(&mut *archive, stop)).entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        checked(&entry, globs)?;
        count += 1;
        left = left.checked_sub(entry.size()).ok_or("the archive of outputs is too large")?;
        if count > MAX_OUTPUTS {
            return Err("the archive of outputs holds too many files".to_owned());
        }
    }
    archive.rewind().map_err(broken)?;
    for entry in tar::Archive::new(Stoppable::new(&mut *archive, stop)).entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let (path, link) = checked(&entry, globs)?;
        let cannot = |error: io::Error| format!("cannot write `{path}`: {error}");
        let (parents, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let parents = parents.split('/').filter(|part| !part.is_empty()).map(OsStr::new);
        let parent = descend(&dir, parents).map_err(cannot)?;
        if let Some(target) = link {
            beneath::link(&parent, Path::new(name), OsStr::new(&target)).map_err(cannot)?;
            continue;
        }
        let mode = entry.header().mode().map_err(broken)?;
        let size = entry.size();
        beneath::write(&parent, Path::new(name), mode, &mut entry, size).map_err(cannot)?;
    }
    Ok(count)
}

/// Path and, of a link, target of an entry that may be written.
fn checked<R: Read>(entry: &tar::Entry<'_, R>, globs: &Globs) -> Result<(String, Option<String>), String> {
    let path = entry.path().map_err(|error| format!("the archive of outputs cannot be read: {error}"))?;
    let shown = path.display().to_string();
    let refused = |what: &str| Err(format!("the archive of outputs holds `{}`, which {what}", shown.escape_debug()));
    let Some(path) = path.to_str() else { return refused("is not UTF-8") };
    let normal = |part: &str| !matches!(part, "" | "." | "..") && !is_kept_out(part);
    if !path.split('/').all(normal) {
        return refused("leads elsewhere");
    }
    if is_refused(path) {
        return refused("is acted upon outside of sandboxes");
    }
    if !globs.matches(path) {
        return refused("the step's `outputs` do not match");
    }
    match entry.header().entry_type() {
        tar::EntryType::Regular => Ok((path.to_owned(), None)),
        tar::EntryType::Symlink => {
            let target = entry.link_name().ok().flatten();
            match target.as_deref().and_then(Path::to_str) {
                Some(target) if stays_inside(path, target) => Ok((path.to_owned(), Some(target.to_owned()))),
                _ => refused("is a link that leads out of the workspace"),
            }
        }
        _ => refused("is neither a file nor a link"),
    }
}

/// Whether a link at `path` leads to a place in the workspace, and not to one that is kept out.
fn stays_inside(path: &str, target: &str) -> bool {
    !target.is_empty() && stays_within(Path::new(path), Path::new(target))
}

/// Whether no file or link may be written at a path; a link `.buildkite` would bring hooks from elsewhere.
fn is_refused(path: &str) -> bool {
    is_protected(Path::new(path)) || path.eq_ignore_ascii_case(".buildkite")
}

/// What is at a path of the workspace.
enum Found {
    File(File),
    Link(String),
}

fn at(dir: &Dir, path: &str) -> Result<Found, String> {
    let cannot = |error: &dyn fmt::Display| format!("cannot read `{path}`: {error}");
    let metadata = dir.symlink_metadata(path).map_err(|error| cannot(&error))?;
    if metadata.is_symlink() {
        let target = dir.read_link_contents(path).map_err(|error| cannot(&error))?;
        let target = target.into_os_string().into_string();
        return target.map(Found::Link).map_err(|_| format!("the link `{path}` leads to a name that is not UTF-8"));
    }
    match beneath::open(dir, path).map_err(|error| error.to_string())? {
        Opened::File(file) => Ok(Found::File(file)),
        Opened::Directory(_) => Err(cannot(&"it is a directory now")),
    }
}

fn open(root: &Path) -> Result<Dir, String> {
    Dir::open_ambient_dir(root, cap_std::ambient_authority())
        .map_err(|error| format!("cannot open the workspace {}: {error}", root.display()))
}

fn is_executable(file: &File) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

/// What is said where the job is over first.
pub const STOPPED: &str = "the job was asked to end";

/// A reader that fails once it is told to stop, so that no thread goes on for a job that has ended.
pub struct Stoppable<'a, R> {
    inner: R,
    stop: &'a CancellationToken,
}

impl<'a, R> Stoppable<'a, R> {
    /// Reads from `inner` until `stop`.
    pub fn new(inner: R, stop: &'a CancellationToken) -> Self {
        Self { inner, stop }
    }
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() { Err(io::Error::other(STOPPED)) } else { self.inner.read(buffer) }
    }
}

/// A reader that has to give as many bytes as were announced.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left -= count as u64;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// Nothing is stopped.
    fn going() -> CancellationToken {
        CancellationToken::new()
    }

    fn globs(globs: &[&str]) -> Globs {
        Globs::parse(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in
            ["src/a.c", "src/deep/b.c", "src/deep/b.h", "dist/out", "Makefile", ".git/config", ".runner/runs.db"]
        {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        symlink("a.c", root.path().join("src/link.c")).unwrap();
        root
    }

    fn inputs(root: &Path, matched: &[&str], except: &[&str]) -> Vec<String> {
        digest(root, &globs(matched), &globs(except), &going()).unwrap().into_keys().collect()
    }

    #[test]
    fn globs_and_directories_name_the_inputs() {
        let root = tree();
        for (matched, except, expected) in [
            (&["src"][..], &[][..], &["src/a.c", "src/deep/b.c", "src/deep/b.h", "src/link.c"][..]),
            (&["./src/"], &["src/deep"], &["src/a.c", "src/link.c"]),
            (&["src/*.c"], &[], &["src/a.c", "src/link.c"]),
            (&["src/**/*.c", "Makefile"], &[], &["Makefile", "src/a.c", "src/deep/b.c", "src/link.c"]),
            (&["**"], &["dist/**", "src"], &["Makefile"]),
            (&["{dist,Make*}"], &[], &["Makefile", "dist/out"]),
            (&["s?c/deep"], &[], &["src/deep/b.c", "src/deep/b.h"]),
            (&["none", "sr"], &[], &[]),
        ] {
            assert_eq!(inputs(root.path(), matched, except), expected, "{matched:?} without {except:?}");
        }
        let found = digest(root.path(), &globs(&["src"]), &globs(&[]), &going()).unwrap();
        assert_eq!(globs(&["src/*.c", "none/**"]).idle(&found).collect::<Vec<_>>(), ["none/**"]);
    }

    #[test]
    fn contents_modes_and_links_count() {
        let root = tree();
        let look = || digest(root.path(), &globs(&["src"]), &globs(&[]), &going()).unwrap();
        let before = look();
        assert_eq!(before["src/link.c"], Content::Link("a.c".to_owned()));
        assert_eq!(look(), before);
        std::fs::set_permissions(root.path().join("src/a.c"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let executable = look();
        assert_ne!(executable["src/a.c"], before["src/a.c"]);
        std::fs::write(root.path().join("src/a.c"), "src/a.C").unwrap();
        assert_ne!(look()["src/a.c"], executable["src/a.c"]);
        std::fs::remove_file(root.path().join("src/link.c")).unwrap();
        symlink("../Makefile", root.path().join("src/link.c")).unwrap();
        assert_ne!(look()["src/link.c"], before["src/link.c"]);
        symlink("/etc", root.path().join("elsewhere")).unwrap();
        assert_eq!(inputs(root.path(), &["elsewhere/**", "elsewhere"], &[]), ["elsewhere"]);
    }

    #[test]
    fn outputs_come_back_as_they_were() {
        let root = tree();
        let outputs = globs(&["src", "dist"]);
        std::fs::set_permissions(root.path().join("src/a.c"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut archive = tempfile::tempfile().unwrap();
        assert_eq!(pack(root.path(), &outputs, &mut archive, &going()), Ok(5));
        let mut again = Vec::new();
        pack(root.path(), &outputs, &mut again, &going()).unwrap();
        archive.rewind().unwrap();
        let mut first = Vec::new();
        archive.read_to_end(&mut first).unwrap();
        assert_eq!(first, again);
        let clone = tempfile::tempdir().unwrap();
        std::fs::create_dir(clone.path().join("src")).unwrap();
        std::fs::write(clone.path().join("src/a.c"), "old").unwrap();
        assert_eq!(unpack(clone.path(), &outputs, &mut archive, &going()), Ok(5));
        let look = |root: &Path| digest(root, &outputs, &globs(&[]), &going()).unwrap();
        assert_eq!(look(clone.path()), look(root.path()));
    }

    #[test]
    fn links_out_of_the_workspace_are_not_kept() {
        for target in ["/etc/passwd", "../../x", "../.git/config", "..//.runner", "../src/..", "out/../../x"] {
            let root = tree();
            symlink(target, root.path().join("dist/link")).unwrap();
            assert!(
                pack(root.path(), &globs(&["dist"]), &mut Vec::new(), &going()).unwrap_err().contains("dist/link"),
                "{target}"
            );
        }
    }

    /// An archive of one entry after an honest one, its name written byte for byte.
    fn archive(name: &str, kind: tar::EntryType, link: &str) -> File {
        let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
        for (name, kind, link) in [("dist/honest", tar::EntryType::Regular, ""), (name, kind, link)] {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_mode(0o4755);
            header.set_cksum();
            tar.append(&header, io::empty()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    #[test]
    fn an_archive_with_one_hostile_entry_writes_nothing() {
        use tar::EntryType as Kind;
        for (name, kind, link) in [
            ("../escaped", Kind::Regular, ""),
            ("dist/../../escaped", Kind::Regular, ""),
            ("/escaped", Kind::Regular, ""),
            ("dist/./x", Kind::Regular, ""),
            ("other/file", Kind::Regular, ""),
            ("dist/.git/hooks/post-commit", Kind::Regular, ""),
            ("dist/.RUNNER/x", Kind::Regular, ""),
            (".git/config", Kind::Regular, ""),
            ("dist/link", Kind::Symlink, "/etc/passwd"),
            ("dist/link", Kind::Symlink, "../../x"),
            ("dist/link", Kind::Symlink, "../.git"),
            ("dist/link", Kind::Symlink, "up/.."),
            ("dist/link", Kind::Symlink, "../src/../.."),
            (".buildkite/hooks/pre-command", Kind::Regular, ""),
            (".buildkite", Kind::Symlink, "dist"),
            ("dist/link", Kind::Symlink, ""),
            ("dist/link", Kind::Link, "Makefile"),
            ("dist/device", Kind::Char, ""),
            ("dist/pipe", Kind::Fifo, ""),
            ("dist/directory", Kind::Directory, ""),
        ] {
            let root = tempfile::tempdir().unwrap();
            let workspace = root.path().join("workspace");
            std::fs::create_dir(&workspace).unwrap();
            let result =
                unpack(&workspace, &globs(&["dist", ".git", ".buildkite"]), &mut archive(name, kind, link), &going());
            assert!(result.is_err(), "{name} as {kind:?} to {link}");
            assert_eq!(std::fs::read_dir(&workspace).unwrap().count(), 0, "{name} as {kind:?}");
            assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "{name} as {kind:?}");
        }
    }

    #[test]
    fn nothing_is_written_through_links_that_are_there() {
        let root = tree();
        let outside = tempfile::tempdir().unwrap();
        std::fs::remove_dir_all(root.path().join("dist")).unwrap();
        symlink(outside.path(), root.path().join("dist")).unwrap();
        let mut hostile = archive("dist/x", tar::EntryType::Regular, "");
        assert!(unpack(root.path(), &globs(&["dist"]), &mut hostile, &going()).unwrap_err().contains("no directory"));
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
        // Nor through one that the archive itself brings.
        let mut tar = tar::Builder::new(tempfile::tempfile().unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, "out/link", "../src").unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, "out/link/a.c", &b"x"[..]).unwrap();
        assert!(unpack(root.path(), &globs(&["out"]), &mut tar.into_inner().unwrap(), &going()).is_err());
        assert_eq!(std::fs::read_to_string(root.path().join("src/a.c")).unwrap(), "src/a.c");
    }

    #[test]
    fn a_truncated_archive_is_refused() {
        let root = tree();
        let mut bytes = Vec::new();
        pack(root.path(), &globs(&["src"]), &mut bytes, &going()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes[..700]).unwrap();
        let clone = tempfile::tempdir().unwrap();
        assert!(unpack(clone.path(), &globs(&["src"]), &mut file, &going()).is_err());
        assert_eq!(std::fs::read_dir(clone.path()).unwrap().count(), 0);
    }

    #[test]
    fn hooks_are_read_and_never_kept() {
        let root = tree();
        std::fs::create_dir_all(root.path().join(".buildkite/hooks")).unwrap();
        std::fs::write(root.path().join(".buildkite/hooks/pre-command"), "x").unwrap();
        std::fs::write(root.path().join(".buildkite/pipeline.yml"), "x").unwrap();
        assert_eq!(inputs(root.path(), &[".buildkite/hooks"], &[]), [".buildkite/hooks/pre-command"]);
        assert_eq!(pack(root.path(), &globs(&[".buildkite"]), &mut Vec::new(), &going()), Ok(1));
    }

    #[test]
    fn a_file_with_holes_is_too_large_at_once() {
        let root = tree();
        File::create(root.path().join("src/huge")).unwrap().set_len(MAX_READ).unwrap();
        let error = digest(root.path(), &globs(&["src"]), &globs(&[]), &going()).unwrap_err();
        assert_eq!(error, "the files of `inputs` have more than 8 GiB");
    }

    #[test]
    fn what_has_to_stop_does() {
        let root = tree();
        let mut archive = tempfile::tempfile().unwrap();
        pack(root.path(), &globs(&["src"]), &mut archive, &going()).unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        let ended = |result: Result<usize, String>| assert!(result.unwrap_err().contains(STOPPED));
        ended(digest(root.path(), &globs(&["src"]), &globs(&[]), &stop).map(|found| found.len()));
        ended(pack(root.path(), &globs(&["src"]), &mut Vec::new(), &stop));
        ended(unpack(root.path(), &globs(&["src"]), &mut archive, &stop));
        assert!(Stoppable::new(&b"x"[..], &stop).read(&mut [0]).is_err());
    }
}
