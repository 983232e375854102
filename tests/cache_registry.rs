//! The cache that several clones share through a registry: honest, hostile, down.

use crate::cache::{COUNTING, cache, project, runs, stored, tree};
use crate::project::Project;
use runner::cache::{Caching, Entry, LocalStore, StepCache};
use runner::plan::cache::RemoteName;
use runner::registry::Registry;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

const REGISTRY: &str = "127.0.0.1:5050";

/// A repository that nobody else uses.
fn repository(name: &str) -> String {
    format!("cache-test/{name}-{}", uuid::Uuid::new_v4().simple())
}

/// A clone with a cache of its own, that shares a repository.
fn clone(remote: &str, more: &str, cache: &Path) -> Project {
    project(COUNTING, cache).file("runner.yml", &format!("cache: {{ remote: \"{remote}\"{more} }}"))
}

#[test]
fn clones_share_results() {
    let remote = format!("{REGISTRY}/{}", repository("shared"));
    let (first_cache, second_cache) = (cache(), cache());
    let first = clone(&remote, "", first_cache.path());
    first.runner(&["run"]).expect_status(0);
    assert_eq!(runs(&first), 1);
    let second = clone(&remote, "", second_cache.path());
    let said = second.runner(&["run"]).expect_status(0).expect_stdout("~ build").expect_stdout("building with cc");
    assert_eq!((runs(&second), said.stderr.as_str()), (0, ""));
    tree(&second);
    assert_eq!(std::fs::read_to_string(second.path().join("got/dist/out")).unwrap(), "one\n");
    second.runner(&["why", "1", "build"]).expect_stdout(&format!("fetched from {remote}"));
    // What was fetched is here now; who does not share the repository does not take it.
    second.runner(&["run"]).expect_status(0).expect_stdout("~ build");
    let stranger = project(COUNTING, second_cache.path());
    stranger.runner(&["run"]).expect_status(0);
    assert_eq!(runs(&stranger), 1);
}

#[test]
fn results_of_a_pull_request_stay_here() {
    let remote = format!("{REGISTRY}/{}", repository("pull-request"));
    let caches = [cache(), cache()];
    let first = clone(&remote, "", caches[0].path());
    first.runner(&["run", "--pull-request", "7"]).expect_status(0);
    let second = clone(&remote, "", caches[1].path());
    second.runner(&["run"]).expect_status(0);
    assert_eq!(runs(&second), 1);
    // It takes what the others share.
    std::fs::remove_dir_all(caches[0].path().join("steps")).unwrap();
    first.runner(&["run", "--pull-request", "7"]).expect_status(0).expect_stdout("~ build");
    assert_eq!(runs(&first), 1);
}

#[test]
fn entries_without_the_seal_are_ignored() {
    let remote = format!("{REGISTRY}/{}", repository("sealed"));
    let caches = [cache(), cache(), cache(), cache()];
    let sealed =
        |index: usize, secret: &str| clone(&remote, ", key: CACHE_KEY", caches[index].path()).env("CACHE_KEY", secret);
    clone(&remote, "", caches[0].path()).runner(&["run"]).expect_status(0);
    let second = sealed(1, "first secret");
    second.runner(&["run"]).expect_status(0).expect_stderr("has no seal");
    assert_eq!(runs(&second), 1);
    let third = sealed(2, "first secret");
    third.runner(&["run"]).expect_status(0).expect_stdout("~ build");
    let fourth = sealed(3, "another secret");
    fourth.runner(&["run"]).expect_status(0).expect_stderr("its seal is not that of `cache.key`");
    assert_eq!(runs(&fourth), 1);
    let without = clone(&remote, ", key: NOT_THERE", caches[3].path());
    without.runner(&["run"]).expect_status(0).expect_stderr("NOT_THERE");
}

/// The entry that a project's first run has kept.
fn entry_in(cache: &Path) -> Entry {
    let mut entries = stored(cache, "blobs")
        .into_iter()
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).unwrap()).ok());
    entries.next().unwrap()
}

/// An archive of one entry, its name written byte for byte.
fn archive(name: &str, kind: tar::EntryType, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o4755);
    header.set_cksum();
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&header, std::io::empty()).unwrap();
    tar.into_inner().unwrap()
}

