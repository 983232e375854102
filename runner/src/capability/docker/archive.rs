//! What a container hands out: an archive whose every entry is hostile, unpacked beneath one directory of the workspace.

use super::context::MAX_BYTES;
use crate::capability::Error;
use crate::capability::beneath::{descend, is_protected, write};
use cap_std::fs::Dir;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

/// Entries of an archive: far beyond any report directory.
const MAX_ENTRIES: usize = 100_000;

/// Unpacks regular files and directories into a directory below `root`, which is made when it is not there. `from` is
/// the path in the container, for messages.
pub(super) fn unpack(root: &Dir, path: &str, from: &str, archive: &mut dyn Read) -> Result<(), Error> {
    let below: PathBuf = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let target =
        descend(root, below.iter()).map_err(|error| Error::Failed(format!("cannot write to `{path}`: {error}")))?;
    let broken = |error: io::Error| Error::Failed(format!("cannot read what `{from}` holds: {error}"));
    // Beyond the content there are headers, two blocks of 512 bytes a file and more for long names.
    let mut archive = tar::Archive::new(archive.take(2 * MAX_BYTES));
    let mut left = MAX_BYTES;
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if number >= MAX_ENTRIES {
            return Err(Error::Limit(format!("`{from}` holds more than {MAX_ENTRIES} files, the most that is copied")));
        }
        let name = entry.path().map_err(broken)?.into_owned();
        let refused = |what: &str| {
            Error::Invalid(format!("`{}` in `{from}` {what}; only files and directories are copied", name.display()))
        };
        let kind = entry.header().entry_type();
        match kind {
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::Directory => {}
            tar::EntryType::Symlink => return Err(refused("is a symbolic link")),
            tar::EntryType::Link => return Err(refused("is a hard link")),
            tar::EntryType::Char | tar::EntryType::Block => return Err(refused("is a device")),
            tar::EntryType::Fifo => return Err(refused("is a pipe")),
            _ => return Err(refused("is of an unknown kind")),
        }
        let mut parts = Vec::new();
        for component in name.components() {
            match component {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(refused("leads elsewhere")),
            }
        }
        if is_protected(&below.join(parts.iter().collect::<PathBuf>())) {
            return Err(refused("would be written where programs outside of containers act on it"));
        }
        let cannot =
            |error: io::Error| Error::Failed(format!("cannot write `{}` to `{path}`: {error}", name.display()));
        if kind.is_dir() {
            descend(&target, parts.into_iter()).map_err(cannot)?;
            continue;
        }
        let size = entry.size();
        left = left
            .checked_sub(size)
            .ok_or_else(|| Error::Limit(format!("`{from}` holds more than 512 MiB, the most that is copied")))?;
        let Some(last) = parts.pop() else { return Err(refused("has no name")) };
        let mode = entry.header().mode().unwrap_or(0o644);
        let parent = descend(&target, parts.into_iter()).map_err(cannot)?;
        write(&parent, Path::new(last), mode, &mut entry, size).map_err(cannot)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use tar::{Builder, EntryType, Header};

    fn workspace() -> (tempfile::TempDir, Dir) {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(root.path(), cap_std::ambient_authority()).unwrap();
        (root, dir)
    }

    /// An archive of one entry, its name written byte for byte, as a hostile container would.
    fn archive(name: &str, kind: EntryType, link: &str, content: &[u8]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o4755);
        header.set_cksum();
        let mut tar = Builder::new(Vec::new());
        tar.append(&header, content).unwrap();
        tar.into_inner().unwrap()
    }

    #[test]
    fn files_and_directories_arrive_without_set_id_bits() {
        use std::os::unix::fs::PermissionsExt;
        let (root, dir) = workspace();
        let tar = archive("reports/a/junit.xml", EntryType::Regular, "", b"<x/>");
        unpack(&dir, "out/deep", "/reports", &mut &*tar).unwrap();
        let file = root.path().join("out/deep/reports/a/junit.xml");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "<x/>");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o755);
        unpack(&dir, "out/deep", "/reports", &mut &*tar).unwrap();
    }

    #[test]
    fn hostile_entries_are_refused_and_write_nothing() {
        for (name, kind, link) in [
            ("../../escaped", EntryType::Regular, ""),
            ("a/../../escaped", EntryType::Regular, ""),
            ("/escaped", EntryType::Regular, ""),
            ("..", EntryType::Directory, ""),
            ("link", EntryType::Symlink, "/etc/passwd"),
            ("link", EntryType::Link, "/etc/passwd"),
            ("device", EntryType::Char, ""),
            ("device", EntryType::Block, ""),
            ("pipe", EntryType::Fifo, ""),
            ("sparse", EntryType::GNUSparse, ""),
        ] {
            let (root, dir) = workspace();
            let result = unpack(&dir, "out", "/x", &mut &*archive(name, kind, link, b""));
            assert!(result.is_err(), "{name} as {kind:?}");
            assert_eq!(std::fs::read_dir(root.path().join("out")).unwrap().count(), 0, "{name} as {kind:?}");
            assert!(!root.path().join("escaped").exists());
        }
    }

    #[test]
    fn links_that_are_there_already_are_not_written_through() {
        let (root, dir) = workspace();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("protected"), "untouched").unwrap();
        std::fs::create_dir(root.path().join("out")).unwrap();
        symlink("../protected", root.path().join("out/file")).unwrap();
        symlink(outside.path(), root.path().join("out/dir")).unwrap();
        symlink("out", root.path().join("alias")).unwrap();
        unpack(&dir, "out", "/x", &mut &*archive("file", EntryType::Regular, "", b"new")).unwrap();
        assert_eq!(std::fs::read_to_string(root.path().join("protected")).unwrap(), "untouched");
        assert_eq!(std::fs::read_to_string(root.path().join("out/file")).unwrap(), "new");
        assert!(unpack(&dir, "out", "/x", &mut &*archive("dir/file", EntryType::Regular, "", b"new")).is_err());
        assert!(unpack(&dir, "alias", "/x", &mut &*archive("file", EntryType::Regular, "", b"new")).is_err());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_written_through_which_the_host_would_act() {
        let (root, dir) = workspace();
        for (path, name) in [
            (".", ".git/config"),
            ("sub/.git", "config"),
            ("./.runner", "runs.db"),
            (".", ".RUNNER/../.runner/runs.db"),
            (".buildkite", "hooks/pre-command"),
        ] {
            let error = unpack(&dir, path, "/x", &mut &*archive(name, EntryType::Regular, "", b"x")).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{path} {name}: {error:?}");
        }
        let files =
            walkdir::WalkDir::new(root.path()).into_iter().filter(|entry| entry.as_ref().unwrap().path().is_file());
        assert_eq!(files.count(), 0);
    }

    #[test]
    fn a_flood_of_entries_is_stopped() {
        let (_root, dir) = workspace();
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        header.set_path("a").unwrap();
        header.set_cksum();
        let mut endless = io::repeat(0).take(0).chain(Repeat { block: *header.as_bytes(), at: 0 });
        let error = unpack(&dir, "out", "/x", &mut endless).unwrap_err();
        assert!(matches!(error, Error::Limit(text) if text.contains("100000 files")));
    }

    /// The same header for ever.
    struct Repeat {
        block: [u8; 512],
        at: usize,
    }

    impl Read for Repeat {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            for byte in &mut *buffer {
                *byte = self.block[self.at];
                self.at = (self.at + 1) % 512;
            }
            Ok(buffer.len())
        }
    }

    #[test]
    fn a_huge_file_is_refused_by_its_header() {
        let (_root, dir) = workspace();
        let mut header = Header::new_gnu();
        header.set_path("huge").unwrap();
        header.set_size(MAX_BYTES + 1);
        header.set_mode(0o644);
        header.set_cksum();
        let error = unpack(&dir, "out", "/x", &mut header.as_bytes().chain(io::repeat(0))).unwrap_err();
        assert!(matches!(error, Error::Limit(text) if text.contains("512 MiB")));
    }
}
