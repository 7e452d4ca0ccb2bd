//! A writer of newc cpio archives, the form in which the kernel takes its first file system.
//!
//! Entries come out in the order given, owned by root, with one time stamp: the same input is the same archive.

/// What an entry is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Node<'a> {
    Folder,
    File(&'a [u8]),
    CharacterDevice { major: u32, minor: u32 },
}

/// An archive being written.
pub(crate) struct Archive {
    bytes: Vec<u8>,
    next_inode: u32,
    epoch: u32,
}

/// The entry cannot be written in this format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{path} does not fit into a cpio archive")]
pub(crate) struct TooLarge {
    path: String,
}

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

impl Archive {
    pub(crate) fn new(epoch: u64) -> Self {
        Self { bytes: Vec::new(), next_inode: 1, epoch: u32::try_from(epoch).unwrap_or(u32::MAX) }
    }

    /// Adds an entry. `path` is relative, and its folder must have been added before: the kernel does not make parents.
    pub(crate) fn add(&mut self, path: &str, permissions: u32, node: Node<'_>) -> Result<(), TooLarge> {
        let (kind, links, contents, device): (_, _, &[u8], _) = match node {
            Node::Folder => (FOLDER, 2, &[], (0, 0)),
            Node::File(contents) => (FILE, 1, contents, (0, 0)),
            Node::CharacterDevice { major, minor } => (CHARACTER_DEVICE, 1, &[], (major, minor)),
        };
        let size = u32::try_from(contents.len()).map_err(|_| TooLarge { path: path.to_owned() })?;
        self.entry(path, kind | permissions, links, size, device);
        self.bytes.extend_from_slice(contents);
        self.pad();
        Ok(())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.next_inode = 0;
        self.epoch = 0;
        self.entry("TRAILER!!!", 0, 1, 0, (0, 0));
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, size: u32, (major, minor): (u32, u32)) {
        let name_size = path.len() as u32 + 1;
        self.bytes.extend_from_slice(b"070701");
        // inode, mode, uid, gid, links, mtime, size, device of the file, device it is, length of the name, checksum
        let fields = [self.next_inode, mode, 0, 0, links, self.epoch, size, 0, 0, major, minor, name_size, 0];
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.next_inode += 1;
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of the format, from its description, not from the writer above.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>, [u32; 2])> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |index: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * index..14 + 8 * index]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            let (size, name_size) = (field(6) as usize, field(11) as usize);
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            assert_eq!(bytes[110 + name_size - 1], 0);
            let start = (110 + name_size).next_multiple_of(4);
            if name == "TRAILER!!!" {
                assert_eq!(bytes.len(), start);
                return entries;
            }
            assert_eq!((field(2), field(3)), (0, 0), "owned by root");
            assert_eq!(field(5), 77, "mtime");
            let contents = bytes[start..start + size].to_vec();
            entries.push((name, field(1), contents, [field(9), field(10)]));
            bytes = &bytes[(start + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut archive = Archive::new(77);
        archive.add("dev", 0o755, Node::Folder).unwrap();
        archive.add("dev/console", 0o600, Node::CharacterDevice { major: 5, minor: 1 }).unwrap();
        archive.add("init", 0o755, Node::File(b"\x7fELF!")).unwrap();
        let entries = read(&archive.finish());
        assert_eq!(entries[0], ("dev".into(), 0o040_755, vec![], [0, 0]));
        assert_eq!(entries[1], ("dev/console".into(), 0o020_600, vec![], [5, 1]));
        assert_eq!(entries[2], ("init".into(), 0o100_755, b"\x7fELF!".to_vec(), [0, 0]));
        assert_eq!(entries.len(), 3);
    }
}
