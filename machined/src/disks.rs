//! From the disks of the machine to `/state` and `/var`.

mod filesystem;
mod format;
mod scan;

use std::path::Path;
use std::time::{Duration, Instant};

use chain::Chain;
use machined_core::disk::{self, Permission, Plan};
use supervision::accounts::STORE;

use crate::report::Report;

/// Where identity and configuration are mounted.
pub(crate) const STATE: &str = "/state";
/// Where the store's data is mounted.
pub(crate) const VAR: &str = "/var";

/// How long a disk may take to appear after the kernel has started the programs. Most are there already; disks on NVM Express and USB
/// are found in the background.
const LATE: Duration = Duration::from_secs(2);
/// A blank disk is formatted only after no other disk has appeared for this long.
const SETTLED: Duration = Duration::from_millis(300);
/// How often the list of disks is read while waiting.
const LOOK: Duration = Duration::from_millis(50);

/// What `/state` and `/var` are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Storage {
    /// On a disk: what is written stays.
    Disk,
    /// In memory, because there is no usable disk.
    Memory,
    /// In memory, because there is state on a disk that cannot be used: no service may start on an empty one.
    Held,
}

/// Why not even memory could be mounted.
#[derive(Debug, thiserror::Error)]
#[error("mount memory at {target}")]
pub(crate) struct Error {
    target: &'static str,
    #[source]
    source: filesystem::Error,
}

/// Finds, checks, formats if the rule allows it, and mounts. What went wrong is in the report. Blocks.
pub(crate) fn prepare(permission: Permission<'_>, report: &Report) -> Result<Storage, Error> {
    if filesystem::is_mounted(STATE) && filesystem::is_mounted(VAR) {
        // machined itself was started again.
        return Ok(if filesystem::is_in_memory(STATE) { Storage::Memory } else { Storage::Disk });
    }
    let storage = match settle(permission) {
        Plan::Use { state, data } => use_partitions(&state, &data, report),
        Plan::Format { disk } => {
            tracing::info!(disk, "the disk is blank and gets partitions for state and data");
            match format::format(&disk) {
                Ok(made) => use_partitions(&made.state, &made.data, report),
                Err(error) => {
                    // Its partitions keep their unfinished names, so the next boot begins again.
                    report.error(
                        "disk",
                        format!(
                            "disk {disk} could not be formatted: {}; running from memory, nothing is kept",
                            Chain(&error)
                        ),
                    );
                    Storage::Memory
                }
            }
        }
        Plan::Memory { why } => {
            report.warn("disk", format!("{why}; running from memory, nothing is kept at power-off"));
            Storage::Memory
        }
        Plan::Hold { why } => {
            report.error("disk", format!("{why}; nothing was changed, and no service is started"));
            Storage::Held
        }
    };
    if storage != Storage::Disk {
        for (target, options) in [(STATE, "mode=0755,size=32m"), (VAR, "mode=0755,size=50%")] {
            filesystem::mount_memory(target, options).map_err(|source| Error { target, source })?;
        }
    }
    Ok(storage)
}

/// Looks until there is a plan that would not get better by waiting.
fn settle(permission: Permission<'_>) -> Plan {
    let start = Instant::now();
    let mut changed = start;
    let mut disks = scan::disks();
    loop {
        let plan = disk::plan(&disks, permission);
        let now = Instant::now();
        let ready = match plan {
            Plan::Use { .. } => true,
            Plan::Format { .. } => now - changed >= SETTLED,
            Plan::Memory { .. } | Plan::Hold { .. } => now - start >= LATE,
        };
        if ready {
            return plan;
        }
        std::thread::sleep(LOOK);
        let again = scan::disks();
        if again != disks {
            disks = again;
            changed = Instant::now();
        }
    }
}

fn use_partitions(state: &str, data: &str, report: &Report) -> Storage {
    // The store opens on a full disk by giving up what it holds in reserve, which must not fall to root's share of the disk.
    for (device, target, last) in [(state, STATE, 0), (data, VAR, STORE.id)] {
        let device = Path::new("/dev").join(device);
        match filesystem::check_and_mount(&device, target, last) {
            Ok(filesystem::Checked::Clean) => {}
            Ok(filesystem::Checked::Repaired) => {
                report.info("disk", format!("the file system on {} was repaired", device.display()));
            }
            Err(error) => {
                report
                    .error("disk", format!("{}; nothing was changed on it, and no service is started", Chain(&error)));
                // What is mounted already must not be written to while the other half is missing.
                filesystem::unmount(STATE);
                return Storage::Held;
            }
        }
    }
    Storage::Disk
}
