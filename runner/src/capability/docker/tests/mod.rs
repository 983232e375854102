//! Jobs for the tests of this capability, against the engine of this machine.

mod cleanup;
mod containers;
mod grants;
mod images;
mod recording;
mod registry;

use super::client::{Archive, BuildSpec};
use super::{Bollard, Container, DockerClient, DockerCtx, DockerView, Image};
use crate::agent::JobLog;
use crate::capability::{JobName, JobScope, Workspace};
use crate::event::{Decision, EventKind};
use crate::host::bindings::runner::docker::{containers as wit, images as wit_images};
use crate::plan::grant::Grants;
use crate::run::{Recorder, Request};
use crate::secret::{Found, SecretSource, SecretValue, Secrets};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use wasmtime::component::{Resource, ResourceTable};
use wit::{ContainerOptions, Host as _, HostContainer as _};
use wit_images::Host as _;

/// One attempt of a job with the grants as the pipeline would write them.
struct Job {
    ctx: DockerCtx,
    table: ResourceTable,
    workspace: tempfile::TempDir,
    log: PathBuf,
    decisions: Arc<Mutex<Vec<Decision>>>,
    cancelled: CancellationToken,
    _log_dir: tempfile::TempDir,
}

/// Two passwords.
#[derive(Debug)]
struct Passwords;

#[async_trait::async_trait]
impl SecretSource for Passwords {
    fn place(&self) -> String {
        "this test".to_owned()
    }

    async fn find(&self, name: &str) -> Result<Found, String> {
        let value = match name {
            "RIGHT" => registry::PASSWORD,
            "WRONG" => "wrong-password",
            _ => return Ok(Found::Absent(format!("has no {name}"))),
        };
        SecretValue::new(value.to_owned()).map(Found::Value).map_err(|error| error.to_string())
    }
}

impl Job {
    fn new(grants: &Value) -> Self {
        Self::with(grants, Arc::new(Bollard::new()))
    }

    fn with(grants: &Value, client: Arc<dyn DockerClient>) -> Self {
        let grants = Grants::from_json(grants).unwrap();
        let workspace = tempfile::tempdir().unwrap();
        let log_dir = tempfile::tempdir().unwrap();
        let log = log_dir.path().join("log");
        let (recorder, mut requests) = Recorder::channel();
        let decisions = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&decisions);
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                if let Request::Record(EventKind::GrantDecided { decision, .. }, answer) = request {
                    heard.lock().unwrap().push(decision);
                    answer.send(Ok(())).unwrap();
                }
            }
        });
        let cancelled = CancellationToken::new();
        let scope = JobScope {
            name: Arc::new(JobName {
                run: format!("test-{}", uuid::Uuid::new_v4()),
                job: "tests".to_owned(),
                attempt: 1,
                step_key: String::new(),
                label: String::new(),
            }),
            workspace: Arc::new(Workspace::open(workspace.path(), grants.workspace).unwrap()),
            log: JobLog::new(log.clone(), None),
            recorder,
            cancelled: cancelled.clone(),
            decisions: Arc::default(),
        };
        Self {
            ctx: DockerCtx::new(scope, grants.docker, client, Arc::new(Secrets::of(vec![Box::new(Passwords)]))),
            table: ResourceTable::new(),
            workspace,
            log,
            decisions,
            cancelled,
            _log_dir: log_dir,
        }
    }

    fn view(&mut self) -> DockerView<'_> {
        DockerView { ctx: &mut self.ctx, table: &mut self.table }
    }

    fn run(&self) -> String {
        self.ctx.scope.name.run.clone()
    }

    /// What the log holds so far.
    fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// `allow` or `deny`, the operation and the subject of every decision.
    fn decided(&self) -> Vec<String> {
        let word = |allowed| if allowed { "allow" } else { "deny" };
        let line = |one: &Decision| format!("{} {} {}", word(one.allowed), one.operation, one.subject);
        self.decisions.lock().unwrap().iter().map(line).collect()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.workspace.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.workspace.path().join(path)).unwrap()
    }

    async fn busybox(&mut self) -> Resource<Image> {
        busybox().await;
        self.view().find(BUSYBOX.to_owned()).await.unwrap()
    }

    /// What is known of an image.
    async fn info(&mut self, image: &Resource<Image>) -> wit_images::ImageInfo {
        wit_images::HostImage::inspect(&mut self.view(), borrow(image)).await.unwrap()
    }

    async fn create(&mut self, options: ContainerOptions) -> Resource<Container> {
        let image = self.busybox().await;
        self.view().create(image, options).await.unwrap()
    }

    /// Runs a shell script to its end; the exit code.
    async fn shell(&mut self, script: &str, options: ContainerOptions) -> u8 {
        let container = self.create(ContainerOptions { command: sh(script), ..options }).await;
        self.view().start(borrow(&container), String::new()).await.unwrap();
        let code = self.view().wait(borrow(&container)).await.unwrap();
        self.view().drop(container).await.unwrap();
        code
    }
}

