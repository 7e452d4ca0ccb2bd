//! The end of the machine.

use std::io;

use rustix::system::{RebootCommand, reboot};

/// Ctrl-Alt-Del sends SIGINT to PID 1 from now on, instead of restarting the machine at once.
pub fn catch_ctrl_alt_del() -> io::Result<()> {
    Ok(reboot(RebootCommand::CadOff)?)
}

/// Switches the power off. Nothing is written back. Returns only if that fails.
pub fn power_off() -> io::Error {
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => io::Error::other("the kernel did not switch the power off"),
        Err(error) => error.into(),
    }
}

/// Starts the machine again. Nothing is written back. Returns only if that fails.
pub fn restart() -> io::Error {
    match reboot(RebootCommand::Restart) {
        Ok(()) => io::Error::other("the kernel did not restart"),
        Err(error) => error.into(),
    }
}

/// Stops the processors with the message that is on the console. Returns only if that fails.
pub fn halt() -> io::Error {
    match reboot(RebootCommand::Halt) {
        Ok(()) => io::Error::other("the kernel did not halt"),
        Err(error) => error.into(),
    }
}
