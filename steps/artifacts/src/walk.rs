//! Files of the workspace that a glob matches.

use crate::pattern::{is_pattern, root_of};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

/// Directories within each other that are looked into.
const MAX_DEPTH: usize = 64;
/// Names that are looked at for one glob.
const MAX_NAMES: usize = 1_000_000;

/// Paths below the workspace, sorted. Links to directories are not followed, and the runner's own directory is left
/// out.
pub fn files(workspace: &Path, glob: &str) -> Result<Vec<String>> {
    if !is_pattern(glob) {
        return Ok(match std::fs::metadata(workspace.join(glob)) {
            Ok(found) if found.is_file() => vec![glob.to_owned()],
            Ok(_) => Vec::new(),
            Err(error) if is_absent(&error) => Vec::new(),
            Err(error) => return Err(error),
        });
    }
    let mut found = Vec::new();
    let mut seen = 0;
    let mut open = vec![(root_of(glob).to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let entries = match std::fs::read_dir(workspace.join(&directory)) {
            Err(error) if is_absent(&error) => continue,
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            seen += 1;
            if seen > MAX_NAMES || depth > MAX_DEPTH {
                return Err(Error::other(format!("there are more than {MAX_NAMES} files or {MAX_DEPTH} levels")));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let path = if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            if path == ".runner" {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                open.push((path, depth + 1));
            } else if fast_glob::glob_match(glob, &path) {
                // Of a link, what it leads to counts; one that leads out of the workspace cannot be read.
                let is_file =
                    kind.is_file() || std::fs::metadata(workspace.join(&path)).is_ok_and(|file| file.is_file());
                if is_file {
                    found.push(path);
                }
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_absent(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_directory_unless_there_are_two() {
        let root = std::env::temp_dir().join(format!("artifacts-walk-{}", std::process::id()));
        for path in ["a/x.txt", "a/b/y.txt", "a/b/c/z.log", "cover.html", "cover.out", ".runner/runs.db"] {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        for (glob, expected) in [
            ("a/*", &["a/x.txt"][..]),
            ("a/**/*", &["a/b/c/z.log", "a/b/y.txt", "a/x.txt"]),
            ("a/**/*.txt", &["a/b/y.txt", "a/x.txt"]),
            ("cover.{html,out}", &["cover.html", "cover.out"]),
            ("a/x.txt", &["a/x.txt"]),
            ("a", &[]),
            ("none/*", &[]),
            ("none", &[]),
            ("**/*.db", &[]),
        ] {
            assert_eq!(files(&root, glob).unwrap(), expected, "{glob}");
        }
        std::fs::remove_dir_all(root).unwrap();
    }
}
