//! The socket: who calls is found out first, within little time and memory; then one call is answered.

use super::caller::Caller;
use super::lock::Locks;
use super::protocol::{
    Call, Hello, MAX_CALL, MAX_CONTENT, MAX_HELLO, MAX_RESPONSE, Reply, Response, SOCKET_VARIABLE, TOKEN_VARIABLE,
    VERSION,
};
use crate::agent::JobEnvironment;
use crate::capability::Error;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Serves the jobs of one run. Cheap to clone. Nothing is opened before the first job asks for it.
#[derive(Clone)]
pub struct JobApi(Arc<Shared>);

struct Shared {
    run: String,
    program: PathBuf,
    listening: OnceCell<Listening>,
    callers: Arc<Callers>,
    locks: Arc<Locks>,
}

/// The socket and the command, and the task that waits for connections; all gone when it is dropped.
#[derive(Debug)]
struct Listening {
    directory: tempfile::TempDir,
    accepting: JoinHandle<()>,
}

/// The attempts that run, by the digest of their token: comparing digests tells a guesser nothing about tokens.
#[derive(Default)]
struct Callers(Mutex<HashMap<[u8; 32], Arc<Caller>>>);

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve `buildkite-agent` to the job: {reason}; make {place} writable, or set TMPDIR to a short path")]
pub struct JobApiError {
    place: String,
    reason: String,
}

type Connection = Framed<UnixStream, LengthDelimitedCodec>;

/// Connections of which it is not known yet who they are; further ones wait.
const MAX_STRANGERS: usize = 128;

/// Time to say who one is.
const HELLO_TIME: Duration = Duration::from_secs(10);

/// Time for the next frame, and for taking an answer.
const FRAME_TIME: Duration = Duration::from_mins(1);

/// Bytes of a socket's path, the terminating zero left out.
const MAX_SOCKET_PATH: usize = 107;

impl JobApi {
    /// Serves `program`, the runner itself, as `buildkite-agent` to the jobs of a run, which only this process drives;
    /// locks are files in `locks`.
    #[must_use]
    pub fn new(run: String, program: PathBuf, locks: PathBuf) -> Self {
        let locks = Arc::new(Locks::new(locks));
        Self(Arc::new(Shared { run, program, listening: OnceCell::new(), callers: Arc::default(), locks }))
    }

    /// What the processes of an attempt need to find the socket. Its token is worth nothing yet.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub async fn entrance(&self) -> Result<Entrance, JobApiError> {
        let listening = self.0.listening.get_or_try_init(|| async { self.listen() }).await?;
        // 244 random bits.
        let token = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        Ok(Entrance { api: self.clone(), token, directory: listening.directory.path().to_owned() })
    }

    /// Whether a job has asked for it.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.0.listening.initialized()
    }

    fn listen(&self) -> Result<Listening, JobApiError> {
        let directory = private_directory(&self.0.run)?;
        let fault = |error: std::io::Error| JobApiError {
            place: directory.path().display().to_string(),
            reason: error.to_string(),
        };
        let bin = bin(directory.path());
        std::fs::create_dir(&bin).map_err(fault)?;
        std::os::unix::fs::symlink(&self.0.program, bin.join("buildkite-agent")).map_err(fault)?;
        let listener = UnixListener::bind(socket(directory.path())).map_err(fault)?;
        let accepting = tokio::spawn(accept(listener, self.0.callers.clone()));
        Ok(Listening { directory, accepting })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("socket")
}

fn bin(directory: &Path) -> PathBuf {
    directory.join("bin")
}

/// Where a run's directory may be.
fn places() -> Vec<PathBuf> {
    let set = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty()).map(PathBuf::from);
    set.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]).collect()
}

fn directory_name(run: &str) -> String {
    format!("runner-{run}")
}

/// Whether a process that drives the run, or one that did and was killed, has a directory.
#[must_use]
pub fn is_left(run: &str) -> bool {
    left(run).next().is_some()
}

/// Removes the directory that a process which drove the run and was killed has left; whether there was one. For a run
/// that no process drives.
///
/// # Errors
/// When it cannot be removed.
pub fn remove_left(run: &str) -> std::io::Result<bool> {
    let mut removed = false;
    for left in left(run) {
        std::fs::remove_dir_all(&left)?;
        removed = true;
    }
    Ok(removed)
}

