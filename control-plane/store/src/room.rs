//! Room on the disk: how much may still be written, and a reserve for the day when nothing may.
//!
//! A store that fills its disk to the last byte cannot even be opened again, because opening writes files. So writes that
//! take space are refused while there is still enough for deletions, compaction and the files these make; and for the case
//! that somebody else filled the disk, a file that holds nothing is kept, whose space is set free before the next start.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

/// Bytes that are left to deletions, compaction and the files of the log. On a small disk a tenth of it.
const FLOOR: u64 = 64 << 20;
/// Bytes of the reserve: the files that opening makes, and some deletions. On a small disk a twentieth of it.
const RESERVE: u64 = 32 << 20;
/// The reserve's name.
const NAME: &str = "reserve";

/// The disk under a folder.
#[derive(Debug, Clone)]
pub struct Room {
    folder: PathBuf,
}

/// What the file system says of itself, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Space {
    total: u64,
    free: u64,
}

impl Space {
    fn floor(self) -> u64 {
        FLOOR.min(self.total / 10)
    }

    fn reserve(self) -> u64 {
        RESERVE.min(self.total / 20)
    }
}

impl Room {
    /// The disk under `folder`, which must exist.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    /// Sets the reserve free when the disk is so full that opening may fail. To be called before anything is opened.
    pub fn before_opening(&self) -> io::Result<()> {
        let space = self.space()?;
        if space.free >= space.reserve() {
            return Ok(());
        }
        match std::fs::remove_file(self.folder.join(NAME)) {
            Ok(()) => {
                tracing::warn!(free = space.free, "the disk is full: the reserve is set free");
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes the reserve when there is none and twice its size would be left. On a file system that cannot keep space
    /// for a file there is none.
    pub fn keep_reserve(&self) -> io::Result<()> {
        let path = self.folder.join(NAME);
        let space = self.space()?;
        let bytes = space.reserve();
        if path.exists() || bytes == 0 || space.free < space.floor() + 3 * bytes {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let kept = keep(&file, bytes);
        if kept.is_err() {
            // Half a reserve would be taken for a whole one.
            std::fs::remove_file(&path)?;
        }
        kept
    }

    /// Bytes that may still be written.
    pub fn left(&self) -> io::Result<u64> {
        let space = self.space()?;
        Ok(space.free.saturating_sub(space.floor()))
    }

    fn space(&self) -> io::Result<Space> {
        let found = statvfs(&self.folder)?;
        Ok(Space {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
        })
    }
}

fn keep(file: &File, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => file.sync_all(),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_not_all_floor() {
        let small = Space { total: 200 << 20, free: 100 << 20 };
        assert_eq!((small.floor(), small.reserve()), (20 << 20, 10 << 20));
        let large = Space { total: 1 << 40, free: 1 << 39 };
        assert_eq!((large.floor(), large.reserve()), (FLOOR, RESERVE));
    }

    #[test]
    fn the_reserve_is_made_once_and_has_its_space() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::new(folder.path());
        let space = room.space().unwrap();
        assert!(space.free > space.floor() + 3 * space.reserve(), "the test needs a disk with some room");
        room.keep_reserve().unwrap();
        room.keep_reserve().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), space.reserve());
        room.before_opening().unwrap();
        assert!(path.exists(), "there is room: the reserve stays");
        assert!(room.left().unwrap() > 0);
    }
}
