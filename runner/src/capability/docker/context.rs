//! Directories of the workspace on their way to the engine: an archive in which links stay links.

use super::changes::{Manifest, Stamp};
use super::ignore_file::{IgnoreFile, Matches};
use super::pipe::PackError;
use crate::agent::JobLog;
use crate::capability::Error;
use crate::capability::beneath::{Opened, kind_of, step};
use cap_std::fs::Dir;
use rustix::fs::FileType;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of all files of a build context or a copy.
pub(super) const MAX_BYTES: u64 = 512 << 20;
/// Files and directories likewise.
const MAX_ENTRIES: u64 = 1_000_000;
/// Directories within each other; each is held open while it is read.
const MAX_DEPTH: usize = 128;

/// The runner's own directory in the project: the run's log would change every context and every image.
const OWN_DIRECTORY: &str = ".runner";

/// A file whose content is known already, and goes into the archive whether it is ignored or not.
pub(super) struct Fixed {
    /// Path in the archive.
    pub(super) path: String,
    /// The content.
    pub(super) bytes: Vec<u8>,
}

/// What goes into an archive.
pub(super) struct Packing {
    /// The directory.
    pub(super) dir: Dir,
    /// How people know it, for messages.
    pub(super) name: String,
    /// Whether it is the workspace's root.
    pub(super) is_root: bool,
    /// What stays out.
    pub(super) ignore: IgnoreFile,
    /// Files read before.
    pub(super) fixed: Vec<Fixed>,
    /// What to do when it is too large.
    pub(super) advice: &'static str,
    /// Where to note what went in, for a copy whose changes may be wanted back.
    pub(super) manifest: Option<Arc<Mutex<Manifest>>>,
}

/// Writes a directory's content, sorted by name, everything owned by root. Returns what was left out because it is
/// neither file, directory nor link.
pub(super) fn pack(packing: &Packing, out: &mut impl Write) -> Result<Vec<PathBuf>, PackError> {
    let mut walk = Walk {
        packing,
        tar: tar::Builder::new(out),
        bytes: 0,
        entries: 0,
        skipped: Vec::new(),
        done: Vec::new(),
        manifest: packing.manifest.as_ref().map(|_| Manifest::default()),
    };
    let mode = packing.dir.dir_metadata().map_err(|error| walk.unreadable(Path::new("."), &error))?;
    walk.header(Path::new("."), tar::EntryType::Directory, mode_of(&mode), 0)?;
    walk.directory(&packing.dir, Path::new(""), &Matches::default(), 0)?;
    for fixed in &packing.fixed {
        walk.fixed(fixed)?;
    }
    walk.tar.finish().map_err(|_| PackError::ReaderGone)?;
    if let (Some(kept), Some(manifest)) = (&packing.manifest, walk.manifest) {
        *kept.lock().unwrap_or_else(PoisonError::into_inner) = manifest;
    }
    Ok(walk.skipped)
}

/// Says in the job's log what was left out.
pub(super) fn tell(log: &JobLog, skipped: &[PathBuf]) {
    for path in skipped {
        log.line(&format!("`{}` is neither a file nor a directory, and is left out", path.display()));
    }
}

/// Writes one file under the name it is to have in the archive.
pub(super) fn pack_file(file: &File, shown: &str, path: &str, out: &mut impl Write) -> Result<(), PackError> {
    let refused = |text: String| PackError::Refused(Error::Failed(text));
    let metadata = file.metadata().map_err(|error| refused(format!("cannot read `{shown}`: {error}")))?;
    if metadata.len() > MAX_BYTES {
        return Err(PackError::Refused(Error::Limit(format!("`{shown}` is larger than 512 MiB"))));
    }
    let mut tar = tar::Builder::new(out);
    append(&mut tar, Path::new(path), file, mode_of_std(&metadata), metadata.len(), shown)?;
    tar.finish().map_err(|_| PackError::ReaderGone)
}

struct Walk<'a, W: Write> {
    packing: &'a Packing,
    tar: tar::Builder<W>,
    bytes: u64,
    entries: u64,
    skipped: Vec<PathBuf>,
    /// Fixed files that were met and written.
    done: Vec<&'a str>,
    manifest: Option<Manifest>,
}

