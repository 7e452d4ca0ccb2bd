//! What the kernel knows of this process, under the names every Prometheus client uses.

use std::fmt::Write;
use std::fs;

/// In which parts of a second the kernel tells times to programs: a hundred, on every machine it runs on here.
const TICKS: f64 = 100.0;

/// In Prometheus' text form. What cannot be read is left out.
pub fn render(out: &mut String) {
    let mut line = |name: &str, kind: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "# TYPE {name} {kind}\n{name} {value}");
        }
    };
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (stat, status, limits) = (read("/proc/self/stat"), read("/proc/self/status"), read("/proc/self/limits"));
    line("process_cpu_seconds_total", "counter", cpu_seconds(&stat));
    line("process_resident_memory_bytes", "gauge", kilobytes(&status, "VmRSS:"));
    line("process_virtual_memory_bytes", "gauge", kilobytes(&status, "VmSize:"));
    line("process_start_time_seconds", "gauge", start_time(&stat, &read("/proc/stat")));
    let open = fs::read_dir("/proc/self/fd").ok().map(|folder| folder.count() as f64);
    let most = most_files(&limits);
    line("process_open_fds", "gauge", open);
    line("process_max_fds", "gauge", most);
    // The same under etcd's names.
    line("os_fd_used", "gauge", open);
    line("os_fd_limit", "gauge", most);
}

/// The fields of `/proc/self/stat` behind the name, which may itself hold anything. The first is the third of the manual.
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_ascii_whitespace()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut times = fields(stat).skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS)
}

fn start_time(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    let since: f64 = fields(stat).nth(19)?.parse().ok()?;
    Some(boot + since / TICKS)
}

fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
}

fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let stat = "77 (a (b) c) S 1 77 77 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 9 0 3000 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_time(stat, "cpu 1 2\nbtime 1000\n"), Some(1030.0));
        assert_eq!(kilobytes("VmSize:\t  10 kB\nVmRSS:\t  2 kB\n", "VmRSS:"), Some(2048.0));
        assert_eq!(
            most_files("Max open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
        assert_eq!((cpu_seconds(""), start_time("", ""), most_files("")), (None, None, None));
        let mut text = String::new();
        render(&mut text);
        for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            assert!(text.contains(&format!("\n{name} ")), "{text}");
        }
    }
}
