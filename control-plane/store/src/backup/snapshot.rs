//! A snapshot of a backup: the same file that etcd's tools read, with the log's place in its name.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use store_core::backup::name::SnapshotName;
use store_core::backup::{LogPlace, Moment};

use super::now;
use crate::database::Database;
use crate::raft::machine::standing;
use crate::room::Room;
use crate::snapshot::export::{ExportError, export};
use crate::snapshot::file::checksum;

const BUFFER: usize = 256 << 10;

/// Makes a snapshot of this moment in a file without a name in `folder`, closed by its checksum. Returns the file and its
/// size. No earlier time than `floor` is written: a chain's times never fall.
pub fn make(
    database: &Database,
    folder: &Path,
    floor: Moment,
    abandoned: &dyn Fn() -> bool,
) -> Result<(File, u64, SnapshotName), ExportError> {
    let write = |error: io::Error| ExportError::Write(error.into());
    let (needed, _) = database.size().map_err(ExportError::Read)?;
    if Room::new(folder).left().map_err(write)? < needed {
        let problem = io::Error::new(io::ErrorKind::StorageFull, "there is no room for it on the disk");
        return Err(write(problem));
    }
    let file = tempfile::tempfile_in(folder).map_err(write)?;
    let out = BufWriter::with_capacity(BUFFER, file);
    let ((out, size, state), applied, time) = database.read(|view| {
        // Behind the moment that is read: nothing in it happened later.
        let time = now().max(floor);
        let (applied, _) = standing(view).map_err(ExportError::Read)?;
        Ok::<_, ExportError>((export(view, out, abandoned)?, applied, time))
    })?;
    let mut file = out.into_inner().map_err(|error| write(error.into_error()))?;
    let sum = checksum(&mut file, size).map_err(write)?;
    file.seek(SeekFrom::Start(size)).and_then(|_| file.write_all(&sum)).map_err(write)?;
    let place =
        applied.map_or(LogPlace { index: 0, term: 0 }, |id| LogPlace { index: id.index, term: id.leader_id.term });
    Ok((file, size + sum.len() as u64, SnapshotName { place, revision: state.revision, time }))
}
