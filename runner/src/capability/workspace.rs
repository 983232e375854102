//! The workspace as a job may see it: paths checked against the grant, opened beneath the root and nowhere else.

use super::Error;
use crate::plan::grant::{Access, WorkspaceGrant};
use cap_std::fs::Dir;
use std::path::{Component, Path, PathBuf};

/// The directory of the pipeline's project and which of its paths the job may read and write.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    dir: Dir,
    grant: WorkspaceGrant,
}

impl Workspace {
    /// Opens the root.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn open(root: &Path, grant: Option<WorkspaceGrant>) -> std::io::Result<Self> {
        let dir = Dir::open_ambient_dir(root, cap_std::ambient_authority())?;
        let grant = grant.unwrap_or(WorkspaceGrant { read: vec![], write: vec![] });
        Ok(Self { root: root.to_owned(), dir, grant })
    }

    /// The root, beneath which every path returned by [`Self::check`] is to be opened. Links that lead out of it are
    /// refused on opening (`openat2` with `RESOLVE_BENEATH` where the kernel has it).
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The root's path on the host; for a process's working directory, never for opening a guest's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the job was granted.
    pub fn grant(&self) -> &WorkspaceGrant {
        &self.grant
    }

    /// The normalised relative path (`.` for the root) when the grant permits the access.
    ///
    /// # Errors
    /// `Invalid` for absolute paths, `..` and NUL; `Denied` when it is not granted.
    pub fn check(&self, path: &str, access: Access) -> Result<String, Error> {
        let relative = relative_path(path)?;
        if self.grant.permits(&relative, access) {
            return Ok(relative);
        }
        let (verb, word) = match access {
            Access::Read => ("reading", "read"),
            Access::Write => ("writing", "write"),
        };
        Err(Error::Denied(format!(
            "{verb} `{relative}` is not granted; add to the step: grants: {{ workspace: {{ {word}: [\"{relative}\"] }} }}"
        )))
    }
}

/// A guest's path below the workspace in normal form: no leading `/`, no `.` and no empty parts; `.` for the root.
///
/// # Errors
/// `Invalid` for absolute paths, `..` and NUL.
pub fn relative_path(path: &str) -> Result<String, Error> {
    let expected = |what: &str| {
        Err(Error::Invalid(format!("`{}` {what}; expected a path below the workspace", path.escape_debug())))
    };
    if path.contains('\0') {
        return expected("contains a NUL character");
    }
    let mut parts = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_string_lossy().into_owned()),
            Component::CurDir => {}
            Component::ParentDir => return expected("leads upwards"),
            Component::RootDir | Component::Prefix(_) => return expected("is absolute"),
        }
    }
    Ok(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_or_refused() {
        assert_eq!(relative_path("./a//b/").unwrap(), "a/b");
        assert_eq!(relative_path("").unwrap(), ".");
        for hostile in ["/etc/passwd", "../x", "a/../../x", "a\0b"] {
            assert!(matches!(relative_path(hostile), Err(Error::Invalid(_))), "{hostile:?}");
        }
    }

    #[test]
    fn a_link_that_leads_out_is_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "s").unwrap();
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
        let all = WorkspaceGrant { read: vec![".".into()], write: vec![] };
        let workspace = Workspace::open(root.path(), Some(all)).unwrap();
        let path = workspace.check("link/secret", Access::Read).unwrap();
        assert!(workspace.dir().open(path).is_err());
        assert!(matches!(workspace.check("x", Access::Write), Err(Error::Denied(_))));
    }
}
