//! The kernel's own build, made reproducible.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::arch::Arch;
use crate::command::{CommandError, MAKE, Run, TAR};

const UNPACK: Duration = Duration::from_mins(15);
const CONFIGURE: Duration = Duration::from_mins(15);
/// Ten times what a busy machine took.
const COMPILE: Duration = Duration::from_hours(4);
/// How often a person who waits is told that something happens.
const REPORT_EVERY: Duration = Duration::from_secs(20);

/// An unpacked source tree.
pub(crate) struct Tree {
    folder: PathBuf,
    log: PathBuf,
    arch: Arch,
    epoch: u64,
}

impl Tree {
    /// Unpacks the source that the package put into `scratch`.
    pub(crate) fn unpack(scratch: &Path, name: &str, arch: Arch, epoch: u64, log: &Path) -> Result<Self, CommandError> {
        let archive = scratch.join("usr/src").join(format!("{name}.tar.xz"));
        TAR.within(UNPACK).arg("-xJf").arg(archive).arg("-C").arg(scratch).logged(log)?;
        Ok(Self { folder: scratch.join(name), log: log.to_owned(), arch, epoch })
    }

    /// Everything off, then the requests, then what they imply.
    pub(crate) fn configure(&self, requests: &Path) -> Result<(), CommandError> {
        self.make(CONFIGURE).env("KCONFIG_ALLCONFIG", requests).args(["-s", "allnoconfig"]).logged(&self.log)
    }

    pub(crate) fn compile(&self, jobs: usize) -> Result<(), CommandError> {
        let run = self.make(COMPILE).arg(format!("-j{jobs}")).arg("bzImage");
        let (done, ended) = mpsc::sync_channel::<()>(1);
        thread::scope(|scope| {
            scope.spawn(move || {
                // A dropped sender is the end of the compilation.
                while ended.recv_timeout(REPORT_EVERY) == Err(RecvTimeoutError::Timeout) {
                    println!(
                        "  {} kernel files compiled",
                        compiled(&fs::read_to_string(&self.log).unwrap_or_default())
                    );
                }
            });
            let result = run.logged(&self.log);
            drop(done);
            result
        })
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(".config")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.join("arch").join(self.arch.kernel()).join("boot/bzImage")
    }

    /// A run of make in which nothing of the machine, the user or the day is left.
    fn make(&self, limit: Duration) -> Run {
        MAKE.within(limit)
            .folder(&self.folder)
            .env("KBUILD_BUILD_TIMESTAMP", crate::moment::rfc3339(self.epoch))
            .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
            .env("KBUILD_BUILD_USER", "orlop")
            .env("KBUILD_BUILD_HOST", "orlop")
            .env("KBUILD_BUILD_VERSION", "1")
            // Empty and set: no `+` for a source tree that is not a clean checkout.
            .env("LOCALVERSION", "")
            .arg(format!("ARCH={}", self.arch.kernel()))
    }
}

/// How many files a log of make names as compiled.
fn compiled(log: &str) -> usize {
    log.lines().filter(|line| line.starts_with("  CC ") || line.starts_with("  AS ")).count()
}

/// Processor time of all finished children of this process.
pub(crate) fn cpu_seconds() -> u64 {
    fs::read_to_string("/proc/self/stat").ok().and_then(|stat| children_ticks(&stat)).unwrap_or(0) / TICKS_PER_SECOND
}

/// The unit of `/proc/<pid>/stat`, which is part of the kernel's interface to user space on every architecture we build on.
const TICKS_PER_SECOND: u64 = 100;

/// `cutime + cstime`, the 16th and 17th field; the 2nd is a name in parentheses that may hold anything.
fn children_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiled_files_are_counted() {
        assert_eq!(compiled("  CC      a.o\n  LD      vmlinux\n  AS      b.o\nwarning:   CC\n"), 2);
    }

    #[test]
    fn the_time_of_children_is_read_past_an_odd_name() {
        let stat = "7 (a) b) S 1 1 1 0 -1 4 5 6 7 8 100 200 30 12 20 0 1 0 99 1 1";
        assert_eq!(children_ticks(stat), Some(42));
        assert_eq!(children_ticks("garbage"), None);
    }
}
