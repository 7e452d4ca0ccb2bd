//! Snapshots on disk: the database, then the SHA-256 of it.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use store_core::record::State;

use super::export::{ExportError, export};
use crate::database::Database;

/// Bytes of the checksum.
pub const CHECKSUM: u64 = 32;
/// A database is a multiple of this; with a checksum behind it, it is not.
const SECTOR: u64 = 512;
const BUFFER: usize = 256 << 10;

/// Makes a snapshot in an open file.
pub fn make(database: &Database, file: File, abandoned: &dyn Fn() -> bool) -> Result<(File, u64, State), ExportError> {
    let out = BufWriter::with_capacity(BUFFER, file);
    let (out, size, state) = database.read(|view| export(view, out, abandoned))?;
    let file = out.into_inner().map_err(|error| ExportError::Write(error.into_error().into()))?;
    Ok((file, size, state))
}

/// Makes a snapshot in `folder` under a name of its own choice, wholly there and on disk or not there at all.
///
/// `name` is asked for the file's name once it is known what the file holds.
pub fn save(
    database: &Database,
    folder: &Path,
    name: impl FnOnce(&State) -> String,
    abandoned: &dyn Fn() -> bool,
) -> Result<(PathBuf, State), ExportError> {
    let failed = |error: io::Error| ExportError::Write(error.into());
    let staged = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder).map_err(failed)?;
    let (mut file, size, state) = make(database, staged.reopen().map_err(failed)?, abandoned)?;
    let mut seal = || {
        let checksum = checksum(&mut file, size)?;
        file.seek(SeekFrom::Start(size))?;
        file.write_all(&checksum)?;
        file.sync_all()
    };
    seal().map_err(failed)?;
    let path = folder.join(name(&state));
    staged.persist(&path).map_err(|error| failed(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok((path, state))
}

/// How the names of files begin that [`save`] has not finished.
pub const PARTIAL: &str = ".snapshot-";

/// The checksum of the first `size` bytes.
pub fn checksum(file: &mut File, size: u64) -> io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(0))?;
    let mut sum = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        file.read_exact(&mut buffer[..part])?;
        sum.update(&buffer[..part]);
        left -= part as u64;
    }
    Ok(sum.finalize().into())
}

/// A file is not a snapshot that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusted {
    /// It could not be read.
    #[error("read the snapshot")]
    Read(#[from] io::Error),
    /// It ends without a checksum.
    #[error("snapshot missing hash but --skip-hash-check=false")]
    NoChecksum,
    /// It is not what it was when it was made.
    #[error("expected sha256 {expected}, got {found}")]
    Changed {
        /// What the file says.
        expected: String,
        /// What it has.
        found: String,
    },
}

/// Checks the checksum at the end of a snapshot; returns it. With `skip`, a file without one, or with a wrong one, passes.
pub fn verify(file: &mut File, skip: bool) -> Result<[u8; 32], Untrusted> {
    let length = file.seek(SeekFrom::End(0))?;
    let sealed = length % SECTOR == CHECKSUM;
    if !sealed && !skip {
        return Err(Untrusted::NoChecksum);
    }
    let size = if sealed { length - CHECKSUM } else { length };
    let found = checksum(file, size)?;
    if sealed && !skip {
        let mut expected = [0; CHECKSUM as usize];
        file.read_exact(&mut expected)?;
        if expected != found {
            return Err(Untrusted::Changed { expected: hex(&expected), found: hex(&found) });
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

/// Bytes as people compare them.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('?')));
        text
    })
}
