//! The operator's certificate of a virtual machine: a request comes in through the firmware, the certificate goes out
//! through a virtio port. The operator's key never leaves the operator's machine, and no port of the network is open
//! to someone without a certificate.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use machined_core::roles::Role;
use pki::{Authority, Request, Subject, Usage};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::config;

/// Name of the request in the firmware.
const REQUEST: &str = "opt/dev.orlop/operator.csr";
/// A request has about 500 bytes.
const LONGEST: usize = 16 * 1024;
/// Name of the port that the certificate is sent to.
const PORT: &str = "dev.orlop.operator";
/// Where the kernel lists the ports.
const PORTS: &str = "/sys/class/virtio-ports";
/// It is signed anew at each boot; this bounds how long a machine may run without one.
const LIFETIME: Duration = Duration::from_hours(365 * 24);
/// How long the host may take to read a few KiB.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the operator got no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The request could not be read.
    #[error("read the operator's request from the firmware")]
    Read(#[source] io::Error),
    /// The request is not one.
    #[error("sign the operator's request")]
    Sign(#[from] pki::Error),
    /// There is no port to send the certificate to.
    #[error("the firmware holds an operator's request, but there is no virtio port named {PORT}")]
    NoPort,
    /// The certificate could not be sent.
    #[error("send the operator's certificate to {}", path.display())]
    Send {
        /// The port's device.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Signs the operator's request if there is one, and sends the certificate and that of the authority. Blocks.
///
/// Returns whether there was a request.
pub(crate) fn serve(machine: &Authority, now: SystemTime) -> Result<bool, Error> {
    let Some(csr) = config::from_firmware(REQUEST, LONGEST).map_err(Error::Read)? else { return Ok(false) };
    let bundle = bundle(machine, &csr, now)?;
    let port = find_port(Path::new(PORTS)).ok_or(Error::NoPort)?;
    send(&port, bundle.as_bytes()).map_err(|source| Error::Send { path: port, source })?;
    Ok(true)
}

fn bundle(machine: &Authority, csr: &str, now: SystemTime) -> Result<String, pki::Error> {
    let grant = Request {
        subject: Subject::with_organization("operator", Role::Admin.organization()),
        sans: Vec::new(),
        usage: Usage::Client,
        lifetime: LIFETIME,
    };
    Ok(machine.sign_csr(csr, &grant, now)? + machine.cert_pem())
}

fn find_port(class: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(class).ok()?.flatten() {
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == PORT) {
            return Some(Path::new("/dev").join(entry.file_name()));
        }
    }
    None
}

/// Writes without waiting for ever for a host that does not read.
fn send(path: &Path, mut rest: &[u8]) -> io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut port = OpenOptions::new().write(true).custom_flags(nonblocking).open(path)?;
    while !rest.is_empty() {
        match port.write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::Error::from(io::ErrorKind::TimedOut));
                }
                let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
                poll(&mut [PollFd::new(&port, PollFlags::OUT)], Some(&timeout))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki::{AuthorityName, KeyAndCsr};

    #[test]
    fn the_bundle_is_the_certificate_then_the_authority() {
        let now = SystemTime::now();
        let machine = Authority::generate(AuthorityName::Machine, now).unwrap();
        let csr = KeyAndCsr::generate(&Subject::new("anyone")).unwrap().csr_pem;
        let bundle = bundle(&machine, &csr, now).unwrap();
        assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), 2);
        assert!(bundle.ends_with(machine.cert_pem()));
    }

    #[test]
    fn the_port_is_found_by_its_name() {
        let class = tempfile::tempdir().unwrap();
        for (device, name) in [("vport1p1", "org.qemu.guest_agent.0\n"), ("vport1p2", "dev.orlop.operator\n")] {
            fs::create_dir(class.path().join(device)).unwrap();
            fs::write(class.path().join(device).join("name"), name).unwrap();
        }
        assert_eq!(find_port(class.path()), Some(PathBuf::from("/dev/vport1p2")));
        assert_eq!(find_port(Path::new("/nowhere")), None);
    }

    #[test]
    fn a_host_that_reads_gets_everything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("port");
        fs::write(&path, "").unwrap();
        send(&path, &vec![7; 100_000]).unwrap();
        assert_eq!(fs::read(&path).unwrap().len(), 100_000);
    }
}
