//! The parts of root's power, as the kernel numbers and names them.

use std::fmt;

/// One part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// Give files to another user.
    pub const CHOWN: Self = Self(0);
    /// Serve on ports below 1024.
    pub const NET_BIND_SERVICE: Self = Self(10);
    /// Set up interfaces, addresses and routes.
    pub const NET_ADMIN: Self = Self(12);
    /// Mount, name the machine, and much else: the widest of all.
    pub const SYS_ADMIN: Self = Self(21);
    /// Set the clock.
    pub const SYS_TIME: Self = Self(25);
    /// Read the kernel's log.
    pub const SYSLOG: Self = Self(34);

    /// The kernel's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Those in a set, as `/proc` shows one: bit `n` for number `n`.
    pub fn in_set(set: u64) -> impl Iterator<Item = Self> {
        (0..64).filter(move |number| set >> number & 1 == 1).map(Self)
    }
}

impl fmt::Display for Capability {
    /// The kernel's name without `CAP_`, in lower case; the number where this list ends before the kernel's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_kernels_names() {
        let named = [
            (Capability::CHOWN, "chown"),
            (Capability::NET_BIND_SERVICE, "net_bind_service"),
            (Capability::NET_ADMIN, "net_admin"),
            (Capability::SYS_ADMIN, "sys_admin"),
            (Capability::SYS_TIME, "sys_time"),
            (Capability::SYSLOG, "syslog"),
        ];
        for (capability, name) in named {
            assert_eq!(capability.to_string(), name);
        }
        let set: Vec<String> = Capability::in_set(1 << 63 | 1 << 40 | 1).map(|one| one.to_string()).collect();
        assert_eq!(set, ["chown", "checkpoint_restore", "63"]);
    }
}
