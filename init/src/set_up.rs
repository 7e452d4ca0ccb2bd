//! The second stage's first work: mounts, groups, limits, settings. What fails is told and worked around.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use init_core::console::Severity;
use init_core::ids::Uptime;
use init_core::kernel_arguments::KernelArguments;
use init_core::timeline::Timeline;
use init_sys::cgroup::Tree;
use init_sys::confine::enforces_all_rules;
use init_sys::mount::{Flags, Mount, is_mount_point};
use init_sys::notify::NotifySocket;
use init_sys::signals::Signals;
use init_sys::watchdog::Watchdog;
use init_sys::{loopback, power};
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

use crate::console::Consoles;
use crate::ending::in_a_container;
use crate::initramfs::{BEGUN, CARRIED};
use crate::report::Report;

/// PID 1's own directory: its sockets.
const DIRECTORY: &str = "/run/init";
/// Where services say how they are.
pub(crate) const NOTIFY_SOCKET: &str = "/run/init/notify.sock";
/// Where the groups are.
const GROUPS: &str = "/sys/fs/cgroup";
/// The name until somebody knows a better one.
const DEFAULT_HOST_NAME: &str = "orlop";

/// Descriptors that one process may have open: a watch or a client is one, and there may be many.
const OPEN_FILES: u64 = 1_048_576;

/// A machine that does not feed its watchdog for so long is reset. Shorter would reset a machine whose disk is slow, longer
/// keeps a dead control plane in its cluster's quorum.
const WATCHDOG_TIMEOUT: Duration = Duration::from_mins(1);

const STRICT: Flags = Flags::NOSUID.union(Flags::NODEV).union(Flags::NOEXEC);

const fn mount(
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    options: &'static CStr,
) -> Mount<'static> {
    Mount { source, target, kind, flags: STRICT, options }
}

/// Mounts besides those of the first stage, in order.
const MOUNTS: [Mount<'static>; 5] = [
    Mount {
        flags: Flags::NOSUID.union(Flags::NOEXEC),
        ..mount("devpts", "/dev/pts", "devpts", c"gid=5,mode=0620,ptmxmode=0666")
    },
    mount("shm", "/dev/shm", "tmpfs", c"mode=1777"),
    mount("run", "/run", "tmpfs", c"mode=0755,size=25%"),
    mount("tmp", "/tmp", "tmpfs", c"mode=1777,size=25%"),
    mount("cgroup2", GROUPS, "cgroup2", c"nsdelegate,memory_recursiveprot"),
];

/// Settings of the kernel, each with its reason. One that this kernel does not have is skipped.
const SETTINGS: [(&str, &str); 17] = [
    // A machine that panics comes back by itself; an oops leaves the kernel in doubt, so it counts as a panic.
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    // PID 1 writes its lines to the kernel's log, too; the default would drop them after ten.
    ("kernel/printk_devkmsg", "on"),
    // No console key may kill or dump anything.
    ("kernel/sysrq", "0"),
    // Addresses and messages of the kernel help an intruder.
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/perf_event_paranoid", "3"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/yama/ptrace_scope", "2"),
    ("net/core/bpf_jit_harden", "2"),
    // Links and pipes in shared directories cannot be used to trick another user's program.
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_symlinks", "1"),
    ("fs/protected_fifos", "2"),
    ("fs/protected_regular", "2"),
    // A memory dump of a service would hold its keys.
    ("fs/suid_dumpable", "0"),
    // Stores map many files; containers expect memory to be promised freely.
    ("vm/max_map_count", "262144"),
    ("vm/overcommit_memory", "1"),
];

/// What the event loop needs.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) report: Report,
    pub(crate) signals: Signals,
    pub(crate) notify: NotifySocket,
    pub(crate) control: UnixListener,
    /// `None` if the kernel has no groups: services run unbounded.
    pub(crate) tree: Option<Tree>,
    pub(crate) watchdog: Option<Watchdog>,
    /// Steps so far.
    pub(crate) timeline: Timeline,
}

/// Without these PID 1 cannot do its work at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    #[error("cannot read signals")]
    Signals { source: io::Error },
    #[error("cannot make {DIRECTORY}")]
    Directory { source: io::Error },
    #[error("cannot listen at {path}")]
    Listen { path: &'static str, source: io::Error },
}

/// Sets the machine up, as far as it goes.
pub(crate) fn machine() -> Result<Machine, SetUpError> {
    let begun = crate::now();
    // Before the first thread: every thread must have these signals blocked.
    let signals = Signals::watch().map_err(|source| SetUpError::Signals { source })?;
    let contained = in_a_container();
    umask(Mode::from_raw_mode(0o022));
    let mut troubles = mounts(contained);
    let consoles = if contained { Consoles::of_a_container() } else { Consoles::of_the_machine() };
    let mut report = Report::new(consoles, !contained);
    let command_line = if contained { String::new() } else { fs::read_to_string("/proc/cmdline").unwrap_or_default() };
    let arguments = KernelArguments::parse(&command_line);
    report.level = arguments.log;
    report.say(Severity::Step, "boot: init");
    troubles.extend(arguments.problems);
    if !contained {
        troubles.extend(own_the_machine());
    }
    troubles.extend(limits());
    if !enforces_all_rules() {
        troubles.push("this kernel does not know every rule for files and ports that services are to keep".to_owned());
    }
    let tree = groups(&mut troubles);
    let watchdog = if contained { None } else { watchdog(&mut report, &mut troubles) };
    for trouble in troubles {
        report.say(Severity::Warning, trouble);
    }
    let (notify, control) = sockets()?;
    Ok(Machine { report, signals, notify, control, tree, watchdog, timeline: timeline(begun) })
}

