//! The first file system: `init` and the root image, the same on every boot medium.

use std::io;

use crate::cpio::{Archive, Node, TooLarge};

/// Raised when the archive changes for the same inputs.
pub(crate) const RECIPE: u32 = 1;

/// `init` is a megabyte and the root image is compressed already: more effort buys nothing.
const LEVEL: i32 = 12;

/// The initramfs could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitramfsError {
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    #[error("compress the initramfs")]
    Compress(#[source] io::Error),
}

/// Packs the stage that mounts `root` (at `/root.squashfs`) and starts what is in it.
///
/// `/dev/console` is there before devtmpfs is, so that the kernel gives `init` its standard output.
pub(crate) fn build(init: &[u8], root: &[u8], epoch: u64) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::new(epoch);
    archive.add("dev", 0o755, Node::Folder)?;
    archive.add("dev/console", 0o600, Node::CharacterDevice { major: 5, minor: 1 })?;
    archive.add("proc", 0o555, Node::Folder)?;
    archive.add("sys", 0o555, Node::Folder)?;
    archive.add("init", 0o755, Node::File(init))?;
    archive.add("root.squashfs", 0o444, Node::File(root))?;
    zstd::bulk::compress(&archive.finish(), LEVEL).map_err(InitramfsError::Compress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_both_and_is_the_same_twice() {
        let build = || build(b"the init program", b"hsqs and so on", 5).unwrap();
        let bytes = build();
        assert_eq!(bytes, build());
        let plain = zstd::bulk::decompress(&bytes, 1 << 20).unwrap();
        let has = |needle: &[u8]| plain.windows(needle.len()).any(|window| window == needle);
        assert!(has(b"root.squashfs\0") && has(b"hsqs and so on") && has(b"the init program"));
    }
}
