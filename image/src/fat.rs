//! A FAT file system in memory: what UEFI reads its boot program from.
//!
//! The same files give the same bytes: a fixed volume id, and the writer's fixed date (it is built without a clock).

use std::io::{self, Cursor, Write as _};

use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// Raised when the image changes for the same inputs.
pub(crate) const RECIPE: u32 = 1;

const CLUSTER: u32 = 4096;
/// Tables and folders: two FATs of at most 4 bytes for each cluster, and some clusters over.
const OVERHEAD: u64 = 512 * 1024;
const MEGABYTE: u64 = 1024 * 1024;

/// Makes a file system with the files given as (path, contents); folders are made on the way.
pub(crate) fn build(label: [u8; 11], volume_id: u32, files: &[(&str, &[u8])]) -> io::Result<Vec<u8>> {
    let contents: u64 =
        files.iter().map(|(_, contents)| (contents.len() as u64).next_multiple_of(u64::from(CLUSTER))).sum();
    let size = (contents + contents / 256 + OVERHEAD).next_multiple_of(MEGABYTE);
    let mut disk = Cursor::new(vec![0; usize::try_from(size).map_err(io::Error::other)?]);
    let options = FormatVolumeOptions::new().bytes_per_cluster(CLUSTER).volume_id(volume_id).volume_label(label);
    fatfs::format_volume(&mut disk, options)?;
    {
        let system = FileSystem::new(&mut disk, FsOptions::new())?;
        for (path, contents) in files {
            for (end, _) in path.match_indices('/') {
                system.root_dir().create_dir(&path[..end])?;
            }
            let mut file = system.root_dir().create_file(path)?;
            file.write_all(contents)?;
            file.flush()?;
        }
        system.unmount()?;
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_tree_is_read_back_and_is_the_same_twice() {
        let large: Vec<u8> = (0..5_000_000_u32).map(|index| (index * 31) as u8).collect();
        let files: [(&str, &[u8]); 2] = [("EFI/BOOT/BOOTX64.EFI", &large), ("EFI/orlop/note.txt", b"hello")];
        let make = || build(*b"ORLOP      ", 7, &files).unwrap();
        let image = make();
        assert_eq!(image, make());
        let mut disk = Cursor::new(image);
        let system = FileSystem::new(&mut disk, FsOptions::new()).unwrap();
        assert_eq!(system.volume_label(), "ORLOP");
        let names: Vec<_> =
            system.root_dir().open_dir("EFI").unwrap().iter().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, [".", "..", "BOOT", "orlop"]);
        for (path, contents) in files {
            let mut read = Vec::new();
            system.root_dir().open_file(path).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == contents, "{path}");
        }
    }

    #[test]
    fn it_fits_from_nothing_to_large() {
        for size in [0, 1, 4096, 40 << 20] {
            build(*b"ORLOP      ", 1, &[("A", &vec![1; size])]).unwrap();
        }
    }
}
