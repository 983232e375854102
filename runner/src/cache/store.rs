//! Entries on this machine: content under its digest, and for each key the digest of its entry.
//!
//! ```text
//! blobs/SHA256      content, entries among it
//! keys/SHA256       the digest of the key's entry, and what it was believed for; the file's time is that of its last use
//! lock              held while something is put in or thrown out
//! ```
//!
//! Files appear by a rename, so that another process sees them whole or not at all. What is read is checked against its
//! digest: a disk may fail, and a person may edit.

use super::entry::{Blob, Entry, MAX_ENTRY};
use crate::component::private_directory;
use crate::event::CacheKey;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// The most that is kept unless the project says otherwise.
pub const DEFAULT_SIZE: u64 = 10 << 30;

/// A private directory of entries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LocalStore {
    directory: PathBuf,
    limit: u64,
}

/// Content on its way into the store.
#[derive(Debug)]
pub struct NewBlob {
    /// What it will be found under.
    pub blob: Blob,
    file: NamedTempFile,
}

/// What an entry refers to, checked and open at its beginning, by digest.
pub type Contents = HashMap<String, File>;

/// Why an entry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It was there, and is not what was put in.
    #[error("the entry is damaged: {0}")]
    Damaged(String),
    /// The disk refuses.
    #[error("{0}: {1}")]
    Disk(PathBuf, io::Error),
}

/// What a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many entries.
    pub entries: usize,
    /// Bytes on the disk.
    pub bytes: u64,
}

/// Files that nobody has finished writing are thrown out after this time.
const ABANDONED: Duration = Duration::from_hours(24);

impl LocalStore {
    /// The store in a directory, which is made when it is not there, for at most `limit` bytes.
    ///
    /// # Errors
    /// When it cannot be made, or others can write it.
    pub fn open(directory: &Path, limit: u64) -> io::Result<Self> {
        for part in ["blobs", "keys", "new"] {
            private_directory(&directory.join(part))?;
        }
        Ok(Self { directory: directory.to_owned(), limit })
    }

    /// The entry of a key with all it refers to; nothing when there is none that was made here, or put in with one of
    /// these marks of `trust`. One that is damaged is thrown out.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read.
    pub fn find(&self, key: &CacheKey, trust: &[String]) -> Result<Option<(Entry, Contents)>, StoreError> {
        let place = self.key(&key.digest);
        let pointer = match std::fs::read_to_string(&place) {
            Ok(pointer) => pointer,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(StoreError::Disk(place, error)),
        };
        let (digest, believed) = pointer.trim().split_once(' ').unwrap_or((pointer.trim(), ""));
        if !believed.is_empty() && !trust.iter().any(|mark| mark == believed) {
            return Ok(None);
        }
        let found = self.load(digest, key);
        match &found {
            Ok(_) => {
                let used =
                    File::options().write(true).open(&place).and_then(|file| file.set_modified(SystemTime::now()));
                if let Err(error) = used {
                    // It is thrown out earlier than it should be; nothing else comes of it.
                    tracing::debug!(%error, place = %place.display(), "the use of an entry is not noted");
                }
            }
            Err(StoreError::Damaged(_)) => self.remove(&key.digest)?,
            Err(StoreError::Disk(..)) => {}
        }
        found.map(Some)
    }

