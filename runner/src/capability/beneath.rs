//! Files and directories beneath the workspace's root, opened and made without following any link.

use super::Error;
use cap_std::fs::Dir;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Component, Path};

/// Never written to, whatever directory it is in: programs on the host act on what it holds.
const GIT: &str = ".git";
/// The runner's own directory in the workspace's root.
const OWN_DIRECTORY: &str = ".runner";
/// Programs that run around every command on the host: the directory they are in.
const HOOKS: [&str; 2] = [".buildkite", "hooks"];

/// A file or directory that was opened.
pub(crate) enum Opened {
    /// A directory.
    Directory(Dir),
    /// A regular file.
    File(File),
}

/// Opens what a path below `dir` (normalised; `.` for `dir` itself) names. A link anywhere on the way is refused: it
/// could lead to what the path's grant does not cover.
pub(crate) fn open(dir: &Dir, path: &str) -> Result<Opened, Error> {
    let missing = || Error::NotFound(format!("there is no `{path}` in the workspace"));
    let cannot = |error: io::Error| Error::Failed(format!("cannot open `{path}`: {error}"));
    let mut dir = dir.try_clone().map_err(cannot)?;
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".").peekable();
    while let Some(part) = parts.next() {
        match step(&dir, OsStr::new(part)) {
            Ok(Opened::Directory(next)) => dir = next,
            Ok(Opened::File(file)) if parts.peek().is_none() => return Ok(Opened::File(file)),
            Ok(Opened::File(_)) => return Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(Error::Invalid(format!("`{part}` in `{path}` {error}; expected files and directories")));
            }
            Err(error) => return Err(cannot(error)),
        }
    }
    Ok(Opened::Directory(dir))
}

/// Opens one name of a directory; `InvalidInput` when it is neither a directory nor a regular file.
pub(crate) fn step(dir: &Dir, name: &OsStr) -> io::Result<Opened> {
    let kind = kind_of(dir, name)?;
    let other = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what.to_owned());
    match kind {
        FileType::Directory => Ok(Opened::Directory(Dir::from_std_file(open_as(dir, name, OFlags::DIRECTORY)?))),
        FileType::RegularFile => {
            let file = open_as(dir, name, OFlags::empty())?;
            if file.metadata()?.is_file() {
                Ok(Opened::File(file))
            } else {
                Err(other("was changed while it was opened"))
            }
        }
        FileType::Symlink => Err(other("is a symbolic link")),
        _ => Err(other("is neither a file nor a directory")),
    }
}

/// What a name of a directory stands for; of a link, the link itself.
pub(crate) fn kind_of(dir: &Dir, name: &OsStr) -> io::Result<FileType> {
    let stat = rustix::fs::statat(dir.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode))
}

