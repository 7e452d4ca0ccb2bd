//! A folder as a target: a disk of its own, or a file system of the network.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Contents, Object, Target, TargetError};

/// How the names of files begin that are not finished.
const PARTIAL: &str = ".partial-";
/// Nobody works on an unfinished file for so long.
const ABANDONED: Duration = Duration::from_hours(24);

/// The folder.
pub struct Folder {
    root: PathBuf,
}

fn failed(what: &str, name: &str) -> impl FnOnce(io::Error) -> TargetError {
    let what = format!("{what} {name}");
    move |source| TargetError::new(what, source)
}

impl Folder {
    /// A folder that is made with the first object.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.into() }
    }

    fn place(&self, name: &str, contents: Contents<'_>) -> io::Result<bool> {
        let path = self.root.join(name);
        if path.try_exists()? {
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(&self.root);
        make(folder)?;
        let mut staged = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(folder)?;
        match contents {
            Contents::Bytes(bytes) => staged.write_all(&bytes)?,
            Contents::File(file, size) => {
                file.seek(SeekFrom::Start(0))?;
                io::copy(&mut file.take(size), &mut staged)?;
            }
        }
        staged.as_file().sync_all()?;
        match staged.persist_noclobber(&path) {
            Ok(_) => {
                File::open(folder)?.sync_all()?;
                Ok(true)
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error.error),
        }
    }
}

/// Makes a folder for nobody else, and those above it; their names are on disk on return.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make(above)?;
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o700))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    File::open(above)?.sync_all()
}

/// Calls `each` with every file below a folder; one that is not there holds none.
fn walk(folder: &Path, each: &mut impl FnMut(&Path, &fs::Metadata) -> io::Result<()>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let found = match fs::symlink_metadata(&path) {
            // It went while we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if found.is_dir() {
            walk(&path, each)?;
        } else if found.is_file() {
            each(&path, &found)?;
        }
    }
    Ok(())
}

fn is_partial(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PARTIAL))
}

impl Target for Folder {
    fn put(&self, name: &str, contents: Contents<'_>) -> Result<bool, TargetError> {
        self.place(name, contents).map_err(failed("write", name))
    }

    fn get(&self, name: &str) -> Result<Box<dyn Read + Send>, TargetError> {
        let file = File::open(self.root.join(name)).map_err(failed("read", name))?;
        Ok(Box::new(io::BufReader::new(file)))
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>, TargetError> {
        let mut found = Vec::new();
        let mut each = |path: &Path, metadata: &fs::Metadata| {
            let name = path.strip_prefix(&self.root).unwrap_or(path);
            if let Some(name) = name.to_str().filter(|_| !is_partial(path)) {
                found.push(Object { name: name.to_owned(), size: metadata.len() });
            }
            Ok(())
        };
        walk(&self.root.join(folder), &mut each).map_err(failed("list", folder))?;
        found.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<(), TargetError> {
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", name)(error)),
            _ => Ok(()),
        }
    }

    fn tidy(&self) -> Result<(), TargetError> {
        let now = SystemTime::now();
        let mut each = |path: &Path, metadata: &fs::Metadata| {
            let age = now.duration_since(metadata.modified()?).unwrap_or_default();
            if is_partial(path) && age > ABANDONED { fs::remove_file(path) } else { Ok(()) }
        };
        walk(&self.root, &mut each).map_err(failed("tidy", &self.root.display().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_what_every_target_does() {
        let folder = tempfile::tempdir().unwrap();
        super::super::tests::suite(&Folder::new(&folder.path().join("deep/er")), 300_000);
    }

    #[test]
    fn unfinished_files_are_no_objects_and_go_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let target = Folder::new(folder.path());
        for (name, age) in [("new", 0), ("old", 100_000)] {
            let path = folder.path().join(format!("{PARTIAL}{name}"));
            let file = File::create(path).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(target.list("").unwrap(), []);
        target.tidy().unwrap();
        assert!(folder.path().join(".partial-new").exists() && !folder.path().join(".partial-old").exists());
    }
}
