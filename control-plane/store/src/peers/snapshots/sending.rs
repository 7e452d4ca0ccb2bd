//! Sending the state.

use std::io::{self, SeekFrom};
use std::path::Path;

use openraft::type_config::alias::SnapshotMetaOf;
use proto::peer::snapshot_answer::Answer;
use proto::peer::snapshot_part::Part;
use proto::peer::{Route, SnapshotAnswer, SnapshotChunk, SnapshotFile, SnapshotOffer, SnapshotPart};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{CHUNK, CHUNKS, INSTALL, SILENCE, listing};
use crate::peers::links::{Links, Purpose};
use crate::raft::{Types, Vote, codec};

/// Sends the checkpoint in `folder` to `target`; the vote it has at the end.
pub async fn send(
    links: &Links,
    target: u64,
    vote: Vote,
    meta: &SnapshotMetaOf<Types>,
    folder: &Path,
) -> Result<Vote, Status> {
    let broken = |error: io::Error| Status::internal(format!("read the checkpoint: {error}"));
    let listed = folder.to_path_buf();
    let files = tokio::task::spawn_blocking(move || listing::list(&listed)).await;
    let files = files.map_err(|error| Status::internal(error.to_string()))?.map_err(broken)?;
    let bytes: u64 = files.iter().map(|file| file.size).sum();
    let offer = SnapshotOffer {
        vote: Some(codec::vote_message(&vote)),
        last: meta.last_log_id.as_ref().map(codec::log_id_message),
        membership: Some(codec::stored_membership_message(&meta.last_membership)),
        files: files.clone(),
    };
    let route = links.route(target);
    tracing::info!(target = format_args!("{target:x}"), files = files.len(), bytes, "sending the state");
    let (parts, outgoing) = mpsc::channel(CHUNKS);
    let offer = SnapshotPart { route: Some(route), part: Some(Part::Offer(offer)) };
    parts.try_send(offer).map_err(|_| Status::internal("a new queue is full"))?;
    let mut client = links.client(target, Purpose::Snapshot);
    let opened = tokio::time::timeout(links.patience(), client.snapshot(ReceiverStream::new(outgoing))).await;
    let mut answers =
        opened.map_err(|_| Status::deadline_exceeded("no answer to the offer of the state"))??.into_inner();
    let offsets = match next(&mut answers, SILENCE).await? {
        Answer::Vote(vote) => return Ok(codec::vote(vote)),
        Answer::Wanted(wanted) if wanted.offsets.len() == files.len() => wanted.offsets,
        Answer::Wanted(_) => return Err(Status::internal("an answer to another offer of the state")),
    };
    let reader = async {
        let sender = Sender { parts, route };
        for (number, (file, offset)) in (0..).zip(files.iter().zip(offsets)) {
            sender.file(folder, number, file, offset).await?;
        }
        Ok::<_, io::Error>(())
    };
    // A receiver that refuses what it gets answers before everything is sent.
    let answer = tokio::select! {
        biased;
        answer = next_or_never(&mut answers) => answer?,
        read = reader => {
            read.map_err(broken)?;
            next(&mut answers, INSTALL).await?
        }
    };
    match answer {
        Answer::Vote(vote) => Ok(codec::vote(vote)),
        Answer::Wanted(_) => Err(Status::internal("a second answer to the offer of the state")),
    }
}

async fn next_or_never(answers: &mut Streaming<SnapshotAnswer>) -> Result<Answer, Status> {
    let answer = answers.message().await?.and_then(|answer| answer.answer);
    answer.ok_or_else(|| Status::unavailable("the receiver of the state went away"))
}

async fn next(answers: &mut Streaming<SnapshotAnswer>, patience: std::time::Duration) -> Result<Answer, Status> {
    let answer = tokio::time::timeout(patience, next_or_never(answers)).await;
    answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("the receiver of the state says nothing")))
}

/// Reads files and sends them.
struct Sender {
    parts: mpsc::Sender<SnapshotPart>,
    route: Route,
}

impl Sender {
    async fn file(&self, folder: &Path, number: u32, listed: &SnapshotFile, mut offset: u64) -> io::Result<()> {
        if offset >= listed.size {
            return Ok(());
        }
        let mut file = File::open(folder.join(&listed.name)).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        while offset < listed.size {
            let size = (listed.size - offset).min(CHUNK as u64) as usize;
            let mut data = vec![0; size];
            file.read_exact(&mut data).await?;
            let chunk = SnapshotChunk { file: number, offset, data: data.into() };
            let part = SnapshotPart { route: Some(self.route), part: Some(Part::Chunk(chunk)) };
            let sent = self.parts.send_timeout(part, SILENCE);
            sent.await.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the receiver takes no more"))?;
            offset += size as u64;
        }
        Ok(())
    }
}
