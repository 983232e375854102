//! What a container has changed in its copy of a directory, told by comparison with what went in, and brought back.

use super::context::MAX_BYTES;
use crate::capability::Error;
use crate::capability::beneath::{self, Opened, descend, is_protected, stays_within};
use cap_std::fs::Dir;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Bytes and entries of a directory by the time it is compared: a build leaves more than it was given.
const MAX_COMPARED: u64 = 4 * MAX_BYTES;
const MAX_ENTRIES: usize = 1_000_000;
/// Notices on what is left out; the rest is counted.
const MAX_NOTICES: usize = 20;

/// The directory of the hooks' directory; a link in its place would lead to hooks of others.
const HOOKS_PARENT: &str = ".buildkite";

/// What a copy held when it was made.
#[derive(Debug)]
pub(super) struct Manifest {
    entries: BTreeMap<PathBuf, Stamp>,
    /// No file goes in with a later time (seconds): one that is written in the container soon after differs then.
    latest: u64,
}

/// By what a change is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stamp {
    /// A directory.
    Directory,
    /// A symbolic link and what it says.
    Link(OsString),
    /// A file: bytes, permissions, seconds of the last change.
    File { size: u64, mode: u32, mtime: u64 },
}

impl Default for Manifest {
    fn default() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { entries: BTreeMap::new(), latest: now.as_secs().saturating_sub(2) }
    }
}

impl Manifest {
    pub(super) fn note(&mut self, path: &Path, stamp: Stamp) {
        self.entries.insert(path.to_owned(), stamp);
    }

    /// Notes a file, and returns the time it is to have in the container.
    pub(super) fn note_file(&mut self, path: &Path, size: u64, mode: u32, mtime: u64) -> u64 {
        let mtime = mtime.min(self.latest);
        self.note(path, Stamp::File { size, mode, mtime });
        mtime
    }
}

/// What came back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// New and changed files.
    pub(super) files: u64,
    /// What was left out, and why.
    pub(super) notices: Vec<String>,
}

/// Writes what differs from the manifest to the directory `path` below `root`. `from` is the place in the container,
/// for messages; every entry of the archive is hostile.
pub(super) fn unpack(
    root: &Dir,
    path: &str,
    from: &str,
    manifest: &Manifest,
    archive: &mut dyn Read,
) -> Result<Changes, Error> {
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").map(OsStr::new);
    let target = descend(root, parts).map_err(|error| Error::Failed(format!("cannot write to `{path}`: {error}")))?;
    let path = normal(Path::new(path)).unwrap_or_default();
    let mut unpacking = Unpacking { target, path, changes: Changes::default(), left_out: 0 };
    let broken = |error: io::Error| Error::Failed(format!("cannot read what `{from}` holds: {error}"));
    let (mut compared, mut changed) = (0u64, 0u64);
    // Beyond the content there are headers, two blocks of 512 bytes a file and more for long names.
    let mut archive = tar::Archive::new(archive.take(2 * MAX_COMPARED));
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        compared = compared.saturating_add(entry.size());
        if number >= MAX_ENTRIES || compared > MAX_COMPARED {
            return Err(Error::Limit(format!(
                "`{from}` holds more than 2 GiB or {MAX_ENTRIES} files, too much to be compared; let the container write elsewhere what nobody needs later"
            )));
        }
        let name = normal(&entry.path().map_err(broken)?).ok_or_else(|| {
            Error::Invalid(format!("`{from}` holds a path that leads elsewhere; nothing more is copied back"))
        })?;
        if name.as_os_str().is_empty() {
            continue;
        }
        let kind = entry.header().entry_type();
        let link = entry.link_name().map_err(broken)?.map(|link| link.into_owned().into_os_string());
        let stamp = match kind {
            tar::EntryType::Directory => Some(Stamp::Directory),
            tar::EntryType::Symlink => link.clone().map(Stamp::Link),
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let mode = entry.header().mode().map_err(broken)? & 0o777;
                let mtime = entry.header().mtime().map_err(broken)?;
                Some(Stamp::File { size: entry.size(), mode, mtime })
            }
            _ => None,
        };
        if stamp.is_some() && stamp.as_ref() == manifest.entries.get(&name) {
            continue;
        }
        let is_directory = stamp == Some(Stamp::Directory);
        if unpacking.is_protected(&name) || !is_directory && unpacking.path.join(&name) == Path::new(HOOKS_PARENT) {
            unpacking.leave_out(&name, "stays as it is: what it holds is acted upon outside of containers");
            continue;
        }
        match (stamp, link) {
            (Some(Stamp::Directory), _) => unpacking.directory(&name)?,
            (Some(Stamp::Link(link)), _) => unpacking.link(&name, &link)?,
            (Some(Stamp::File { size, mode, .. }), _) => {
                changed = changed.saturating_add(size);
                if changed > MAX_BYTES {
                    return Err(Error::Limit(format!(
                        "more than 512 MiB have changed in `{from}`, the most that is copied back; let the container write elsewhere what nobody needs later"
                    )));
                }
                unpacking.file(&name, mode, size, &mut entry)?;
            }
            (None, Some(link)) if kind == tar::EntryType::Link => {
                changed =
                    changed.saturating_add(unpacking.second_name(&name, Path::new(&link), MAX_BYTES - changed)?);
            }
            (None, _) => unpacking.leave_out(&name, "is neither file, directory nor link, and is left out"),
        }
    }
    Ok(unpacking.finish())
}

