//! The folders of a member: which of them are new, and who may look into them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether a database in `folder` would be a new one. A folder with data but without the file that leads to it is not:
/// RocksDB would begin anew there and remove what it does not know.
pub fn is_new(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let path = Path::new(&name);
        // A first start that was cut short leaves neither.
        if name == "CURRENT" || path.extension().is_some_and(|extension| extension == "sst" || extension == "log") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Keys and values are nobody else's business.
pub fn close_to_others(folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_without_its_index_is_not_new() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_new(&folder.path().join("nowhere")).unwrap());
        assert!(is_new(folder.path()).unwrap());
        for leftover in ["LOCK", "LOG", "MANIFEST-000001", "000001.dbtmp"] {
            fs::write(folder.path().join(leftover), "x").unwrap();
        }
        assert!(is_new(folder.path()).unwrap(), "a first start was cut short");
        for data in ["000004.log", "000007.sst", "CURRENT"] {
            fs::write(folder.path().join(data), "x").unwrap();
            assert!(!is_new(folder.path()).unwrap(), "{data}");
            fs::remove_file(folder.path().join(data)).unwrap();
        }
    }
}
