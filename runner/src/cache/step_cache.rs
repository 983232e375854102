//! The cache as a run uses it: what is on this machine first, then the registry; a cache that fails is none.

use super::entry::{Blob, Entry};
use super::remote::{Remote, RemoteError, trust};
use super::store::{Contents, LocalStore, NewBlob, StoreError};
use crate::event::CacheKey;
use crate::plan::BuildContext;
use crate::plan::cache::RemoteName;
use crate::registry::{Registry, RegistryError};
use crate::secret::SecretValue;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::task::TaskTracker;

/// Whether results are taken from the cache, and put into it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Caching {
    /// Both.
    #[default]
    On,
    /// Only put into it.
    Refresh,
    /// Neither.
    Off,
}

/// The cache of one run.
pub struct StepCache {
    store: LocalStore,
    caching: Caching,
    /// What its own results are marked with; empty for those that everybody takes.
    mark: String,
    remote: Option<Arc<Shared>>,
    uploads: TaskTracker,
}

/// A result that was found.
#[derive(Debug)]
pub struct Found {
    /// The result.
    pub entry: Entry,
    /// What it refers to.
    pub contents: Contents,
    /// The repository it was fetched from; empty when it was on this machine.
    pub remote: String,
}

/// What came of looking for a result.
#[derive(Debug)]
pub enum LookUp {
    /// There is one.
    Found(Box<Found>),
    /// There is none; why, as a sentence's end.
    Missed(String),
}

/// The registry, as the jobs of a run share it.
struct Shared {
    name: RemoteName,
    seal: Option<SecretValue>,
    trust: String,
    remote: OnceCell<Remote>,
    /// It has failed once: the rest of the run goes without it.
    failed: AtomicBool,
    /// Uploads at once.
    turns: Semaphore,
}

/// Time for fetching one entry with all its contents.
const FETCH: Duration = Duration::from_mins(2);

/// Time for one upload.
const UPLOAD: Duration = Duration::from_mins(5);

/// Time a run waits in the end for its uploads.
const END: Duration = Duration::from_secs(20);

/// Uploads at once.
const UPLOADS: usize = 4;

impl StepCache {
    /// The cache in a store on this machine, and in a repository where one is given, whose entries are sealed where a
    /// secret is given.
    #[must_use]
    pub fn new(store: LocalStore, caching: Caching, remote: Option<(RemoteName, Option<SecretValue>)>) -> Self {
        let shared = |(name, seal): (RemoteName, Option<SecretValue>)| {
            let (remote, failed, turns) = (OnceCell::new(), AtomicBool::new(false), Semaphore::new(UPLOADS));
            let trust = trust(&name, seal.as_ref().map(SecretValue::expose));
            Arc::new(Shared { name, seal, trust, remote, failed, turns })
        };
        Self { store, caching, mark: String::new(), remote: remote.map(shared), uploads: TaskTracker::new() }
    }

    /// The same cache for a run that builds this. Results of a pull request, whose code nobody has agreed to yet, are
    /// marked as its own: they stay on this machine, and answer only runs of the same pull request.
    #[must_use]
    pub fn building(self, context: &BuildContext) -> Self {
        let mark = context.pull_request_number().map(|number| {
            let digest = Sha256::digest(format!("{}\n{number}", context.repository));
            format!("pull-request-{digest:x}")
        });
        Self { mark: mark.unwrap_or_default(), ..self }
    }

