//! To whom files belong. Only on a machine of our own: elsewhere everything belongs to the developer.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown};
use std::path::{Path, PathBuf};

use machined_core::services::DataFolder;
use supervision::accounts::Account;

/// Why a file could not be given to its owner.
#[derive(Debug, thiserror::Error)]
#[error("give {} to its service", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Lets a service read a file or a folder that stays root's.
pub(crate) fn let_read(path: &Path, reader: Account, mode: u32) -> io::Result<()> {
    chown(path, None, Some(reader.id))?;
    // After that, so that no other group could read it in between.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// Makes a service's folder of data if need be, and gives it to the service with all that is in it.
///
/// Earlier versions ran everything as root. A folder is given away after what is in it: one that belongs to the service
/// already is done, also when the machine lost its power in between. Nobody else may look into it.
pub(crate) fn hand_over(root: &Path, folder: &DataFolder) -> Result<(), Error> {
    let path = root.join(folder.path.trim_start_matches('/'));
    durable::folder(&path)
        .and_then(|()| give(&path, folder.owner.id))
        .map_err(|source| Error { path: path.clone(), source })
}

fn give(folder: &Path, id: u32) -> io::Result<()> {
    let found = fs::symlink_metadata(folder)?;
    if found.uid() == id && found.gid() == id {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // What a link points to is not followed: it may be anybody's.
        if entry.file_type()?.is_dir() {
            give(&entry.path(), id)?;
        } else {
            lchown(entry.path(), Some(id), Some(id))?;
        }
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    chown(folder, Some(id), Some(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(path: &Path) -> (u32, u32) {
        let found = fs::symlink_metadata(path).unwrap();
        (found.uid(), found.gid())
    }

    #[test]
    fn data_of_an_earlier_version_is_handed_over_once() {
        if !is_root() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let account = Account { name: "store", id: 61_001 };
        let folder = DataFolder { path: "/var/lib/store", owner: account };
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("var/lib/store");
        fs::create_dir_all(data.join("state/deeper")).unwrap();
        fs::write(data.join("state/deeper/table"), "x").unwrap();
        let outside = root.path().join("outside");
        fs::write(&outside, "x").unwrap();
        std::os::unix::fs::symlink(&outside, data.join("link")).unwrap();
        // A walk that was cut short had given this much away.
        chown(data.join("state/deeper/table"), Some(61_001), Some(61_001)).unwrap();
        hand_over(root.path(), &folder).unwrap();
        for path in ["", "state", "state/deeper", "state/deeper/table", "link"] {
            assert_eq!(owner(&data.join(path)), (61_001, 61_001), "{path}");
        }
        assert_eq!(fs::metadata(&data).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(owner(&outside).0, 0, "what a link points to stays whose it is");
        assert_eq!(owner(data.parent().unwrap()).0, 0);

        // The walk is not repeated at every boot.
        fs::write(data.join("later"), "x").unwrap();
        hand_over(root.path(), &folder).unwrap();
        assert_eq!(owner(&data.join("later")).0, 0);
    }

    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }
}