/// The parts of a relative path; `None` when it leads elsewhere.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => normal.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    Some(normal)
}

struct Unpacking {
    target: Dir,
    /// Path below the workspace; nothing for its root.
    path: PathBuf,
    changes: Changes,
    left_out: usize,
}

impl Unpacking {
    fn is_protected(&self, name: &Path) -> bool {
        is_protected(&self.path.join(name))
    }

    fn leave_out(&mut self, name: &Path, why: &str) {
        self.left_out += 1;
        if self.left_out <= MAX_NOTICES {
            self.changes.notices.push(format!("`{}` {why}", name.display()));
        }
    }

    fn finish(mut self) -> Changes {
        if self.left_out > MAX_NOTICES {
            self.changes.notices.push(format!("and {} more", self.left_out - MAX_NOTICES));
        }
        self.changes
    }

    fn cannot(&self, name: &Path) -> impl Fn(io::Error) -> Error + use<> {
        let shown = format!("cannot write `{}`", self.path.join(name).display());
        move |error| Error::Failed(format!("{shown}: {error}"))
    }

    /// The directory something is in.
    fn parent(&self, name: &Path) -> io::Result<Dir> {
        descend(&self.target, name.parent().into_iter().flat_map(Path::iter))
    }

    fn directory(&mut self, name: &Path) -> Result<(), Error> {
        let made = descend(&self.target, name.iter()).map(drop);
        self.unless_of_other_kind(name, made).map(drop)
    }

    /// Whether it was written. What is a directory here and none there, or the reverse, stays as it is: what is gone
    /// there is not taken away here.
    fn unless_of_other_kind(&mut self, name: &Path, written: io::Result<()>) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory) => {
                self.leave_out(name, "is a directory here and none there, or the reverse, and is left out");
                Ok(false)
            }
            Err(error) => Err(self.cannot(name)(error)),
        }
    }

    fn file(&mut self, name: &Path, mode: u32, size: u64, content: &mut impl Read) -> Result<(), Error> {
        let parent = self.parent(name);
        let written = parent.and_then(|parent| beneath::write(&parent, last(name), mode, content, size));
        self.changes.files += u64::from(self.unless_of_other_kind(name, written)?);
        Ok(())
    }

    /// A further name of a file that came before: a copy of it. Returns its size.
    fn second_name(&mut self, name: &Path, first: &Path, most: u64) -> Result<u64, Error> {
        let first = normal(first).filter(|first| !self.is_protected(first));
        let opened = first.map(|first| beneath::open(&self.target, &first.to_string_lossy()));
        let Some(Ok(Opened::File(mut file))) = opened else {
            self.leave_out(name, "is another name of a file that is not there, and is left out");
            return Ok(0);
        };
        let metadata = file.metadata().map_err(self.cannot(name))?;
        if metadata.len() > most {
            return Err(Error::Limit(format!("more than 512 MiB have changed in `{}`", self.path.display())));
        }
        let mode = std::os::unix::fs::MetadataExt::mode(&metadata);
        self.file(name, mode, metadata.len(), &mut file)?;
        Ok(metadata.len())
    }

    /// A link that stays within the directory; what it leads through is never followed here.
    fn link(&mut self, name: &Path, to: &OsStr) -> Result<(), Error> {
        if !stays_within(name, Path::new(to)) {
            self.leave_out(name, "is a link that leads elsewhere, and is left out");
            return Ok(());
        }
        let written = self.parent(name).and_then(|parent| beneath::link(&parent, last(name), to));
        self.changes.files += u64::from(self.unless_of_other_kind(name, written)?);
        Ok(())
    }
}

