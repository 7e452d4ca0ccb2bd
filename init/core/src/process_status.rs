//! What `/proc/<pid>/status` says of a process' powers.

use supervision::Confinement;

use crate::capability::Capability;

/// Reads it; `None` if a line is missing or is not what it always was.
#[must_use]
pub fn parse(status: &str) -> Option<Confinement> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_ascii_whitespace().next()
    };
    let set = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
    // What it has, what it can make of what it has, and what a program that it runs can have at most.
    let capabilities = set("CapEff")? | set("CapPrm")? | set("CapInh")? | set("CapAmb")? | set("CapBnd")?;
    Some(Confinement {
        user: field("Uid")?.parse().ok()?,
        group: field("Gid")?.parse().ok()?,
        capabilities: Capability::in_set(capabilities).map(|capability| capability.to_string()).collect(),
        no_new_privileges: field("NoNewPrivs")? == "1",
        // 2 is a filter; 1 would be the four calls of the oldest mode.
        filtered: field("Seccomp")? == "2",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tstore\nUmask:\t0022\nState:\tS (sleeping)\nUid:\t61001\t61001\t61001\t61001\n\
        Gid:\t61001\t61001\t61001\t61001\nGroups:\t \nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
        CapEff:\t0000000000000000\nCapBnd:\t0000000002000001\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t3\n";

    #[test]
    fn powers_are_read() {
        let found = parse(STATUS).expect("a status");
        assert_eq!((found.user, found.group), (61_001, 61_001));
        assert_eq!(found.capabilities, ["chown", "sys_time"]);
        assert!(found.no_new_privileges && found.filtered);
        let loose =
            parse(&STATUS.replace("NoNewPrivs:\t1\nSeccomp:\t2", "NoNewPrivs:\t0\nSeccomp:\t0")).expect("a status");
        assert!(!loose.no_new_privileges && !loose.filtered);
    }

    #[test]
    fn what_is_missing_is_not_made_up() {
        for name in ["Uid", "Gid", "CapBnd", "NoNewPrivs", "Seccomp"] {
            assert_eq!(parse(&STATUS.replace(&format!("{name}:"), "Other:")), None, "{name}");
        }
        assert_eq!(parse(""), None);
    }
}
