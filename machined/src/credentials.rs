//! Writes what a service needs to start: credentials, then arguments. All of it lies in memory.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use machined_core::services::File;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("write {}", path.display())]
pub(crate) struct Error {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Writes the files below `root`, in order; each is replaced as a whole. A folder with credentials is for root only.
pub(crate) fn write(root: &Path, files: &[File]) -> Result<(), Error> {
    for file in files {
        let path = root.join(file.path.trim_start_matches('/'));
        let for_root_only = file.mode & 0o077;
        let folder_mode = if for_root_only == 0 { 0o700 } else { 0o755 };
        let folder = path.parent().unwrap_or(root);
        DirBuilder::new()
            .recursive(true)
            .mode(folder_mode)
            .create(folder)
            .and_then(|()| durable::write(&path, file.contents.as_bytes(), file.mode))
            .map_err(|source| Error { path, source })?;
    }
    Ok(())
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
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn credentials_are_for_root_only() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, mode| File { path: path.into(), contents: "x\n".into(), mode };
        write(root.path(), &[file("/run/credentials/a/key", 0o600), file("/run/services/a.args", 0o644)]).unwrap();
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("run/credentials/a/key"), 0o600);
        assert_eq!(mode("run/credentials/a"), 0o700);
        assert_eq!(mode("run/services/a.args"), 0o644);
        withdraw_arguments(&root.path().join("run/services")).unwrap();
        assert!(!root.path().join("run/services/a.args").exists());
        withdraw_arguments(&root.path().join("nowhere")).unwrap();
    }
}
