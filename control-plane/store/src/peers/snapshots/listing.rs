//! What a checkpoint consists of.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use proto::peer::SnapshotFile;
use sha2::{Digest, Sha256};

use super::CHUNK;

/// Every file of a checkpoint, with its hash. Reads all of them.
pub fn list(folder: &Path) -> io::Result<Vec<SnapshotFile>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("a checkpoint has a strange file"))?;
        let (size, sha256) = hash(&entry.path())?;
        files.push(SnapshotFile { name, size, sha256: sha256.to_vec().into() });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Size and hash of a file.
pub fn hash(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, hash.finalize().into()));
        }
        size += count as u64;
        hash.update(&buffer[..count]);
    }
}

/// Where a file of an offer is to lie; `None` when its name is none.
pub fn place(folder: &Path, name: &str) -> Option<PathBuf> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let good = !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.chars().all(plain);
    good.then(|| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_listed_with_their_hashes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b"), "abc").unwrap();
        std::fs::write(folder.path().join("a"), "").unwrap();
        let files = list(folder.path()).unwrap();
        assert_eq!(files.iter().map(|file| (file.name.as_str(), file.size)).collect::<Vec<_>>(), [("a", 0), ("b", 3)]);
        assert_eq!(files[1].sha256[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn names_stay_in_their_folder() {
        let folder = Path::new("/x");
        assert_eq!(place(folder, "000012.sst"), Some("/x/000012.sst".into()));
        assert_eq!(place(folder, "OPTIONS-000005"), Some("/x/OPTIONS-000005".into()));
        for wrong in ["", ".", "..", "../y", "a/b", ".hidden", "a\0b", "ä"] {
            assert_eq!(place(folder, wrong), None, "{wrong}");
        }
    }
}
