//! Calls as hostile processes make them.

use super::protocol::{Call, Hello, MAX_CALL, Reply, Response, StepReference, TOKEN_VARIABLE, VERSION};
use super::{Admission, Caller, Entrance, JobApi};
use crate::agent::artifact::{Reach, keep};
use crate::agent::{JobEnvironment, JobLog, Uploader};
use crate::capability::aws::SdkClients;
use crate::capability::docker::Bollard;
use crate::capability::process::{Ended, ProcessCtx, Programs};
use crate::capability::step::ArtifactStore;
use crate::capability::{JobName, JobScope, SharedEnvironment, Workspace};
use crate::component::{CompiledCache, Components};
use crate::event::{Event, EventKind};
use crate::host::bindings::runner::process::processes::Options;
use crate::host::{Services, StepEngine};
use crate::plan::{BuildContext, JobId, Plan};
use crate::run::{RecordError, Recorder, Request, RunState};
use crate::secret::{Secrets, sources};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

static ENGINE: OnceLock<StepEngine> = OnceLock::new();

/// A run with nobody else in it.
struct Run {
    directory: tempfile::TempDir,
    api: JobApi,
    recorder: Recorder,
    uploader: Arc<Uploader>,
    services: Services,
}

impl Run {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let services = Services {
            docker: Arc::new(Bollard::new()),
            aws: Arc::new(SdkClients::new()),
            secrets: Arc::new(Secrets::of(sources(None, directory.path()))),
            artifacts: ArtifactStore { root: directory.path().join("artifacts") },
            temporary: directory.path().join("tmp"),
        };
        let engine = ENGINE.get_or_init(|| StepEngine::new().unwrap()).clone();
        let cache = CompiledCache::below(directory.path(), &engine);
        let components = Components::new(engine, cache, services.clone(), directory.path());
        Self {
            api: JobApi::new(
                uuid::Uuid::new_v4().to_string(),
                PathBuf::from("/bin/true"),
                directory.path().join("locks"),
            ),
            recorder: drive(),
            uploader: Arc::new(Uploader::new(
                components,
                crate::plan::Settings::default(),
                Box::new(|_, _, _| Ok(None)),
            )),
            services,
            directory,
        }
    }

    fn caller(&self, job: &str) -> Caller {
        let scope = JobScope {
            name: Arc::new(JobName {
                run: "run".to_owned(),
                job: job.to_owned(),
                attempt: 1,
                step_key: String::new(),
                label: job.to_owned(),
            }),
            workspace: Arc::new(Workspace::open(self.directory.path(), None).unwrap()),
            log: JobLog::new(self.directory.path().join(job), None),
            recorder: self.recorder.clone(),
            cancelled: CancellationToken::new(),
            decisions: Arc::default(),
        };
        let environment = SharedEnvironment::from(JobEnvironment::from([
            ("BUILDKITE_JOB_ID".to_owned(), "id".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ]));
        let limit = watch::channel(None).0;
        let secrets = vec!["GRANTED".to_owned()];
        Caller::new(scope, JobId(0), environment, secrets, &self.services, self.uploader.clone(), limit)
    }

    async fn admit(&self, job: &str) -> Process {
        let entrance = self.api.entrance().await.unwrap();
        let (socket, token) = announced(&entrance);
        Process { socket, token, admission: Some(entrance.admit(self.caller(job))) }
    }
}

/// A driver that keeps everything in memory.
fn drive() -> Recorder {
    let (recorder, mut requests) = Recorder::channel();
    let plan = Plan {
        pipeline: "pipeline.yml".to_owned(),
        context: BuildContext::default(),
        env: indexmap::IndexMap::new(),
        jobs: Vec::new(),
    };
    tokio::spawn(async move {
        let mut state = RunState::new(Arc::new(plan));
        let apply = |state: &mut RunState, kind| {
            let event = Event { sequence: state.sequence() + 1, at: 0, kind };
            state.apply(&event).map_err(|illegal| RecordError::Refused(illegal.to_string()))
        };
        apply(&mut state, EventKind::RunCreated { plan: "sha256:0".to_owned() }).unwrap();
        while let Some(request) = requests.recv().await {
            match request {
                Request::Record(kind, answer) => drop(answer.send(apply(&mut state, kind))),
                Request::Read(question) => question(&state),
            }
        }
    });
    recorder
}

