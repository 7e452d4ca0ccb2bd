//! Receiving the state: into a staging folder first, then as a whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use openraft::type_config::alias::SnapshotMetaOf;
use prost::Message;
use proto::peer::snapshot_answer::Answer;
use proto::peer::snapshot_part::Part;
use proto::peer::{SnapshotAnswer, SnapshotChunk, SnapshotFile, SnapshotOffer, SnapshotPart, SnapshotWanted};
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::{INSTALL, MAX_FILES, SILENCE, listing};
use crate::peers::service::Desk;
use crate::raft::machine::{Folder, Image};
use crate::raft::{Types, Vote, codec};

/// Where files are kept until the state is whole.
const STAGING: &str = "staging";
/// The whole state, within the staging folder.
const WHOLE: &str = "whole";

type Answers = mpsc::Sender<Result<SnapshotAnswer, Status>>;

/// Takes the state from another member.
pub async fn receive(desk: Arc<Desk>, mut input: Streaming<SnapshotPart>, answers: Answers) {
    let outcome = take(&desk, &mut input, &answers).await;
    if let Err(status) = &outcome {
        tracing::warn!(error = status.message(), "the state could not be taken over from another member");
    }
    let answer = outcome.map(|vote| SnapshotAnswer { answer: Some(Answer::Vote(codec::vote_message(&vote))) });
    // Whoever is gone does not mind.
    drop(answers.send(answer).await);
}

fn broken(error: &io::Error) -> Status {
    Status::internal(format!("write the state: {error}"))
}

fn wrong(what: &'static str) -> Status {
    Status::invalid_argument(what)
}

/// The next part, let in by the desk.
async fn next(desk: &Desk, input: &mut Streaming<SnapshotPart>) -> Result<Option<Part>, Status> {
    let part = tokio::time::timeout(SILENCE, input.message()).await;
    let part = part.map_err(|_| Status::deadline_exceeded("the sender of the state says nothing"))??;
    let Some(part) = part else { return Ok(None) };
    desk.admit(part.route.as_ref(), part.encoded_len())?;
    part.part.map(Some).ok_or_else(|| wrong("a part of the state that is none"))
}

async fn take(desk: &Arc<Desk>, input: &mut Streaming<SnapshotPart>, answers: &Answers) -> Result<Vote, Status> {
    let Some(Part::Offer(offer)) = next(desk, input).await? else {
        return Err(wrong("a state without an offer"));
    };
    let node = Arc::clone(desk.node()?);
    let vote = codec::vote(offer.vote.ok_or_else(|| wrong("an offer without a vote"))?);
    let mine = node.raft().metrics().borrow_watched().vote;
    if mine.leader_id.term > vote.leader_id.term {
        return Ok(mine);
    }
    let meta = meta(&offer)?;
    // One at a time: a second one is the first one's sender, that has begun again.
    let turn = tokio::time::timeout(SILENCE, node.intake.lock()).await;
    let _turn = turn.map_err(|_| Status::unavailable("the state is being taken over from another member"))?;
    let folder = node.folder().join(STAGING);
    let left = node.room().left().map_err(|error| broken(&error))?;
    let made = tokio::task::spawn_blocking(move || Staging::open(folder, offer.files, left)).await;
    let mut staging = made.map_err(|error| Status::internal(error.to_string()))??;

    let wanted = SnapshotWanted { offsets: staging.files.iter().map(|file| file.have).collect() };
    let answer = SnapshotAnswer { answer: Some(Answer::Wanted(wanted)) };
    answers.send(Ok(answer)).await.map_err(|_| Status::cancelled("the sender of the state went away"))?;
    while !staging.is_whole() {
        match next(desk, input).await? {
            Some(Part::Chunk(chunk)) => {
                let written = tokio::task::spawn_blocking(move || staging.write(&chunk).map(|()| staging)).await;
                staging = written.map_err(|error| Status::internal(error.to_string()))??;
            }
            Some(Part::Offer(_)) => return Err(wrong("a second offer of the state")),
            None => return Err(Status::cancelled("the sender of the state went away")),
        }
    }
    let folder = staging.folder.clone();
    let whole = tokio::task::spawn_blocking(move || staging.assemble()).await;
    let whole = whole.map_err(|error| Status::internal(error.to_string()))?.map_err(|error| broken(&error))?;
    let snapshot = openraft::Snapshot { meta, snapshot: Image::Taken(Folder::owned(whole)) };
    let installed = tokio::time::timeout(INSTALL, node.raft().install_full_snapshot(vote, snapshot)).await;
    let installed = installed.map_err(|_| Status::deadline_exceeded("the state is still being put in place"))?;
    let response = installed.map_err(|error| Status::internal(error.to_string()))?;
    // Hard links by now: the space is the state's.
    if let Err(error) = tokio::fs::remove_dir_all(&folder).await {
        tracing::warn!(%error, "the staging folder could not be cleared away");
    }
    tracing::info!("the state was taken over from the leader");
    Ok(response.vote)
}

