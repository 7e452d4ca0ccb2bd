//! What PID 1 is told and asks on its control socket: one JSON object per line, one answer (or a stream) per request.
//!
//! The socket is [`SOCKET`]; only root may connect. A connection carries one request. [`accounts`] says as whom each
//! service runs.

pub mod accounts;

use serde::{Deserialize, Serialize};

/// Where PID 1 listens.
pub const SOCKET: &str = "/run/init/control.sock";

/// A question or an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Request {
    /// The state of PID 1 and of every service. Answered by [`Answer::Services`].
    Services,
    /// The log ring of one service (or of `init` itself). Answered by [`Answer::LogLine`] lines, then end of stream.
    Logs {
        /// Name of the service.
        service: String,
        /// At most this many of the newest lines; `None` for all that the ring holds.
        tail: Option<u32>,
        /// Keep the stream open and send lines as they come.
        follow: bool,
    },
    /// Every step of this boot with its time. Answered by [`Answer::Timeline`].
    Timeline,
    /// Stop and start a service, outside its back-off. Answered by [`Answer::Done`] when ordered.
    Restart {
        /// Name of the service.
        service: String,
    },
    /// Send a signal to the main process of a service. Answered by [`Answer::Done`] when sent.
    Signal {
        /// Name of the service.
        service: String,
        /// Signal number, for example 9.
        signal: i32,
    },
    /// Stop everything and end the machine. Answered by [`Answer::Done`] when the ladder has begun.
    Shutdown {
        /// How the machine ends.
        mode: ShutdownMode,
        /// Who asked and why; printed on the console.
        reason: String,
    },
}

/// How the machine ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ShutdownMode {
    /// Switch the power off.
    PowerOff,
    /// Start again.
    Reboot,
}

/// What PID 1 answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// The order was accepted.
    Done,
    /// The request cannot be carried out; the text names what is wrong.
    Refused(String),
    /// PID 1 itself as `init`, then all services in start order.
    Services(Vec<ServiceStatus>),
    /// One line of a log.
    LogLine(LogLine),
    /// The steps of this boot, in order.
    Timeline(Vec<TimelineStep>),
}

/// One service as PID 1 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Name, for example `store`.
    pub name: String,
    /// `waiting`, `down`, `starting`, `running` (alive, not ready yet), `ready`, `stopping`.
    pub state: String,
    /// The main process, if there is one.
    pub pid: Option<u32>,
    /// Times the service was started again after its first start.
    pub restarts: u32,
    /// Why the last process ended, for example `killed by signal 9`.
    pub last_exit: Option<String>,
    /// Last `STATUS=` text that the service sent.
    pub status_text: Option<String>,
    /// Milliseconds since the kernel started, of the last change of state.
    pub since_ms: u64,
    /// Its working set in bytes, when known: the memory of its group without page cache that can be dropped at once.
    pub memory_bytes: Option<u64>,
    /// What the kernel lets its main process do, when there is one.
    pub confinement: Option<Confinement>,
}

/// What the kernel says of a process' powers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confinement {
    /// Number of its user.
    pub user: u32,
    /// Number of its group.
    pub group: u32,
    /// Parts of root's power that it has or can get, by their names in the kernel without `CAP_`, in lower case.
    pub capabilities: Vec<String>,
    /// Whether it can never gain privileges by running a program.
    pub no_new_privileges: bool,
    /// Whether its system calls are filtered.
    pub filtered: bool,
}

/// One line of a log ring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogLine {
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// The text without its line end.
    pub text: String,
}

/// One step of the boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TimelineStep {
    /// Milliseconds since the kernel started.
    pub uptime_ms: u64,
    /// For example `initramfs`, `init`, `store starting`, `store ready`.
    pub what: String,
}
