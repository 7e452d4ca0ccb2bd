//! What a member stands on: its workers, its disk, and the way to other members.
//!
//! A program has [`System`]. The simulation (`tests/sim`) gives each of its members another one, with a network and a disk
//! that fail when the seed says so.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::peers::address::PeerAddress;

/// What a member stands on.
pub trait Host: Send + Sync + 'static {
    /// Runs `work` to its end beside the tasks that serve connections: it may wait for the disk at any time. It uses no
    /// timer.
    fn start(&self, name: &'static str, work: BoxFuture<'static, ()>) -> io::Result<Worker>;

    /// Waited for before and after each write of the log. A failure is one of the write.
    fn reach_disk(&self) -> BoxFuture<'_, io::Result<()>>;

    /// Opens a connection to another member, in the clear.
    fn connect<'a>(&'a self, address: &'a PeerAddress) -> BoxFuture<'a, io::Result<Wire>>;
}

/// A connection.
pub type Wire = Box<dyn Duplex>;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What [`Host::start`] has started.
#[derive(Debug)]
pub struct Worker(Option<JoinHandle<()>>);

impl Worker {
    /// A worker that is part of something whose end is waited for elsewhere.
    #[must_use]
    pub fn detached() -> Self {
        Self(None)
    }

    /// Waits for the worker's end; an error when it panicked.
    pub fn join(self) -> io::Result<()> {
        let ended = self.0.map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| io::Error::other("a worker ended in the middle of its work"))
    }
}

/// The operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl System {
    /// As what members take.
    #[must_use]
    pub fn shared() -> Arc<dyn Host> {
        Arc::new(Self)
    }
}

impl Host for System {
    fn start(&self, name: &'static str, work: BoxFuture<'static, ()>) -> io::Result<Worker> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(move || futures::executor::block_on(work)).map(Some).map(Worker)
    }

    fn reach_disk(&self) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn connect<'a>(&'a self, address: &'a PeerAddress) -> BoxFuture<'a, io::Result<Wire>> {
        Box::pin(async move {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Wire)
        })
    }
}
