//! What PID 1 did by itself or was told at the machine, read from its own log: the local triggers of the audit log.
//!
//! Its lines are `shutdown: <how> (<why>)` and `service <name>: <what>`. What belongs to every start and stop is left out;
//! a line of a kind that is not known here is taken.

/// Endings of the lines that belong to every start and every stop.
const ROUTINE: [&str; 3] = [": starting", ": ready", ": stopping"];

/// Something that happened, as the audit log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// `shutdown` or `service`.
    pub what: &'static str,
    /// PID 1's words, and when they were said.
    pub detail: String,
}

/// Reads a line of PID 1's log; `None` if it is nothing to keep. `uptime_ms` is when it was said.
#[must_use]
pub fn read(uptime_ms: u64, line: &str) -> Option<Trigger> {
    let what = ["shutdown", "service"]
        .into_iter()
        .find(|what| line.strip_prefix(what).is_some_and(|rest| rest.starts_with(": ") || rest.starts_with(' ')))?;
    if ROUTINE.iter().any(|routine| line.ends_with(routine)) {
        return None;
    }
    // The time in front: the text is cut when it is long.
    Some(Trigger { what, detail: format!("{uptime_ms} ms: {line}") })
}

/// When the line was said that a record's detail is made of: how a reader knows where it stopped.
#[must_use]
pub fn uptime_ms(detail: &str) -> Option<u64> {
    detail.split_once(" ms: ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pid_1_did_by_itself_is_kept() {
        for (line, what) in [
            ("shutdown: reboot (Ctrl-Alt-Del)", "shutdown"),
            ("shutdown: power off (power is failing)", "shutdown"),
            ("service store: exited (killed by signal 9)", "service"),
            ("service store: not ready in time, stopping", "service"),
            ("service store: restart by order", "service"),
        ] {
            let trigger = read(1_234, line).expect(line);
            assert_eq!((trigger.what, uptime_ms(&trigger.detail)), (what, Some(1_234)));
            assert!(trigger.detail.ends_with(line));
        }
    }

    #[test]
    fn what_belongs_to_every_boot_is_not() {
        for line in [
            "service store: starting",
            "service store: ready",
            "service store: stopping",
            "init: mounted /run",
            "services are fine",
            "",
        ] {
            assert_eq!(read(1, line), None, "{line}");
        }
        for detail in ["", "x ms: y", "12", "-1 ms: x"] {
            assert_eq!(uptime_ms(detail), None, "{detail}");
        }
    }
}