fn announced(entrance: &Entrance) -> (PathBuf, String) {
    let mut env = JobEnvironment::new();
    entrance.announce(&mut env);
    (env[super::protocol::SOCKET_VARIABLE].clone().into(), env[TOKEN_VARIABLE].clone())
}

/// A process of a job, which speaks as it likes.
struct Process {
    socket: PathBuf,
    token: String,
    admission: Option<Admission>,
}

type Connection = Framed<UnixStream, LengthDelimitedCodec>;

impl Process {
    async fn connect(&self) -> Connection {
        let stream = UnixStream::connect(&self.socket).await.unwrap();
        LengthDelimitedCodec::builder().max_frame_length(64 << 20).new_framed(stream)
    }

    async fn open(&self) -> Connection {
        let mut connection = self.connect().await;
        send(&mut connection, &json!(Hello { version: VERSION, token: self.token.clone() })).await;
        connection
    }

    async fn call(&self, call: &Value) -> Result<Reply, String> {
        let mut connection = self.open().await;
        send(&mut connection, call).await;
        answer(&mut connection).await
    }

    async fn store(&self, path: &str, chunks: &[&'static str]) -> Result<Reply, String> {
        let mut connection = self.open().await;
        send(&mut connection, &json!(Call::ArtifactStore { path: path.to_owned() })).await;
        for chunk in chunks {
            connection.send(Bytes::from_static(chunk.as_bytes())).await.unwrap();
        }
        answer(&mut connection).await
    }

    async fn artifacts(&self) -> Vec<String> {
        let call = Call::ArtifactSearch { query: "*".to_owned(), step: None, all: true };
        match self.call(&json!(call)).await.unwrap() {
            Reply::Artifacts(artifacts) => artifacts.into_iter().map(|artifact| artifact.path).collect(),
            other => panic!("{other:?}"),
        }
    }
}

async fn send(connection: &mut Connection, value: &Value) {
    // Whoever is refused half-way finds out why from the answer.
    drop(connection.send(Bytes::from(value.to_string())).await);
}

async fn answer(connection: &mut Connection) -> Result<Reply, String> {
    let frame = tokio::time::timeout(Duration::from_secs(20), connection.next()).await.expect("an answer in time");
    match serde_json::from_slice(&frame.expect("an answer").unwrap()).unwrap() {
        Response::Ok { reply, .. } => Ok(reply),
        Response::Error { message } => Err(message),
    }
}

#[tokio::test]
async fn strangers_learn_nothing() {
    let run = Run::new();
    let process = run.admit("a").await;
    let hello = |version: u32, token: &str| json!({ "version": version, "token": token });
    for (hello, because) in [
        (hello(VERSION, "guess"), "has ended"),
        (hello(VERSION, ""), "has ended"),
        (hello(99, &process.token), "speaks version 99"),
        (json!("hello"), "cannot be read"),
        (json!({ "version": VERSION, "token": process.token, "extra": 1 }), "cannot be read"),
        (json!({ "version": VERSION, "token": "x".repeat(2000) }), "too large"),
    ] {
        let mut connection = process.connect().await;
        send(&mut connection, &hello).await;
        let refused = answer(&mut connection).await.unwrap_err();
        assert!(refused.contains(because), "{refused}");
    }
}

#[tokio::test]
async fn a_token_counts_from_the_beginning_of_its_attempt_to_the_end() {
    let run = Run::new();
    let entrance = run.api.entrance().await.unwrap();
    let (socket, token) = announced(&entrance);
    let mut process = Process { socket, token, admission: None };
    let keys = json!(Call::MetaDataKeys);
    assert!(process.call(&keys).await.unwrap_err().contains("has ended"));
    process.admission = Some(entrance.admit(run.caller("a")));
    assert_eq!(process.call(&keys).await.unwrap(), Reply::Names(vec![]));
    let (mut waiting, other) = (process.open().await, run.admit("b").await);
    process.admission = None;
    assert!(process.call(&keys).await.unwrap_err().contains("has ended"));
    // A connection that was opened before is of no use either.
    assert!(answer(&mut waiting).await.unwrap_err().contains("has ended"));
    other.call(&keys).await.unwrap();
}

#[tokio::test]
async fn what_a_killed_process_has_left_is_replaced() {
    let serve = |run: &str| JobApi::new(run.to_owned(), PathBuf::from("/bin/true"), PathBuf::new());
    let run = uuid::Uuid::new_v4().to_string();
    let killed = serve(&run);
    let (socket, _) = announced(&killed.entrance().await.unwrap());
    std::fs::write(socket.with_file_name("left"), "").unwrap();
    std::mem::forget(killed);
    let (again, _) = announced(&serve(&run).entrance().await.unwrap());
    assert_eq!(again, socket);
    // Its own is gone with it.
    assert!(!socket.parent().unwrap().exists());
}

#[tokio::test]
async fn silent_and_broken_connections_keep_nobody_from_being_served() {
    let run = Run::new();
    let process = run.admit("a").await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(process.connect().await);
    }
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x00", b"GET / HTTP/1.1\r\n\r\n"] {
        let stream = UnixStream::connect(&process.socket).await.unwrap();
        stream.writable().await.unwrap();
        stream.try_write(bytes).unwrap();
    }
    process.call(&json!(Call::MetaDataKeys)).await.unwrap();
}