/// Puts an entry into a repository, as somebody does who may write to it.
fn publish(remote: &str, entry: &Entry, content: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(&directory.path().join("steps"), 1 << 30).unwrap();
    let blobs = vec![store.take(&mut &*content, 1 << 20).unwrap()];
    let name: RemoteName = remote.parse().unwrap();
    let cache = StepCache::new(store, Caching::On, Some((name, None)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        cache.keep(entry.clone(), blobs).await.unwrap();
        cache.finish().await;
    });
}

#[test]
fn content_thrown_out_before_it_is_sent_costs_its_own_upload_alone() {
    let honest_cache = cache();
    project(COUNTING, honest_cache.path()).runner(&["run"]).expect_status(0);
    let honest = entry_in(honest_cache.path());
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("steps");
    let store = LocalStore::open(&place, 1 << 30).unwrap();
    let name: RemoteName = format!("{REGISTRY}/{}", repository("evicted")).parse().unwrap();
    let cache = StepCache::new(store.clone(), Caching::On, Some((name.clone(), None)));
    // On one thread an upload begins when something is waited for.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let registry = Registry::open(&name).await.unwrap();
        for log in ["thrown out", "kept"] {
            let new = store.take(&mut log.as_bytes(), 1 << 20).unwrap();
            let blob = new.blob.clone();
            let mut entry = honest.clone();
            (entry.files, entry.log, entry.artifacts) = (None, Some(blob.clone()), Vec::new());
            cache.keep(entry, vec![new]).await.unwrap();
            if log == "thrown out" {
                std::fs::remove_file(place.join("blobs").join(&blob.sha256)).unwrap();
                // Time for it to fail.
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                assert_eq!(registry.manifest(&honest.key.digest).await.unwrap(), None);
            }
        }
        cache.finish().await;
        registry.manifest(&honest.key.digest).await.unwrap()
    });
    assert!(found.is_some());
}

#[test]
fn what_a_writer_of_the_registry_makes_up_stays_within_the_outputs() {
    let victim = tempfile::tempdir().unwrap();
    let honest_cache = cache();
    project(COUNTING, honest_cache.path()).runner(&["run"]).expect_status(0);
    let honest = entry_in(honest_cache.path());
    let elsewhere = victim.path().join("file").display().to_string();
    for (name, kind, link) in [
        ("../escaped", tar::EntryType::Regular, ""),
        (elsewhere.as_str(), tar::EntryType::Regular, ""),
        (".git/hooks/pre-commit", tar::EntryType::Regular, ""),
        ("src/a.txt", tar::EntryType::Regular, ""),
        ("dist/link", tar::EntryType::Symlink, elsewhere.as_str()),
        ("dist/link", tar::EntryType::Symlink, "../../outside"),
        ("dist/link", tar::EntryType::Symlink, "up/../.."),
    ] {
        let remote = format!("{REGISTRY}/{}", repository("hostile"));
        let files = archive(name, kind, link);
        let sha256 = {
            use sha2::Digest;
            format!("{:x}", sha2::Sha256::digest(&files))
        };
        let blob = runner::cache::Blob { sha256, size: files.len() as u64 };
        let mut entry = honest.clone();
        (entry.files, entry.log, entry.artifacts) = (Some(blob), None, Vec::new());
        publish(&remote, &entry, &files);
        let cache = cache();
        let clone = clone(&remote, "", cache.path());
        let said = clone.runner(&["run"]).expect_status(0);
        said.expect_stdout("what was found cannot be used: the archive of outputs holds");
        assert_eq!(runs(&clone), 1, "{name}");
        tree(&clone);
        assert_eq!(std::fs::read_dir(victim.path()).unwrap().count(), 0, "{name}");
        assert!(!clone.path().join("../escaped").exists() && !clone.path().join(".git").exists());
        assert_eq!(std::fs::read_to_string(clone.path().join("src/a.txt")).unwrap(), "one\n");
    }
}

