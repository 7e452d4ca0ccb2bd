//! Which mounts must be taken down before the machine ends, and in which order.

/// File systems that hold nothing to write back, or that the last steps of shutdown still need.
const LEFT_ALONE: [&str; 14] = [
    "autofs",
    "bpf",
    "cgroup2",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "proc",
    "ramfs",
    "rootfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

/// Reads `/proc/self/mountinfo` and returns the mount points to unmount, the newest first.
///
/// Lines that cannot be read are skipped: at this point there is nobody left who could repair them.
#[must_use]
pub fn to_unmount(mountinfo: &str) -> Vec<String> {
    let mut targets: Vec<String> = mountinfo.lines().filter_map(target).collect();
    targets.reverse();
    targets
}

/// The mount point of one line, if it is one to unmount.
fn target(line: &str) -> Option<String> {
    let (mount, file_system) = line.split_once(" - ")?;
    let kind = file_system.split(' ').next()?;
    let target = unescape(mount.split(' ').nth(4)?);
    (target != "/" && !LEFT_ALONE.contains(&kind)).then_some(target)
}

/// Undoes the kernel's `\ooo` for spaces, tabs, newlines and backslashes.
fn unescape(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escaped = (byte == b'\\')
            .then(|| tail.get(..3))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        if let Some(value) = escaped {
            plain.push(value);
            rest = &tail[3..];
        } else {
            plain.push(byte);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_unmounted_newest_first_and_the_rest_is_left_alone() {
        let mountinfo = "\
            22 1 7:0 / / ro,relatime - squashfs /dev/loop0 ro\n\
            23 22 0:5 / /dev rw - devtmpfs dev rw\n\
            30 22 254:1 / /state rw,nosuid shared:1 - ext4 /dev/vda1 rw\n\
            31 22 254:2 / /var rw,nosuid master:2 propagate_from:3 - ext4 /dev/vda2 rw\n\
            broken\n\
            32 31 254:3 / /var/a\\040b rw - xfs /dev/vdb rw\n";
        assert_eq!(to_unmount(mountinfo), ["/var/a b", "/var", "/state"]);
    }

    #[test]
    fn odd_escapes_stay_as_they_are() {
        assert_eq!(unescape("a\\134b"), "a\\b");
        assert_eq!(unescape("a\\9zz\\04"), "a\\9zz\\04");
    }
}
