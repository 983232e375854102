//! A YAML file of names and values that nobody but its owner can read.

use super::super::{Found, SecretSource, SecretValue};
use crate::pipeline::{Source, document};
use async_trait::async_trait;
use indexmap::IndexMap;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use secrecy::zeroize::Zeroizing;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of the largest file.
const MAX_FILE: u64 = 1 << 20;

/// Bits of a mode that let others than the owner do anything, and that let them write.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;

/// In a directory with this bit only its owner can remove or rename a file.
const STICKY: u32 = 0o1000;

/// The file, read again for each name: runs ask for each name once.
#[derive(Debug)]
pub(super) struct SecretsFile {
    path: PathBuf,
    names: IndexMap<String, String>,
}

impl SecretsFile {
    /// The file at a path from the project's directory; `~/` is the user's home.
    pub(super) fn new(path: &str, directory: &Path, names: IndexMap<String, String>) -> Self {
        let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
        let path = match (path.strip_prefix("~/"), home) {
            (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
            _ => directory.join(path),
        };
        Self { path, names }
    }

    fn read(&self, name: &str) -> Result<Found, String> {
        let path = match self.path.canonicalize() {
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Found::Absent("does not exist".to_owned()));
            }
            Err(error) => return Err(error.to_string()),
        };
        // Opening a pipe would wait for its other end.
        let mut open = File::options();
        let open = open.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let mut file = open.open(&path).map_err(|error| error.to_string())?;
        let metadata = file.metadata().map_err(|error| error.to_string())?;
        check(&path, &metadata)?;
        let mut bytes = Zeroizing::new(Vec::new());
        file.by_ref().take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > MAX_FILE {
            return Err("it is larger than 1 MiB".to_owned());
        }
        find(&bytes, super::key(&self.names, name))
    }
}

#[async_trait]
impl SecretSource for SecretsFile {
    fn place(&self) -> String {
        format!("the file {}", self.path.display())
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        self.read(name)
    }
}

/// Whether the file belongs to the user who runs the runner, nobody else can read it, and nobody else can put another
/// in its place. `path` has no links in it.
fn check(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let shown = path.display();
    let own = geteuid().as_raw();
    if !metadata.is_file() {
        return Err(format!("{shown} is not a regular file"));
    }
    if metadata.uid() != own {
        let owner = metadata.uid();
        return Err(format!("{shown} belongs to user {owner}, expected {own}, who runs the runner; chown it"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(format!("{shown} can be used by others (mode {mode:04o}); run: chmod 600 {}", quoted(path)));
    }
    for directory in path.ancestors().skip(1) {
        let metadata = directory.symlink_metadata().map_err(|error| format!("{}: {error}", directory.display()))?;
        let shown = directory.display();
        if metadata.uid() != own && metadata.uid() != 0 {
            let owner = metadata.uid();
            return Err(format!("{shown} belongs to user {owner}, who could put another file there; move the file"));
        }
        let mode = metadata.mode() & 0o7777;
        if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
            let run = format!("chmod go-w {}", quoted(directory));
            return Err(format!("others can put another file into {shown} (mode {mode:04o}); run: {run}"));
        }
    }
    Ok(())
}

fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    shlex::try_quote(&text).map_or_else(|_| text.to_string(), Into::into)
}