    /// Whether results are looked for, or at least kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.caching != Caching::Off
    }

    /// Where content is taken in before it is kept.
    #[must_use]
    pub fn store(&self) -> &LocalStore {
        &self.store
    }

    /// Looks for the result of a key.
    pub async fn look_up(&self, key: &CacheKey) -> LookUp {
        if self.caching == Caching::Refresh {
            return LookUp::Missed("it was not looked for: --refresh-cache".to_owned());
        }
        let mut missed = match self.find(key).await {
            Ok(Some((entry, contents))) => {
                return LookUp::Found(Box::new(Found { entry, contents, remote: String::new() }));
            }
            Ok(None) => "there is no entry of this key".to_owned(),
            Err(error) => {
                tracing::warn!(key = key.digest, "the cache is not used for a job: {error}");
                error.to_string()
            }
        };
        let Some(shared) = &self.remote else { return LookUp::Missed(missed) };
        match shared.within(FETCH, async |remote| remote.fetch(key, &self.store).await).await {
            Some(true) => match self.find(key).await {
                Ok(Some((entry, contents))) => {
                    let remote = shared.name.to_string();
                    return LookUp::Found(Box::new(Found { entry, contents, remote }));
                }
                Ok(None) => {}
                Err(error) => missed = error.to_string(),
            },
            Some(false) => {}
            None => missed = format!("{missed}, and {} could not be asked", shared.name),
        }
        LookUp::Missed(missed)
    }

    async fn find(&self, key: &CacheKey) -> Result<Option<(Entry, Contents)>, StoreError> {
        let (store, key) = (self.store.clone(), key.clone());
        let shared = self.remote.iter().map(|shared| &shared.trust);
        let trust: Vec<String> = shared.chain([&self.mark]).filter(|mark| !mark.is_empty()).cloned().collect();
        let found = tokio::task::spawn_blocking(move || store.find(&key, &trust)).await;
        found.unwrap_or_else(|error| Err(StoreError::Damaged(error.to_string())))
    }

    /// Keeps a result on this machine, and begins to put it into the registry unless it is that of a pull request.
    ///
    /// # Errors
    /// When it cannot be kept on this machine; as a sentence's end.
    pub async fn keep(&self, entry: Entry, blobs: Vec<NewBlob>) -> Result<(), String> {
        let (store, kept, mark) = (self.store.clone(), entry.clone(), self.mark.clone());
        let put = tokio::task::spawn_blocking(move || store.put(&kept, blobs, &mark)).await;
        put.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        if let Some(shared) = self.remote.clone().filter(|_| self.mark.is_empty()) {
            let contents: Vec<(Blob, _)> =
                entry.blobs().into_iter().map(|blob| (blob.clone(), self.store.path(blob))).collect();
            self.uploads.spawn(async move {
                let Ok(_turn) = shared.turns.acquire().await else { return };
                // Whether it could be put there or not, the job has passed.
                shared.within(UPLOAD, async |remote| remote.put(&entry, contents).await).await.unwrap_or_default();
            });
        }
        Ok(())
    }

    /// Waits for the uploads, but not for long.
    pub async fn finish(&self) {
        self.uploads.close();
        if tokio::time::timeout(END, self.uploads.wait()).await.is_err()
            && let Some(shared) = &self.remote
        {
            let left = self.uploads.len();
            shared.warn(&format!("{left} results were not put there within {} s", END.as_secs()));
        }
    }
}

impl Shared {
    /// Does something with the registry. Nothing comes of it when that fails, which is said once.
    async fn within<T>(&self, time: Duration, work: impl AsyncFnOnce(&Remote) -> Result<T, RemoteError>) -> Option<T> {
        if self.failed.load(Ordering::Relaxed) {
            return None;
        }
        let done = tokio::time::timeout(time, async {
            let open = || async {
                let registry = Registry::open(&self.name).await?;
                let (name, seal, trust) = (self.name.clone(), self.seal.clone(), self.trust.clone());
                Ok::<_, RemoteError>(Remote { name, registry, seal, trust })
            };
            work(self.remote.get_or_try_init(open).await?).await
        });
        match done.await {
            Ok(Ok(done)) => Some(done),
            // An entry that is refused, or whose content was thrown out here meanwhile, says nothing about the others.
            Ok(Err(error @ (RemoteError::Refused(..) | RemoteError::Registry(RegistryError::Source { .. })))) => {
                tracing::warn!("{error}");
                None
            }
            Ok(Err(error)) => {
                self.warn(&error.to_string());
                None
            }
            Err(_) => {
                self.warn(&format!("it did not answer within {} s", time.as_secs()));
                None
            }
        }
    }

    fn warn(&self, reason: &str) {
        if !self.failed.swap(true, Ordering::Relaxed) {
            tracing::warn!("the rest of the run goes without the shared cache {}: {reason}", self.name);
        }
    }
}