fn left(run: &str) -> impl Iterator<Item = PathBuf> {
    let name = directory_name(run);
    let is_own =
        |left: &PathBuf| left.symlink_metadata().is_ok_and(|left| left.is_dir() && left.uid() == geteuid().as_raw());
    places().into_iter().map(move |place| place.join(&name)).filter(is_own)
}

/// A new directory that only this user can enter, with a path short enough for a socket; what was left is replaced.
fn private_directory(run: &str) -> Result<tempfile::TempDir, JobApiError> {
    if let Err(error) = remove_left(run) {
        tracing::warn!(%error, "cannot remove what is left of the run");
    }
    let (name, places) = (directory_name(run), places());
    let mut reason = String::new();
    for place in &places {
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(&name).rand_bytes(0).permissions(Permissions::from_mode(0o700));
        match builder.tempdir_in(place) {
            Ok(directory) if socket(directory.path()).as_os_str().len() <= MAX_SOCKET_PATH => return Ok(directory),
            Ok(_) => reason = format!("the path of {} is too long for a socket", place.display()),
            Err(error) => reason = error.to_string(),
        }
    }
    let place = places.last().map(|place| place.display().to_string()).unwrap_or_default();
    Err(JobApiError { place, reason })
}

/// The way in for one attempt of a job, before it is open.
pub struct Entrance {
    api: JobApi,
    token: String,
    directory: PathBuf,
}

impl Entrance {
    /// The token; a secret.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Adds what a process needs to find the command, and the command to find the runner.
    pub fn announce(&self, env: &mut JobEnvironment) {
        let bin = bin(&self.directory);
        let path = env.get("PATH").filter(|path| !path.is_empty());
        let mut search = OsString::from(&bin);
        search.push(":");
        search.push(path.map_or("/usr/local/bin:/usr/bin:/bin", String::as_str));
        for (name, value) in [
            ("PATH", search.to_string_lossy().into_owned()),
            ("BUILDKITE_BIN_PATH", bin.display().to_string()),
            (SOCKET_VARIABLE, socket(&self.directory).display().to_string()),
            (TOKEN_VARIABLE, self.token.clone()),
            // What scripts look at to find out whether there is an agent.
            ("BUILDKITE_AGENT_ACCESS_TOKEN", self.token.clone()),
        ] {
            env.insert(name.to_owned(), value);
        }
    }

    /// Opens the way in, until what is returned is dropped.
    #[must_use]
    pub fn admit(self, caller: Caller) -> Admission {
        let key = digest(&self.token);
        let caller = Arc::new(caller.with_locks(self.api.0.locks.clone()));
        self.api.0.callers.lock().insert(key, caller.clone());
        Admission { api: self.api, key, caller }
    }
}

/// An attempt whose processes may call. Dropping it ends their calls, gives their locks back and kills the token.
pub struct Admission {
    api: JobApi,
    key: [u8; 32],
    caller: Arc<Caller>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.api.0.callers.lock().remove(&self.key);
        self.caller.end();
    }
}

