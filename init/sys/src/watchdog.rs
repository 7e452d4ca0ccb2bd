//! The hardware watchdog: resets the machine when it is not fed.
//!
//! It is never switched off, not even for an orderly end: it is what ends a machine whose kernel cannot. A driver whose
//! hardware would outlive the end stops it itself when the kernel goes down.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// `WDIOC_SETTIMEOUT`.
const SET_TIMEOUT: Opcode = opcode::read_write::<i32>(b'W', 6);

/// An armed watchdog. Dropping it leaves it armed: a PID 1 that is gone must not keep the machine from being reset.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    timeout: Duration,
}

impl Watchdog {
    /// Arms the device. `wanted` is the time without food after which it resets the machine; the hardware may know only other
    /// ones, see [`Watchdog::timeout`].
    pub fn arm(path: &Path, wanted: Duration) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(path)?;
        let mut armed = Self { device, timeout: wanted };
        armed.timeout = armed.set_timeout(wanted).unwrap_or(wanted);
        armed.feed()?;
        Ok(armed)
    }

    /// The time without food after which the machine is reset.
    #[must_use]
    pub const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Puts the reset off by another [`Watchdog::timeout`].
    pub fn feed(&mut self) -> io::Result<()> {
        self.device.write_all(b"\0")
    }

    fn set_timeout(&self, wanted: Duration) -> io::Result<Duration> {
        let mut seconds = i32::try_from(wanted.as_secs()).unwrap_or(i32::MAX);
        // SAFETY: needed because watchdogs are set by ioctl only. Sound because WDIOC_SETTIMEOUT reads and writes one int,
        // which `seconds` is and which outlives the call.
        unsafe { ioctl(&self.device, Updater::<SET_TIMEOUT, i32>::new(&mut seconds)) }?;
        Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn food_reaches_the_device_and_nothing_disarms_it() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let mut watchdog = Watchdog::arm(file.path(), Duration::from_secs(7)).expect("armed");
        assert_eq!(watchdog.timeout(), Duration::from_secs(7), "a device without a setting keeps what was wanted");
        watchdog.feed().expect("fed");
        drop(watchdog);
        assert_eq!(std::fs::read(file.path()).expect("a file"), b"\0\0", "dropping it does not disarm");
    }
}