fn last(name: &Path) -> &Path {
    name.file_name().map_or(name, Path::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use tar::{Builder, EntryType, Header};

    fn workspace() -> (tempfile::TempDir, Dir) {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(root.path(), cap_std::ambient_authority()).unwrap();
        (root, dir)
    }

    /// An entry with its name byte for byte, as a hostile container would have it.
    fn entry(tar: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, link: &str, content: &str) {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o4755);
        header.set_mtime(1000);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).unwrap();
    }

    fn unpacked(
        dir: &Dir,
        path: &str,
        manifest: &Manifest,
        entries: &[(&str, EntryType, &str, &str)],
    ) -> Result<Changes, Error> {
        let mut tar = Builder::new(Vec::new());
        for (name, kind, link, content) in entries {
            entry(&mut tar, name, *kind, link, content);
        }
        unpack(dir, path, "/workdir", manifest, &mut &*tar.into_inner().unwrap())
    }

    #[test]
    fn only_what_has_changed_is_written() {
        let (root, dir) = workspace();
        std::fs::create_dir(root.path().join("out")).unwrap();
        std::fs::write(root.path().join("out/same"), "changed here meanwhile").unwrap();
        let mut manifest = Manifest::default();
        assert_eq!(manifest.note_file(Path::new("same"), 4, 0o755, 1000), 1000);
        manifest.note_file(Path::new("other"), 4, 0o755, 999);
        manifest.note(Path::new("gone"), Stamp::Directory);
        let entries = [
            ("./", EntryType::Directory, "", ""),
            ("./gone/", EntryType::Directory, "", ""),
            ("./same", EntryType::Regular, "", "same"),
            ("./other", EntryType::Regular, "", "diff"),
            ("./new/deep/file", EntryType::Regular, "", "new"),
            ("./new/second", EntryType::Link, "./new/deep/file", ""),
            ("./new/link", EntryType::Symlink, "deep/file", ""),
        ];
        let changes = unpacked(&dir, "out", &manifest, &entries).unwrap();
        assert_eq!(changes, Changes { files: 4, notices: vec![] });
        let read = |path: &str| std::fs::read_to_string(root.path().join("out").join(path)).unwrap();
        assert_eq!(read("same"), "changed here meanwhile");
        assert_eq!((read("other"), read("new/second"), read("new/link")), ("diff".into(), "new".into(), "new".into()));
        assert!(!root.path().join("out/gone").exists());
        let mode = std::fs::metadata(root.path().join("out/new/deep/file")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o755, "no set-id bit comes back");
    }

    #[test]
    fn what_the_host_acts_upon_never_comes_back() {
        let (root, dir) = workspace();
        let entries = [
            ("./.runner/runs.db", EntryType::Regular, "", "forged"),
            ("./.git/config", EntryType::Regular, "", "[core] fsmonitor = evil"),
            ("./sub/.git/hooks/post-checkout", EntryType::Regular, "", "evil"),
            ("./x", EntryType::Symlink, ".git/config", ""),
            ("./hooks", EntryType::Link, "./.git/config", ""),
            ("./up", EntryType::Symlink, "../outside", ""),
            ("./abs", EntryType::Symlink, "/etc/passwd", ""),
            ("./pipe", EntryType::Fifo, "", ""),
            ("./device", EntryType::Block, "", ""),
        ];
        let changes = unpacked(&dir, ".", &Manifest::default(), &entries).unwrap();
        assert_eq!((changes.files, changes.notices.len()), (0, entries.len()), "{changes:?}");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
        for name in ["../x", "/x", "a/../../x"] {
            let result = unpacked(&dir, ".", &Manifest::default(), &[(name, EntryType::Regular, "", "x")]);
            assert!(matches!(result, Err(Error::Invalid(_))), "{name}: {result:?}");
        }
    }

    #[test]
    fn a_link_in_the_workspace_leads_nothing_elsewhere() {
        let (root, dir) = workspace();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("protected"), "untouched").unwrap();
        symlink(outside.path(), root.path().join("dir")).unwrap();
        symlink("protected", root.path().join("file")).unwrap();
        let one = |name, kind, link, content| unpacked(&dir, ".", &Manifest::default(), &[(name, kind, link, content)]);
        for (name, kind, link) in [("dir/file", EntryType::Regular, ""), ("dir/link", EntryType::Symlink, "x")] {
            assert_eq!(one(name, kind, link, "").unwrap().files, 0, "{name}");
        }
        one("file", EntryType::Regular, "", "new").unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("protected")).unwrap(), "untouched");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_had_the_name_stays_until_the_new_content_is_whole() {
        let (root, dir) = workspace();
        let path = root.path().join("kept");
        std::fs::write(&path, "whole").unwrap();
        let broken = beneath::write(&dir, Path::new("kept"), 0o644, &mut io::repeat(b'x').take(3), 4);
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 1, "and nothing is left of the attempt");
    }

    #[test]
    fn a_directory_takes_no_files_place_nor_a_file_a_directorys() {
        let (root, dir) = workspace();
        std::fs::create_dir(root.path().join("dir")).unwrap();
        std::fs::write(root.path().join("dir/inside"), "kept").unwrap();
        std::fs::write(root.path().join("file"), "kept").unwrap();
        let entries = [
            ("dir", EntryType::Regular, "", "x"),
            ("file/", EntryType::Directory, "", ""),
            ("file/below", EntryType::Regular, "", "x"),
            ("other", EntryType::Regular, "", "x"),
        ];
        let changes = unpacked(&dir, ".", &Manifest::default(), &entries).unwrap();
        assert_eq!((changes.files, changes.notices.len()), (1, 3), "{changes:?}");
        for kept in ["dir/inside", "file"] {
            assert_eq!(std::fs::read_to_string(root.path().join(kept)).unwrap(), "kept");
        }
        let link = [("dir", EntryType::Symlink, "file", "")];
        assert_eq!(unpacked(&dir, ".", &Manifest::default(), &link).unwrap().notices.len(), 1);
    }

    #[test]
    fn a_file_touched_just_now_goes_in_with_an_earlier_time() {
        let mut manifest = Manifest::default();
        let given = manifest.note_file(Path::new("a"), 1, 0o644, u64::MAX);
        assert_eq!(given, manifest.latest);
        assert!(given < SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    }

    #[test]
    fn more_than_the_limit_is_refused_by_its_header() {
        let (_root, dir) = workspace();
        let huge = |size| {
            let mut header = Header::new_gnu();
            header.set_path("huge").unwrap();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_cksum();
            let archive = *header.as_bytes();
            unpack(&dir, ".", "/w", &Manifest::default(), &mut archive.as_slice().chain(io::repeat(0)))
        };
        for size in [MAX_BYTES + 1, MAX_COMPARED + 1] {
            assert!(matches!(huge(size), Err(Error::Limit(_))), "{size}");
        }
    }

    #[test]
    fn nothing_comes_back_through_which_the_host_would_act() {
        let (root, dir) = workspace();
        let entries = [
            ("d/e/f/x", EntryType::Symlink, "../../..", ""),
            ("y", EntryType::Symlink, "d/e/f/x/../../../../home", ""),
            ("log", EntryType::Symlink, ".runner/runs.db", ""),
            (".buildkite/hooks/pre-command", EntryType::Regular, "", "touch owned"),
            (".buildkite/pipeline.yml", EntryType::Regular, "", "steps: []"),
        ];
        let changes = unpacked(&dir, ".", &Manifest::default(), &entries).unwrap();
        assert_eq!((changes.files, changes.notices.len()), (2, 3), "{changes:?}");
        assert!(root.path().join("y").symlink_metadata().is_err());
        assert!(!root.path().join(".buildkite/hooks").exists());
        let (root, dir) = workspace();
        let entries = [(".buildkite", EntryType::Symlink, "elsewhere", "")];
        assert_eq!(unpacked(&dir, ".", &Manifest::default(), &entries).unwrap().files, 0);
        assert!(root.path().join(".buildkite").symlink_metadata().is_err());
    }
}
