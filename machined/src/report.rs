//! What is wrong with the machine, told in three places at once: the log, the console, the machine API.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use machined_core::condition::{Condition, Conditions, Severity};

/// The kernel refuses longer records (`PRINTK` keeps 1024 bytes with its own header).
const KERNEL_LINE: usize = 900;

/// The conditions of the machine, shared by all tasks.
#[derive(Debug, Clone)]
pub(crate) struct Report(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    conditions: Mutex<Conditions>,
    console: Option<File>,
}

impl Report {
    /// Begins with nothing wrong. With `console` warnings and errors go to the kernel's log, which every console shows.
    pub(crate) fn new(console: bool) -> Self {
        let console = console.then(|| OpenOptions::new().write(true).open("/dev/kmsg").ok()).flatten();
        Self(Arc::new(Inner { conditions: Mutex::default(), console }))
    }

    /// Good to know.
    pub(crate) fn info(&self, part: &str, message: impl Into<String>) {
        self.set(part, Severity::Info, &message.into());
    }

    /// Works, but not as an operator would want it to.
    pub(crate) fn warn(&self, part: &str, message: impl Into<String>) {
        self.set(part, Severity::Warning, &message.into());
    }

    /// Does not work.
    pub(crate) fn error(&self, part: &str, message: impl Into<String>) {
        self.set(part, Severity::Error, &message.into());
    }

    /// The part is well.
    pub(crate) fn clear(&self, part: &str) {
        if self.conditions().clear(part) {
            tracing::info!(part, "all is well");
        }
    }

    /// All conditions, the worst first.
    pub(crate) fn list(&self) -> Vec<Condition> {
        self.conditions().list()
    }

    fn set(&self, part: &str, severity: Severity, message: &str) {
        if !self.conditions().set(part, severity, message.to_owned()) {
            return;
        }
        match severity {
            Severity::Info => tracing::info!(part, "{message}"),
            Severity::Warning => tracing::warn!(part, "{message}"),
            Severity::Error => tracing::error!(part, "{message}"),
        }
        if severity > Severity::Info {
            self.console(part, message);
        }
    }

    fn console(&self, part: &str, message: &str) {
        let Some(mut console) = self.0.console.as_ref() else { return };
        // Long lists of problems are separated by `; `, and read better one to a line.
        for piece in message.split("; ") {
            let mut line = format!("orlop: {part}: {piece}");
            let end = (0..=KERNEL_LINE.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            line.truncate(end);
            // Level 3 is the least severe one that a quiet console shows. A full log is no reason to stop.
            let _ = console.write_all(format!("<3>{line}\n").as_bytes());
        }
    }

    fn conditions(&self) -> std::sync::MutexGuard<'_, Conditions> {
        // A panic elsewhere leaves the map whole: each change is one call.
        self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
