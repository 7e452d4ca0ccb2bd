//! PID 1 of the machine: sets it up, keeps its services running, and ends it.
//!
//! The same program is `/init` of the initramfs, where it only finds the real root and goes on there as `/sbin/init`. What
//! is decided stands in `init-core`; this crate owns the event loop, the sockets and the consoles.

mod console;
mod control;
mod ending;
mod event_loop;
mod initramfs;
mod panics;
mod report;
mod services;
mod set_up;

use std::process::ExitCode;

use init_core::ids::Uptime;

/// The present time.
pub(crate) fn now() -> Uptime {
    Uptime::from_millis(u64::try_from(init_sys::clock::since_kernel_start().as_millis()).unwrap_or(u64::MAX))
}

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!("init {}: runs only as process 1 of a machine or of a container", env!("CARGO_PKG_VERSION"));
        return ExitCode::from(2);
    }
    panics::install_hook();
    if initramfs::is_here() {
        let Err(error) = initramfs::leave();
        ending::give_up(&error)
    }
    match set_up::machine() {
        Ok(machine) => event_loop::run(machine),
        Err(error) => ending::give_up(&error),
    }
}
