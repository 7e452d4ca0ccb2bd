//! Takes the connections of other members in.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::peer::peer_server::PeerServer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, Router};

use super::MAX_MESSAGE;
use super::service::{Desk, Service};
use super::tls::PeerTls;
use crate::config::Listen;

/// Handshakes at the same time: there are few members, so more are not of this cluster.
const HANDSHAKES: usize = 64;
/// A member that has not finished its handshake by then is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: the usual cause is that file descriptors ran out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// What one stream may have under way, and one connection.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;
/// A connection whose other end is gone is noticed after these two.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

fn router(desk: &Arc<Desk>) -> Router {
    let service = PeerServer::new(Service(Arc::clone(desk)))
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(PING_EVERY))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(service)
}

/// Binds an address and serves members on it in the background until `stopping` turns true.
pub async fn listen(
    desk: &Arc<Desk>,
    listen: &Listen,
    tls: Option<&PeerTls>,
    stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let listener = TcpListener::bind(listen.address).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, tls = listen.tls, "serving other members");
    if let Some(tls) = tls.filter(|_| listen.tls) {
        let (streams, incoming) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(listener, stopping.clone(), Gate { streams, tls: tls.clone() }));
        serve_incoming(desk, incoming, stopping);
    } else {
        let (streams, incoming) = mpsc::channel(HANDSHAKES);
        tokio::spawn(accept(listener, stopping.clone(), streams));
        serve_incoming(desk, incoming, stopping);
    }
    Ok(())
}

/// Serves members on connections that somebody else takes in.
pub fn serve_incoming<W>(desk: &Arc<Desk>, wires: mpsc::Receiver<io::Result<W>>, stopping: watch::Receiver<bool>)
where
    W: AsyncRead + AsyncWrite + Connected + Send + Unpin + 'static,
{
    serve(router(desk).serve_with_incoming_shutdown(ReceiverStream::new(wires), stopped(stopping)));
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // The sender is gone only when everything ends.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

fn serve(server: impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(error = %chain::Chain(&error), "other members are no longer served");
        }
    });
}

/// What becomes of a new connection.
trait Admit: Clone + Send + 'static {
    fn admit(self, stream: TcpStream) -> impl Future<Output = ()> + Send;
}

impl Admit for mpsc::Sender<io::Result<TcpStream>> {
    async fn admit(self, stream: TcpStream) {
        // Nobody takes connections when everything ends.
        drop(self.send(Ok(stream)).await);
    }
}

/// Lets in who comes through a TLS handshake.
#[derive(Clone)]
struct Gate {
    streams: mpsc::Sender<io::Result<tokio_rustls::server::TlsStream<TcpStream>>>,
    tls: PeerTls,
}

impl Admit for Gate {
    async fn admit(self, stream: TcpStream) {
        let from = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        let handshake = TlsAcceptor::from(self.tls.server()).accept(stream);
        match tokio::time::timeout(HANDSHAKE, handshake).await {
            Ok(Ok(stream)) => drop(self.streams.send(Ok(stream)).await),
            Ok(Err(error)) => tracing::warn!(%error, from, "rejected connection on peer endpoint"),
            Err(_elapsed) => tracing::warn!(from, "a TLS handshake on the peer endpoint took too long"),
        }
    }
}

async fn accept(listener: TcpListener, mut stopping: watch::Receiver<bool>, admit: impl Admit) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                // Without it small messages are only slower.
                drop(stream.set_nodelay(true));
                let admit = admit.clone();
                tokio::spawn(async move {
                    admit.admit(stream).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of another member could not be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}
