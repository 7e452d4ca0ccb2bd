//! The loopback interface.

use std::io;

use rustix::ioctl::{Opcode, Setter, ioctl};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// `SIOCSIFFLAGS`: sets the flags of an interface. The number has been fixed since before ioctls had a scheme.
const SET_FLAGS: Opcode = 0x8914;

/// `IFF_UP | IFF_RUNNING`.
const UP_AND_RUNNING: i16 = 0x1 | 0x40;

/// `struct ifreq` with its union read as flags.
#[repr(C)]
struct InterfaceFlags {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Brings `lo` up. The kernel gives it `127.0.0.1` and `::1` when it comes up.
pub fn bring_up() -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut name = [0; 16];
    name[..2].copy_from_slice(b"lo");
    let request = InterfaceFlags { name, flags: UP_AND_RUNNING, rest: [0; 22] };
    // SAFETY: needed because rustix and nix have no safe call for interface flags. Sound because SIOCSIFFLAGS reads one
    // `struct ifreq` (40 bytes on every 64-bit Linux, which the assertion below holds), whose name is terminated by the
    // zero bytes behind "lo", and writes nothing back.
    unsafe { ioctl(&socket, Setter::<SET_FLAGS, InterfaceFlags>::new(request)) }?;
    Ok(())
}

const _: () = assert!(size_of::<InterfaceFlags>() == 40);
