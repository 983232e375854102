//! Files between the workspace and a container: copies in before it starts, results out.

use super::changes::{self, Manifest};
use super::client::ContainerSpec;
use super::construct::{Copy, check_absolute, mount_target};
use super::context::{self, Packing};
use super::ignore_file::IgnoreFile;
use super::{DockerCtx, archive, pipe};
use crate::capability::Error;
use crate::capability::beneath::{self, Opened};
use crate::plan::grant::Access;
use std::sync::{Arc, Mutex, PoisonError};

/// The copy of a directory in a container.
#[derive(Debug)]
pub(super) struct Copied {
    /// Path below the workspace, in normal form.
    source: String,
    /// What went in; nothing where nothing may come back.
    manifest: Option<Arc<Mutex<Manifest>>>,
}

/// A file or directory that goes into a container.
pub(super) struct OpenedCopy {
    /// Path below the workspace, in normal form.
    source: String,
    /// Absolute path in the container.
    target: String,
    found: Opened,
}

impl DockerCtx {
    /// Opens what is to be copied, as far as `grants.workspace` permits, and makes room for it in the container.
    pub(super) async fn open_copies(
        &self,
        copies: Vec<Copy>,
        spec: &mut ContainerSpec,
    ) -> Result<Vec<OpenedCopy>, Error> {
        let mut opened = Vec::new();
        for Copy { source, target } in copies {
            let source = match self.scope.workspace.check(&source, Access::Read) {
                Err(Error::Denied(reason)) => return Err(self.scope.deny("docker", "copy-in", &source, reason).await),
                other => other?,
            };
            let root = self.scope.workspace.dir();
            let found = beneath::open(root, &source)?;
            match found {
                // An empty volume hides what the image has there, as a mount does, and can be written below a
                // read-only root.
                Opened::Directory(_) => spec.scratch.push(target.clone()),
                Opened::File(_) if spec.read_only_root => {
                    return Err(Error::Invalid(format!(
                        "the file `{source}` cannot be copied below a read-only root; copy the directory it is in"
                    )));
                }
                Opened::File(_) => {}
            }
            opened.push(OpenedCopy { source, target, found });
        }
        Ok(opened)
    }

    /// Copies it into a container that was created, and not started yet.
    pub(super) async fn copy_in(&mut self, id: &str, copy: OpenedCopy) -> Result<(), Error> {
        let OpenedCopy { source, target, found } = copy;
        let tried = format!("copy `{source}` into the container");
        let client = &self.client;
        match found {
            Opened::Directory(dir) => {
                // What went in is remembered only where changes may come back.
                let writable = self.scope.workspace.grant().permits(&source, Access::Write);
                let manifest = writable.then(Arc::<Mutex<Manifest>>::default);
                let copied = Copied { source: source.clone(), manifest: manifest.clone() };
                let packing = Packing {
                    dir,
                    is_root: source == ".",
                    name: source,
                    ignore: IgnoreFile::default(),
                    fixed: Vec::new(),
                    advice: "copy a directory that holds less",
                    manifest,
                };
                let log = self.scope.log.clone();
                let pack = move |out: &mut _| context::pack(&packing, out).map(|skipped| context::tell(&log, &skipped));
                self.send_archive(&tried, pack, |archive| client.upload(id, &target, archive)).await?;
                self.live(id)?.copies.insert(target, copied);
                Ok(())
            }
            Opened::File(file) => {
                let path = target.trim_start_matches('/').to_owned();
                let pack = move |out: &mut _| context::pack_file(&file, &source, &path, out);
                self.send_archive(&tried, pack, |archive| client.upload(id, "/", archive)).await
            }
        }
    }

    /// Brings back what the container has changed in the copy of a directory at `target`; how many files.
    pub(super) async fn copy_back(&mut self, id: &str, target: &str) -> Result<u64, Error> {
        let target = mount_target(target)?;
        let Some(Copied { source, manifest }) = self.live(id)?.copies.get(&target) else {
            return Err(Error::Invalid(format!("there is no copy of a directory of the workspace at `{target}`")));
        };
        let (source, manifest) = (source.clone(), manifest.clone());
        let manifest = match (self.scope.workspace.check(&source, Access::Write), manifest) {
            (Err(Error::Denied(reason)), _) => {
                return Err(self.scope.deny("docker", "copy-back", &source, reason).await);
            }
            (Err(error), _) => return Err(error),
            (Ok(_), manifest) => manifest.unwrap_or_default(),
        };
        self.allow("copy-back", &source).await?;
        let tried = format!("copy back what the container changed in `{target}`");
        let stream =
            self.client.download(id, &format!("{target}/.")).await.map_err(|error| self.failed(&tried, &error))?;
        let (workspace, log) = (Arc::clone(&self.scope.workspace), self.scope.log.clone());
        let unpack = move |archive: &mut dyn std::io::Read| {
            let manifest = manifest.lock().unwrap_or_else(PoisonError::into_inner);
            let changes = changes::unpack(workspace.dir(), &source, &target, &manifest, archive)?;
            for notice in &changes.notices {
                log.line(notice);
            }
            Ok(changes.files)
        };
        pipe::receive_archive(stream, unpack).await.map_err(|error| self.failed(&tried, &error))?
    }

    pub(super) async fn copy_out(&mut self, id: &str, path: &str, target: &str) -> Result<(), Error> {
        self.live(id)?;
        check_absolute(path, "path")?;
        if path.is_empty() {
            return Err(Error::Invalid("there is no path to copy; expected an absolute path".to_owned()));
        }
        let target = match self.scope.workspace.check(target, Access::Write) {
            Err(Error::Denied(reason)) => return Err(self.scope.deny("docker", "copy-out", target, reason).await),
            other => other?,
        };
        self.allow("copy-out", &target).await?;
        let tried = format!("copy `{path}` out of the container");
        let stream = self.client.download(id, path).await.map_err(|error| self.failed(&tried, &error))?;
        let (workspace, from) = (Arc::clone(&self.scope.workspace), path.to_owned());
        let unpack = move |archive: &mut dyn std::io::Read| archive::unpack(workspace.dir(), &target, &from, archive);
        pipe::receive_archive(stream, unpack).await.map_err(|error| self.failed(&tried, &error))?
    }
}
