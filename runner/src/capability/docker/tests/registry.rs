//! Pushing and pulling with a registry of the test's own.

use super::*;
use crate::capability::Error;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use wit_images::HostImage as _;

/// Both letters in which the alphabets of base64 differ occur in its encoding.
pub(super) const PASSWORD: &str = "p?>?~?>~?";
/// `user` and the password above, hashed with bcrypt.
const HTPASSWD: &str = "user:$2b$05$abcdefghijklmnopqrstuuk8na5jV0zmH5Y0Gvsx.3cFK/3gRHl3u\n";

/// A registry that ends with the test.
struct Registry {
    process: Child,
    address: String,
    dir: tempfile::TempDir,
}

impl Registry {
    fn start(with_password: bool) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let auth = if with_password {
            format!("auth: {{htpasswd: {{realm: r, path: {}}}}}\n", path("users"))
        } else {
            String::new()
        };
        std::fs::write(path("users"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n{auth}",
            path("data")
        );
        std::fs::write(path("registry.yml"), config).unwrap();
        let mut command = Command::new(program());
        let process =
            command.arg("serve").arg(path("registry.yml")).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let registry = Self { process, address, dir };
        for _ in 0..200 {
            if std::net::TcpStream::connect(&registry.address).is_ok() {
                return registry;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not start");
    }

    /// A Docker configuration with this password for this registry.
    fn config(&self, password: &str) -> PathBuf {
        let path = self.dir.path().join(format!("{}.json", password.len()));
        let auths = json!({"auths": {&self.address: {"username": "user", "password": password}}});
        std::fs::write(&path, auths.to_string()).unwrap();
        path
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// The registry that examples/environment fetches, or an installed one.
fn program() -> PathBuf {
    let state = std::env::var_os("RUNNER_ENVIRONMENT")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/environment"), PathBuf::from);
    let fetched = state.join("registry/usr/bin/docker-registry");
    let all = [fetched, "/usr/bin/docker-registry".into()];
    let found = all.iter().find(|path| path.exists());
    found.expect("these tests need a registry: examples/environment/registry.sh fetches one").clone()
}

fn job(registry: &Registry, client: Bollard) -> Job {
    let images = json!([BUSYBOX, format!("{}/*", registry.address)]);
    let push = json!([format!("{}/team/app", registry.address)]);
    Job::with(&json!({"docker": {"images": images, "push": push}}), Arc::new(client))
}

#[tokio::test]
async fn what_is_pushed_is_what_is_pulled_by_its_digest() {
    let registry = Registry::start(false);
    let mut job = job(&registry, Bollard::new().with_config("/nonexistent".into()));
    let image = job.busybox().await;
    let name = format!("{}/team/app:1.0", registry.address);
    job.view().tag(borrow(&image), name.clone()).await.unwrap();
    let digest = job.view().push(borrow(&image), name.clone()).await.unwrap();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
    assert_eq!(job.view().push(borrow(&image), name.clone()).await.unwrap(), digest, "twice is the same as once");
    let info = job.info(&image).await;
    let pinned = format!("{}/team/app@{digest}", registry.address);
    assert!(info.repo_digests.contains(&pinned), "{info:?}");
    docker(&["rmi", &name]);
    for reference in [pinned.clone(), name.clone(), format!("{name}@{digest}")] {
        let pulled = job.view().pull(reference.clone()).await.unwrap();
        assert_eq!(job.info(&pulled).await.id, info.id, "{reference}");
        let found = job.view().find(reference).await.unwrap();
        assert_eq!(job.info(&found).await.id, info.id);
    }
    let missing = job.view().pull(format!("{}/team/app:none", registry.address)).await;
    assert!(matches!(missing, Err(Error::NotFound(_))), "{missing:?}");
    assert!(job.decided().contains(&format!("allow push {name}")));
    docker(&["rmi", &name]);
}

#[tokio::test]
async fn credentials_are_the_hosts_and_show_up_nowhere() {
    let registry = Registry::start(true);
    let name = format!("{}/team/app:1", registry.address);
    for (config, works) in [
        (registry.config(PASSWORD), true),
        (registry.config("wrong-password"), false),
        (PathBuf::from("/nonexistent"), false),
    ] {
        let mut job = job(&registry, Bollard::new().with_config(config));
        let image = job.busybox().await;
        job.view().tag(borrow(&image), name.clone()).await.unwrap();
        let pushed = job.view().push(borrow(&image), name.clone()).await;
        if works {
            let digest = pushed.unwrap();
            docker(&["rmi", &name]);
            let pulled = job.view().pull(format!("{}/team/app@{digest}", registry.address)).await.unwrap();
            job.info(&pulled).await;
            docker(&["rmi", &format!("{}/team/app@{digest}", registry.address)]);
        } else {
            let Err(Error::Failed(text)) = pushed else { panic!("{pushed:?}") };
            assert!(text.contains("docker login") && !text.contains("wrong-password"), "{text}");
            docker(&["rmi", &name]);
        }
        assert!(!job.logged().contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_granted_login_takes_the_place_of_the_hosts_configuration() {
    let registry = Registry::start(true);
    let name = format!("{}/team/app:1", registry.address);
    for (login, problem) in [
        (json!({"username": "user", "password": "RIGHT"}), None),
        (json!({"username": "user", "password": "WRONG"}), Some("unauthorized")),
        (json!({"username": "user", "password": "ABSENT"}), Some("the secret `ABSENT` is not set")),
        (json!({"helper": "does-not-exist"}), Some("`docker-credential-does-not-exist` cannot be run")),
    ] {
        let mut login = login;
        login["registry"] = json!(registry.address);
        let grants = json!({"docker": {
            "images": [BUSYBOX], "push": [format!("{}/team/app", registry.address)], "login": [login],
        }});
        // What the configuration says is right only where the login is wrong.
        let config = registry.config(if problem.is_some() { PASSWORD } else { "wrong-password" });
        let mut job = Job::with(&grants, Arc::new(Bollard::new().with_config(config)));
        let image = job.busybox().await;
        job.view().tag(borrow(&image), name.clone()).await.unwrap();
        let pushed = job.view().push(borrow(&image), name.clone()).await;
        docker(&["rmi", &name]);
        match problem {
            None => assert!(pushed.is_ok(), "{pushed:?}"),
            Some(problem) => {
                assert!(matches!(&pushed, Err(Error::Failed(text)) if text.contains(problem)), "{pushed:?}");
            }
        }
        assert!(job.decided().contains(&format!("allow login {}", registry.address)), "{:?}", job.decided());
        assert!(!job.logged().contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_registry_that_is_not_there_is_an_error_not_a_wait() {
    busybox().await;
    let grants = json!({"docker": {"images": ["127.0.0.1:1/*", BUSYBOX], "push": ["127.0.0.1:1/x"]}});
    let mut job = Job::new(&grants);
    let pulled = job.view().pull("127.0.0.1:1/x:1".to_owned()).await;
    assert!(matches!(&pulled, Err(Error::Failed(text)) if text.contains("refused")), "{pulled:?}");
    let image = job.busybox().await;
    job.view().tag(borrow(&image), "127.0.0.1:1/x:1".to_owned()).await.unwrap();
    let pushed = job.view().push(borrow(&image), "127.0.0.1:1/x:1".to_owned()).await;
    assert!(matches!(&pushed, Err(Error::Failed(text)) if text.contains("refused")), "{pushed:?}");
    docker(&["rmi", "127.0.0.1:1/x:1"]);
}
