//! Logging for every service: one line per event on standard error, which PID 1 keeps in a ring.

use tracing_subscriber::EnvFilter;

/// openraft tells each step of its state machine at `info`: for its developers, not for operators.
const QUIET: &str = "openraft=warn";

/// Starts logging at `info` (openraft at `warn`), or at what the variable `ORLOP_LOG` asks for (the syntax of `EnvFilter`).
///
/// Times are left out when PID 1 supervises the process (it stamps each line itself); a terminal gets colours.
/// Calling it a second time in one process changes nothing.
pub fn init() {
    let wanted = std::env::var("ORLOP_LOG").unwrap_or_default();
    // What was asked for comes last: it may say something else about openraft.
    let filter = EnvFilter::try_new(format!("{QUIET},{wanted}"))
        .ok()
        .filter(|_| !wanted.is_empty())
        .unwrap_or_else(|| EnvFilter::new(format!("{QUIET},info")));
    let supervised = std::env::var_os("NOTIFY_SOCKET").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    // The only error is "already set", which is what a second call means.
    let _ = if supervised { builder.without_time().try_init() } else { builder.try_init() };
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
