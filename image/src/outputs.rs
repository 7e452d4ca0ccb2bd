//! The folder of finished files, and its manifest: what is in it, and from which inputs it was made.
//!
//! A file is made again only if its key changed, or if the file is not what the manifest says.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cache::{self, CacheError, Exclusive};
use crate::digest::Digest;

const MANIFEST: &str = "manifest.toml";

/// One finished file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) sha256: Digest,
    /// Everything the file was made from.
    key: Digest,
}

/// The manifest. Images of the same inputs have the same manifest.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    #[serde(default, rename = "file")]
    files: Vec<Record>,
}

/// The output folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    #[error("use {path}")]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Busy(#[from] CacheError),
    #[error("write the manifest")]
    Manifest(#[from] toml::ser::Error),
}

/// The output folder, open.
pub(crate) struct Outputs {
    folder: PathBuf,
    manifest: Manifest,
    _held: Exclusive,
}

impl Outputs {
    /// Opens the folder, making it if need be, and waits until nobody else builds in it. A manifest that does not parse counts as none: everything is made anew.
    pub(crate) fn open(folder: &Path) -> Result<Self, OutputError> {
        let file = |source| OutputError::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(file)?;
        let held = cache::hold(folder)?;
        let manifest = match fs::read_to_string(folder.join(MANIFEST)) {
            Ok(text) => toml::from_str(&text).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Manifest::default(),
            Err(source) => return Err(file(source)),
        };
        Ok(Self { folder: folder.to_owned(), manifest, _held: held })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>, OutputError> {
        let path = self.path(name);
        fs::read(&path).map_err(|source| OutputError::File { path, source })
    }

    /// Makes sure the file is there and made from `key`; `make` writes it to the path it is given if it is not.
    ///
    /// # Guarantees
    ///
    /// The file is replaced as a whole, and recorded only when it is there: an interrupted build leaves no half file that
    /// the next one takes for finished.
    pub(crate) fn ensure<E: From<OutputError>>(
        &mut self,
        name: &str,
        key: Digest,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Record, E> {
        let path = self.path(name);
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| OutputError::File { path, source }
        };
        if let Some(record) = self.manifest.files.iter().find(|record| record.name == name && record.key == key)
            && Digest::of_file(&path).is_ok_and(|found| found == record.sha256)
        {
            return Ok(record.clone());
        }
        let staged = self.path(&format!("{name}.new"));
        match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&staged)(error).into()),
            Ok(()) | Err(_) => {}
        }
        make(&staged)?;
        let sha256 = Digest::of_file(&staged).map_err(file(&staged))?;
        let size = fs::metadata(&staged).map_err(file(&staged))?.len();
        fs::rename(&staged, &path).map_err(file(&path))?;
        let record = Record { name: name.to_owned(), size, sha256, key };
        self.manifest.files.retain(|other| other.name != name);
        self.manifest.files.push(record.clone());
        self.manifest.files.sort_by(|one, other| one.name.cmp(&other.name));
        let text = toml::to_string(&self.manifest).map_err(OutputError::Manifest)?;
        let path = self.path(MANIFEST);
        let staged = self.path(&format!("{MANIFEST}.new"));
        fs::write(&staged, text).and_then(|()| fs::rename(&staged, &path)).map_err(file(&path))?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_file_is_made_only_when_its_inputs_changed_or_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let made = Cell::new(0);
        let ensure = |key: &[u8]| {
            let mut outputs = Outputs::open(folder.path()).unwrap();
            outputs
                .ensure("a", Digest::of(key), |path| {
                    made.set(made.get() + 1);
                    fs::write(path, key).map_err(|source| OutputError::File { path: path.to_owned(), source })
                })
                .unwrap()
        };
        assert_eq!(ensure(b"one").size, 3);
        ensure(b"one");
        assert_eq!(made.get(), 1);
        ensure(b"two2");
        assert_eq!(made.get(), 2);
        fs::write(folder.path().join("a"), "bit rot").unwrap();
        assert_eq!(ensure(b"two2").sha256, Digest::of(b"two2"));
        assert_eq!(made.get(), 3);
        fs::write(folder.path().join(MANIFEST), "garbage").unwrap();
        ensure(b"two2");
        assert_eq!(made.get(), 4);
    }

    #[test]
    fn a_failed_build_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut outputs = Outputs::open(folder.path()).unwrap();
        let write =
            |path: &Path| fs::write(path, "old").map_err(|source| OutputError::File { path: path.to_owned(), source });
        outputs.ensure("a", Digest::of(b"1"), write).unwrap();
        let failed = outputs.ensure("a", Digest::of(b"2"), |path| {
            let _ = fs::write(path, "half");
            Err(OutputError::File { path: path.to_owned(), source: io::Error::other("no") })
        });
        assert!(failed.is_err());
        assert_eq!(outputs.read("a").unwrap(), b"old");
    }
}
