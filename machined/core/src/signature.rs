//! What a disk holds, told from its first and its last mebibyte.

/// How much of each end is looked at. Every partition table, and every common file system, volume manager and RAID has
/// its signature in there.
pub const END: usize = 1 << 20;

/// A signature: bytes at a place counted from the start of the disk.
struct Magic {
    at: usize,
    bytes: &'static [u8],
    what: &'static str,
}

const fn magic(at: usize, bytes: &'static [u8], what: &'static str) -> Magic {
    Magic { at, bytes, what }
}

/// Only for a better message: a disk that is not all zero is foreign whether it is known here or not.
const KNOWN: [Magic; 16] = [
    magic(512, b"EFI PART", "a GPT partition table"),
    magic(4096, b"EFI PART", "a GPT partition table"),
    magic(0, b"LUKS\xba\xbe", "a LUKS volume"),
    magic(0, b"XFSB", "an XFS file system"),
    magic(1080, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
    magic(65_600, b"_BHRfS_M", "a btrfs file system"),
    magic(32_769, b"CD001", "an ISO 9660 file system"),
    magic(0, b"hsqs", "a squashfs file system"),
    magic(1024, b"\xe2\xe1\xf5\xe0", "an erofs file system"),
    magic(3, b"NTFS    ", "an NTFS file system"),
    magic(54, b"FAT1", "a FAT file system"),
    magic(82, b"FAT32", "a FAT file system"),
    magic(536, b"LVM2 001", "an LVM volume"),
    magic(4096, b"\xfc\x4e\x2b\xa9", "a RAID member"),
    magic(4086, b"SWAPSPACE2", "swap space"),
    magic(510, b"\x55\xaa", "an MBR partition table or a boot sector"),
];

/// Says what a disk holds: `None` if both ends are all zero, which is the only meaning of "blank" here.
///
/// `first` and `last` are the first and the last [`END`] bytes, or the whole disk if it is smaller.
#[must_use]
pub fn find(first: &[u8], last: &[u8]) -> Option<&'static str> {
    let known = KNOWN.iter().find(|magic| first.get(magic.at..magic.at + magic.bytes.len()) == Some(magic.bytes));
    if let Some(magic) = known {
        return Some(magic.what);
    }
    // The spare copy of a GPT stands in the last sector.
    let spare = [512, 4096]
        .iter()
        .any(|sector| last.len().checked_sub(*sector).is_some_and(|start| last[start..].starts_with(b"EFI PART")));
    if spare {
        return Some("the spare copy of a GPT partition table");
    }
    let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    (!zero(first) || !zero(last)).then_some("unknown data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_blank_only_if_both_ends_are_zero() {
        let zero = vec![0; END];
        assert_eq!(find(&zero, &zero), None);
        for place in [0, 1, 511, 70_000, END - 1] {
            let mut data = zero.clone();
            data[place] = 1;
            assert_eq!(find(&data, &zero), Some("unknown data"), "{place} of the first");
            assert_eq!(find(&zero, &data), Some("unknown data"), "{place} of the last");
        }
    }

    #[test]
    fn what_is_known_is_named() {
        let zero = vec![0; END];
        for magic in &KNOWN {
            let mut data = zero.clone();
            data[magic.at..magic.at + magic.bytes.len()].copy_from_slice(magic.bytes);
            assert_eq!(find(&data, &zero), Some(magic.what));
        }
        let mut data = zero.clone();
        data[END - 512..END - 504].copy_from_slice(b"EFI PART");
        assert_eq!(find(&zero, &data), Some("the spare copy of a GPT partition table"));
    }

    #[test]
    fn a_tiny_disk_is_looked_at_without_harm() {
        assert_eq!(find(&[0; 100], &[0; 100]), None);
        assert_eq!(find(&[], &[]), None);
        assert_eq!(find(&[1], &[1]), Some("unknown data"));
    }
}
