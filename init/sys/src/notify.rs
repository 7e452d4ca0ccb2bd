//! Who is on the other side of a local socket: the kernel vouches for it.
//!
//! Through `nix`, because a sender outside of this process' name space has the process id 0, which the types of `rustix`
//! cannot hold.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{PassCred, PeerCredentials};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, getsockopt, recvmsg, setsockopt};

/// Whether the process that connected was root's when it did.
#[must_use]
pub fn peer_is_root(stream: &UnixStream) -> bool {
    getsockopt(stream, PeerCredentials).is_ok_and(|peer| peer.uid() == 0)
}

/// A bound datagram socket whose messages carry the sender's process id.
#[derive(Debug)]
pub struct NotifySocket(UnixDatagram);

/// One datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes that were written to the buffer. A longer datagram is cut.
    pub length: usize,
    /// The process that sent it, as the kernel saw it; `None` for one outside of this name space.
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
        setsockopt(&socket, PassCred, &true)?;
        Ok(Self(socket))
    }

    /// Takes one datagram; `None` if there is none now. Descriptors that a sender attaches are closed.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let mut space = cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<UnixAddr>(self.0.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // There is room for credentials only: the kernel closes descriptors that were attached.
        let sender = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::ScmCredentials(sender) => u32::try_from(sender.pid()).ok().filter(|&pid| pid != 0),
            _ => None,
        });
        Ok(Some(Datagram { length: message.bytes, sender }))
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
    fn the_peer_of_a_connection_is_known() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        assert_eq!(peer_is_root(&one), rustix::process::geteuid().is_root());
    }

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
