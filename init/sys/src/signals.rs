//! Signals to PID 1 as something to read, and the one to everybody.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

/// What a signal to PID 1 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A child ended.
    Child,
    /// Ctrl-Alt-Del was pressed.
    CtrlAltDel,
    /// The power is failing, or a hypervisor wants the machine off.
    PowerFailing,
    /// Somebody wants the machine off.
    Terminate,
}

/// Signals waiting to be read.
#[derive(Debug)]
pub struct Signals(SignalFd);

const WATCHED: [(Signal, Meaning); 4] = [
    (Signal::SIGCHLD, Meaning::Child),
    (Signal::SIGINT, Meaning::CtrlAltDel),
    (Signal::SIGPWR, Meaning::PowerFailing),
    (Signal::SIGTERM, Meaning::Terminate),
];

impl Signals {
    /// Blocks the watched signals in the calling thread, and in every thread and process that it starts later, and makes them
    /// readable instead. Call it before the first thread is started.
    pub fn watch() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for (signal, _) in WATCHED {
            set.add(signal);
        }
        set.thread_block()?;
        Ok(Self(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?))
    }

    /// Takes one signal; `None` if there is none now.
    pub fn take(&mut self) -> io::Result<Option<Meaning>> {
        while let Some(info) = self.0.read_signal()? {
            let known = WATCHED.iter().find(|(signal, _)| (*signal as i32).cast_unsigned() == info.ssi_signo);
            if let Some((_, meaning)) = known {
                return Ok(Some(*meaning));
            }
        }
        Ok(None)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// SIGKILL to every process but the calling one and the kernel's. Only PID 1 may: for others it would be a massacre.
pub fn kill_everything() -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    match kill(Pid::from_raw(-1), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_by_their_meaning() {
        // The mask belongs to this test's own thread.
        let mut signals = Signals::watch().expect("a descriptor");
        assert_eq!(signals.take().expect("no error"), None);
        nix::sys::pthread::pthread_kill(nix::sys::pthread::pthread_self(), Signal::SIGPWR).expect("sent");
        assert_eq!(signals.take().expect("no error"), Some(Meaning::PowerFailing));
        assert_eq!(signals.take().expect("no error"), None);
    }

    #[test]
    fn only_pid_1_may_kill_everything() {
        assert_eq!(kill_everything().expect_err("a refusal").kind(), io::ErrorKind::PermissionDenied);
    }
}
