//! Foreign artefacts: packages of the distribution, pinned in `image/artefacts.lock`, fetched, verified and cached.
//!
//! ```text
//! artefacts.lock ──> in the cache, digest right? ──yes──> unpack
//!                            │ no
//!                            └─> private apt root ──> download ──> digest right? ──> cache
//! ```
//!
//! Nothing in the system changes: apt runs on a root of its own, with the system's keyring, mirror and proxies.

mod apt;
mod lock;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use apt::AptError;
pub(crate) use lock::{Artefact, Lock, LockError, repin};

use crate::cache::{Cache, CacheError};
use crate::command::{CommandError, DPKG_DEB};
use crate::digest::Digest;

/// The largest package is 150 MB of xz.
const UNPACK: Duration = Duration::from_mins(5);

/// An artefact could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtefactError {
    #[error("the lock file names no artefact `{name}`")]
    Unknown { name: String },
    #[error("fetch {name} {version}")]
    Fetch { name: String, version: String, source: AptError },
    #[error("{name} {version} has sha256 {found}, the lock file says {wanted}; it is not used")]
    Tampered { name: String, version: String, wanted: Digest, found: Digest },
    #[error("keep {path} in the cache")]
    Keep { path: PathBuf, source: io::Error },
    #[error("there is no {program} in the package {package}")]
    NoProgram { package: String, program: PathBuf },
    #[error("unpack {name}")]
    Unpack { name: String, source: CommandError },
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// The artefacts of one lock file, on this machine.
pub(crate) struct Artefacts {
    lock: Lock,
    cache: Cache,
}

impl Artefacts {
    pub(crate) fn new(lock: Lock, cache: Cache) -> Self {
        Self { lock, cache }
    }

    pub(crate) fn lock(&self) -> &Lock {
        &self.lock
    }

    /// The pinned artefact of that name, which may be `name/suite`.
    pub(crate) fn pinned(&self, name: &str) -> Result<&Artefact, ArtefactError> {
        self.lock.find(name).ok_or_else(|| ArtefactError::Unknown { name: name.to_owned() })
    }

    /// Fetches every named artefact that the cache does not hold. With all of them there, no network is used.
    pub(crate) fn fetch(&self, names: &[impl AsRef<str>]) -> Result<(), ArtefactError> {
        if self.missing(names)?.is_empty() {
            return Ok(());
        }
        let room = self.cache.room("artefacts")?;
        let _held = self.cache.exclusive("artefacts")?;
        // Another process may have fetched them while this one waited.
        let missing = self.missing(names)?;
        if missing.is_empty() {
            return Ok(());
        }
        crate::cache::sweep(&room, "apt")?;
        let fetched = self.fetch_into(&room.join("apt"), &missing);
        crate::cache::sweep(&room, "apt")?;
        fetched
    }

    fn missing(&self, names: &[impl AsRef<str>]) -> Result<Vec<&Artefact>, ArtefactError> {
        let mut missing = Vec::new();
        for name in names {
            let artefact = self.pinned(name.as_ref())?;
            if !self.path(artefact)?.exists() {
                missing.push(artefact);
            }
        }
        Ok(missing)
    }

    fn fetch_into(&self, scratch: &Path, missing: &[&Artefact]) -> Result<(), ArtefactError> {
        let failed = |artefact: &Artefact| {
            let (name, version) = (artefact.name.clone(), artefact.version.clone());
            |source| ArtefactError::Fetch { name, version, source }
        };
        let root = apt::Root::prepare(scratch, &self.lock.suites()).map_err(failed(missing[0]))?;
        for artefact in missing {
            println!("fetching {} {}", artefact.name, artefact.version);
            let package = root.download(artefact).map_err(failed(artefact))?;
            let path = self.path(artefact)?;
            let found =
                Digest::of_file(&package).map_err(|source| ArtefactError::Keep { path: package.clone(), source })?;
            if found != artefact.sha256 {
                let (name, version, wanted) = (artefact.name.clone(), artefact.version.clone(), artefact.sha256);
                return Err(ArtefactError::Tampered { name, version, wanted, found });
            }
            fs::rename(&package, &path).map_err(|source| ArtefactError::Keep { path, source })?;
        }
        Ok(())
    }

