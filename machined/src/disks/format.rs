//! Makes a partition table and two file systems on a blank disk.
//!
//! The partitions get their real names last, in one write. Until then they are called unfinished, which is how a
//! formatting that was cut short is known from state that someone relies on.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gptman::{GPT, GPTPartitionEntry, linux};
use machined_core::disk::{self, DATA, STATE, UNFINISHED};

use super::filesystem;

/// `Linux filesystem data`, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as it lies on the disk.
const LINUX_DATA: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];

/// How long the kernel may take to show the partitions that were just written.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// Why a disk could not be formatted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The disk could not be opened, read or written.
    #[error("{what} {}", path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// The disk.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The partition table could not be made.
    #[error("write the partition table of {}", path.display())]
    Table {
        /// The disk.
        path: PathBuf,
        /// The cause.
        #[source]
        source: gptman::Error,
    },
    /// The kernel did not take up the new table.
    #[error("let the kernel read the partition table of {}", path.display())]
    Reread {
        /// The disk.
        path: PathBuf,
        /// The cause.
        #[source]
        source: linux::BlockError,
    },
    /// It has no room for both partitions.
    #[error("{} is too small", path.display())]
    TooSmall {
        /// The disk.
        path: PathBuf,
    },
    /// The partitions did not appear.
    #[error("the kernel does not show the partitions of {}", path.display())]
    NotShown {
        /// The disk.
        path: PathBuf,
    },
    /// A file system could not be made.
    #[error(transparent)]
    FileSystem(#[from] filesystem::Error),
}

/// The partitions that were made, by the names of their devices.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) state: String,
    pub(super) data: String,
}

/// Formats a disk. The caller has made sure that it may.
pub(super) fn format(disk: &str) -> Result<Made, Error> {
    let path = Path::new("/dev").join(disk);
    let opened = OpenOptions::new().read(true).write(true).open(&path);
    let mut file = opened.map_err(|source| Error::Disk { what: "open", path: path.clone(), source })?;
    let sector = linux::get_sector_size(&mut file).map_err(|source| Error::Reread { path: path.clone(), source })?;
    let mut table = write_table(&mut file, &path, sector)?;
    reread(&mut file, &path)?;
    let made = wait_for(disk, UNFINISHED, &path)?;
    filesystem::make(&Path::new("/dev").join(&made.state), "orlop-state")?;
    filesystem::make(&Path::new("/dev").join(&made.data), "orlop-data")?;
    finish_table(&mut table, &mut file, &path)?;
    reread(&mut file, &path)?;
    wait_for(disk, [STATE, DATA], &path)
}

fn write_table(file: &mut File, path: &Path, sector: u64) -> Result<GPT, Error> {
    let table_error = |source| Error::Table { path: path.to_owned(), source };
    let size = io::Seek::seek(file, io::SeekFrom::End(0)).map_err(|source| Error::Disk {
        what: "measure",
        path: path.to_owned(),
        source,
    })?;
    let layout = disk::layout(size, sector).ok_or_else(|| Error::TooSmall { path: path.to_owned() })?;
    let mut table = GPT::new_from(file, sector, rand::random()).map_err(table_error)?;
    for ((number, name), (first, last)) in (1..).zip(UNFINISHED).zip([layout.state, layout.data]) {
        table[number] = GPTPartitionEntry {
            partition_type_guid: LINUX_DATA,
            unique_partition_guid: rand::random(),
            starting_lba: first,
            ending_lba: last,
            attribute_bits: 0,
            partition_name: name.into(),
        };
    }
    GPT::write_protective_mbr_into(file, sector).map_err(table_error)?;
    store(&mut table, file, path)?;
    Ok(table)
}

fn finish_table(table: &mut GPT, file: &mut File, path: &Path) -> Result<(), Error> {
    table[1].partition_name = STATE.into();
    table[2].partition_name = DATA.into();
    store(table, file, path)
}

fn store(table: &mut GPT, file: &mut File, path: &Path) -> Result<(), Error> {
    table.write_into(file).map_err(|source| Error::Table { path: path.to_owned(), source })?;
    file.sync_all().map_err(|source| Error::Disk { what: "flush", path: path.to_owned(), source })
}

fn reread(file: &mut File, path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match linux::reread_partition_table(file) {
            Ok(()) => return Ok(()),
            // Someone still looks at a partition, for example the kernel's own scan.
            Err(linux::BlockError::RereadTable(_)) if Instant::now() < deadline => std::thread::sleep(LOOK),
            Err(source) => return Err(Error::Reread { path: path.to_owned(), source }),
        }
    }
}

/// Waits until the kernel shows partitions of these names, and their devices exist.
fn wait_for(disk: &str, names: [&str; 2], path: &Path) -> Result<Made, Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let disks = super::scan::disks();
        let device = |name: &str| {
            let partitions = &disks.iter().find(|one| one.name == disk)?.partitions;
            let partition = partitions.iter().find(|partition| partition.name.as_deref() == Some(name))?;
            Path::new("/dev").join(&partition.device).exists().then(|| partition.device.clone())
        };
        if let (Some(state), Some(data)) = (device(names[0]), device(names[1])) {
            return Ok(Made { state, data });
        }
        if Instant::now() >= deadline {
            return Err(Error::NotShown { path: path.to_owned() });
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_unfinished_until_it_is_finished() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(1 << 30).unwrap();
        let mut disk = file.reopen().unwrap();
        let mut table = write_table(&mut disk, file.path(), 512).unwrap();
        let names = |disk: &mut File| -> Vec<String> {
            let table = GPT::find_from(disk).unwrap();
            table
                .iter()
                .filter(|(_, entry)| entry.is_used())
                .map(|(_, entry)| entry.partition_name.to_string())
                .collect()
        };
        assert_eq!(names(&mut disk), UNFINISHED);
        finish_table(&mut table, &mut disk, file.path()).unwrap();
        assert_eq!(names(&mut disk), [STATE, DATA]);
        let table = GPT::find_from(&mut disk).unwrap();
        assert_eq!(table[1].starting_lba, 2048);
        assert!(table[2].ending_lba <= table.header.last_usable_lba);

        let small = tempfile::NamedTempFile::new().unwrap();
        small.as_file().set_len(1 << 20).unwrap();
        let refused = write_table(&mut small.reopen().unwrap(), small.path(), 512);
        assert!(matches!(refused, Err(Error::TooSmall { .. })));
    }
}