#[tokio::test]
async fn calls_are_bounded_and_checked() {
    let run = Run::new();
    let process = run.admit("a").await;
    let long = "x".repeat(101 << 10);
    let many: serde_json::Map<String, Value> = (0..10_001).map(|key| (key.to_string(), "v".into())).collect();
    for (call, because) in [
        (json!({ "call": "format-disk" }), "unknown variant"),
        (json!({ "call": "meta-data-get", "key": "k", "extra": 1 }), "cannot be read"),
        (json!([]), "cannot be read"),
        (json!({ "call": "redact", "values": ["x".repeat(MAX_CALL)] }), "too large"),
        (json!({ "call": "redact", "values": ["x".repeat(65 << 10)] }), "at most 64 KiB"),
        (json!({ "call": "redact", "values": vec!["secret"; 1001] }), "at most 1000 values"),
        (json!({ "call": "meta-data-set", "values": { "": "v" } }), "expected 1 to 255"),
        (json!({ "call": "meta-data-set", "values": { "k": " " } }), "1 byte to 100 KiB"),
        (json!({ "call": "meta-data-set", "values": { "k": long } }), "1 byte to 100 KiB"),
        (json!({ "call": "environment-set", "variables": { "BUILDKITE_JOB_ID": "x" } }), "protected"),
        (json!({ "call": "environment-unset", "names": ["BUILDKITE_JOB_ID"] }), "protected"),
        (json!({ "call": "environment-set", "variables": { "A": "x".repeat(200 << 10) } }), "at most 128 KiB"),
        (json!({ "call": "secret-get", "names": ["OTHER"] }), "secrets: [OTHER]"),
        (json!({ "call": "lock-release", "key": "k", "token": "guess" }), "does not hold"),
        (json!({ "call": "once-done", "key": "k" }), "was not begun"),
        (json!({ "call": "artifact-fetch", "job": "../..", "path": "etc/passwd" }), "there is no artifact"),
        (json!({ "call": "artifact-search", "query": "[", "all": false }), "invalid artifact query"),
        (
            json!(Call::ArtifactSearch { query: "*".into(), step: Some(StepReference::Named("x".into())), all: false }),
            "there is no step `x`",
        ),
        (
            json!({ "call": "annotate", "context": "c", "body": "x".repeat((1 << 20) + 1), "append": false,
            "priority": 3, "own_job": false }),
            "at most 1024 KiB",
        ),
        (
            json!({ "call": "annotate", "context": "c", "body": "x", "append": false, "priority": 11,
            "own_job": false }),
            "expected 1 to 10",
        ),
        (json!({ "call": "meta-data-set", "values": many }), "at most 10000 times"),
    ] {
        let refused = process.call(&call).await.expect_err(&format!("{because}: {call:.100}"));
        assert!(refused.contains(because), "expected {because:?}: {refused}");
    }
}

