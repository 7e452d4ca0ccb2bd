//! What runs on a node, in which order, and with how much of the machine.

use std::time::Duration;

use crate::confinement::{self, Confinement};
use crate::service::Policy;

/// Where the programs are; the program of a service has the service's name.
pub const PROGRAMS: &str = "/usr/bin";

/// Where the arguments of a service are read at each start: `<name>.args`, one per line.
pub const ARGUMENTS: &str = "/run/services";

/// One row of the table of services.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// Name of the service, of its program, of its group and of its arguments file.
    pub name: &'static str,
    /// Started only after each of these was ready once since boot. All of them stand earlier in the table.
    ///
    /// Once is enough: what a dependency prepares (mounts, credentials, an address) outlives it, and a service that can
    /// be restarted alone must not wait for another one that is in trouble.
    pub after: &'static [&'static str],
    /// Whether it may be started without an arguments file.
    pub arguments: Arguments,
    /// Its deadlines.
    pub policy: Policy,
    /// Its part of the memory.
    pub memory: MemoryShare,
    /// The most processes and threads it may have. A runaway hits this bound instead of the machine's.
    pub tasks: u32,
    /// Who is killed first when the machine has no memory left: lower is later (-1000 to 1000).
    pub oom_score: i16,
    /// What it may do to the machine.
    pub confinement: Confinement,
}

/// Whether a service can start without an arguments file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// No file means no arguments.
    Optional,
    /// No file means that the service is not configured yet: the start fails and is tried again.
    Required,
}

/// How much memory a service may use: a share of the machine, but never less than a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShare {
    /// On a small machine.
    pub floor_mib: u32,
    /// On a large one.
    pub percent: u8,
}

/// Bounds for the memory of a group, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Above this the group is slowed down and its page cache reclaimed.
    pub high: u64,
    /// Above this the group is killed (and started again): better one service than the machine.
    pub max: u64,
}

impl MemoryShare {
    /// The bounds on a machine with `total` bytes of memory.
    ///
    /// # Guarantees
    ///
    /// `high` is below `max`, and both grow with `total`.
    #[must_use]
    pub fn limits(self, total: u64) -> MemoryLimits {
        let floor = u64::from(self.floor_mib) << 20;
        let high = floor.max(total / 100 * u64::from(self.percent));
        MemoryLimits { high, max: high + high / 4 }
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Deadlines shared by all services; the rows change what differs.
///
/// `ready_within` is generous because an emulated CPU is twenty times slower than a real one: it catches services that hang,
/// not slow ones. `restart_first` keeps a single crash down to a blink, `restart_last` keeps a crash loop from eating the
/// machine and the log, and `healthy_after` is longer than any crash loop's turn.
const USUAL: Policy = Policy {
    ready_within: seconds(120),
    grace: seconds(5),
    restart_first: Duration::from_millis(250),
    restart_last: seconds(30),
    healthy_after: seconds(20),
};

/// All services, each after the ones it depends on.
pub const SERVICES: [Spec; 4] = [
    // Disks, network, time, identity and credentials; the machine API. Everything else waits for it once.
    Spec {
        name: "machined",
        after: &[],
        arguments: Arguments::Optional,
        // The first boot formats disks and makes keys.
        policy: Policy { ready_within: seconds(300), ..USUAL },
        memory: MemoryShare { floor_mib: 160, percent: 5 },
        tasks: 512,
        oom_score: -900,
        confinement: confinement::MACHINED,
    },
    Spec {
        name: "store",
        after: &["machined"],
        arguments: Arguments::Required,
        // Opening a large data directory replays its log; stopping flushes it.
        policy: Policy { ready_within: seconds(300), grace: seconds(15), ..USUAL },
        memory: MemoryShare { floor_mib: 384, percent: 35 },
        tasks: 2048,
        oom_score: -800,
        confinement: confinement::STORE,
    },
    Spec {
        name: "kube-apiserver",
        after: &["store"],
        arguments: Arguments::Required,
        // Open watches are ended in order.
        policy: Policy { grace: seconds(10), ..USUAL },
        memory: MemoryShare { floor_mib: 384, percent: 40 },
        tasks: 2048,
        oom_score: -700,
        confinement: confinement::KUBE_APISERVER,
    },
    Spec {
        name: "kube-controller-manager",
        after: &["kube-apiserver"],
        arguments: Arguments::Required,
        policy: USUAL,
        memory: MemoryShare { floor_mib: 128, percent: 15 },
        tasks: 1024,
        oom_score: 0,
        confinement: confinement::KUBE_CONTROLLER_MANAGER,
    },
];

/// Whether each dependency stands earlier in the table, which makes the table its own start order and rules out circles.
const fn in_order(table: &[Spec]) -> bool {
    let mut row = 0;
    while row < table.len() {
        let mut need = 0;
        while need < table[row].after.len() {
            let mut found = false;
            let mut earlier = 0;
            while earlier < row {
                found = found || same(table[earlier].name, table[row].after[need]);
                earlier += 1;
            }
            if !found {
                return false;
            }
            need += 1;
        }
        row += 1;
    }
    true
}

const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut place = 0;
    while place < left.len() {
        if left[place] != right[place] {
            return false;
        }
        place += 1;
    }
    true
}

const _: () = assert!(in_order(&SERVICES), "a service stands before one that it depends on");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_out_of_order_is_noticed() {
        let mut table = SERVICES;
        table.swap(0, 1);
        assert!(!in_order(&table));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SERVICES.iter().map(|spec| spec.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERVICES.len());
    }

    #[test]
    fn memory_has_a_floor_and_grows_with_the_machine() {
        let share = MemoryShare { floor_mib: 100, percent: 10 };
        assert_eq!(share.limits(512 << 20), MemoryLimits { high: 100 << 20, max: 125 << 20 });
        assert_eq!(share.limits(100_000_000_000).high, 10_000_000_000);
    }
}
