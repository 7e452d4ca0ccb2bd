//! Proves that a snapshot can be restored: restores it into a scratch folder and compares what is there with the file.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use bolt::Reader;
use store_core::foreign::{History, KEY};
use store_core::hash::{HistoryHash, hash_kv};
use store_core::record::State;
use store_core::{Failure, Revision};

use super::file;
use super::restore::{RestoreError, finish, take};
use crate::database::Database;

/// A snapshot did not come back as it is in the file.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It could not be restored.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The scratch folder could not be used.
    #[error("use a scratch folder")]
    Scratch(#[from] io::Error),
    /// The restored history has another hash than the one it was taken from.
    #[error("the restored history has the hash {found}, it was {expected}")]
    Hash {
        /// Of the state it was taken from.
        expected: u32,
        /// Of what was restored.
        found: u32,
    },
    /// The restored history cannot be hashed.
    #[error("hash the restored history")]
    Unreadable(#[source] Failure),
    /// What was restored is not what is in the file.
    #[error("change {0} of the history is not the one in the snapshot")]
    Differs(u64),
}

/// What was proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Where the restored state stands.
    pub state: State,
    /// What `HashKV` says of it.
    pub hash: HistoryHash,
    /// How many changes were compared.
    pub changes: u64,
}

/// Restores the snapshot in `path` into a folder below `scratch`, which is removed again, and compares every change. With
/// `expected`, the hash of the history must be that.
pub fn verify(path: &Path, scratch: &Path, expected: Option<u32>) -> Result<Proof, VerifyError> {
    let open = |source| RestoreError::Open { path: path.to_owned(), source };
    let mut source = File::open(path).map_err(open)?;
    file::verify(&mut source, false).map_err(RestoreError::from)?;
    let mut reader = Reader::open(source).map_err(RestoreError::from)?;
    let scratch = tempfile::Builder::new().prefix(".verify-").tempdir_in(scratch)?;
    let database = Database::open(scratch.path())?;
    let state = take(&mut reader, &database)?;
    finish(&database, state)?;
    database.flush()?;
    let hash = database.read(|view| hash_kv(view, &state, state.revision.0)).map_err(VerifyError::Unreadable)?;
    if let Some(expected) = expected
        && expected != hash.hash
    {
        return Err(VerifyError::Hash { expected, found: hash.hash });
    }
    let changes = compare(&mut reader, &database, state)?;
    Ok(Proof { state, hash, changes })
}

/// Walks through both histories side by side.
fn compare<R: Read + Seek>(reader: &mut Reader<R>, database: &Database, state: State) -> Result<u64, VerifyError> {
    let buckets = reader.buckets().map_err(RestoreError::from)?;
    let key = buckets.iter().find(|bucket| bucket.name == KEY).ok_or(RestoreError::NotEtcds)?;
    let mut walk = reader.walk(key).map_err(RestoreError::from)?;
    database.read(|view| {
        let mut history = History::open(view, Revision(0), state.revision).map_err(RestoreError::from)?;
        let mut compared = 0;
        loop {
            let restored = history.entry().map_err(RestoreError::from)?;
            match (walk.entry().map_err(RestoreError::from)?, restored) {
                (None, None) => return Ok(compared),
                (Some((key, value)), Some(restored)) if key == restored.0 && value == restored.1 => compared += 1,
                (Some(_) | None, Some(_)) | (Some(_), None) => return Err(VerifyError::Differs(compared + 1)),
            }
        }
    })
}