    /// Takes in content, up to `most` bytes.
    ///
    /// # Errors
    /// When it cannot be read or written, or is larger.
    pub fn take(&self, content: &mut dyn Read, most: u64) -> io::Result<NewBlob> {
        let mut writing = self.begin()?;
        let copied = io::copy(&mut content.take(most + 1), &mut writing)?;
        if copied > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
        }
        writing.finish()
    }

    /// Begins to take in content.
    ///
    /// # Errors
    /// When no file can be made.
    pub fn begin(&self) -> io::Result<Writing> {
        let file = NamedTempFile::new_in(self.directory.join("new"))?;
        Ok(Writing { file, digest: Sha256::new(), size: 0 })
    }

    /// Puts in an entry and what it refers to, with a mark of what it is believed for: none for what was made here
    /// without a pull request. Then throws out what was not used for the longest time, until the store is no larger than
    /// it may be.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, entry: &Entry, blobs: Vec<NewBlob>, trust: &str) -> io::Result<()> {
        let json = serde_json::to_vec(entry).map_err(io::Error::other)?;
        let document = self.take(&mut json.as_slice(), MAX_ENTRY)?;
        let size = document.blob.size + entry.blobs().iter().map(|blob| blob.size).sum::<u64>();
        if size > self.limit {
            let reason = format!("it has {size} bytes, and the whole cache may have {}", self.limit);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
        }
        let mut pointer = NamedTempFile::new_in(self.directory.join("new"))?;
        pointer.write_all(format!("{} {trust}", document.blob.sha256).as_bytes())?;
        let lock = self.lock()?;
        for NewBlob { blob, file } in blobs.into_iter().chain([document]) {
            file.persist(self.blob(&blob.sha256)).map_err(|error| error.error)?;
        }
        pointer.persist(self.key(&entry.key.digest)).map_err(|error| error.error)?;
        self.shrink(self.limit)?;
        drop(lock);
        Ok(())
    }

    /// The most bytes it may hold.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Where content is, or would be.
    pub(super) fn path(&self, blob: &Blob) -> PathBuf {
        self.blob(&blob.sha256)
    }

    /// What the store holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self) -> io::Result<Usage> {
        let bytes = files(&self.directory.join("blobs"))?.iter().map(|file| file.size).sum();
        Ok(Usage { entries: files(&self.directory.join("keys"))?.len(), bytes })
    }

    /// Throws out what was not used for the longest time until no more than `limit` bytes are left; what is left then.
    ///
    /// # Errors
    /// When something cannot be thrown out.
    pub fn evict(&self, limit: u64) -> io::Result<Usage> {
        let lock = self.lock()?;
        self.shrink(limit)?;
        drop(lock);
        self.usage()
    }

    fn load(&self, digest: &str, key: &CacheKey) -> Result<(Entry, Contents), StoreError> {
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            return Err(StoreError::Damaged("what its key leads to is no digest".to_owned()));
        }
        let place = self.blob(digest);
        let size = std::fs::metadata(&place).map_or(0, |metadata| metadata.len());
        let mut json = Vec::new();
        let mut document = self.content(&Blob { sha256: digest.to_owned(), size: size.min(MAX_ENTRY) })?;
        document.read_to_end(&mut json).map_err(|error| StoreError::Disk(place, error))?;
        let entry = Entry::read(&json, key).map_err(StoreError::Damaged)?;
        let mut contents = Contents::new();
        for blob in entry.blobs() {
            contents.insert(blob.sha256.clone(), self.content(blob)?);
        }
        Ok((entry, contents))
    }

    /// Opens content that is what it should be; what is not is thrown out.
    fn content(&self, blob: &Blob) -> Result<File, StoreError> {
        let place = self.blob(&blob.sha256);
        let wrong = |what: &str| {
            drop(std::fs::remove_file(&place)); // Gone, or found damaged again.
            StoreError::Damaged(format!("{what} {:.12}", blob.sha256))
        };
        let mut file = match File::open(&place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(wrong("it lacks the content")),
            Err(error) => return Err(StoreError::Disk(place, error)),
        };
        let mut digest = Sha256::new();
        let read = io::copy(&mut file, &mut digest).and_then(|size| file.rewind().map(|()| size));
        let size = read.map_err(|error| StoreError::Disk(place.clone(), error))?;
        if size != blob.size || format!("{:x}", digest.finalize()) != blob.sha256 {
            return Err(wrong("its digest is not that of the content"));
        }
        Ok(file)
    }

    fn remove(&self, key: &str) -> Result<(), StoreError> {
        let place = self.key(key);
        match std::fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::Disk(place, error)),
            _ => Ok(()),
        }
    }

    /// The lock must be held.
    fn shrink(&self, limit: u64) -> io::Result<()> {
        let now = SystemTime::now();
        for file in files(&self.directory.join("new"))? {
            if now.duration_since(file.modified).is_ok_and(|age| age > ABANDONED) {
                remove(&file.path)?;
            }
        }
        let blobs = files(&self.directory.join("blobs"))?;
        let mut bytes: u64 = blobs.iter().map(|blob| blob.size).sum();
        if bytes <= limit {
            return Ok(());
        }
        let mut keys = files(&self.directory.join("keys"))?;
        keys.sort_by_key(|key| std::cmp::Reverse(key.modified));
        // From the one used last: what still has room stays.
        let sizes: HashMap<&str, u64> = blobs.iter().map(|blob| (blob.name.as_str(), blob.size)).collect();
        let mut stays: HashSet<String> = HashSet::new();
        let mut taken = 0;
        let mut full = false;
        for key in &keys {
            let referred = self.referred(&key.path);
            let more: u64 =
                referred.iter().filter(|blob| !stays.contains(*blob)).filter_map(|blob| sizes.get(blob.as_str())).sum();
            full |= taken + more > limit;
            if full || referred.is_empty() {
                remove(&key.path)?;
            } else {
                taken += more;
                stays.extend(referred);
            }
        }
        for blob in blobs.iter().filter(|blob| !stays.contains(&blob.name)) {
            remove(&blob.path)?;
            bytes -= blob.size;
        }
        tracing::debug!(bytes, limit, "the cache was made smaller");
        Ok(())
    }

    /// The names of all content that an entry needs; none when it cannot be read.
    fn referred(&self, key: &Path) -> Vec<String> {
        let read = || -> io::Result<Vec<String>> {
            let pointer = std::fs::read_to_string(key)?;
            let digest = pointer.split(' ').next().unwrap_or_default().to_owned();
            if digest.len() != 64 || digest.contains('/') {
                return Ok(Vec::new());
            }
            let entry: Entry = serde_json::from_slice(&std::fs::read(self.blob(&digest))?)?;
            Ok(entry.blobs().into_iter().map(|blob| blob.sha256.clone()).chain([digest]).collect())
        };
        read().unwrap_or_else(|error| {
            tracing::debug!(%error, key = %key.display(), "an entry that cannot be read is thrown out");
            Vec::new()
        })
    }

    fn lock(&self) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).open(self.directory.join("lock"))?;
        file.lock()?;
        Ok(file)
    }

    fn blob(&self, sha256: &str) -> PathBuf {
        self.directory.join("blobs").join(sha256)
    }

    fn key(&self, digest: &str) -> PathBuf {
        self.directory.join("keys").join(digest)
    }
}