    /// Unpacks fetched artefacts over each other into `folder`.
    pub(crate) fn unpack(&self, names: &[&str], folder: &Path) -> Result<(), ArtefactError> {
        self.fetch(names)?;
        for name in names {
            let path = self.path(self.pinned(name)?)?;
            let unpacked = DPKG_DEB.within(UNPACK).arg("-x").arg(path).arg(folder).output();
            unpacked.map_err(|source| ArtefactError::Unpack { name: (*name).to_owned(), source })?;
        }
        Ok(())
    }

    /// Puts one program of a package into `folder`, replacing another version of it. The name is there or not there at all.
    pub(crate) fn tool(
        &self,
        package: &str,
        program: &Path,
        folder: &Path,
        named: Option<&OsStr>,
    ) -> Result<PathBuf, ArtefactError> {
        let keep = |path: &Path| {
            let path = path.to_owned();
            |source| ArtefactError::Keep { path, source }
        };
        let name = named.or(program.file_name()).unwrap_or(program.as_os_str());
        let path = folder.join(name);
        let scratch = folder.join(format!(".{}.{}", package.replace('/', "."), std::process::id()));
        fs::create_dir_all(&scratch).map_err(keep(&scratch))?;
        let inside = scratch.join(program);
        let placed = self.unpack(&[package], &scratch).and_then(|()| {
            if inside.exists() {
                fs::rename(&inside, &path).map_err(keep(&path))
            } else {
                Err(ArtefactError::NoProgram { package: package.to_owned(), program: program.to_owned() })
            }
        });
        fs::remove_dir_all(&scratch).map_err(keep(&scratch))?;
        placed.map(|()| path)
    }

    /// Asks the mirror what each artefact's version is now. Returns the new pins in the order of the lock.
    pub(crate) fn newest(&self) -> Result<Vec<Artefact>, ArtefactError> {
        let room = self.cache.room("artefacts")?;
        let _held = self.cache.exclusive("artefacts")?;
        crate::cache::sweep(&room, "apt")?;
        let ask = || {
            let root = apt::Root::prepare(&room.join("apt"), &self.lock.suites())?;
            self.lock.artefacts.iter().map(|artefact| root.newest(artefact)).collect::<Result<Vec<_>, AptError>>()
        };
        let newest = ask().map_err(|source| ArtefactError::Fetch {
            name: "the list".to_owned(),
            version: "of packages".to_owned(),
            source,
        });
        crate::cache::sweep(&room, "apt")?;
        newest
    }

    fn path(&self, artefact: &Artefact) -> Result<PathBuf, ArtefactError> {
        Ok(self.cache.room("artefacts")?.join(format!("{}-{}.deb", artefact.name, artefact.sha256)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artefacts(folder: &Path) -> Artefacts {
        let text = format!(
            "epoch = 1\n[[artefact]]\nname = \"a\"\nversion = \"1\"\nsuite = \"trixie\"\narch = \"all\"\nsha256 = \"{}\"\n",
            Digest::of(b"package")
        );
        Artefacts::new(Lock::parse(&text).unwrap(), Cache::at(folder))
    }

    #[test]
    fn what_is_in_the_cache_is_not_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = artefacts(folder.path());
        let path = artefacts.path(artefacts.pinned("a").unwrap()).unwrap();
        fs::write(path, "package").unwrap();
        artefacts.fetch(&["a"]).unwrap();
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = artefacts(folder.path()).fetch(&["b"]).unwrap_err();
        assert_eq!(error.to_string(), "the lock file names no artefact `b`");
    }
}