impl<'a, W: Write> Walk<'a, W> {
    fn directory(&mut self, dir: &Dir, path: &Path, above: &Matches, depth: usize) -> Result<(), PackError> {
        if depth > MAX_DEPTH {
            return Err(self.limit(&format!("directories more than {MAX_DEPTH} deep")));
        }
        let names = dir.entries().and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let names = names.map_err(|error| self.unreadable(path, &error))?;
        let mut names: Vec<OsString> = names.iter().map(cap_std::fs::DirEntry::file_name).collect();
        names.sort_unstable();
        for name in names {
            if depth == 0 && self.packing.is_root && name == OWN_DIRECTORY {
                continue;
            }
            self.entry(dir, &path.join(&name), &name, above, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, dir: &Dir, path: &Path, name: &OsStr, above: &Matches, depth: usize) -> Result<(), PackError> {
        let packing = self.packing;
        let shown = path.to_string_lossy();
        if let Some(fixed) = packing.fixed.iter().find(|fixed| fixed.path == shown) {
            return self.fixed(fixed);
        }
        let (excluded, matches) = packing.ignore.excludes(&shown, above);
        if excluded && !packing.ignore.has_exceptions() {
            return Ok(());
        }
        let kind = match kind_of(dir, name) {
            // Removed since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|error| self.unreadable(path, &error))?,
        };
        if excluded && kind != FileType::Directory {
            return Ok(());
        }
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(self.limit(&format!("more than {MAX_ENTRIES} files")));
        }
        match kind {
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(dir.as_fd(), name, Vec::new());
                let target = target.map_err(|error| self.unreadable(path, &error.into()))?;
                let mut header = header(tar::EntryType::Symlink, 0o777, 0, 0);
                let target = OsString::from_vec(target.into_bytes());
                if let Some(manifest) = &mut self.manifest {
                    manifest.note(path, Stamp::Link(target.clone()));
                }
                self.tar.append_link(&mut header, path, target).map_err(|_| PackError::ReaderGone)
            }
            FileType::Directory | FileType::RegularFile => {
                match step(dir, name).map_err(|error| self.unreadable(path, &error))? {
                    Opened::Directory(below) => {
                        if !excluded {
                            let metadata = below.dir_metadata().map_err(|error| self.unreadable(path, &error))?;
                            if let Some(manifest) = &mut self.manifest {
                                manifest.note(path, Stamp::Directory);
                            }
                            self.header(path, tar::EntryType::Directory, mode_of(&metadata), 0)?;
                        }
                        self.directory(&below, path, &matches, depth + 1)
                    }
                    Opened::File(_) if excluded => Ok(()),
                    Opened::File(file) => self.file(path, &file),
                }
            }
            _ => {
                self.skipped.push(path.to_owned());
                Ok(())
            }
        }
    }

    fn file(&mut self, path: &Path, file: &File) -> Result<(), PackError> {
        let metadata = file.metadata().map_err(|error| self.unreadable(path, &error))?;
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.bytes > MAX_BYTES {
            return Err(self.limit("more than 512 MiB"));
        }
        let shown = path.to_string_lossy();
        let (mode, mut mtime) = mode_of_std(&metadata);
        if let Some(manifest) = &mut self.manifest {
            mtime = manifest.note_file(path, metadata.len(), mode, mtime);
        }
        append(&mut self.tar, path, file, (mode, mtime), metadata.len(), &shown)
    }

    fn fixed(&mut self, fixed: &'a Fixed) -> Result<(), PackError> {
        if self.done.contains(&fixed.path.as_str()) {
            return Ok(());
        }
        self.done.push(&fixed.path);
        let mut header = header(tar::EntryType::Regular, 0o644, 0, fixed.bytes.len() as u64);
        self.tar.append_data(&mut header, &fixed.path, &*fixed.bytes).map_err(|_| PackError::ReaderGone)
    }

    fn header(
        &mut self,
        path: &Path,
        kind: tar::EntryType,
        (mode, mtime): (u32, u64),
        size: u64,
    ) -> Result<(), PackError> {
        let mut header = header(kind, mode, mtime, size);
        self.tar.append_data(&mut header, path, io::empty()).map_err(|_| PackError::ReaderGone)
    }

    fn limit(&self, what: &str) -> PackError {
        let Packing { name, advice, .. } = self.packing;
        PackError::Refused(Error::Limit(format!("`{name}` holds {what}; {advice}")))
    }

    fn unreadable(&self, path: &Path, error: &io::Error) -> PackError {
        let path = Path::new(&self.packing.name).join(path);
        PackError::Refused(Error::Failed(format!("cannot read `{}`: {error}", path.display())))
    }
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    path: &Path,
    file: &File,
    (mode, mtime): (u32, u64),
    size: u64,
    shown: &str,
) -> Result<(), PackError> {
    let mut header = header(tar::EntryType::Regular, mode, mtime, size);
    let mut content = Counted { inner: file.take(size), left: size, failed: None };
    let written = tar.append_data(&mut header, path, &mut content);
    let why = match (content.failed, content.left) {
        (Some(error), _) => error.to_string(),
        (None, 0) => return written.map_err(|_| PackError::ReaderGone),
        (None, _) if written.is_err() => return Err(PackError::ReaderGone),
        (None, _) => "it was changed while it was being sent".to_owned(),
    };
    Err(PackError::Refused(Error::Failed(format!("cannot read `{shown}`: {why}"))))
}