fn timeline(begun: Uptime) -> Timeline {
    let mut timeline = Timeline::default();
    timeline.record("kernel", Uptime::from_millis(0));
    if let Some(millis) = std::env::var(BEGUN).ok().and_then(|millis| millis.parse().ok()) {
        timeline.record("initramfs", Uptime::from_millis(millis));
    }
    timeline.record("init", begun);
    timeline
}

/// Mounts everything that is not mounted yet; returns what went wrong.
fn mounts(contained: bool) -> Vec<String> {
    let mut troubles = Vec::new();
    for mount in CARRIED.into_iter().chain(MOUNTS) {
        // The devices and groups of a container are its manager's.
        if contained && matches!(mount.kind, "devtmpfs" | "cgroup2") {
            continue;
        }
        let done = mount.ensure().or_else(|error| {
            // An older kernel refuses options that it does not know.
            Mount { options: c"", ..mount }.ensure().map_err(|_| error)
        });
        if let Err(error) = done {
            troubles.push(format!("cannot mount {} at {}: {error}", mount.kind, mount.target));
        }
    }
    troubles
}

/// What only the PID 1 of a whole machine may set.
fn own_the_machine() -> Vec<String> {
    let mut troubles = Vec::new();
    for (name, value) in SETTINGS {
        // Some settings take nothing without an end of line.
        match fs::write(Path::new("/proc/sys").join(name), format!("{value}\n")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                troubles.push(format!("cannot set {} to {value}: {error}", name.replace('/', ".")));
            }
            Ok(()) | Err(_) => {}
        }
    }
    let name = rustix::system::uname();
    if matches!(name.nodename().to_bytes(), b"" | b"(none)" | b"localhost")
        && let Err(error) = rustix::system::sethostname(DEFAULT_HOST_NAME.as_bytes())
    {
        troubles.push(format!("cannot set the host name: {error}"));
    }
    if let Err(error) = loopback::bring_up() {
        troubles.push(format!("cannot bring the loopback interface up: {error}"));
    }
    if let Err(error) = power::catch_ctrl_alt_del() {
        troubles.push(format!("cannot catch Ctrl-Alt-Del: {error}"));
    }
    troubles
}

/// Limits that every service inherits.
fn limits() -> Vec<String> {
    let mut troubles = Vec::new();
    if setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_err() {
        troubles.push("cannot forbid memory dumps".to_owned());
    }
    if setrlimit(Resource::Nofile, Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) }).is_err() {
        // A container's manager may have set a limit of its own: use all of it.
        let maximum = getrlimit(Resource::Nofile).maximum;
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        troubles.push(format!("open files are limited to {}", maximum.unwrap_or(u64::MAX)));
    }
    troubles
}

fn groups(troubles: &mut Vec<String>) -> Option<Tree> {
    let root = Path::new(GROUPS);
    if !is_mount_point(root).unwrap_or(false) || !root.join("cgroup.procs").exists() {
        troubles.push("no control groups: services run without bounds".to_owned());
        return None;
    }
    match Tree::set_up(root) {
        Ok(tree) => {
            if !tree.missing().is_empty() {
                troubles.push(format!("control groups lack: {}", tree.missing().join(", ")));
            }
            Some(tree)
        }
        Err(error) => {
            troubles.push(format!("cannot set control groups up, services run without bounds: {error}"));
            None
        }
    }
}

fn watchdog(report: &mut Report, troubles: &mut Vec<String>) -> Option<Watchdog> {
    match Watchdog::arm(Path::new("/dev/watchdog"), WATCHDOG_TIMEOUT) {
        Ok(watchdog) => {
            let seconds = watchdog.timeout().as_secs();
            report.say(Severity::Info, format!("watchdog: armed, resets the machine after {seconds} s without food"));
            Some(watchdog)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.say(Severity::Debug, "watchdog: this machine has none");
            None
        }
        Err(error) => {
            troubles.push(format!("watchdog: cannot be armed: {error}"));
            None
        }
    }
}

fn sockets() -> Result<(NotifySocket, UnixListener), SetUpError> {
    fs::create_dir_all(DIRECTORY)
        .and_then(|()| fs::set_permissions(DIRECTORY, fs::Permissions::from_mode(0o711)))
        .map_err(|source| SetUpError::Directory { source })?;
    // Every service may say how it is; the kernel vouches for who said it, and a stranger is not listened to.
    let before = umask(Mode::from_raw_mode(0o111));
    let notify = NotifySocket::bind(Path::new(NOTIFY_SOCKET))
        .map_err(|source| SetUpError::Listen { path: NOTIFY_SOCKET, source });
    // Orders are root's alone: this socket is born closed to everybody else.
    umask(Mode::from_raw_mode(0o177));
    let control =
        listen(supervision::SOCKET).map_err(|source| SetUpError::Listen { path: supervision::SOCKET, source });
    umask(before);
    Ok((notify?, control?))
}

fn listen(path: &str) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
