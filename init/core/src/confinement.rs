//! What each service may do to the machine: one row per service, put into force by PID 1 before the service's first
//! instruction. What a row does not name, the service cannot do.
//!
//! | | machined | store | kube-apiserver | kube-controller-manager |
//! |---|---|---|---|---|
//! | user | root | its own | its own | its own |
//! | root's powers | six | none | none | none |
//! | writes | what root owns | its data | nothing | nothing |
//! | reads | what root owns | its keys, settings | its keys, settings | its keys, settings |
//! | listens on | 50000 | 2379-2381 | 6443 | 10257 |
//! | connects to | anything | anything | anything | 6443 |
//! | runs programs | the file system tools | no | no | no |
//!
//! Common to all: no way to gain privileges, no memory dump, no locked memory, no signal to a process outside, no abstract
//! socket of others, sockets of the listed families only.

use supervision::accounts::{self, Account};

use crate::capability::Capability;
use crate::system_calls::{FORBIDDEN, FORBIDDEN_TO_MACHINE, MACHINE, WORK};

/// What one service may do.
#[derive(Debug, Clone, Copy)]
pub struct Confinement {
    /// As whom it runs; its group is the only one it is in.
    pub account: Account,
    /// What it has of root's power.
    pub capabilities: &'static [Capability],
    /// Which files it reaches, besides those its user may not.
    pub files: Files,
    /// TCP ports it may listen on.
    pub listens: &'static [u16],
    /// TCP ports it may connect to; `None` for all.
    pub connects: Option<&'static [u16]>,
    /// Kinds of sockets it may make. Others do not exist for it.
    pub sockets: &'static [Family],
    /// System calls that work.
    pub allowed: &'static [&'static [&'static str]],
    /// System calls that end it.
    pub forbidden: &'static [&'static [&'static str]],
    /// Whether it may start processes and load code from files that it may read; if not, it has threads only, and no
    /// memory of it can be made executable.
    pub starts_programs: bool,
    /// The most descriptors it may have open.
    pub open_files: u64,
}

/// Which files a service reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// All that its user may. Only for the one that mounts: the kernel lets nobody mount whose files are limited.
    AsItsUser,
    /// These and [`COMMON`], as far as its user may, and its own program. Folders count with everything in them; what is missing when the
    /// service starts stays out of reach.
    Only {
        /// Files it may read, folders it may list.
        read: &'static [&'static str],
        /// Folders in which it may do anything but run programs.
        write: &'static [&'static str],
    },
}

/// Kinds of sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Local ones.
    Unix,
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
    /// The kernel's own, to set up the network.
    Netlink,
}

/// What every service with its own files may read besides them, as far as its user may: settings of the image, what the
/// kernel says of the service itself (of others it says nothing), how many processors there are, and random numbers.
pub const COMMON: &[&str] = &["/dev/random", "/dev/urandom", "/etc", "/proc", "/sys/devices/system/cpu"];

/// A watch or a client is a descriptor, and there may be many; a store has a file for each of its tables, too.
const MANY: u64 = 1 << 20;
/// Enough for a service with few clients; a leak is seen before it has taken the kernel's memory.
const FEW: u64 = 4096;

/// The network as programs use it, and the socket by which PID 1 is told that the service is ready.
const ORDINARY: &[Family] = &[Family::Unix, Family::Inet, Family::Inet6];

/// A service that only works on its own files and sockets.
const ORDINARY_SERVICE: Confinement = Confinement {
    account: accounts::ROOT,
    capabilities: &[],
    files: Files::Only { read: &[], write: &[] },
    listens: &[],
    connects: Some(&[]),
    sockets: ORDINARY,
    allowed: WORK,
    forbidden: FORBIDDEN,
    starts_programs: false,
    open_files: FEW,
};

