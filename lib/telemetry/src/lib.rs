//! Logging for every service: one line per event on standard error, which PID 1 keeps in a ring.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// openraft tells each step of its state machine at `info`, and at `warn` of every message that did not reach a member
/// that is away: for its developers. What of it is for operators, the store says in its own words, once.
const QUIET: &str = "openraft=error";
/// For who looks closer, at `debug`: those warnings, and still not each step.
const LESS_QUIET: &str = "openraft=warn";

/// Starts logging at `info`, or at what the variable `ORLOP_LOG` asks for (the syntax of `EnvFilter`).
///
/// Times are left out when PID 1 supervises the process (it stamps each line itself); a terminal gets colours.
/// Calling it a second time in one process changes nothing.
pub fn init() {
    init_at(LevelFilter::INFO);
}

/// The same at another level, if the variable does not say otherwise.
pub fn init_at(level: LevelFilter) {
    let filter = filter(&std::env::var("ORLOP_LOG").unwrap_or_default(), level);
    let supervised = std::env::var_os("NOTIFY_SOCKET").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // The only error is "already set", which is what a second call means.
    let _ = if supervised { builder.without_time().try_init() } else { builder.try_init() };
}

/// What is let through: what was asked for, with libraries kept quiet about which nothing was said.
fn filter(wanted: &str, level: LevelFilter) -> EnvFilter {
    let level = level.to_string();
    let asked = EnvFilter::try_new(wanted).ok().filter(|_| !wanted.is_empty());
    let (directives, filter) = match asked {
        Some(asked) => (wanted, asked),
        None => (&*level, EnvFilter::new(&level)),
    };
    let closer = filter.max_level_hint().is_none_or(|most| most >= LevelFilter::DEBUG);
    // What was asked for comes last: it may say something else about openraft.
    EnvFilter::new(format!("{},{directives}", if closer { LESS_QUIET } else { QUIET }))
}

/// Tells the supervisor that this service is ready (the `sd_notify` datagram protocol); nothing happens without one.
///
/// The variable `NOTIFY_SOCKET` holds the path of the datagram socket.
pub fn notify_ready() {
    notify("READY=1");
}

/// Sends one `sd_notify` state line, for example `STATUS=waiting for the store`.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let sent = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(state.as_bytes(), &path));
    if let Err(error) = sent {
        tracing::warn!(%error, state, "the supervisor could not be told");
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of some events are let through.
    fn said(wanted: &str, level: LevelFilter) -> Vec<String> {
        let lines = Lines::default();
        let writer = lines.clone();
        let builder = tracing_subscriber::fmt().with_env_filter(filter(wanted, level)).without_time().with_ansi(false);
        tracing::subscriber::with_default(builder.with_writer(move || writer.clone()).finish(), || {
            tracing::error!(target: "openraft::core", "raft-error");
            tracing::warn!(target: "openraft::replication", "raft-warning");
            tracing::info!(target: "openraft::engine", "raft-step");
            tracing::info!(target: "store", "own-info");
            tracing::debug!(target: "store", "own-debug");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines().filter_map(|line| line.split_whitespace().last().map(str::to_owned)).collect()
    }

    #[test]
    fn openraft_is_quiet_until_somebody_looks_closer() {
        assert_eq!(said("", LevelFilter::INFO), ["raft-error", "own-info"]);
        assert_eq!(said("info", LevelFilter::INFO), ["raft-error", "own-info"]);
        assert_eq!(said("", LevelFilter::ERROR), ["raft-error"]);
        let closer = ["raft-error", "raft-warning", "own-info", "own-debug"];
        assert_eq!(said("", LevelFilter::DEBUG), closer);
        assert_eq!(said("debug", LevelFilter::INFO), closer);
        assert_eq!(said("error,openraft=info", LevelFilter::INFO), ["raft-error", "raft-warning", "raft-step"]);
        // What cannot be read counts as nothing.
        assert_eq!(said("a=b=c", LevelFilter::INFO), ["raft-error", "own-info"]);
    }
}
