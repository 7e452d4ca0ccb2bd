//! Whether the kernel's random number generator may be used for keys yet.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Whether `getrandom` answers without blocking. Never blocks itself.
#[must_use]
pub fn is_ready() -> bool {
    let mut byte = [0_u8; 1];
    getrandom(&mut byte, GetRandomFlags::NONBLOCK).is_ok()
}

/// Stirs bytes from the hardware's generator into the pool, if there is one and it answers at once.
///
/// The kernel credits that device by itself; this only shortens the wait on machines where its thread is late. The bytes are
/// mixed in without being counted, so a bad device does no harm.
pub fn stir_from_hardware() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let device = open("/dev/hwrng", OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())?;
    let mut seed = [0_u8; 32];
    let length = rustix::io::read(&device, &mut seed)?;
    std::fs::write("/dev/urandom", &seed[..length])
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_that_runs_tests_has_entropy() {
        assert!(super::is_ready());
    }
}