/// It sets up the machine, so it is root; but with as little of root's power as that takes.
pub const MACHINED: Confinement = Confinement {
    account: accounts::ROOT,
    capabilities: &[
        // Keys and data are given to the services that they are for.
        Capability::CHOWN,
        // DHCP answers come to port 68.
        Capability::NET_BIND_SERVICE,
        // Addresses and routes.
        Capability::NET_ADMIN,
        // STATE and DATA are mounted, partitions are made known, the machine gets its name.
        Capability::SYS_ADMIN,
        // The clock follows a time server.
        Capability::SYS_TIME,
        // The operator reads the kernel's log through the machine API.
        Capability::SYSLOG,
    ],
    files: Files::AsItsUser,
    listens: &[50_000],
    connects: None,
    sockets: &[Family::Unix, Family::Inet, Family::Inet6, Family::Netlink],
    allowed: MACHINE,
    forbidden: FORBIDDEN_TO_MACHINE,
    // `e2fsck` and `mke2fs`, which are linked dynamically.
    starts_programs: true,
    open_files: FEW,
};

/// It connects to members at their addresses, and to where its log is kept elsewhere. RocksDB asks the disk for the size of
/// its blocks.
pub const STORE: Confinement = Confinement {
    account: accounts::STORE,
    files: Files::Only {
        read: &["/run/credentials/store", "/run/network", "/sys/devices"],
        write: &["/var/lib/store"],
    },
    listens: &[2379, 2380, 2381],
    connects: None,
    open_files: MANY,
    ..ORDINARY_SERVICE
};

/// It connects to the store, and to whatever objects name: webhooks, issuers of tokens, aggregated servers.
pub const KUBE_APISERVER: Confinement = Confinement {
    account: accounts::KUBE_APISERVER,
    files: Files::Only { read: &["/run/credentials/kube-apiserver", "/run/network"], write: &[] },
    listens: &[6443],
    connects: None,
    open_files: MANY,
    ..ORDINARY_SERVICE
};

/// It talks to the API server of its own machine only.
pub const KUBE_CONTROLLER_MANAGER: Confinement = Confinement {
    account: accounts::KUBE_CONTROLLER_MANAGER,
    files: Files::Only { read: &["/run/credentials/kube-controller-manager"], write: &[] },
    listens: &[10257],
    connects: Some(&[6443]),
    ..ORDINARY_SERVICE
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::SERVICES;

    #[test]
    fn a_service_runs_under_its_own_name_except_for_the_one_that_sets_the_machine_up() {
        for spec in &SERVICES {
            let name = if spec.name == "machined" { "root" } else { spec.name };
            assert_eq!(spec.confinement.account.name, name);
        }
        let mut ids: Vec<u32> = SERVICES.iter().map(|spec| spec.confinement.account.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), SERVICES.len());
    }

    #[test]
    fn only_root_has_powers_starts_programs_and_reaches_more_than_its_own_files() {
        for Confinement { account, capabilities, files, starts_programs, .. } in SERVICES.map(|spec| spec.confinement) {
            let root = account == accounts::ROOT;
            assert_eq!(!capabilities.is_empty(), root, "{account:?}");
            assert_eq!(starts_programs, root, "{account:?}");
            assert_eq!(files == Files::AsItsUser, root, "{account:?}");
        }
    }

    #[test]
    fn nobody_reads_keys_or_writes_data_of_another() {
        for spec in &SERVICES {
            let Files::Only { read, write } = spec.confinement.files else { continue };
            for path in read.iter().chain(write).chain(COMMON) {
                assert!(path.starts_with('/') && !path.ends_with('/'), "{path}");
                for private in ["/run", "/run/credentials", "/run/services", "/state", "/var", "/var/lib"] {
                    assert_ne!(*path, private, "{}", spec.name);
                }
                let owned = ["/run/credentials/", "/var/lib/"].iter().find_map(|above| path.strip_prefix(above));
                assert!(owned.is_none_or(|owner| owner == spec.name), "{} reaches {path}", spec.name);
            }
        }
    }

    #[test]
    fn no_port_is_served_twice() {
        let mut ports: Vec<u16> = SERVICES.iter().flat_map(|spec| spec.confinement.listens).copied().collect();
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all);
    }
}