#[tokio::test]
async fn an_artifact_is_kept_whole_below_its_job_or_not_at_all() {
    let run = Run::new();
    let process = run.admit("a").await;
    for path in ["../b/x", "/etc/passwd", "a/../../x", "", ".", "a\0b", &"x".repeat(1025)] {
        process.store(path, &["content", ""]).await.unwrap_err();
    }
    // The content breaks off.
    let mut connection = process.open().await;
    send(&mut connection, &json!(Call::ArtifactStore { path: "half".to_owned() })).await;
    connection.send(Bytes::from_static(b"half of it")).await.unwrap();
    drop(connection);
    process.store("dir/whole", &["con", "tent", ""]).await.unwrap();
    assert_eq!(process.artifacts().await, ["dir/whole"]);
    let root = run.services.artifacts.root.join("a");
    let names = |path: PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(path).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(names(root.clone()), ["dir"]);
    assert_eq!(names(root.join("dir")), ["whole"]);
    assert_eq!(std::fs::read(root.join("dir/whole")).unwrap(), b"content");

    let mut connection = process.open().await;
    let call = Call::ArtifactFetch { job: "a".to_owned(), path: "dir/whole".to_owned() };
    send(&mut connection, &json!(call)).await;
    assert_eq!(answer(&mut connection).await.unwrap(), Reply::Done);
    assert_eq!(connection.next().await.unwrap().unwrap(), "content");
    assert_eq!(connection.next().await.unwrap().unwrap(), "");
    assert!(connection.next().await.is_none());
}

#[tokio::test]
async fn files_of_a_component_are_kept_through_no_link_that_leads_out() {
    let run = Run::new();
    let scope = run.caller("a").scope;
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret.txt"), "s").unwrap();
    let workspace = run.directory.path();
    std::fs::create_dir(workspace.join("out")).unwrap();
    std::fs::write(workspace.join("out/a.txt"), "a").unwrap();
    std::os::unix::fs::symlink("a.txt", workspace.join("out/inside.txt")).unwrap();
    std::os::unix::fs::symlink(outside.path(), workspace.join("dir")).unwrap();
    let all = |globs: &str| vec![globs.to_owned()];
    let store = &run.services.artifacts;
    assert_eq!(keep(store, &scope, &all("out/**; none/*"), Reach::Workspace).await.unwrap(), 2);
    let absolute = outside.path().join("*.txt").display().to_string();
    for globs in ["dir/*.txt", "dir/secret.txt", "../*", absolute.as_str()] {
        let refused = keep(store, &scope, &all(globs), Reach::Workspace).await.unwrap_err();
        assert!(refused.to_string().contains("leads out of the workspace"), "{globs}: {refused}");
    }
    std::os::unix::fs::symlink(outside.path().join("secret.txt"), workspace.join("out/link.txt")).unwrap();
    keep(store, &scope, &all("out/l*"), Reach::Workspace).await.unwrap_err();
    assert_eq!(keep(store, &scope, &all("dir/*.txt"), Reach::Machine).await.unwrap(), 1);
    let kept = run.recorder.read(|run| run.data().artifacts().to_vec()).await.unwrap();
    let paths: Vec<&str> = kept.iter().map(|artifact| artifact.path.as_str()).collect();
    assert_eq!(paths, ["out/a.txt", "out/inside.txt", "dir/secret.txt"]);
}

