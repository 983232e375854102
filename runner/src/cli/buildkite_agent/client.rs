//! One call over the job's socket.

use super::{Failure, warn};
use crate::agent::job_api::protocol::{
    Call, Hello, MAX_CONTENT, MAX_RESPONSE, Reply, Response, SOCKET_VARIABLE, TOKEN_VARIABLE, VERSION,
};
use serde::Serialize;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

/// Does a call and returns what was asked for; warnings go to standard error.
pub(super) fn call(call: &Call) -> Result<Reply, Failure> {
    let mut connection = begin(call)?;
    answer(&mut connection)
}

/// Keeps the content with the run under this path.
pub(super) fn store(path: &str, content: &mut dyn Read) -> Result<Reply, Failure> {
    let mut connection = begin(&Call::ArtifactStore { path: path.to_owned() })?;
    let mut buffer = vec![0; MAX_CONTENT];
    loop {
        let count = match content.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.map_err(|error| format!("cannot read {path}: {error}"))?,
        };
        if let Err(error) = frame(&mut connection, &buffer[..count]) {
            // The runner may have said why it takes no more.
            return answer(&mut connection).and(Err(lost(&error)));
        }
        if count == 0 {
            return answer(&mut connection);
        }
    }
}

/// Writes the content of an artifact.
pub(super) fn fetch(job: &str, path: &str, to: &mut dyn Write) -> Result<(), Failure> {
    let mut connection = begin(&Call::ArtifactFetch { job: job.to_owned(), path: path.to_owned() })?;
    answer(&mut connection)?;
    loop {
        let chunk = read(&mut connection, MAX_CONTENT).map_err(|error| lost(&error))?;
        if chunk.is_empty() {
            return Ok(());
        }
        to.write_all(&chunk).map_err(|error| format!("cannot write {path}: {error}"))?;
    }
}

fn begin(call: &Call) -> Result<UnixStream, Failure> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(socket), Some(token)) = (variable(SOCKET_VARIABLE), variable(TOKEN_VARIABLE)) else {
        return Err(format!(
            "this works only in a job: {SOCKET_VARIABLE} and {TOKEN_VARIABLE} are not set; \
             call it from a `command` step run by `runner run`"
        )
        .into());
    };
    let mut connection = UnixStream::connect(&socket).map_err(|error| {
        format!("cannot reach the runner at {socket}: {error}; the run this job belonged to may have ended")
    })?;
    let send = || {
        frame(&mut connection, &json(&Hello { version: VERSION, token })?)?;
        frame(&mut connection, &json(call)?)
    };
    match send() {
        // Refused before the call was read; the answer says why.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok(connection),
        Err(error) => Err(lost(&error)),
        Ok(()) => Ok(connection),
    }
}

fn answer(connection: &mut UnixStream) -> Result<Reply, Failure> {
    let bytes = read(connection, MAX_RESPONSE).map_err(|error| lost(&error))?;
    match serde_json::from_slice(&bytes) {
        Ok(Response::Ok { reply, warnings }) => {
            warn(&warnings);
            Ok(reply)
        }
        Ok(Response::Error { message }) => Err(message.into()),
        Err(error) => Err(format!("the runner's answer cannot be read: {error}").into()),
    }
}

fn json(value: &impl Serialize) -> std::io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

fn frame(connection: &mut UnixStream, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(std::io::Error::other)?;
    connection.write_all(&length.to_be_bytes())?;
    connection.write_all(bytes)
}

fn read(connection: &mut UnixStream, most: usize) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    connection.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > most {
        return Err(std::io::Error::new(ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    connection.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn lost(error: &std::io::Error) -> Failure {
    Failure::Message(match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            "the runner closed the connection: the job or its run has ended".to_owned()
        }
        _ => format!("the connection to the runner broke: {error}"),
    })
}

/// An answer that is of another kind than the call's.
pub(super) fn unexpected(reply: &Reply) -> Failure {
    Failure::Message(format!("the runner answered something else than was asked: {reply:?}"))
}
