//! Whether KVM truly works here. The device alone says little: nested or filtered hosts have one that hangs.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::arguments::Accelerator;
use crate::wait;

/// A working KVM ends the probe in a tenth of a second; one that has not after this long is not usable.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// `mov al, 0x2a; out 0xf4, al; hlt`: a guest that ends its machine with [`PROBE_EXIT`].
const PROBE_CODE: [u8; 7] = [0xb0, 0x2a, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
/// The debug exit device turns `n` into `2 n + 1`.
const PROBE_EXIT: i32 = 0x2a * 2 + 1;

/// The folder in which Orlop's tools keep what is true for this host.
pub fn cache() -> PathBuf {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    from("ORLOP_CACHE")
        .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("orlop")))
        .or_else(|| from("HOME").map(|folder| folder.join(".cache/orlop")))
        .unwrap_or_else(std::env::temp_dir)
}

/// Chooses KVM when a guest runs with it, else the emulated processor. Never fails: a host without anything gets the
/// emulated one, and the start of the real machine will say what is missing.
///
/// The answer is kept in `cache` until the host boots again.
pub fn detect(cache: &Path) -> Accelerator {
    if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        return Accelerator::Tcg;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let file = cache.join("kvm");
    let known = fs::read_to_string(&file).unwrap_or_default();
    match known.split_once(' ') {
        Some((known_boot, answer)) if !boot.is_empty() && known_boot == boot.trim() => {
            if answer == "works" {
                return Accelerator::Kvm;
            }
            return Accelerator::Tcg;
        }
        Some(_) | None => {}
    }
    let works = probe(cache, "kvm").unwrap_or(false);
    // A cache that cannot be written costs the probe again next time, nothing else.
    let _ = fs::write(&file, format!("{} {}", boot.trim(), if works { "works" } else { "broken" }));
    if works { Accelerator::Kvm } else { Accelerator::Tcg }
}

/// Runs the probe guest with an accelerator; `Ok(true)` when it ran to its end.
fn probe(scratch: &Path, accelerator: &str) -> io::Result<bool> {
    fs::create_dir_all(scratch)?;
    let image: PathBuf = scratch.join(format!("probe-{}.img", std::process::id()));
    let mut sector = [0_u8; 512];
    sector[..PROBE_CODE.len()].copy_from_slice(&PROBE_CODE);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&image, sector)?;
    let answer = run_probe(&image, accelerator);
    let removed = fs::remove_file(&image);
    let works = answer?;
    removed?;
    Ok(works)
}

fn run_probe(image: &Path, accelerator: &str) -> io::Result<bool> {
    if image.as_os_str().as_bytes().contains(&b',') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the cache folder's path has a comma"));
    }
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-accel", accelerator, "-machine", "pc", "-m", "16", "-nodefaults", "-no-user-config"])
        .args(["-display", "none", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive"])
        .arg(format!("if=floppy,format=raw,snapshot=on,file={}", image.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let status = wait::until(Instant::now() + PROBE_DEADLINE, || child.try_wait().transpose());
    if let Some(status) = status {
        return Ok(status?.code() == Some(PROBE_EXIT));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("accelerator-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_probe_guest_runs_to_its_end() {
        let folder = folder("runs");
        assert!(probe(&folder, "tcg").unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the probe leaves nothing behind");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_accelerator_that_is_not_there_does_not_work() {
        let folder = folder("absent");
        assert!(!probe(&folder, "xen").unwrap());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_answer_is_kept_for_this_boot_only() {
        let folder = folder("cache");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        if fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok() {
            fs::write(folder.join("kvm"), format!("{} works", boot.trim())).unwrap();
            assert_eq!(detect(&folder), Accelerator::Kvm);
            fs::write(folder.join("kvm"), format!("{} broken", boot.trim())).unwrap();
            assert_eq!(detect(&folder), Accelerator::Tcg);
        } else {
            assert_eq!(detect(&folder), Accelerator::Tcg);
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
