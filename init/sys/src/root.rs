//! From the initial file system to the real root: attach the image, make it the root, forget the rest.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::linux::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};
use rustix::mount::{MountPropagationFlags, mount_change, mount_move};
use rustix::process::{chdir, chroot};

/// `LOOP_CTL_GET_FREE`: gives the number of an unused loop device and makes it if there is none.
const GET_FREE: Opcode = 0x4C82;
/// `LOOP_CONFIGURE`: gives a loop device its file and its settings in one step.
const CONFIGURE: Opcode = 0x4C0A;
/// `LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR`: the file cannot be changed through it; it is detached after the last use.
const READ_ONLY_AUTOCLEAR: u32 = 1 | 4;

/// `struct loop_config` with the `struct loop_info64` in it.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<LoopConfig>() == 304);

/// `LOOP_CTL_GET_FREE` gives its answer as the return value.
struct GetFree(NoArg<GET_FREE>);

// SAFETY: needed because rustix has no ready form for an ioctl that answers by its return value. Sound because the opcode
// takes no argument and touches no memory of ours, as `NoArg` has it; only the plain number is taken out.
unsafe impl Ioctl for GetFree {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        GET_FREE
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        self.0.as_ptr()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut std::ffi::c_void) -> rustix::io::Result<u32> {
        u32::try_from(output).map_err(|_| rustix::io::Errno::INVAL)
    }
}

/// Makes a block device out of a file, read-only, and returns its path.
///
/// The device keeps the file's content alive, even when the file is removed, until the device's last use ends. Another
/// program that takes the same free device first is outrun by trying again, a few times.
pub fn attach(image: &Path) -> io::Result<(PathBuf, File)> {
    let file = File::open(image)?;
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let mut last = io::Error::other("no try was made");
    for _ in 0..8 {
        // SAFETY: needed because loop devices are made by ioctl only. Sound by the `Ioctl` above.
        let number = unsafe { ioctl(&control, GetFree(NoArg::new())) }?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device =
            OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::CLOEXEC.bits().cast_signed()).open(&path)?;
        match configure(&device, &file) {
            Ok(()) => return Ok((path, device)),
            Err(error) if error == rustix::io::Errno::BUSY => last = error.into(),
            Err(error) => return Err(error.into()),
        }
    }
    Err(last)
}

fn configure(device: &File, file: &File) -> rustix::io::Result<()> {
    let config = LoopConfig {
        fd: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        size_limit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: READ_ONLY_AUTOCLEAR,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
        reserved: [0; 8],
    };
    // SAFETY: needed because loop devices are set up by ioctl only. Sound because LOOP_CONFIGURE reads one
    // `struct loop_config`, whose layout `LoopConfig` repeats field by field (its size is asserted above), keeps no pointer to
    // it, and takes its own reference to the file behind `fd`, which is open during the call.
    unsafe { ioctl(device, Setter::<CONFIGURE, LoopConfig>::new(config)) }
}

/// Whether the root directory is the kernel's initial one: RAM that the initramfs was unpacked into.
pub fn is_initial() -> io::Result<bool> {
    const RAMFS: i64 = 0x8584_58f6;
    const TMPFS: i64 = 0x0102_1994;
    Ok(matches!(crate::mount::magic("/")?, RAMFS | TMPFS))
}

/// Makes the file system at `new_root` the root of this process, and gives the memory of the old one back.
///
/// `carried` are mounts below the old root that stay where they are below the new one; the new root has a directory for
/// each. Nothing of the old root's own files is left.
pub fn switch(new_root: &Path, carried: &[&str]) -> io::Result<()> {
    // A move is refused between shared mounts. The initial mounts are private; a container's may not be.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for mount in carried {
        mount_move(*mount, new_root.join(mount.trim_start_matches('/')))?;
    }
    let old_device = fs::metadata("/")?.st_dev();
    remove_content(Path::new("/"), old_device);
    chdir(new_root)?;
    mount_move(".", "/")?;
    chroot(".")?;
    chdir("/")?;
    Ok(())
}

/// Removes what can be removed below `directory` without leaving its file system. The rest only costs memory.
fn remove_content(directory: &Path, device: u64) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.st_dev() != device {
            continue;
        }
        if metadata.is_dir() {
            remove_content(&path, device);
            // A directory that holds a mount point stays.
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_stays_on_its_file_system_and_leaves_links_unfollowed() {
        let outside = tempfile::tempdir().expect("a directory");
        fs::write(outside.path().join("kept"), "x").expect("a file");
        let inside = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(inside.path().join("a/b")).expect("directories");
        fs::write(inside.path().join("a/b/file"), "x").expect("a file");
        std::os::unix::fs::symlink(outside.path(), inside.path().join("link")).expect("a link");
        let device = fs::metadata(inside.path()).expect("metadata").st_dev();
        remove_content(inside.path(), device + 1);
        assert!(inside.path().join("a/b/file").exists(), "another file system is left alone");
        remove_content(inside.path(), device);
        assert_eq!(fs::read_dir(inside.path()).expect("a listing").count(), 0);
        assert!(outside.path().join("kept").exists());
    }
}