fn meta(offer: &SnapshotOffer) -> Result<SnapshotMetaOf<Types>, Status> {
    let membership = offer.membership.clone().ok_or_else(|| wrong("an offer without members"))?;
    let last_membership = codec::stored_membership(membership).map_err(|_| wrong("an offer with malformed members"))?;
    let last_log_id = offer.last.map(|id| codec::log_id(id.term, id.index));
    Ok(SnapshotMetaOf::<Types> { last_log_id, last_membership })
}

/// The staging folder during one transfer.
struct Staging {
    folder: PathBuf,
    files: Vec<Staged>,
}

/// One file of the offer.
struct Staged {
    listed: SnapshotFile,
    /// Where it lies, under its hash, once it is there as a whole.
    path: PathBuf,
    /// Bytes that are there.
    have: u64,
    file: Option<File>,
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

impl Staging {
    /// Looks at what is there already, and whether there is room for the rest.
    fn open(folder: PathBuf, listed: Vec<SnapshotFile>, left: u64) -> Result<Self, Status> {
        if listed.len() > MAX_FILES {
            return Err(wrong("an offer of too many files"));
        }
        fs::create_dir_all(&folder).map_err(|error| broken(&error))?;
        let mut files: Vec<Staged> = Vec::with_capacity(listed.len());
        for listed in listed {
            if listed.sha256.len() != 32 || listing::place(&folder, &listed.name).is_none() {
                return Err(wrong("an offer with a malformed file"));
            }
            let path = folder.join(hex(&listed.sha256));
            let have = match (length(&path), length(&partial(&path))) {
                (Some(_), _) => listed.size, // it was looked at when it became whole
                (None, Some(have)) if have < listed.size => have,
                (None, _) => 0,
            };
            files.push(Staged { listed, path, have, file: None });
        }
        clear_others(&folder, &files).map_err(|error| broken(&error))?;
        let missing: u64 = files.iter().map(|file| file.listed.size.saturating_sub(file.have)).sum();
        if missing > left {
            return Err(Status::resource_exhausted(format!("the state needs {missing} bytes, and {left} are left")));
        }
        let mut staging = Self { folder, files };
        // Empty files, and copies of one that is there, are not sent.
        for number in 0..staging.files.len() {
            if staging.files[number].listed.size == 0 && length(&staging.files[number].path).is_none() {
                staging.finish(number)?;
            }
        }
        Ok(staging)
    }

    fn is_whole(&self) -> bool {
        self.files.iter().all(|file| file.have >= file.listed.size)
    }

    fn write(&mut self, chunk: &SnapshotChunk) -> Result<(), Status> {
        let number = chunk.file as usize;
        let staged = self.files.get_mut(number).ok_or_else(|| wrong("a chunk of no file"))?;
        let end = chunk.offset.saturating_add(chunk.data.len() as u64);
        if chunk.offset != staged.have || chunk.data.is_empty() || end > staged.listed.size {
            return Err(wrong("a chunk in the wrong place"));
        }
        let written = staged.append(&chunk.data);
        written.map_err(|error| broken(&error))?;
        if staged.have == staged.listed.size { self.finish(number) } else { Ok(()) }
    }

    /// Checks a file that came to its end and gives it its name.
    fn finish(&mut self, number: usize) -> Result<(), Status> {
        let staged = &mut self.files[number];
        let checked = staged.check().map_err(|error| broken(&error))?;
        if checked {
            return Ok(());
        }
        // Half of it may be from an earlier try: it begins anew with the next one.
        drop(fs::remove_file(partial(&staged.path)));
        Err(Status::data_loss("a file of the state does not match its hash"))
    }

