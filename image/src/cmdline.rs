//! The kernel command line, for every medium.

/// What every image boots with. A medium adds to it, nothing takes away from it.
pub(crate) const DEFAULT: &[&str] = &[
    // The screen, and the serial port, which comes last and so is `/dev/console`.
    "console=tty0",
    "console=ttyS0,115200",
    // A kernel that panics restarts after ten seconds: long enough to read, and the crash record is written by then.
    "panic=10",
    // The console belongs to init's own lines; the kernel speaks there only of errors, and of everything in its log.
    "quiet",
    "loglevel=4",
    // Cgroups are of version 2; nothing can mount a version 1 hierarchy beside it.
    "cgroup_no_v1=all",
];

/// The default command line as one string.
pub(crate) fn default_line() -> String {
    DEFAULT.join(" ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_line_fits_the_kernel_and_has_no_gaps() {
        let line = super::default_line();
        // COMMAND_LINE_SIZE of x86 is 2048, and the user's own arguments must fit too.
        assert!(line.len() < 512);
        assert!(line.split(' ').all(|word| !word.is_empty() && word.is_ascii()));
        assert!(line.contains("console=ttyS0"));
    }
}
