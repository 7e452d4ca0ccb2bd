//! From an accepted socket to a connection whose peer is known.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pki::Peer;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Handshakes at once. A stranger can hold no more than these, each for at most [`HANDSHAKE`].
const HANDSHAKES: usize = 64;
/// A slow line needs a second; what takes longer is no client.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections of known peers at once: a few operators, each with a few streams.
const CONNECTIONS: usize = 256;
/// Connections that have shaken hands and wait to be served.
const QUEUE: usize = 16;
/// After the kernel refuses to accept (no file descriptor left) it is left alone for this long.
const REFUSED: Duration = Duration::from_millis(100);

/// Who calls.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// What the certificate says; `None` for someone who has shown none.
    pub(super) peer: Option<Arc<Peer>>,
    /// From where.
    pub(super) address: Option<SocketAddr>,
    /// What only the two ends of this TLS session can derive.
    pub(super) binding: Option<claim::Binding>,
}

impl Caller {
    /// The common name of the certificate.
    pub(super) fn name(&self) -> Option<&str> {
        self.peer.as_ref().map(|peer| peer.common_name.as_str())
    }
}

/// A connection whose peer is known: by a certificate of the machine authority, or as someone without one.
pub(super) struct Connection {
    stream: TlsStream<TcpStream>,
    caller: Caller,
    _slot: OwnedSemaphorePermit,
}

/// Accepts until `stop`. Whatever a stranger sends ends its own connection only.
pub(super) fn accept(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection>> {
    let (ready, incoming) = mpsc::channel(QUEUE);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    tokio::spawn(async move {
        let accepting = async {
            loop {
                // Never closed, so both permits come.
                let Ok(turn) = Arc::clone(&handshakes).acquire_owned().await else { return };
                let (stream, address) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be accepted");
                        tokio::time::sleep(REFUSED).await;
                        continue;
                    }
                };
                let Ok(slot) = Arc::clone(&connections).try_acquire_owned() else {
                    tracing::warn!(%address, "too many connections");
                    continue;
                };
                let config = Arc::clone(&tls.borrow());
                let ready = ready.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(HANDSHAKE, shake_hands(config, stream, address, slot)).await {
                        // The server has ended if nobody takes it.
                        Ok(Ok(connection)) => drop(ready.send(Ok(connection)).await),
                        Ok(Err(error)) => tracing::info!(%address, %error, "connection refused"),
                        Err(_) => tracing::info!(%address, "connection refused: the handshake takes too long"),
                    }
                    drop(turn);
                });
            }
        };
        stop.run_until_cancelled(accepting).await;
    });
    ReceiverStream::new(incoming)
}

async fn shake_hands(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    address: SocketAddr,
    slot: OwnedSemaphorePermit,
) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let stream = TlsAcceptor::from(config).accept(stream).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    // TLS has verified it, and has let nobody in without one unless the machine may be claimed.
    let peer = certificate.map(|der| Peer::from_der(der)).transpose().map_err(io::Error::other)?.map(Arc::new);
    let binding = stream.get_ref().1.export_keying_material([0; 32], claim::BINDING_LABEL, None).ok();
    Ok(Connection { stream, caller: Caller { peer, address: Some(address), binding }, _slot: slot })
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