/// A failed test leaves nothing behind either, and no test the images it built.
impl Drop for Job {
    fn drop(&mut self) {
        for name in self.logged().lines().filter_map(|line| line.strip_prefix("Successfully tagged ")) {
            drop(std::process::Command::new("docker").args(["rmi", name]).output());
        }
        if std::thread::panicking() {
            let filter = format!("label={}={}", super::client::RUN_LABEL, self.run());
            for (list, remove) in [("ps -aq", "rm -fv"), ("network ls -q", "network rm"), ("volume ls -q", "volume rm")]
            {
                let command = format!("docker {list} --filter {filter} | xargs -r docker {remove}");
                drop(std::process::Command::new("sh").args(["-c", &command]).output());
            }
        }
    }
}

/// Everything a test may want to do with containers.
fn containers_grant() -> Value {
    json!({"workspace": "write", "docker": {"images": [BUSYBOX], "containers": {"memory": "128MiB", "cpus": 1}}})
}

fn options() -> ContainerOptions {
    ContainerOptions {
        entrypoint: Vec::new(),
        command: Vec::new(),
        env: Vec::new(),
        working_directory: String::new(),
        user: String::new(),
        hostname: String::new(),
        networks: Vec::new(),
        mounts: Vec::new(),
        health_check: None,
        ports: Vec::new(),
        memory: 0,
        milli_cpus: 0,
        read_only_root: false,
        shm_size: 0,
        stop_signal: String::new(),
        extras: Vec::new(),
    }
}

fn sh(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

/// The handle a guest passes when it keeps its own.
fn borrow<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

const BUSYBOX: &str = "runner.local/test-busybox:1";

/// A shell and its tools, from nothing but Debian's static busybox.
async fn busybox() {
    static BUILT: tokio::sync::Mutex<bool> = tokio::sync::Mutex::const_new(false);
    let mut built = BUILT.lock().await;
    if *built {
        return;
    }
    let client = Bollard::new();
    super::ping(&client).await.expect("these tests need a Docker Engine: examples/environment/up starts one");
    let program = std::fs::read("/bin/busybox").expect("these tests need: apt-get install busybox-static");
    let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
                      RUN mkdir -p /etc /root /srv && touch /srv/old && mkdir -m 1777 /tmp && echo 'root:x:0:0::/root:/bin/sh' > /etc/passwd\n\
                      CMD [\"sh\"]\n";
    image(BUSYBOX, dockerfile, &[("busybox", &program)]).await;
    *built = true;
}

/// Builds an image as a person would, with nothing of the runner in between; its identifier.
async fn image(name: &str, dockerfile: &str, files: &[(&str, &[u8])]) -> String {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, content) in files.iter().copied().chain([("Dockerfile", dockerfile.as_bytes())]) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, content).unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let context: Archive = Box::pin(futures_util::stream::iter([Ok(bytes.into())]));
    let spec = BuildSpec {
        dockerfile: "Dockerfile".to_owned(),
        name: name.to_owned(),
        target: String::new(),
        args: [].into(),
        egress: false,
        no_cache: false,
        labels: [].into(),
    };
    let mut output = String::new();
    let mut sink = |text: &[u8]| output.push_str(&String::from_utf8_lossy(text));
    let built = Bollard::new().build_image(spec, context, &mut sink).await;
    built.unwrap_or_else(|error| panic!("{name} cannot be built: {error}\n{output}"))
}

/// Runs the `docker` command.
fn docker(arguments: &[&str]) -> String {
    let output = std::process::Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