/// The directory below `dir`, made where it is missing. A link on the way is refused.
pub(crate) fn descend<'a>(dir: &Dir, parts: impl Iterator<Item = &'a OsStr>) -> io::Result<Dir> {
    let mut dir = dir.try_clone()?;
    for part in parts {
        match rustix::fs::mkdirat(dir.as_fd(), part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(dir.as_fd(), part, flags, Mode::empty()) {
            Ok(next) => dir = Dir::from_std_file(File::from(next)),
            Err(Errno::LOOP | Errno::NOTDIR) => {
                let reason = format!("`{}` is there already, and no directory", part.display());
                return Err(io::Error::new(io::ErrorKind::NotADirectory, reason));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(dir)
}

/// Writes a file in place of whatever file or link had the name, which keeps its content until the new one is whole.
pub(crate) fn write(dir: &Dir, name: &Path, mode: u32, content: &mut impl Read, size: u64) -> io::Result<()> {
    let part = format!(".{}.part", uuid::Uuid::new_v4().simple());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Executable or not is all that is kept: set-id bits and a file nobody can read are of no use here.
    let mode = Mode::from_raw_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
    let mut file = File::from(rustix::fs::openat(dir.as_fd(), part.as_str(), flags, mode)?);
    let copied = io::copy(content, &mut file);
    let whole =
        copied.and_then(|copied| if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) });
    let written = whole.and_then(|()| Ok(rustix::fs::renameat(dir.as_fd(), part.as_str(), dir.as_fd(), name)?));
    if written.is_err() {
        rustix::fs::unlinkat(dir.as_fd(), part.as_str(), AtFlags::empty())?;
    }
    written
}

/// Makes a link in place of whatever file or link had the name; what it leads through is not looked at.
pub(crate) fn link(dir: &Dir, name: &Path, to: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(dir.as_fd(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(rustix::fs::symlinkat(to, dir.as_fd(), name)?)
}

/// Whether what is written to this path of the workspace would be acted upon outside of sandboxes and containers.
/// Case does not count: on some disks it makes no difference.
pub(crate) fn is_protected(path: &Path) -> bool {
    let mut parts = path.iter();
    let first = parts.next().unwrap_or_default();
    let second = parts.next().unwrap_or_default();
    let hooks = first.eq_ignore_ascii_case(HOOKS[0]) && second.eq_ignore_ascii_case(HOOKS[1]);
    hooks || first.eq_ignore_ascii_case(OWN_DIRECTORY) || path.iter().any(|part| part.eq_ignore_ascii_case(GIT))
}

/// Whether a link's text, read from where the link stands, does not leave the directory that `name` is relative to.
/// Upwards it goes at its beginning only: behind a name, which may be another link, nobody can tell where `..` leads.
pub(crate) fn stays_within(name: &Path, to: &Path) -> bool {
    let mut above = name.iter().count().saturating_sub(1);
    let mut named = false;
    for component in to.components() {
        match component {
            Component::Normal(part) if part.eq_ignore_ascii_case(GIT) || part.eq_ignore_ascii_case(OWN_DIRECTORY) => {
                return false;
            }
            Component::Normal(_) => named = true,
            Component::CurDir => {}
            Component::ParentDir if above > 0 && !named => above -= 1,
            _ => return false,
        }
    }
    true
}

/// Opens without following a link, and without waiting for the other end of a pipe.
fn open_as(dir: &Dir, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(Errno::LOOP) => Err(io::Error::new(io::ErrorKind::InvalidInput, "is a symbolic link")),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn hosts_act_on_some_paths() {
        for path in [".git", "a/.GIT/hooks/x", ".runner/runs.db", ".Runner", ".buildkite/hooks", ".buildkite/Hooks/x"] {
            assert!(is_protected(Path::new(path)), "{path}");
        }
        for path in [".gitignore", "a/.runner", ".buildkite", ".buildkite/pipeline.yml", "a/.buildkite/hooks/x", ""] {
            assert!(!is_protected(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn links_go_upwards_at_their_beginning_only() {
        for (name, to, expected) in [
            ("a", "b", true),
            ("d/a", "../b/c", true),
            ("d/e/a", ".././../b", true),
            ("a", "..", false),
            ("d/a", "../..", false),
            ("a", "b/..", false),
            ("d/a", "../b/../c", false),
            ("a", "/etc", false),
            ("d/a", "../.git/config", false),
            ("d/a", "../.RUNNER", false),
        ] {
            assert_eq!(stays_within(Path::new(name), Path::new(to)), expected, "{name} to {to}");
        }
    }

    #[test]
    fn no_link_on_the_way_is_followed() {
        let root = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(root.path(), cap_std::ambient_authority()).unwrap();
        std::fs::create_dir_all(root.path().join("granted")).unwrap();
        std::fs::create_dir_all(root.path().join("other/below")).unwrap();
        std::fs::write(root.path().join("other/file"), "x").unwrap();
        symlink("../other", root.path().join("granted/in")).unwrap();
        symlink("/etc", root.path().join("granted/out")).unwrap();
        symlink("../other/file", root.path().join("granted/file")).unwrap();
        for path in ["granted/in", "granted/in/below", "granted/out", "granted/out/passwd", "granted/file"] {
            assert!(matches!(open(&dir, path), Err(Error::Invalid(text)) if text.contains("symbolic link")), "{path}");
        }
        assert!(matches!(open(&dir, "other/below"), Ok(Opened::Directory(_))));
        assert!(matches!(open(&dir, "other/file"), Ok(Opened::File(_))));
        assert!(matches!(open(&dir, "."), Ok(Opened::Directory(_))));
        for missing in ["nothing", "other/file/x"] {
            assert!(matches!(open(&dir, missing), Err(Error::NotFound(_))), "{missing}");
        }
    }
}
