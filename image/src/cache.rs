//! Where costly results live between builds and between checkouts: fetched packages and compiled kernels.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The cache folder: `$ORLOP_CACHE`, or `orlop` in `$XDG_CACHE_HOME`, or in `~/.cache`.
#[derive(Debug, Clone)]
pub(crate) struct Cache(PathBuf);

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError {
    #[error("there is no home folder to keep a cache in: set ORLOP_CACHE, XDG_CACHE_HOME or HOME")]
    NoHome,
    #[error("cannot use {path}")]
    Use { path: PathBuf, source: io::Error },
}

/// Only one process builds in a folder; released when dropped, also by a crash.
pub(crate) struct Exclusive(#[expect(dead_code, reason = "held for its lock")] File);

impl Cache {
    pub(crate) fn of_user() -> Result<Self, CacheError> {
        let folder = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        folder("ORLOP_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|path| path.join("orlop")))
            .or_else(|| folder("HOME").map(|path| path.join(".cache/orlop")))
            .map(Self)
            .ok_or(CacheError::NoHome)
    }

    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The folder of one concern, made if it is not there.
    pub(crate) fn room(&self, name: &str) -> Result<PathBuf, CacheError> {
        let path = self.0.join(name);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(CacheError::Use { path, source }),
        }
    }

    /// Holds the room, see [`hold`].
    pub(crate) fn exclusive(&self, name: &str) -> Result<Exclusive, CacheError> {
        hold(&self.room(name)?)
    }
}

/// Waits until no other process builds in the folder, and says so if there is one.
pub(crate) fn hold(folder: &Path) -> Result<Exclusive, CacheError> {
    let path = folder.join(".lock");
    let lock = || {
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                println!("waiting for another build that uses {}", folder.display());
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Exclusive(file))
    };
    lock().map_err(|source| CacheError::Use { path: path.clone(), source })
}

/// Removes what killed builds left behind: every entry of the room whose name starts with `prefix`. Call it with the room held.
pub(crate) fn sweep(room: &Path, prefix: &str) -> Result<(), CacheError> {
    let remove = || {
        for entry in fs::read_dir(room)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    };
    remove().map_err(|source| CacheError::Use { path: room.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path());
        let held = cache.exclusive("kernel").unwrap();
        let path = folder.path().join("kernel/.lock");
        assert!(File::options().write(true).open(&path).unwrap().try_lock().is_err());
        drop(held);
        assert!(File::options().write(true).open(&path).unwrap().try_lock().is_ok());
    }

    #[test]
    fn a_sweep_takes_only_what_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("build-1/deep")).unwrap();
        fs::write(folder.path().join("build-2"), "").unwrap();
        fs::write(folder.path().join("kept"), "").unwrap();
        sweep(folder.path(), "build-").unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["kept"]);
    }
}
