//! Sends a snapshot to a client.
//!
//! The client is told how much is left with each message, so the whole has to be there first: it is written to a file
//! without a name in the data folder, which is gone with the process that holds it, however that ends. The state is held at
//! one moment only while that file is written, never at the speed of a client.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::etcdserverpb::SnapshotResponse;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;
use tonic::codegen::Bytes;

use super::export::ExportError;
use super::file;
use crate::database::Database;
use crate::room::Room;

/// Bytes of one message.
const CHUNK: usize = 128 << 10;
/// Messages that may wait for the client.
const AHEAD: usize = 4;
/// A client that takes nothing for so long is gone, or will not finish in any useful time.
const PATIENCE: Duration = Duration::from_mins(2);
/// The etcd that restores it must be at least this one.
const SCHEMA: &str = "3.5.0";

/// What the client gets.
pub type Messages = mpsc::Receiver<Result<SnapshotResponse, Status>>;

/// Starts making a snapshot in `folder` and sends it. `place` is held until all is sent or the client is gone.
pub fn start(database: Arc<Database>, folder: &Path, place: OwnedSemaphorePermit) -> Messages {
    let (messages, queue) = mpsc::channel(AHEAD);
    let folder = folder.to_owned();
    tokio::spawn(async move {
        let _place = place;
        let gone = Arc::new(AtomicBool::new(false));
        let abandoned = Arc::clone(&gone);
        let make = tokio::task::spawn_blocking(move || {
            let left = Room::new(&folder).left().map_err(|error| ExportError::Write(error.into()))?;
            let (needed, _) = database.size().map_err(ExportError::Read)?;
            if left < needed {
                let problem = io::Error::new(io::ErrorKind::StorageFull, "there is no room for it on the disk");
                return Err(ExportError::Write(problem.into()));
            }
            let file = tempfile::tempfile_in(folder).map_err(|error| ExportError::Write(error.into()))?;
            let (file, size, _) = file::make(&database, file, &|| abandoned.load(Ordering::Relaxed))?;
            Ok::<_, ExportError>((file, size))
        });
        tokio::pin!(make);
        let made = tokio::select! {
            made = &mut make => made,
            () = messages.closed() => {
                gone.store(true, Ordering::Relaxed);
                make.await
            }
        };
        let made = made.unwrap_or_else(|error| Err(ExportError::Read(io::Error::other(error))));
        let failed = match made {
            Ok((file, size)) => match send(file, size, &messages).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            },
            Err(ExportError::Abandoned) => return,
            Err(error) => chain::Chain(&error).to_string(),
        };
        tracing::warn!(error = failed, "a snapshot could not be sent");
        // Whoever is gone does not mind.
        drop(messages.try_send(Err(Status::internal("etcdserver: the snapshot could not be made or sent"))));
    });
    queue
}

async fn send(file: File, size: u64, messages: &mpsc::Sender<Result<SnapshotResponse, Status>>) -> io::Result<()> {
    let mut file = tokio::fs::File::from_std(file);
    file.rewind().await?;
    let mut sum = Sha256::new();
    let mut left = size;
    while left > 0 {
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        file.read_exact(&mut chunk).await?;
        sum.update(&chunk);
        left -= chunk.len() as u64;
        pass(messages, left, chunk.into()).await?;
    }
    let checksum = sum.finalize().to_vec();
    pass(messages, 0, checksum.into()).await
}

async fn pass(
    messages: &mpsc::Sender<Result<SnapshotResponse, Status>>,
    remaining_bytes: u64,
    blob: Bytes,
) -> io::Result<()> {
    let message = SnapshotResponse { header: None, remaining_bytes, blob, version: SCHEMA.to_owned() };
    match tokio::time::timeout(PATIENCE, messages.send(Ok(message))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_closed)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client is gone")),
        Err(_elapsed) => Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing any more")),
    }
}
