//! What PID 1 asks of the kernel: mounts, groups, processes, signals, devices, the end of the machine.
//!
//! The one crate with `unsafe`. Each block says why it is needed and why it is sound. Everything here acts and decides
//! nothing; what is safe through `rustix` or `nix` goes through them.

pub mod cgroup;
#[allow(unsafe_code, reason = "steps between fork and exec have no safe form")]
pub mod child;
pub mod clock;
pub mod confine;
pub mod entropy;
#[allow(unsafe_code, reason = "an ioctl without a safe form")]
pub mod loopback;
pub mod mount;
pub mod notify;
pub mod power;
#[allow(unsafe_code, reason = "ioctls without a safe form")]
pub mod root;
pub mod signals;
#[allow(unsafe_code, reason = "an ioctl without a safe form")]
pub mod watchdog;