    /// Puts the files together under the names they are offered by.
    fn assemble(&self) -> io::Result<PathBuf> {
        let whole = self.folder.join(WHOLE);
        if whole.exists() {
            fs::remove_dir_all(&whole)?;
        }
        fs::create_dir(&whole)?;
        for file in &self.files {
            let place = listing::place(&whole, &file.listed.name);
            let place = place.ok_or_else(|| io::Error::other("a file lost its name"))?;
            fs::hard_link(&file.path, place)?;
        }
        File::open(&whole)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok(whole)
    }
}

impl Staged {
    fn append(&mut self, data: &[u8]) -> io::Result<()> {
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let mut options = OpenOptions::new();
            let file = if self.have == 0 {
                options.write(true).create(true).truncate(true).open(partial(&self.path))?
            } else {
                options.append(true).open(partial(&self.path))?
            };
            self.file.insert(file)
        };
        file.write_all(data)?;
        self.have += data.len() as u64;
        Ok(())
    }

    /// Whether the file is what was offered; it then has its name, and is on disk.
    fn check(&mut self) -> io::Result<bool> {
        let part = partial(&self.path);
        let file = match self.file.take() {
            Some(file) => file,
            None => OpenOptions::new().write(true).create(true).truncate(false).open(&part)?,
        };
        file.sync_all()?;
        let (size, sha256) = listing::hash(&part)?;
        if size != self.listed.size || sha256[..] != self.listed.sha256[..] {
            return Ok(false);
        }
        fs::rename(&part, &self.path)?;
        self.have = size;
        Ok(true)
    }
}

fn length(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.len())
}

fn partial(path: &Path) -> PathBuf {
    path.with_extension("part")
}

/// Removes what is not in the offer: it would only take room.
fn clear_others(folder: &Path, files: &[Staged]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let wanted = files.iter().any(|file| file.path == path || partial(&file.path) == path);
        if path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if !wanted {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn listed(name: &str, contents: &[u8]) -> SnapshotFile {
        let sha256: [u8; 32] = Sha256::digest(contents).into();
        SnapshotFile { name: name.into(), size: contents.len() as u64, sha256: sha256.to_vec().into() }
    }

    fn chunk(file: u32, offset: u64, data: &'static [u8]) -> SnapshotChunk {
        SnapshotChunk { file, offset, data: data.into() }
    }

    #[test]
    fn a_transfer_goes_on_where_it_broke_off() {
        let folder = tempfile::tempdir().unwrap();
        let staging = folder.path().join("staging");
        let offer = || vec![listed("CURRENT", b""), listed("one.sst", b"first"), listed("two.sst", b"second")];
        let mut first = Staging::open(staging.clone(), offer(), 1000).unwrap();
        assert_eq!(first.files.iter().map(|file| file.have).collect::<Vec<_>>(), [0, 0, 0]);
        first.write(&chunk(1, 0, b"first")).unwrap();
        first.write(&chunk(2, 0, b"sec")).unwrap();
        drop(first);
        // The next checkpoint has the same file under another name, and one that is new.
        let mut next = offer();
        next[1].name = "three.sst".into();
        next.push(listed("new.sst", b"new"));
        let mut second = Staging::open(staging.clone(), next, 1000).unwrap();
        assert_eq!(second.files.iter().map(|file| file.have).collect::<Vec<_>>(), [0, 5, 3, 0]);
        assert!(second.write(&chunk(2, 2, b"ond")).is_err(), "not where it broke off");
        second.write(&chunk(2, 3, b"ond")).unwrap();
        assert!(!second.is_whole());
        second.write(&chunk(3, 0, b"new")).unwrap();
        assert!(second.is_whole());
        let whole = second.assemble().unwrap();
        for (name, contents) in [("CURRENT", ""), ("three.sst", "first"), ("two.sst", "second"), ("new.sst", "new")] {
            assert_eq!(fs::read_to_string(whole.join(name)).unwrap(), contents);
        }
    }

    #[test]
    fn what_does_not_match_is_refused_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let open = |files, left| Staging::open(folder.path().join("staging"), files, left);
        let mut staging = open(vec![listed("a", b"right")], 1000).unwrap();
        for wrong in [chunk(0, 1, b"x"), chunk(1, 0, b"x"), chunk(0, 0, b""), chunk(0, 0, b"too long")] {
            assert!(staging.write(&wrong).is_err());
        }
        assert!(staging.write(&chunk(0, 0, b"wrong")).is_err());
        assert_eq!(open(vec![listed("a", b"right")], 1000).unwrap().files[0].have, 0);
        assert!(open(vec![listed("a", b"right")], 4).is_err(), "no room");
        assert!(open(vec![listed("../a", b"right")], 1000).is_err());
        let mut short = listed("a", b"right");
        short.sha256 = short.sha256.slice(1..);
        assert!(open(vec![short], 1000).is_err());
    }
}
