//! Compiled code, kept between runs: compiling takes 100 ms to seconds, reading it back takes a tenth of a millisecond.
//!
//! Compiled code is machine code that runs as it is, so only files that this program wrote itself, in a directory that
//! nobody else can write, are ever read back. What they are named by is the digest of the component and of everything
//! about the engine that changes its code.

use crate::host::StepEngine;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use wasmtime::component::Component;

/// A private directory of compiled components.
#[derive(Debug, Clone)]
pub struct CompiledCache {
    /// `None` when there is no directory that can be trusted: then everything is compiled anew.
    directory: Option<PathBuf>,
}

impl CompiledCache {
    /// The cache below a directory, which is made when it is not there. One that others can write is not used.
    #[must_use]
    pub fn below(cache: &Path, engine: &StepEngine) -> Self {
        let mut hash = Hashed(Sha256::new());
        engine.wasmtime().precompile_compatibility_hash().hash(&mut hash);
        let version = format!("{:.16}", format!("{:x}", hash.0.finalize()));
        let directory = cache.join("components").join(version);
        match private_directory(&directory) {
            Ok(()) => Self { directory: Some(directory) },
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "compiled components are not kept");
                Self { directory: None }
            }
        }
    }

    /// The compiled component: from the cache, or compiled now and kept.
    ///
    /// # Errors
    /// When the bytes are not a component.
    pub fn load(&self, engine: &StepEngine, digest: &str, wasm: &[u8]) -> wasmtime::Result<Component> {
        let file = self.directory.as_ref().map(|directory| directory.join(digest.replace(':', "-")));
        if let Some(file) = &file
            && file.exists()
        {
            match read(engine, file) {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!(file = %file.display(), "compiled anew: {error:#}"),
            }
        }
        let component = Component::new(engine.wasmtime(), wasm)?;
        if let Some(file) = &file
            && let Err(error) = write(file, &component)
        {
            tracing::warn!(file = %file.display(), "the compiled component is not kept: {error:#}");
        }
        Ok(component)
    }
}

#[expect(unsafe_code, reason = "the file is ours alone: checked when the cache was opened, and written by `write`")]
fn read(engine: &StepEngine, file: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file lies in a directory only this user can write, and was put there whole by a rename.
    unsafe { Component::deserialize_file(engine.wasmtime(), file) }
}

fn write(file: &Path, component: &Component) -> wasmtime::Result<()> {
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    io::Write::write_all(&mut temporary, &component.serialize()?)?;
    temporary.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// Makes the directory for this user alone, or checks that it is.
pub(crate) fn private_directory(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    for place in [Some(directory), directory.parent()].into_iter().flatten() {
        let metadata = std::fs::symlink_metadata(place)?;
        let ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
        if !ours || metadata.mode() & 0o022 != 0 {
            return Err(io::Error::other(format!("others can write {}", place.display())));
        }
    }
    Ok(())
}

/// The engine gives what its code depends on only as something to be hashed.
struct Hashed(Sha256);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}
