//! What the kernel tells of this process.

use std::fmt::Write as _;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::head;

/// The process's own figures, as far as the kernel tells them.
pub(super) fn write(out: &mut String, started: Instant) {
    let start = SystemTime::now() - started.elapsed();
    let start = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    head(out, "process_start_time_seconds", "gauge", "Start of the process since the epoch.");
    let _ = writeln!(out, "process_start_time_seconds {start}");
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let kilobytes = |name: &str| -> Option<u64> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        for (name, field) in [("process_resident_memory_bytes", "VmRSS:"), ("process_virtual_memory_bytes", "VmSize:")]
        {
            if let Some(kilobytes) = kilobytes(field) {
                head(out, name, "gauge", "Memory of the process.");
                let _ = writeln!(out, "{name} {}", kilobytes * 1024);
            }
        }
    }
    if let Ok(entries) = std::fs::read_dir("/proc/self/fd") {
        head(out, "process_open_fds", "gauge", "Open file descriptors.");
        let _ = writeln!(out, "process_open_fds {}", entries.count());
    }
    if let Ok(stat) = std::fs::read_to_string("/proc/self/stat") {
        // Fields 14 and 15, counted behind the command in parentheses, in ticks of 1/100 s on every Linux of ours.
        let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: u64 = behind.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        head(out, "process_cpu_seconds_total", "counter", "Processor time used.");
        let _ = writeln!(out, "process_cpu_seconds_total {}", ticks as f64 / 100.0);
    }
}
