//! Mounting and unmounting.

use std::ffi::CStr;
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

use rustix::fs::CWD;
pub use rustix::mount::MountFlags as Flags;
use rustix::mount::{UnmountFlags, mount_remount, unmount};

/// One file system and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Mount<'a> {
    /// A device, or a name for a file system without one.
    pub source: &'a str,
    /// An existing directory, except where [`Mount::ensure`] may make it.
    pub target: &'a str,
    /// Kind of file system.
    pub kind: &'a str,
    /// What programs may not do with it.
    pub flags: Flags,
    /// Options of that kind of file system.
    pub options: &'a CStr,
}

impl Mount<'_> {
    /// Mounts it.
    pub fn mount(&self) -> io::Result<()> {
        Ok(rustix::mount::mount(self.source, self.target, self.kind, self.flags, self.options)?)
    }

    /// Mounts it unless something is mounted there already; makes the directory when its file system allows that.
    ///
    /// Returns whether it was mounted by this call.
    pub fn ensure(&self) -> io::Result<bool> {
        let target = Path::new(self.target);
        if !target.is_dir() {
            std::fs::create_dir_all(target)?;
        }
        if is_mount_point(target)? {
            return Ok(false);
        }
        self.mount().map(|()| true)
    }
}

/// Whether another file system than that of its parent directory is mounted there.
pub fn is_mount_point(path: &Path) -> io::Result<bool> {
    let here = std::fs::metadata(path)?;
    let parent = std::fs::metadata(path.join(".."))?;
    Ok(here.st_dev() != parent.st_dev() || here.st_ino() == parent.st_ino())
}

/// Unmounts a target; when it is busy, makes it read-only so that it is consistent at least.
pub fn unmount_or_seal(target: &str) -> io::Result<()> {
    match unmount(target, UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(busy) => match mount_remount(target, Flags::RDONLY, c"") {
            Ok(()) => Ok(()),
            Err(_) => Err(busy.into()),
        },
    }
}

/// Writes all dirty data of all file systems back. Blocks for as long as the disks take.
pub fn write_back() {
    rustix::fs::sync();
}

/// The kind of the file system at `path`, as the kernel numbers it.
pub(crate) fn magic(path: &str) -> io::Result<i64> {
    let directory = rustix::fs::openat(
        CWD,
        path,
        rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    #[allow(clippy::useless_conversion, reason = "the width of the field differs between architectures")]
    Ok(rustix::fs::fstatfs(&directory)?.f_type.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_told_from_directories() {
        assert!(is_mount_point(Path::new("/proc")).expect("/proc"));
        assert!(is_mount_point(Path::new("/")).expect("/"));
        assert!(!is_mount_point(Path::new("/proc/self")).expect("/proc/self"));
        assert!(is_mount_point(Path::new("/no such directory")).is_err());
    }
}
