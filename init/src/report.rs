//! What PID 1 says: on the consoles, in the kernel's log, and in a ring of its own.

use std::fs::{File, OpenOptions};
use std::io::Write;

use init_core::console::{Level, Severity, line};
use init_core::log::Ring;

use crate::console::Consoles;

/// Bytes of PID 1's own log that are kept. A boot writes about 4 KiB.
const RING_BYTES: usize = 256 * 1024;

/// Everywhere a line goes.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) consoles: Consoles,
    pub(crate) level: Level,
    kernel_log: Option<File>,
    ring: Ring,
}

impl Report {
    /// Says everything on these consoles, and in the kernel's log if that is ours to write.
    pub(crate) fn new(consoles: Consoles, with_kernel_log: bool) -> Self {
        let kernel_log = with_kernel_log.then(|| OpenOptions::new().write(true).open("/dev/kmsg").ok()).flatten();
        Self { consoles, level: Level::default(), kernel_log, ring: Ring::new(RING_BYTES) }
    }

    /// Says one line now.
    pub(crate) fn say(&mut self, severity: Severity, text: impl Into<String>) {
        let (text, now) = (text.into(), crate::now());
        if self.level.shows(severity) {
            self.consoles.write(&line(now, &text));
        }
        if let Some(log) = &mut self.kernel_log {
            // `<15>`: a debug message of a user program, so that the kernel does not print it on the consoles again.
            let _ = log.write_all(format!("<15>orlop: {text}").as_bytes());
        }
        self.ring.push(now, text);
    }

    /// Shows a line of a service's output on the consoles, when they show that much. Its ring is elsewhere.
    pub(crate) fn mirror(&mut self, service: &str, text: &str) {
        if self.level.shows(Severity::Debug) {
            self.consoles.write(&line(crate::now(), &format!("{service}| {text}")));
        }
    }

    /// What was said so far.
    pub(crate) const fn ring(&self) -> &Ring {
        &self.ring
    }
}