/// Tells a failing read from a failing write, and a file that has become shorter.
struct Counted<R> {
    inner: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

fn header(kind: tar::EntryType, mode: u32, mtime: u64, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(mtime);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Permissions without the set-id and sticky bits, and the time of the last change in seconds.
fn mode_of(metadata: &cap_std::fs::Metadata) -> (u32, u64) {
    use cap_std::fs::MetadataExt;
    (metadata.mode() & 0o777, u64::try_from(metadata.mtime()).unwrap_or_default())
}

fn mode_of_std(metadata: &std::fs::Metadata) -> (u32, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.mode() & 0o777, u64::try_from(metadata.mtime()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    fn workspace() -> (tempfile::TempDir, Dir) {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(root.path(), cap_std::ambient_authority()).unwrap();
        (root, dir)
    }

    fn packing(dir: Dir, ignore: &str) -> Packing {
        Packing {
            dir,
            name: ".".to_owned(),
            is_root: true,
            ignore: IgnoreFile::parse(ignore).unwrap(),
            fixed: Vec::new(),
            advice: "make it smaller",
            manifest: None,
        }
    }

    fn names(packing: &Packing) -> BTreeMap<String, String> {
        let mut bytes = Vec::new();
        pack(packing, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&*bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            if let Some(link) = entry.link_name_bytes() {
                content = format!("-> {}", OsStr::from_bytes(&link).display());
            }
            (path, content)
        });
        entries.collect()
    }

    #[test]
    fn links_stay_links_and_the_runners_own_directory_stays_out() {
        let (root, dir) = workspace();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        std::fs::create_dir_all(root.path().join(".runner")).unwrap();
        std::fs::write(root.path().join(".runner/log"), "x").unwrap();
        std::fs::write(root.path().join("a/b/file"), "content").unwrap();
        symlink("/etc/passwd", root.path().join("a/passwd")).unwrap();
        symlink("../..", root.path().join("a/up")).unwrap();
        let long = "d".repeat(200);
        std::fs::create_dir(root.path().join(&long)).unwrap();
        std::fs::write(root.path().join(&long).join("f"), "long").unwrap();
        let found = names(&packing(dir, ""));
        let long_file = format!("{long}/f");
        let expected = [
            (".", ""),
            ("a", ""),
            ("a/b", ""),
            ("a/b/file", "content"),
            ("a/passwd", "-> /etc/passwd"),
            ("a/up", "-> ../.."),
            (&long, ""),
            (&long_file, "long"),
        ];
        let trimmed: BTreeMap<String, String> =
            found.into_iter().map(|(name, content)| (name.trim_end_matches('/').to_owned(), content)).collect();
        assert_eq!(trimmed, expected.map(|(name, content)| (name.to_owned(), content.to_owned())).into());
    }

    #[test]
    fn ignored_files_stay_out_but_fixed_ones_do_not() {
        let (root, dir) = workspace();
        std::fs::create_dir_all(root.path().join("docker/x")).unwrap();
        for file in ["secret.key", "docker/Dockerfile", "docker/x/keep", "docker/x/drop", "main.rs"] {
            std::fs::write(root.path().join(file), "on disk").unwrap();
        }
        let mut packing = packing(dir, "*.key\ndocker\n!docker/x/keep\n");
        packing.fixed.push(Fixed { path: "docker/Dockerfile".to_owned(), bytes: b"as read".to_vec() });
        packing.fixed.push(Fixed { path: ".dockerignore".to_owned(), bytes: b"rules".to_vec() });
        let found = names(&packing);
        let files: Vec<_> = found.iter().filter(|(_, content)| !content.is_empty()).collect();
        let expected = [
            (".dockerignore", "rules"),
            ("docker/Dockerfile", "as read"),
            ("docker/x/keep", "on disk"),
            ("main.rs", "on disk"),
        ];
        assert_eq!(files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_no_file_is_left_out_and_named() {
        let (root, dir) = workspace();
        let _socket = std::os::unix::net::UnixListener::bind(root.path().join("socket")).unwrap();
        let status = std::process::Command::new("mkfifo").arg(root.path().join("pipe")).status().unwrap();
        assert!(status.success());
        let skipped = pack(&packing(dir, ""), &mut io::sink()).unwrap();
        assert_eq!(skipped, [PathBuf::from("pipe"), PathBuf::from("socket")]);
    }

    #[test]
    fn a_context_beyond_the_limit_is_refused_before_it_is_read() {
        let (root, dir) = workspace();
        let sparse = File::create(root.path().join("huge")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        let error = pack(&packing(dir, ""), &mut io::sink()).unwrap_err();
        assert!(matches!(error, PackError::Refused(Error::Limit(text)) if text.contains("512 MiB; make it smaller")));
    }
}
