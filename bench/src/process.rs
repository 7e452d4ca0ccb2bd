//! What the kernel says of a running server.

use std::fs;
use std::time::Duration;

/// The unit of `/proc/<pid>/stat`, part of the kernel's interface on every architecture we build on.
const TICKS_PER_SECOND: u64 = 100;

/// Processor time of a process so far, with all its threads; zero when it is gone.
pub fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    Duration::from_millis(ticks(&stat).unwrap_or(0) * 1000 / TICKS_PER_SECOND)
}

/// `utime + stime`, the 14th and 15th field; the 2nd is a name in parentheses that may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

/// The memory a process has resident, in bytes.
pub fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, "VmRSS:") << 10
}

/// The most memory a process has had resident, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    kilobytes(&status, "VmHWM:") << 10
}

fn kilobytes(status: &str, field: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_behind_the_name() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn our_own_memory_is_known() {
        let peak = peak_memory(std::process::id());
        assert!(peak > 1 << 20, "{peak}");
        assert_eq!(kilobytes("VmHWM:\t   123 kB\n", "VmHWM:"), 123);
    }
}
