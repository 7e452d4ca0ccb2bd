//! Files that are either wholly there or not there at all: write, flush, rename, flush the folder. And folders that stay.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces `path` with `contents` so that a power cut leaves the old file or the new one, never a mixture.
///
/// `mode` is the permission of the new file. When this returns `Ok`, the contents and the name are on disk. A leftover
/// `<name>.new` of an interrupted write is overwritten.
pub fn write(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    write_with(path, contents, mode, |_| Ok(()))
}

/// The same, with something done to the new file before it takes the name: what is seen under the name has it done.
pub fn write_with(
    path: &Path,
    contents: &[u8],
    mode: u32,
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut staged_name = name.to_os_string();
    staged_name.push(".new");
    let staged = folder.join(staged_name);
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&staged)?;
    file.write_all(contents)?;
    finish(&staged)?;
    file.sync_all()?;
    fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()
}

/// Makes a folder and those it lies in, as far as they are missing. When this returns `Ok`, their names are on disk, too:
/// flushing what is in a folder does not flush the folder's own name.
pub fn folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        // Whoever made it may have been killed before it flushed the name.
        return match File::open(parent).and_then(|parent| parent.sync_all()) {
            // Others made it, where we may not look, or where nothing is ever written: a read-only root flushes no folder.
            Err(error) if flushes_nothing(&error) => Ok(()),
            flushed => flushed,
        };
    }
    if parent != Path::new(".") {
        folder(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(parent)?.sync_all()
}

fn flushes_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), InvalidInput | PermissionDenied | ReadOnlyFilesystem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn makes_folders_in_folders() {
        // A file system that cannot flush a folder says so.
        assert_eq!(File::open("/proc").unwrap().sync_all().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        folder(Path::new("/proc/self")).unwrap();
        let top = std::env::temp_dir().join(format!("durable-folders-{}", std::process::id()));
        folder(&top.join("a/b")).unwrap();
        folder(&top.join("a/b")).unwrap();
        assert!(top.join("a/b").is_dir());
        fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn replaces_the_file_and_sets_its_mode() {
        let folder = std::env::temp_dir().join(format!("durable-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key");
        fs::write(folder.join("key.new"), "left over").unwrap();
        write(&path, b"one", 0o600).unwrap();
        write(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.join("key.new").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
