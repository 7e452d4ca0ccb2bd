//! The socket on which services say how they are; the kernel vouches for the sender.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A bound datagram socket whose messages carry the sender's process id.
#[derive(Debug)]
pub struct NotifySocket(UnixDatagram);

/// One datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes that were written to the buffer. A longer datagram is cut.
    pub length: usize,
    /// The process that sent it, as the kernel saw it; `None` if the kernel did not say.
    pub sender: Option<u32>,
}

impl NotifySocket {
    /// Binds the socket, replacing an older one at the same path.
    pub fn bind(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = UnixDatagram::bind(path)?;
        socket.set_nonblocking(true)?;
        set_socket_passcred(&socket, true)?;
        Ok(Self(socket))
    }

    /// Takes one datagram; `None` if there is none now. Descriptors that a sender attaches are closed.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        match recvmsg(&self.0, &mut parts, &mut ancillary, RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => {
                let sender = ancillary.drain().find_map(|part| match part {
                    RecvAncillaryMessage::ScmCredentials(sender) => {
                        Some(sender.pid.as_raw_nonzero().get().cast_unsigned())
                    }
                    _ => None,
                });
                Ok(Some(Datagram { length: message.bytes, sender }))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for NotifySocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_known_and_long_datagrams_are_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify.sock");
        drop(NotifySocket::bind(&path).expect("a socket"));
        let socket = NotifySocket::bind(&path).expect("the path again");
        let mut buffer = [0; 8];
        assert_eq!(socket.receive(&mut buffer).expect("no error"), None);
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.send_to(b"READY=1\nSTATUS=x", &path).expect("sent");
        let datagram = socket.receive(&mut buffer).expect("no error");
        assert_eq!(datagram, Some(Datagram { length: 8, sender: Some(std::process::id()) }));
        assert_eq!(&buffer, b"READY=1\n");
    }
}
