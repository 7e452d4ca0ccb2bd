//! The first stage, in the kernel's initial file system: find the root image, make it the root, go on there.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use init_core::console::Severity;
use init_sys::mount::{Flags, Mount};
use init_sys::root;

use crate::console::Consoles;
use crate::report::Report;

/// The root image inside the initramfs.
const IMAGE: &str = "/root.squashfs";
/// Where the image is mounted before it becomes the root.
const NEW_ROOT: &str = "/newroot";
/// What runs there.
const NEXT: &str = "/sbin/init";
/// Tells the next stage when this one began, in milliseconds since the kernel started.
pub(crate) const BEGUN: &str = "ORLOP_INITRAMFS_MS";

/// Mounts that are made here and carried over to the real root.
pub(crate) const CARRIED: [Mount<'static>; 3] = [
    Mount {
        source: "dev",
        target: "/dev",
        kind: "devtmpfs",
        flags: Flags::NOSUID.union(Flags::NOEXEC),
        options: c"mode=0755",
    },
    Mount {
        source: "proc",
        target: "/proc",
        kind: "proc",
        flags: Flags::NOSUID.union(Flags::NODEV).union(Flags::NOEXEC),
        options: c"hidepid=invisible",
    },
    Mount {
        source: "sys",
        target: "/sys",
        kind: "sysfs",
        flags: Flags::NOSUID.union(Flags::NODEV).union(Flags::NOEXEC),
        options: c"",
    },
];

/// Why the real root could not be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InitramfsError {
    #[error("cannot mount {kind} at {target}")]
    Mount { kind: &'static str, target: &'static str, source: io::Error },
    #[error("cannot attach the root image {IMAGE} to a loop device")]
    Attach { source: io::Error },
    #[error("cannot mount the root image {IMAGE} (is it damaged?) from {device}")]
    MountRoot { device: PathBuf, source: io::Error },
    #[error("cannot make the root image the root")]
    Switch { source: io::Error },
    #[error("cannot run {NEXT} of the root image")]
    Exec { source: io::Error },
}

/// Whether this is the first stage: the root is the kernel's RAM, and the image lies in it.
pub(crate) fn is_here() -> bool {
    root::is_initial().unwrap_or(false) && Path::new(IMAGE).is_file()
}

/// Goes on in the real root. Returns only if that fails.
pub(crate) fn leave() -> Result<Infallible, InitramfsError> {
    let begun = crate::now();
    for mount in CARRIED {
        mount.ensure().map_err(|source| InitramfsError::Mount { kind: mount.kind, target: mount.target, source })?;
    }
    let mut report = Report::new(Consoles::of_the_machine(), true);
    report.say(Severity::Step, "boot: initramfs");

    let (device, open) = root::attach(Path::new(IMAGE)).map_err(|source| InitramfsError::Attach { source })?;
    let image = Mount {
        source: device.to_str().unwrap_or_default(),
        target: NEW_ROOT,
        kind: "squashfs",
        flags: Flags::RDONLY | Flags::NODEV | Flags::NOSUID,
        options: c"",
    };
    image.ensure().map_err(|source| InitramfsError::MountRoot { device: device.clone(), source })?;
    // From here the mount keeps the device in use.
    drop(open);
    root::switch(Path::new(NEW_ROOT), &CARRIED.map(|mount| mount.target))
        .map_err(|source| InitramfsError::Switch { source })?;
    report.consoles.drain(std::time::Duration::from_secs(1));
    drop(report);
    let source = Command::new(NEXT).env(BEGUN, begun.as_millis().to_string()).exec();
    Err(InitramfsError::Exec { source })
}