/// Content that is being taken in.
#[derive(Debug)]
pub struct Writing {
    file: NamedTempFile,
    digest: Sha256,
    size: u64,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.digest.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Writing {
    /// The content as it is now.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn finish(mut self) -> io::Result<NewBlob> {
        self.file.flush()?;
        let blob = Blob { sha256: format!("{:x}", self.digest.finalize()), size: self.size };
        Ok(NewBlob { blob, file: self.file })
    }
}

struct Listed {
    path: PathBuf,
    name: String,
    size: u64,
    modified: SystemTime,
}

fn files(directory: &Path) -> io::Result<Vec<Listed>> {
    let mut listed = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // Another process may have thrown it out meanwhile.
        let Ok(metadata) = entry.metadata() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        listed.push(Listed { path: entry.path(), name, size: metadata.len(), modified: metadata.modified()? });
    }
    Ok(listed)
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Origin;
    use super::super::files::Content;
    use super::super::key::KeySource;
    use super::super::step_cache::{Caching, LookUp, StepCache};
    use super::*;
    use crate::plan::{BuildContext, PullRequest};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    fn key(name: &str) -> CacheKey {
        let step = serde_json::from_value(json!({"uses": "x", "params": {}, "grants": {}})).unwrap();
        let files = BTreeMap::from([(name.to_owned(), Content::Link("x".to_owned()))]);
        KeySource { step: &step, params: &json!({}), env: &BTreeMap::new(), platform: "p", files: &files }.key()
    }

    fn put(store: &LocalStore, name: &str, log: &[u8], trust: &str) -> io::Result<()> {
        let origin = Origin { run: name.to_owned(), number: 1, agent: "a".to_owned(), at: 1 };
        let new = store.take(&mut &*log, 1 << 20)?;
        let mut entry = Entry::new(key(name), origin);
        entry.log = Some(new.blob.clone());
        store.put(&entry, vec![new], trust)
    }

    fn log_of(store: &LocalStore, name: &str, trust: &str) -> Option<Vec<u8>> {
        let (entry, mut contents) = store.find(&key(name), &[trust.to_owned()]).unwrap()?;
        assert_eq!(entry.from.run, name);
        let mut log = Vec::new();
        contents.get_mut(&entry.log.unwrap().sha256).unwrap().read_to_end(&mut log).unwrap();
        Some(log)
    }

    fn store(limit: u64) -> (tempfile::TempDir, LocalStore) {
        let directory = tempfile::tempdir().unwrap();
        let store = LocalStore::open(&directory.path().join("steps"), limit).unwrap();
        (directory, store)
    }

    #[test]
    fn what_is_put_in_is_found_again_and_nothing_else() {
        let (_directory, store) = store(1 << 20);
        put(&store, "a", b"first", "").unwrap();
        put(&store, "b", b"", "").unwrap();
        assert_eq!(log_of(&store, "a", ""), Some(b"first".to_vec()));
        assert_eq!(log_of(&store, "b", ""), Some(Vec::new()));
        assert_eq!(log_of(&store, "c", ""), None);
        put(&store, "a", b"second", "").unwrap();
        assert_eq!(log_of(&store, "a", ""), Some(b"second".to_vec()));
        assert_eq!(store.usage().unwrap().entries, 2);
    }

    #[test]
    fn what_was_believed_because_of_a_registry_is_for_those_who_believe_it() {
        let (_directory, store) = store(1 << 20);
        put(&store, "fetched", b"x", "registry-one").unwrap();
        put(&store, "own", b"x", "").unwrap();
        for (trust, fetched) in [("registry-one", true), ("registry-two", false), ("", false)] {
            assert_eq!(log_of(&store, "fetched", trust).is_some(), fetched, "{trust}");
            assert!(log_of(&store, "own", trust).is_some());
        }
    }

    #[test]
    fn results_of_a_pull_request_answer_itself_alone() {
        let (_directory, store) = store(1 << 20);
        let cache = |number: Option<&str>, from: Option<&str>| {
            let number = number.map(str::to_owned);
            let pull_request = number.map(|number| PullRequest { number, ..PullRequest::default() });
            let triggered_from_pull_request = from.map(str::to_owned);
            let context = BuildContext { pull_request, triggered_from_pull_request, ..BuildContext::default() };
            StepCache::new(store.clone(), Caching::On, None).building(&context)
        };
        let keep = |name: &str, cache: &StepCache| {
            let origin = Origin { run: name.to_owned(), number: 1, agent: "a".to_owned(), at: 1 };
            runtime().block_on(cache.keep(Entry::new(key(name), origin), Vec::new())).unwrap();
        };
        keep("trusted", &cache(None, None));
        keep("seven", &cache(Some("7"), None));
        for (cache, seven) in [
            (cache(None, None), false),
            (cache(Some("8"), None), false),
            (cache(Some("7"), None), true),
            (cache(None, Some("7")), true),
        ] {
            let found = |name: &str| matches!(runtime().block_on(cache.look_up(&key(name))), LookUp::Found(_));
            assert_eq!((found("trusted"), found("seven")), (true, seven));
        }
    }

    #[test]
    fn content_that_is_not_its_digest_throws_the_entry_out() {
        for damage in [&b"first but longer"[..], b"firsT", b"fir", b""] {
            let (_directory, store) = store(1 << 20);
            put(&store, "a", b"first", "").unwrap();
            let blob = Blob { sha256: format!("{:x}", Sha256::digest(b"first")), size: 5 };
            std::fs::write(store.path(&blob), damage).unwrap();
            assert!(matches!(store.find(&key("a"), &[]), Err(StoreError::Damaged(_))));
            assert_eq!(log_of(&store, "a", ""), None);
            put(&store, "a", b"first", "").unwrap();
            assert_eq!(log_of(&store, "a", ""), Some(b"first".to_vec()));
        }
    }

    #[test]
    fn an_entry_answers_for_its_own_key_only() {
        let (_directory, store) = store(1 << 20);
        put(&store, "a", b"first", "").unwrap();
        std::fs::copy(store.key(&key("a").digest), store.key(&key("b").digest)).unwrap();
        assert!(matches!(store.find(&key("b"), &[]), Err(StoreError::Damaged(text)) if text.contains("another key")));
        assert_eq!(log_of(&store, "a", ""), Some(b"first".to_vec()));
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let (_directory, store) = store(1 << 30);
        let now = SystemTime::now();
        for (name, age) in [("old", 30), ("used", 20), ("new", 10)] {
            put(&store, name, &vec![name.as_bytes()[0]; 10_000], "").unwrap();
            let file = File::options().write(true).open(store.key(&key(name).digest)).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        }
        assert!(log_of(&store, "used", "").is_some());
        let left = store.evict(22_000).unwrap();
        assert!(left.entries == 2 && left.bytes <= 22_000, "{left:?}");
        assert!(log_of(&store, "old", "").is_none());
        assert!(log_of(&store, "used", "").is_some() && log_of(&store, "new", "").is_some());
        assert_eq!(store.evict(0).unwrap(), Usage::default());
    }

    #[test]
    fn what_two_entries_have_in_common_stays_with_the_second() {
        let (_directory, store) = store(1 << 30);
        put(&store, "a", &[1; 10_000], "").unwrap();
        let old = File::options().write(true).open(store.key(&key("a").digest)).unwrap();
        old.set_modified(SystemTime::now() - Duration::from_mins(1)).unwrap();
        put(&store, "b", &[1; 10_000], "").unwrap();
        store.evict(10_500).unwrap();
        assert_eq!(log_of(&store, "a", ""), None);
        assert_eq!(log_of(&store, "b", ""), Some(vec![1; 10_000]));
    }

    #[test]
    fn what_is_larger_than_the_store_is_refused_and_throws_out_nothing() {
        let (_directory, store) = store(20_000);
        put(&store, "a", b"small", "").unwrap();
        assert!(put(&store, "b", &vec![1; 30_000], "").is_err());
        assert!(log_of(&store, "a", "").is_some());
        assert!(store.take(&mut &[0; 11][..], 10).is_err());
    }

    #[test]
    fn many_writers_leave_a_whole_store() {
        let (_directory, store) = store(60_000);
        std::thread::scope(|scope| {
            for writer in 0..4_u8 {
                let store = &store;
                scope.spawn(move || {
                    for round in 0..10_u8 {
                        put(store, "same", &[round; 1000], "").unwrap();
                        put(store, &format!("{writer}-{round}"), &[writer; 9000], "").unwrap();
                        // It may have been thrown out, but is never seen in part.
                        match store.find(&key("same"), &[]) {
                            Ok(_) => {}
                            Err(StoreError::Damaged(text)) => assert!(text.contains("lacks"), "{text}"),
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
        });
        let usage = store.usage().unwrap();
        assert!(usage.bytes <= 60_000 && usage.entries > 0, "{usage:?}");
    }

    #[test]
    fn a_directory_that_others_can_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("steps");
        std::fs::create_dir(&place).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(LocalStore::open(&place, 1).is_err());
    }
}