/// The value of a name in a file of them. No error quotes anything of the file but names.
fn find(bytes: &[u8], name: &str) -> Result<Found, String> {
    let source = Source::from_bytes("", bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let node = document::first(&source).map_err(|error| {
        let place = error.span.map(|span| format!(" at {}", source.position(span.start))).unwrap_or_default();
        format!("it is not YAML{place}; expected lines such as `NAME: \"value\"`")
    })?;
    let absent = Found::Absent(format!("has no entry {name}"));
    let Some(node) = node.filter(|node| !node.is_null()) else { return Ok(absent) };
    if node.as_mapping().is_none() {
        return Err(format!("it is {}, expected a mapping of names to values", node.describe()));
    }
    let Some(value) = node.get(name) else { return Ok(absent) };
    let Some(text) = value.as_str() else {
        let place = source.position(value.span.start);
        return Err(format!("{place} `{name}` is {}, expected text; write the value in quotes", value.describe()));
    };
    SecretValue::new(text.to_owned()).map(Found::Value).map_err(|error| format!("`{name}`: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn written(text: &str) -> (tempfile::TempDir, SecretsFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets.yml");
        std::fs::write(&path, text).unwrap();
        mode(&path, 0o600);
        let file = SecretsFile::new("secrets.yml", directory.path(), IndexMap::new());
        (directory, file)
    }

    fn mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn value(found: Result<Found, String>) -> String {
        match found.unwrap() {
            Found::Value(value) => value.expose().to_owned(),
            Found::Absent(reason) => panic!("{reason}"),
        }
    }

    fn absent(found: Result<Found, String>) -> String {
        match found.unwrap() {
            Found::Value(_) => panic!("there is a value"),
            Found::Absent(reason) => reason,
        }
    }

    #[test]
    fn values_are_text_by_name() {
        let (_directory, mut file) = written("# ours\nA: plain text\nKEY: |\n  one\n  two\nB: \"0123\"\n");
        assert_eq!(value(file.read("A")), "plain text");
        assert_eq!(value(file.read("KEY")), "one\ntwo\n");
        assert_eq!(absent(file.read("C")), "has no entry C");
        file.names = IndexMap::from([("C".to_owned(), "B".to_owned())]);
        assert_eq!(value(file.read("C")), "0123");
        let nowhere = SecretsFile::new("x.yml", Path::new("/nowhere"), IndexMap::new());
        assert_eq!(absent(nowhere.read("A")), "does not exist");
    }

    #[test]
    fn a_file_that_others_can_use_is_refused() {
        let (directory, file) = written("A: value\n");
        let path = directory.path().canonicalize().unwrap();
        for others in [0o640, 0o604, 0o620, 0o601] {
            mode(&path.join("secrets.yml"), others);
            let error = file.read("A").unwrap_err();
            assert!(error.ends_with(&format!("run: chmod 600 {}", path.join("secrets.yml").display())), "{error}");
            assert!(error.contains(&format!("mode {others:04o}")), "{error}");
        }
        mode(&path.join("secrets.yml"), 0o400);
        assert_eq!(value(file.read("A")), "value");
        mode(&path, 0o770);
        let error = file.read("A").unwrap_err();
        assert!(error.ends_with(&format!("run: chmod go-w {}", path.display())), "{error}");
        mode(&path, 0o1777);
        assert_eq!(value(file.read("A")), "value");
    }

    #[test]
    fn what_a_link_leads_to_is_checked() {
        let (directory, file) = written("A: value\n");
        let other = tempfile::tempdir().unwrap();
        symlink(directory.path().join("secrets.yml"), other.path().join("link.yml")).unwrap();
        let link = SecretsFile::new("link.yml", other.path(), IndexMap::new());
        assert_eq!(value(link.read("A")), "value");
        mode(&directory.path().join("secrets.yml"), 0o644);
        assert!(link.read("A").unwrap_err().contains("secrets.yml can be used by others"));
        mode(&directory.path().join("secrets.yml"), 0o600);
        mode(directory.path(), 0o777);
        assert!(link.read("A").unwrap_err().contains("others can put another file"));
        assert!(SecretsFile::new(".", other.path(), IndexMap::new()).read("A").unwrap_err().contains("regular file"));
        drop(file);
    }

    #[test]
    fn errors_quote_nothing_of_the_file() {
        for (text, expected) in [
            ("A: hunter22\nB: [hunter22", "it is not YAML at"),
            ("hunter22\n", "it is a string, expected a mapping"),
            ("A: { hunter22: 1 }\n", "1:4 `A` is a mapping, expected text"),
            ("A: 123456\n", "1:4 `A` is an integer, expected text; write the value in quotes"),
            ("A: \"\"\n", "`A`: the value is empty"),
        ] {
            let (_directory, file) = written(text);
            let error = file.read("A").unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("hunter22"), "{error}");
        }
    }
}
