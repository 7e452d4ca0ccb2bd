//! Connections to other members. Each is made when it is first needed and again when it broke, at the addresses the
//! [directory](super::directory) has by then.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use chain::Chain;
use hyper_util::rt::TokioIo;
use proto::peer::Route;
use proto::peer::peer_client::PeerClient;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::Status;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::MAX_MESSAGE;
use super::address::PeerAddress;
use super::directory::Directory;
use super::service::REMOVED;
use super::tls::PeerTls;
use crate::host::{Host, Wire};
use crate::metrics::Metrics;
use crate::metrics::peers::Peer as Figures;

/// What one stream may have under way, and one connection. More: more of a leader's memory for a slow follower.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// What a connection is for. Each purpose has its own, so that nothing small waits behind something large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Heartbeats, votes, read indexes: small and urgent.
    Control,
    /// Log entries and forwarded commands.
    Log,
    /// The whole state.
    Snapshot,
}

/// A client of a member.
pub type Client = PeerClient<Channel>;

/// Connections to every other member.
pub struct Links {
    cluster: u64,
    member: u64,
    directory: Arc<Directory>,
    dialer: Dialer,
    patience: Duration,
    channels: Mutex<HashMap<(u64, Purpose), Channel>>,
    failures: Failures,
    metrics: Arc<Metrics>,
    removed: watch::Sender<bool>,
}

impl Links {
    /// Connections from `member` of `cluster`. A member that cannot be reached within `patience` counts as unreachable.
    pub fn new(
        cluster: u64,
        member: u64,
        directory: Arc<Directory>,
        dialer: Dialer,
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            member,
            directory,
            dialer,
            patience,
            channels: Mutex::default(),
            failures: Failures::default(),
            metrics,
            removed: watch::Sender::new(false),
        })
    }

    /// What every message to `target` begins with.
    pub fn route(&self, target: u64) -> Route {
        Route { cluster_id: self.cluster, from: self.member, to: target }
    }

    /// Where members are.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How long to wait for a connection or a small answer.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// A client of `target`; it connects when it is used.
    pub fn client(&self, target: u64, purpose: Purpose) -> Client {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channels.entry((target, purpose)).or_insert_with(|| {
            let (directory, failures) = (Arc::clone(&self.directory), self.failures.clone());
            let figures = self.figures(target);
            let connected = move |result: io::Result<Transport>| {
                failures.note(target, result.as_ref().err());
                result.map(|wire| Counted { wire, figures: Arc::clone(&figures) })
            };
            channel(self.dialer.clone(), self.patience, move || directory.find(target), connected)
        });
        client(channel.clone())
    }

    /// What is counted of the traffic with a member.
    pub fn figures(&self, target: u64) -> Arc<Figures> {
        self.metrics.peers.of(target)
    }

    /// Why a member could not be connected to, unless it has been since.
    pub fn failure(&self, target: u64) -> Option<String> {
        self.failures.lock().get(&target).cloned()
    }

    /// This member is none of the cluster any more.
    pub fn leave(&self) {
        self.removed.send_replace(true);
    }

    /// Listens to what another member says when it refuses.
    pub fn heed(&self, status: &Status) {
        if status.code() == tonic::Code::PermissionDenied && status.message() == REMOVED {
            self.leave();
        }
    }

    /// Waits until this member is none of the cluster any more.
    pub async fn removed(&self) {
        // The sender is this.
        drop(self.removed.subscribe().wait_for(|removed| *removed).await);
    }

    /// These are the other members from now on: connections to those that are gone are forgotten.
    pub fn keep(&self, members: &BTreeSet<u64>) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).retain(|(id, _), _| members.contains(id));
        self.failures.lock().retain(|id, _| members.contains(id));
        self.metrics.peers.keep(members.iter().copied());
    }
}

/// Why members could not be connected to, until they are.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<HashMap<u64, String>>>);

impl Failures {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, target: u64, failure: Option<&io::Error>) {
        match failure {
            Some(error) => drop(self.lock().insert(target, Chain(error).to_string())),
            None => drop(self.lock().remove(&target)),
        }
    }
}

/// A client of whoever is at these addresses, before there is a cluster.
pub fn stranger(addresses: Vec<PeerAddress>, dialer: Dialer, patience: Duration) -> Client {
    client(channel(dialer, patience, move || addresses.clone(), |connected| connected))
}

fn client(channel: Channel) -> Client {
    PeerClient::new(channel).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
}

fn channel<W>(
    dialer: Dialer,
    patience: Duration,
    find: impl Fn() -> Vec<PeerAddress> + Send + Clone + 'static,
    connected: impl Fn(io::Result<Transport>) -> io::Result<W> + Send + Clone + 'static,
) -> Channel
where
    W: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connect = service_fn(move |_: Uri| {
        let (dialer, addresses, connected) = (dialer.clone(), find(), connected.clone());
        async move {
            let wire = tokio::time::timeout(patience, dialer.connect_to_any(addresses)).await;
            connected(wire.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))).map(TokioIo::new)
        }
    });
    // The connector decides where the connection goes; this is only what requests are addressed to.
    Endpoint::from_static("http://member")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(patience)
        .keep_alive_timeout(patience)
        .keep_alive_while_idle(true)
        .connect_with_connector_lazy(connect)
}

/// How members are reached.
#[derive(Clone)]
pub struct Dialer {
    /// What speaks TLS; `None` = in the clear.
    pub tls: Option<PeerTls>,
    /// What opens connections.
    pub host: Arc<dyn Host>,
}

impl Dialer {
    /// Tries every address, in order.
    async fn connect_to_any(self, addresses: Vec<PeerAddress>) -> io::Result<Transport> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address of the member is known");
        for address in addresses {
            match self.connect(&address).await {
                Ok(transport) => return Ok(transport),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn connect(&self, address: &PeerAddress) -> io::Result<Transport> {
        let wire = self.host.connect(address).await?;
        if !address.tls {
            return Ok(Transport::Plain(wire));
        }
        let tls = self.tls.as_ref();
        let tls = tls.ok_or_else(|| io::Error::other("an https:// member, and no --peer-* files to speak TLS with"))?;
        let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
        let wire = TlsConnector::from(tls.client()).connect(name, wire).await?;
        Ok(Transport::Tls(Box::new(wire)))
    }
}

/// A connection with or without TLS.
enum Transport {
    Plain(Wire),
    Tls(Box<tokio_rustls::client::TlsStream<Wire>>),
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A connection whose bytes are counted.
struct Counted {
    wire: Transport,
    figures: Arc<Figures>,
}

impl AsyncRead for Counted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.wire).poll_read(cx, buffer);
        this.figures.received.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.wire).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = &written {
            this.figures.sent.fetch_add(*count as u64, Ordering::Relaxed);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().wire).poll_shutdown(cx)
    }
}
