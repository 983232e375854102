//! The cache of steps' results, as the command line and `runner.yml` want it.

use super::error::Error;
use super::project::{Project, cache_directory};
use crate::cache::{Caching, LocalStore, StepCache, store::DEFAULT_SIZE};
use crate::host::Services;
use crate::plan::Plan;
use crate::plan::cache::CacheSettings;
use crate::secret::Redactions;
use clap::Args;
use std::io;
use std::path::PathBuf;

/// Whether results of steps are taken from the cache.
#[derive(Debug, Args)]
pub(super) struct CacheFlags {
    /// Run every step, and keep no results
    #[arg(long)]
    no_cache: bool,
    /// Run every step, and keep the results in place of earlier ones
    #[arg(long, conflicts_with = "no_cache")]
    refresh_cache: bool,
}

impl CacheFlags {
    pub(super) fn caching(&self) -> Caching {
        match (self.no_cache, self.refresh_cache) {
            (true, _) => Caching::Off,
            (false, true) => Caching::Refresh,
            (false, false) => Caching::On,
        }
    }
}

/// Opens the cache; nothing when it is switched off, or there is no directory that can be trusted.
pub(super) async fn open(
    project: &Project,
    services: &Services,
    caching: Caching,
    plan: &Plan,
    redactions: &Redactions,
) -> Result<Option<StepCache>, Error> {
    if caching == Caching::Off {
        return Ok(None);
    }
    let settings = project.settings()?.cache;
    let store = match local(&settings) {
        Ok(store) => store,
        Err(error) => {
            tracing::warn!(directory = %directory().display(), %error, "results of steps are not kept");
            return Ok(None);
        }
    };
    let seal = match settings.key {
        Some(name) => services.secrets.own(&name, redactions).await.map(Some),
        None => Ok(None),
    };
    let remote = match (settings.remote, seal) {
        (Some(remote), Ok(seal)) => Some((remote, seal)),
        (Some(remote), Err(error)) => {
            tracing::warn!("the run goes without the shared cache {remote}: `cache.key`: {error}");
            None
        }
        (None, _) => None,
    };
    Ok(Some(StepCache::new(store, caching, remote).building(&plan.context)))
}

/// Where results of steps are kept on this machine, for all projects of this user.
fn directory() -> PathBuf {
    cache_directory().join("steps")
}

fn local(settings: &CacheSettings) -> io::Result<LocalStore> {
    LocalStore::open(&directory(), settings.size.map_or(DEFAULT_SIZE, |size| size.0))
}

/// Bytes of the results that are kept on this machine; beforehand, what is beyond the limit is thrown out.
pub(super) fn shrink(settings: &CacheSettings) -> io::Result<u64> {
    if !directory().exists() {
        return Ok(0);
    }
    let limit = settings.size.map_or(DEFAULT_SIZE, |size| size.0);
    Ok(local(settings)?.evict(limit)?.bytes)
}

/// Bytes of the results that are kept on this machine.
pub(super) fn used() -> io::Result<u64> {
    if !directory().exists() {
        return Ok(0);
    }
    Ok(local(&CacheSettings::default())?.usage()?.bytes)
}
