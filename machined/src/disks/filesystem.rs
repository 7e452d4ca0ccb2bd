//! Checks and mounts file systems with the tools of the image.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::mount::{MountFlags, UnmountFlags};

const E2FSCK: &str = "/usr/sbin/e2fsck";
const MKE2FS: &str = "/usr/sbin/mke2fs";

/// Nothing on these file systems is a program or a device.
const FLAGS: MountFlags =
    MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC).union(MountFlags::NOATIME);

/// Why a file system cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A tool of the image could not be started.
    #[error("run {tool}")]
    Run {
        /// The tool.
        tool: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The check found damage that it may not repair by itself.
    #[error("the file system on {} is damaged ({said})", device.display())]
    Damaged {
        /// The partition.
        device: PathBuf,
        /// What the check said.
        said: String,
    },
    /// No file system could be made.
    #[error("make a file system on {} ({said})", device.display())]
    Make {
        /// The partition.
        device: PathBuf,
        /// What the tool said.
        said: String,
    },
    /// The kernel refused to mount it.
    #[error("mount {what} at {target}")]
    Mount {
        /// The device, or what stands for one.
        what: String,
        /// Where.
        target: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What the check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// Nothing, or no more than a journal to be replayed.
    Clean,
    /// Small damage, which was repaired without loss.
    Repaired,
}

/// Checks the file system and mounts it. It is never made anew. What it keeps back from others is for `last`, by user id.
pub(super) fn check_and_mount(device: &Path, target: &str, last: u32) -> Result<Checked, Error> {
    // `-p` repairs only what can be repaired without a decision.
    let output = run(E2FSCK, [OsStr::new("-p"), device.as_os_str()])?;
    let checked = match output.status.code() {
        Some(0) => Checked::Clean,
        Some(1 | 2) => Checked::Repaired,
        Some(_) | None => return Err(Error::Damaged { device: device.into(), said: said(&output) }),
    };
    mount(&device.display().to_string(), target, "ext4", &format!("errors=remount-ro,resuid={last}"))?;
    Ok(checked)
}

/// Makes an ext4 file system. Everything on the partition is lost.
pub(super) fn make(device: &Path, label: &str) -> Result<(), Error> {
    // The tables are written in the background after the first mount: a large disk is ready in a second.
    let args = ["-q", "-F", "-t", "ext4", "-m", "1", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-L", label];
    let output = run(MKE2FS, args.iter().map(OsStr::new).chain([device.as_os_str()]))?;
    if output.status.success() { Ok(()) } else { Err(Error::Make { device: device.into(), said: said(&output) }) }
}

/// Mounts memory.
pub(super) fn mount_memory(target: &str, options: &str) -> Result<(), Error> {
    mount("tmpfs", target, "tmpfs", options)
}

/// Unmounts, if anything is mounted there.
pub(super) fn unmount(target: &str) {
    if is_mounted(target)
        && let Err(error) = rustix::mount::unmount(target, UnmountFlags::empty())
    {
        tracing::warn!(%error, target, "could not be unmounted");
    }
}

/// Whether something is mounted there.
pub(super) fn is_mounted(target: &str) -> bool {
    kind(&mounts(), target).is_some()
}

/// Whether memory is mounted there.
pub(super) fn is_in_memory(target: &str) -> bool {
    kind(&mounts(), target).as_deref() == Some("tmpfs")
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()
}

/// The kind of the file system at a mount point, from the text of `mountinfo`. The last mount lies on top.
fn kind(mountinfo: &str, target: &str) -> Option<String> {
    let on_top = mountinfo.lines().rev().find(|line| line.split(' ').nth(4) == Some(target))?;
    Some(on_top.split(" - ").nth(1)?.split(' ').next()?.to_owned())
}

fn mount(what: &str, target: &str, kind: &str, options: &str) -> Result<(), Error> {
    let refused = |source: io::Error| Error::Mount { what: what.to_owned(), target: target.to_owned(), source };
    let options = std::ffi::CString::new(options).map_err(|error| refused(error.into()))?;
    rustix::mount::mount(what, target, kind, FLAGS, Some(options.as_c_str())).map_err(|error| refused(error.into()))
}

fn run<I: AsRef<OsStr>>(tool: &'static str, args: impl IntoIterator<Item = I>) -> Result<Output, Error> {
    Command::new(tool)
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run { tool, source })
}

/// The first sentence of what a tool printed: what is wrong comes first, advice that nobody can follow here after it.
fn said(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).split_whitespace().take(60).collect::<Vec<_>>().join(" ");
    let sentence = text.split(". ").next().unwrap_or_default().trim_end_matches('.').replace(';', ",");
    if sentence.is_empty() { output.status.to_string() } else { sentence }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
24 1 7:0 / / ro,relatime - squashfs /dev/loop0 ro
30 24 0:26 / /state rw,nosuid,nodev,noexec - tmpfs tmpfs rw,size=32768k
31 24 254:2 / /var rw,nosuid - ext4 /dev/vda2 rw
32 24 254:1 / /state rw,nosuid shared:1 - ext4 /dev/vda1 rw
";

    #[test]
    fn the_mount_on_top_counts() {
        assert_eq!(kind(MOUNTINFO, "/state").as_deref(), Some("ext4"));
        assert_eq!(kind(MOUNTINFO, "/var").as_deref(), Some("ext4"));
        assert_eq!(kind(MOUNTINFO, "/sta"), None);
    }

    #[test]
    fn a_file_system_is_made_and_checked_and_damage_is_found() {
        for tool in [MKE2FS, E2FSCK] {
            assert!(Path::new(tool).exists(), "{tool} must be installed for this test");
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        make(image.path(), "orlop-test").unwrap();
        let check = |path: &Path| run(E2FSCK, [OsStr::new("-p"), path.as_os_str()]).unwrap().status.code();
        assert_eq!(check(image.path()), Some(0));

        let mut bytes = fs::read(image.path()).unwrap();
        bytes[..128 << 10].fill(0xa5);
        fs::write(image.path(), &bytes).unwrap();
        let error = check_and_mount(image.path(), "/nowhere", 0).unwrap_err();
        assert!(matches!(&error, Error::Damaged { said, .. } if !said.is_empty()), "{error}");
        assert_eq!(fs::read(image.path()).unwrap(), bytes, "nothing was changed");
    }
}
