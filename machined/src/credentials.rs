//! Writes what a service needs to start: credentials, then arguments. All of it lies in memory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use machined_core::services::{File, Readers};

use crate::ownership;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the files below `root`, in order; each is replaced as a whole.
///
/// With `owners` a service may read its own files and no other's; without, they are for the one who runs this.
pub(crate) fn write(root: &Path, files: &[File], owners: bool) -> Result<(), Error> {
    for file in files {
        let path = root.join(file.path.trim_start_matches('/'));
        write_one(&path, file, owners).map_err(|source| Error { path, source })?;
    }
    Ok(())
}

fn write_one(path: &Path, file: &File, owners: bool) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    if let Some(above) = folder.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(above)?;
    }
    match file.readers {
        Readers::All => {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
            durable::write(path, file.contents.as_bytes(), 0o644)
        }
        Readers::Only(reader) => {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            if owners {
                ownership::let_read(folder, reader, 0o750)?;
            }
            durable::write_with(path, file.contents.as_bytes(), 0o600, |staged| {
                if owners { ownership::let_read(staged, reader, 0o640) } else { Ok(()) }
            })
        }
    }
}

/// Takes the arguments of all services away, so that none can start (again) before it is decided that it may.
pub(crate) fn withdraw_arguments(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "args") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use supervision::accounts::STORE;

    use super::*;

    #[test]
    fn credentials_are_for_their_service_only() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, readers| File { path: path.into(), contents: "x\n".into(), readers };
        let files = [file("/run/credentials/a/key", Readers::Only(STORE)), file("/run/services/a.args", Readers::All)];
        let found = |path: &str| {
            let found = fs::metadata(root.path().join(path)).unwrap();
            (found.permissions().mode() & 0o777, found.uid(), found.gid())
        };
        write(root.path(), &files, false).unwrap();
        let (own, group) = (found("run").1, found("run").2);
        assert_eq!(found("run/credentials/a/key"), (0o600, own, group));
        assert_eq!(found("run/credentials/a"), (0o700, own, group));
        assert_eq!(found("run/credentials").0, 0o755);
        assert_eq!(found("run/services/a.args").0, 0o644);
        if rustix::process::geteuid().is_root() {
            write(root.path(), &files, true).unwrap();
            // The service may read, but not put something else there.
            assert_eq!(found("run/credentials/a/key"), (0o640, 0, STORE.id));
            assert_eq!(found("run/credentials/a"), (0o750, 0, STORE.id));
        }
        withdraw_arguments(&root.path().join("run/services")).unwrap();
        assert!(!root.path().join("run/services/a.args").exists());
        withdraw_arguments(&root.path().join("nowhere")).unwrap();
    }
}
