//! A process that is known by more than its number, so that a signal never hits a stranger that got the number later.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process of this boot of the host: its number, and when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pid: i32,
    /// In ticks since the boot of the host, as `/proc` tells it.
    started: u64,
    boot: String,
}

impl Process {
    /// The process that has this number now. It must be the caller's child, or the number may mean another by now.
    pub fn of(pid: u32) -> io::Result<Self> {
        let pid = i32::try_from(pid).map_err(io::Error::other)?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, started) = parse_stat(&stat).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is odd")))?;
        Ok(Self { pid, started, boot: boot_id()? })
    }

    /// The process's number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs. A process that has ended and was not reaped yet does not.
    pub fn runs(&self) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        let same =
            parse_stat(&stat).is_some_and(|(state, started)| started == self.started && !matches!(state, 'Z' | 'X'));
        same && boot_id().is_ok_and(|boot| boot == self.boot)
    }

    /// Sends SIGKILL to this process and to no other. One that has ended is fine.
    pub fn kill(&self) -> io::Result<()> {
        // The descriptor is opened before the check: from then on the number cannot pass to another process unseen.
        let Some(handle) = self.open()? else { return Ok(()) };
        match pidfd_send_signal(&handle, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end; whether it came before the time was over.
    pub fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let Some(handle) = self.open()? else { return Ok(true) };
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&timeout)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn open(&self) -> io::Result<Option<std::os::fd::OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => Ok(self.runs().then_some(handle)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// State and start time out of `/proc/<pid>/stat`. The name before them may hold spaces and brackets of its own.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The start time is field 22; the state, already taken, is field 3.
    let started = fields.nth(18)?.parse().ok()?;
    Some((state, started))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep").arg("60").spawn().unwrap()
    }

    #[test]
    fn a_name_with_brackets_is_read() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9";
        assert_eq!(parse_stat(stat), Some(('S', 4242)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_killed_process_no_longer_runs() {
        let mut child = sleeper();
        let process = Process::of(child.id()).unwrap();
        assert!(process.runs());
        assert!(!process.wait(Duration::from_millis(20)).unwrap());
        process.kill().unwrap();
        assert!(process.wait(Duration::from_secs(10)).unwrap());
        assert!(!process.runs(), "not reaped yet, but ended");
        child.wait().unwrap();
        assert!(!process.runs());
        process.kill().unwrap();
    }

    #[test]
    fn a_stranger_with_the_same_number_is_left_alone() {
        let mut child = sleeper();
        let mut process = Process::of(child.id()).unwrap();
        process.started += 1;
        process.kill().unwrap();
        assert!(process.wait(Duration::ZERO).unwrap(), "the process that is meant has ended");
        assert!(child.try_wait().unwrap().is_none(), "the stranger runs on");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
