//! The end of the machine: write back, unmount, switch off or start again; and what to do when it cannot even boot.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Duration;

use chain::Chain;
use init_core::kernel_arguments::{KernelArguments, PanicPolicy};
use init_core::mounts::to_unmount;
use init_sys::{mount, power};
use rustix::pipe::{PipeFlags, pipe_with};
use supervision::ShutdownMode;

use crate::console::{Consoles, emergency};

/// How long the last lines may take to leave the consoles. A serial line sends 11 kB a second.
const CONSOLE_LIMIT: Duration = Duration::from_secs(1);

/// Orders that the kernel may refuse before PID 1 ends itself.
const TRIES_LIMIT: u32 = 2;

/// Whether PID 1 is that of a container: then the machine belongs to somebody else, and only its own processes are ended.
pub(crate) fn in_a_container() -> bool {
    std::env::var_os("container").is_some_and(|name| !name.is_empty())
}

/// Writes all file systems back and unmounts them in a thread, because a dead disk may hold that up for ever.
///
/// The returned descriptor gives one line of text per trouble, and ends when all is done.
pub(crate) fn unmount_in_background() -> io::Result<OwnedFd> {
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&told, true)?;
    let mut tell = File::from(tell);
    std::thread::Builder::new().name("unmount".into()).stack_size(64 * 1024).spawn(move || {
        if in_a_container() {
            return;
        }
        mount::write_back();
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for target in to_unmount(&mountinfo) {
            if let Err(error) = mount::unmount_or_seal(&target) {
                let _ = writeln!(tell, "shutdown: {target} stays mounted: {error}");
            }
        }
        mount::write_back();
    })?;
    Ok(told)
}

/// Ends the machine. Returns only if the machine is still there.
///
/// When the kernel has refused [`TRIES_LIMIT`] times, PID 1 ends itself: that is a kernel panic, after which the kernel (or
/// the hardware watchdog) starts the machine again. A machine that stays on, half dead, would be worse.
pub(crate) fn end(mode: ShutdownMode, consoles: &mut Consoles, tries: u32) -> io::Error {
    send_last_lines(consoles);
    if tries >= TRIES_LIMIT && !in_a_container() {
        emergency("shutdown: the kernel does not end the machine");
        std::process::abort();
    }
    let error = match mode {
        ShutdownMode::PowerOff => power::power_off(),
        ShutdownMode::Reboot => power::restart(),
    };
    if in_a_container() {
        // Without the right to end its namespace, PID 1 ends it by leaving.
        std::process::exit(0);
    }
    error
}

/// Waits, but not for ever, until the consoles have sent everything.
fn send_last_lines(consoles: &mut Consoles) {
    consoles.drain(CONSOLE_LIMIT);
    let files = consoles.files();
    let (done, wait) = mpsc::sync_channel::<()>(1);
    let sending = std::thread::Builder::new().stack_size(64 * 1024).spawn(move || {
        for file in files {
            let _ = rustix::termios::tcdrain(&file);
        }
        drop(done);
    });
    if sending.is_ok() {
        let _ = wait.recv_timeout(CONSOLE_LIMIT);
    }
}

/// The machine cannot boot: says why on every console, then follows the kernel's `panic=` argument.
pub(crate) fn give_up(error: &dyn Error) -> ! {
    emergency(&format!("boot: failed: {}", Chain(error)));
    if in_a_container() {
        std::process::exit(1);
    }
    let command_line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let error = match KernelArguments::parse(&command_line).panic {
        PanicPolicy::RebootAfter(delay) => {
            emergency(&format!("boot: starting again in {} s", delay.as_secs()));
            std::thread::sleep(delay);
            power::restart()
        }
        PanicPolicy::Halt => {
            emergency("boot: stopped, because of the kernel argument panic=0");
            power::halt()
        }
    };
    emergency(&format!("boot: {error}"));
    // The end of PID 1 is a kernel panic, the last thing that can still end the machine.
    std::process::abort()
}
