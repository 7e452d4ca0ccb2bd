//! The disks as the kernel shows them in `/sys/class/block`.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use machined_core::disk::{Content, Disk, Partition};
use machined_core::signature;

const CLASS: &str = "/sys/class/block";

/// Devices that are no disks: made of memory or of other devices, or not for data.
const NOT_DISKS: [&str; 9] = ["loop", "ram", "zram", "sr", "fd", "dm-", "md", "nbd", "mtdblock"];

/// All disks, by name. One that vanishes while it is looked at is left out.
pub(super) fn disks() -> Vec<Disk> {
    let Ok(entries) = fs::read_dir(CLASS) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
        .into_iter()
        .filter(|name| !NOT_DISKS.iter().any(|prefix| name.starts_with(prefix)))
        .filter_map(|name| disk(Path::new(CLASS), name))
        .collect()
}

fn disk(class: &Path, name: String) -> Option<Disk> {
    let folder = class.join(&name);
    if folder.join("partition").exists() {
        return None;
    }
    // The kernel counts in units of 512 bytes here, whatever the size of a sector.
    let size = text(&folder.join("size"))?.parse::<u64>().ok()?.checked_mul(512)?;
    if size == 0 {
        return None;
    }
    let partitions = partitions(&folder, &name);
    let content = if partitions.is_empty() { content(&name, size) } else { Content::Foreign("partitions".to_owned()) };
    Some(Disk {
        size,
        read_only: text(&folder.join("ro")).as_deref() == Some("1"),
        removable: text(&folder.join("removable")).as_deref() == Some("1"),
        serial: text(&folder.join("serial")).or_else(|| text(&folder.join("device/serial"))),
        model: text(&folder.join("device/model")),
        partitions,
        content,
        name,
    })
}

fn partitions(folder: &Path, disk: &str) -> Vec<Partition> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut partitions: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(disk) && folder.join(name).join("partition").exists())
        .map(|device| {
            let events = text(&folder.join(&device).join("uevent")).unwrap_or_default();
            let name = events.lines().find_map(|line| line.strip_prefix("PARTNAME=")).map(str::to_owned);
            Partition { device, name }
        })
        .collect();
    partitions.sort_by(|one, other| one.device.cmp(&other.device));
    partitions
}

fn content(name: &str, size: u64) -> Content {
    match ends(&Path::new("/dev").join(name), size) {
        Ok((first, last)) => {
            signature::find(&first, &last).map_or(Content::Blank, |what| Content::Foreign(what.to_owned()))
        }
        Err(error) => Content::Unreadable(error.to_string()),
    }
}

fn ends(path: &Path, size: u64) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let length = size.min(signature::END as u64);
    let mut disk = File::open(path)?;
    let mut first = vec![0; length as usize];
    disk.read_exact(&mut first)?;
    let mut last = vec![0; length as usize];
    disk.seek(SeekFrom::Start(size - length))?;
    disk.read_exact(&mut last)?;
    Ok((first, last))
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder laid out as the kernel lays out `/sys/class/block`.
    fn class(files: &[(&str, &str)]) -> tempfile::TempDir {
        let class = tempfile::tempdir().unwrap();
        for (path, contents) in files {
            let path = class.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, contents).unwrap();
        }
        class
    }

    #[test]
    fn partitions_are_known_by_their_names() {
        let class = class(&[
            ("vdz/size", "16777216\n"),
            ("vdz/ro", "0\n"),
            ("vdz/removable", "0\n"),
            ("vdz/serial", "ABC\n"),
            ("vdz/queue/x", ""),
            ("vdz/vdz1/partition", "1\n"),
            ("vdz/vdz1/uevent", "MAJOR=254\nPARTN=1\nPARTNAME=STATE\n"),
            ("vdz/vdz2/partition", "2\n"),
            ("vdz/vdz2/uevent", "MAJOR=254\n"),
        ]);
        let disk = disk(class.path(), "vdz".into()).unwrap();
        assert_eq!(disk.size, 8 << 30);
        assert_eq!(disk.serial.as_deref(), Some("ABC"));
        let names: Vec<_> = disk.partitions.iter().map(|one| (one.device.as_str(), one.name.as_deref())).collect();
        assert_eq!(names, [("vdz1", Some("STATE")), ("vdz2", None)]);
        assert_eq!(disk.content, Content::Foreign("partitions".into()));
    }

    #[test]
    fn an_empty_drive_is_no_disk_and_one_that_cannot_be_read_is_not_blank() {
        let class =
            class(&[("vdx/size", "0\n"), ("vdy/size", "2048\n"), ("vdy1/partition", "1\n"), ("vdy1/size", "9\n")]);
        assert_eq!(disk(class.path(), "vdx".into()), None);
        assert_eq!(disk(class.path(), "vdy1".into()), None);
        assert!(matches!(disk(class.path(), "vdy".into()).unwrap().content, Content::Unreadable(_)));
    }

    #[test]
    fn both_ends_of_a_disk_are_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = vec![0; 3 << 20];
        bytes[5] = 1;
        bytes[(3 << 20) - 1] = 2;
        fs::write(file.path(), &bytes).unwrap();
        let (first, last) = ends(file.path(), 3 << 20).unwrap();
        assert_eq!((first.len(), first[5]), (1 << 20, 1));
        assert_eq!((last.len(), last[(1 << 20) - 1]), (1 << 20, 2));
        let (first, last) = ends(file.path(), 100).unwrap();
        assert_eq!((first.len(), last.len()), (100, 100));
    }
}
