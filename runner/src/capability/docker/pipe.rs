//! Archives between blocking code, which reads and writes files, and the engine's asynchronous streams.

use super::client::Archive;
use super::{DockerCtx, EngineError};
use crate::capability::Error;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::io::{self, BufWriter, Read, Write};
use tokio::sync::mpsc;

/// Bytes of one piece.
const PIECE: usize = 64 << 10;
/// Pieces in flight: enough to keep both sides busy, little enough not to matter.
const IN_FLIGHT: usize = 4;

/// Why an archive could not be written.
#[derive(Debug)]
pub(super) enum PackError {
    /// Because of what was to go into it.
    Refused(Error),
    /// The reader has gone away, and knows why.
    ReaderGone,
}

/// The writing end.
pub(super) struct PipeWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DockerCtx {
    /// Has `pack` write an archive while `send` sends it; `tried` says what for.
    pub(super) async fn send_archive<T, F: Future<Output = Result<T, EngineError>>>(
        &self,
        tried: &str,
        pack: impl FnOnce(&mut BufWriter<PipeWriter>) -> Result<(), PackError> + Send + 'static,
        send: impl FnOnce(Archive) -> F,
    ) -> Result<T, Error> {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let packing = tokio::task::spawn_blocking(move || {
            let mut writer = BufWriter::with_capacity(PIECE, PipeWriter(sender.clone()));
            let result = pack(&mut writer).and_then(|()| writer.flush().map_err(|_| PackError::ReaderGone));
            let last = match &result {
                // An empty piece is the end; a channel that closes without one is an archive cut short.
                Ok(()) => Ok(Bytes::new()),
                Err(_) => Err(io::Error::other("the archive could not be completed")),
            };
            // A reader that is gone needs no end.
            drop(sender.blocking_send(last));
            result
        });
        let sent = send(archive(receiver)).await;
        match (packing.await, sent) {
            (Ok(Err(PackError::Refused(error))), _) => Err(error),
            (_, Err(error)) => Err(self.failed(tried, &error)),
            (Ok(_), Ok(value)) => Ok(value),
            (Err(error), Ok(_)) => Err(Error::Failed(format!("cannot {tried}: packing ended unexpectedly: {error}"))),
        }
    }
}

fn archive(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Archive {
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Ok(piece)) if piece.is_empty() => None,
            Some(Ok(piece)) => Some((Ok(piece), Some(receiver))),
            Some(Err(error)) => Some((Err(error), None)),
            None => Some((Err(io::ErrorKind::UnexpectedEof.into()), None)),
        }
    })
    .boxed()
}

/// The reading end.
struct PipeReader {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        buffer[..length].copy_from_slice(&self.piece.split_to(length));
        Ok(length)
    }
}

/// Has `unpack` read an archive as it arrives.
pub(super) async fn receive_archive<T: Send + 'static>(
    mut stream: BoxStream<'static, Result<Bytes, EngineError>>,
    unpack: impl FnOnce(&mut dyn Read) -> Result<T, Error> + Send + 'static,
) -> Result<Result<T, Error>, EngineError> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let unpacking = tokio::task::spawn_blocking(move || unpack(&mut PipeReader { receiver, piece: Bytes::new() }));
    let mut result = Ok(());
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| {
            let text = error.to_string();
            result = Err(error);
            io::Error::other(text)
        });
        let over = piece.is_err();
        if sender.send(piece).await.is_err() || over {
            break;
        }
    }
    drop(sender);
    let unpacked =
        unpacking.await.map_err(|error| EngineError::Other(format!("unpacking ended unexpectedly: {error}")))?;
    result?;
    Ok(unpacked)
}