#[test]
fn an_entry_under_another_key_is_ignored() {
    let repository = repository("swapped");
    let remote = format!("{REGISTRY}/{repository}");
    let caches = [cache(), cache()];
    clone(&remote, "", caches[0].path()).runner(&["run"]).expect_status(0);
    let second = clone(&remote, "", caches[1].path());
    // The key that it will ask for, from a run that does not look.
    std::fs::write(second.path().join("src/a.txt"), "two\n").unwrap();
    second.runner(&["run", "--refresh-cache"]).expect_status(0);
    let said = second.runner(&["why", "1", "build", "--json"]).stdout;
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let asked = said[0]["key"].as_str().unwrap().to_owned();
    let first = entry_in(caches[0].path()).key.digest;
    assert_ne!(asked, first);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let registry = Registry::open(&remote.parse().unwrap()).await.unwrap();
        let (manifest, _) = registry.manifest(&first).await.unwrap().unwrap();
        registry.tag(&asked, &manifest).await.unwrap();
        assert_eq!(registry.manifest(&"0".repeat(64)).await.unwrap(), None);
        assert!(registry.exists(&manifest.config.digest).await.unwrap());
    });
    std::fs::remove_dir_all(caches[1].path().join("steps")).unwrap();
    second.runner(&["run"]).expect_status(0).expect_stderr("it belongs to another key");
    assert_eq!(runs(&second), 2);
    assert_eq!(std::fs::read_to_string(second.path().join("dist/out")).unwrap(), "two\n");
}

/// A registry in front of the real one, which does something to every answer whose request it is told.
fn proxy(lies: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let lies = std::sync::Arc::new(lies);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let lies = lies.clone();
            std::thread::spawn(move || {
                // A client that has gone needs no answer.
                drop(client.and_then(|client| answer(client, &*lies)));
            });
        }
    });
    address
}

fn answer(mut client: TcpStream, lies: &dyn Fn(&str, Vec<u8>) -> Vec<u8>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && client.read(&mut byte)? == 1 {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut server = TcpStream::connect(REGISTRY)?;
    // One request for each connection keeps it short.
    server.write_all(head.trim_end().as_bytes())?;
    server.write_all(b"\r\nConnection: close\r\n\r\n")?;
    let mut answered = Vec::new();
    server.read_to_end(&mut answered)?;
    client.write_all(&lies(head.lines().next().unwrap_or_default(), answered))
}

#[test]
fn content_that_a_registry_changes_is_ignored() {
    let repository = repository("lying");
    let honest = cache();
    clone(&format!("{REGISTRY}/{repository}"), "", honest.path()).runner(&["run"]).expect_status(0);
    let files = entry_in(honest.path()).files.unwrap().sha256;
    for which in ["/blobs/".to_owned(), files] {
        let flipped = proxy(move |request, mut answer| {
            if request.contains(&which) && request.starts_with("GET") {
                *answer.last_mut().unwrap() ^= 1;
            }
            answer
        });
        let cache = cache();
        let clone = clone(&format!("{flipped}/{repository}"), "", cache.path());
        clone.runner(&["run"]).expect_status(0).expect_stderr("Invalid digest");
        assert_eq!(runs(&clone), 1);
        tree(&clone);
    }
}

#[test]
fn a_registry_that_does_not_work_costs_a_warning() {
    let refusing =
        proxy(|_, _| b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec());
    let broken = proxy(|_, _| b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello".to_vec());
    let garbage = proxy(|_, _| b"\0\0\0\0".to_vec());
    for (registry, expected) in [
        ("127.0.0.1:9".to_owned(), "refused"),
        (refusing, "docker login"),
        (broken, "without the shared cache"),
        (garbage, "without the shared cache"),
    ] {
        let cache = cache();
        let clone = clone(&format!("{registry}/team/cache"), "", cache.path());
        let said = clone.runner(&["run"]).expect_status(0).expect_stderr(expected);
        assert_eq!(said.stderr.matches("without the shared cache").count(), 1, "{}", said.stderr);
        tree(&clone);
        clone.runner(&["run"]).expect_status(0).expect_stdout("~ build");
    }
    let project = clone("not a repository", "", cache().path());
    project.runner(&["run"]).expect_status(3).expect_stderr("is no repository in a registry");
}