impl Callers {
    fn find(&self, token: &str) -> Option<Arc<Caller>> {
        self.lock().get(&digest(token)).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Arc<Caller>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

async fn accept(listener: UnixListener, callers: Arc<Callers>) {
    let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
    loop {
        // Never closed, so this only waits.
        let Ok(permit) = strangers.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, callers.clone(), permit))),
            Err(error) => {
                // Too many open files, most likely: the calls that run will end and give some back.
                tracing::warn!(%error, "cannot accept a call of a job");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Why a connection ends without an answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("it was closed, or is too slow")]
    Gone,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

async fn serve(stream: UnixStream, callers: Arc<Callers>, stranger: OwnedSemaphorePermit) {
    let mut connection = LengthDelimitedCodec::builder().max_frame_length(MAX_HELLO).new_framed(stream);
    if let Err(reason) = converse(&mut connection, &callers, stranger).await {
        tracing::debug!(%reason, "a job's call ended without an answer");
    }
}

async fn converse(
    connection: &mut Connection,
    callers: &Callers,
    stranger: OwnedSemaphorePermit,
) -> Result<(), Broken> {
    let hello: Result<Hello, String> = read(connection, HELLO_TIME).await?;
    let caller = match hello {
        Ok(hello) if hello.version != VERSION => Err(format!(
            "this command speaks version {} of the job interface, the runner {VERSION}: use the one in the job's PATH",
            hello.version
        )),
        Ok(hello) => callers.find(&hello.token).ok_or_else(|| "the job this token was given to has ended".to_owned()),
        Err(reason) => Err(reason),
    };
    let caller = match caller {
        Ok(caller) => caller,
        Err(message) => return write(connection, &Response::Error { message }).await,
    };
    drop(stranger);
    let _open = match caller.enter() {
        Ok(open) => open,
        Err(error) => return write(connection, &error.into()).await,
    };
    let response = tokio::select! {
        biased;
        () = caller.ended() => Response::Error { message: "the job has ended".to_owned() },
        response = answer(connection, &caller) => response?,
    };
    write(connection, &response).await
}

/// Reads the call and does it. Memory for calls is bounded per job: what waits holds none.
async fn answer(connection: &mut Connection, caller: &Arc<Caller>) -> Result<Response, Broken> {
    connection.codec_mut().set_max_frame_length(MAX_CALL);
    let turn = match caller.turn().await {
        Ok(turn) => turn,
        Err(error) => return Ok(error.into()),
    };
    let call: Call = match read(connection, FRAME_TIME).await? {
        Ok(call) => call,
        Err(message) => return Ok(Response::Error { message }),
    };
    let result = match call {
        Call::ArtifactStore { path } => {
            connection.codec_mut().set_max_frame_length(MAX_CONTENT);
            let (chunks, content) = super::artifact::content();
            let from = &mut *connection;
            // The sender is dropped with what it sends: an end without the empty chunk is a loss, which ends the store.
            let send = async move {
                loop {
                    let chunk = frame(from, FRAME_TIME).await?;
                    let end = chunk.is_empty();
                    // When keeping it has failed, the rest is read all the same: then the caller can be told why.
                    drop(chunks.send(chunk).await);
                    if end {
                        return Ok::<(), Broken>(());
                    }
                }
            };
            let (stored, sent) = tokio::join!(caller.store_artifact(path, content), send);
            sent?;
            stored
        }
        Call::ArtifactFetch { job, path } => match caller.open_artifact(&job, &path).await {
            Ok(mut file) => {
                write(connection, &Response::from(Ok((Reply::Done, Vec::new())))).await?;
                loop {
                    let chunk = super::artifact::read_chunk(&mut file, MAX_CONTENT).await?;
                    let end = chunk.is_empty();
                    timeout(FRAME_TIME, connection.send(chunk)).await.map_err(|_| Broken::Gone)??;
                    if end {
                        return Err(Broken::Gone);
                    }
                }
            }
            Err(error) => Err(error),
        },
        other => tokio::select! {
            result = caller.answer(other, turn) => result,
            // A caller says nothing more: it is gone, or talks out of turn.
            _ = connection.next() => return Err(Broken::Gone),
        },
    };
    Ok(result.into())
}

impl From<Error> for Response {
    fn from(error: Error) -> Self {
        Self::Error { message: error.to_string() }
    }
}

impl From<Result<(Reply, Vec<String>), Error>> for Response {
    fn from(result: Result<(Reply, Vec<String>), Error>) -> Self {
        match result {
            Ok((reply, warnings)) => Self::Ok { reply, warnings },
            Err(error) => error.into(),
        }
    }
}

/// The next frame.
async fn frame(connection: &mut Connection, time: Duration) -> Result<Bytes, Broken> {
    match timeout(time, connection.next()).await {
        Ok(Some(frame)) => Ok(frame?.freeze()),
        Ok(None) | Err(_) => Err(Broken::Gone),
    }
}

/// The next frame as JSON, or what is wrong with it.
async fn read<T: DeserializeOwned>(connection: &mut Connection, time: Duration) -> Result<Result<T, String>, Broken> {
    let frame = match frame(connection, time).await {
        Ok(frame) => frame,
        Err(Broken::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            let limit = connection.codec().max_frame_length();
            return Ok(Err(format!("the request is too large: at most {limit} bytes are read")));
        }
        Err(broken) => return Err(broken),
    };
    Ok(serde_json::from_slice(&frame).map_err(|error| format!("the request cannot be read: {error}")))
}

async fn write(connection: &mut Connection, response: &Response) -> Result<(), Broken> {
    connection.codec_mut().set_max_frame_length(MAX_RESPONSE);
    let bytes = serde_json::to_vec(response).map_err(std::io::Error::from)?;
    timeout(FRAME_TIME, connection.send(Bytes::from(bytes))).await.map_err(|_| Broken::Gone)??;
    Ok(())
}