#[tokio::test]
async fn what_a_process_sets_is_what_the_next_one_of_the_job_gets() {
    let run = Run::new();
    let entrance = run.api.entrance().await.unwrap();
    let (socket, token) = announced(&entrance);
    let caller = run.caller("a");
    let (scope, environment) = (caller.scope.clone(), caller.environment.clone());
    let process = Process { socket, token, admission: Some(entrance.admit(caller)) };
    let mut processes = ProcessCtx::new(scope.clone(), Programs::CommandLine, environment);
    let mut next = async || {
        let args = ["-c".to_owned(), "echo \"<$ADDED $PATH>\"".to_owned()];
        let options = Options { env: vec![], directory: String::new(), grace_seconds: 1, extras: vec![] };
        let mut process = processes.spawn("/bin/sh", &args, options, vec![]).await.unwrap();
        assert_eq!(process.wait().await.unwrap(), Ended::Status(0));
    };
    next().await;
    let set = json!({ "call": "environment-set", "variables": { "ADDED": "new", "PATH": "/usr/bin:/bin" } });
    process.call(&set).await.unwrap();
    next().await;
    process.call(&json!({ "call": "environment-unset", "names": ["ADDED"] })).await.unwrap();
    next().await;
    scope.log.finish();
    let log = std::fs::read_to_string(run.directory.path().join("a")).unwrap();
    assert_eq!(log, "< /bin>\n<new /usr/bin:/bin>\n< /usr/bin:/bin>\n");
}

#[tokio::test]
async fn locks_end_with_the_job_that_holds_them() {
    let run = Run::new();
    let (mut first, second) = (run.admit("a").await, run.admit("b").await);
    let acquire = |wait: Option<u64>| json!(Call::LockAcquire { key: "k".to_owned(), wait });
    let begin = json!(Call::OnceBegin { key: "w".to_owned(), wait: None });
    let Reply::Value(Some(token)) = first.call(&acquire(None)).await.unwrap() else { panic!("no token") };
    assert_eq!(first.call(&begin).await.unwrap(), Reply::Flag(true));
    let get = json!(Call::LockGet { key: "k".to_owned() });
    assert_eq!(second.call(&get).await.unwrap(), Reply::Value(Some(token.clone())));
    assert!(second.call(&acquire(Some(100))).await.unwrap_err().contains("not free within 100 ms"));
    let release = json!(Call::LockRelease { key: "k".to_owned(), token });
    assert!(second.call(&release).await.unwrap_err().contains("does not hold"));
    // Whoever waits and goes away must not get it later.
    let mut gone = second.open().await;
    send(&mut gone, &acquire(None)).await;
    drop(gone);
    let ends = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        first.admission = None;
    };
    let acquire = acquire(None);
    let ((), locked, begun) = tokio::join!(ends, second.call(&acquire), second.call(&begin));
    assert!(matches!(locked, Ok(Reply::Value(Some(_)))), "{locked:?}");
    assert_eq!(begun.unwrap(), Reply::Flag(true));
    second.call(&json!(Call::OnceDone { key: "w".to_owned() })).await.unwrap();
    assert_eq!(second.call(&begin).await.unwrap(), Reply::Flag(false));
}

#[tokio::test]
async fn a_flood_of_waiting_calls_is_refused_and_only_its_own_job_suffers() {
    let run = Run::new();
    let (holder, flood) = (run.admit("a").await, run.admit("b").await);
    let acquire = json!(Call::LockAcquire { key: "k".to_owned(), wait: None });
    holder.call(&acquire).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..128 {
        let mut connection = flood.open().await;
        send(&mut connection, &acquire).await;
        waiting.push(connection);
    }
    let mut refused = String::new();
    for _ in 0..50 {
        match flood.call(&json!(Call::MetaDataKeys)).await {
            Err(message) => refused = message,
            // Not all of them have been accepted yet.
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    assert!(refused.contains("128 calls"), "{refused}");
    holder.call(&json!(Call::MetaDataKeys)).await.unwrap();
}
