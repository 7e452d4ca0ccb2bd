//! The machine API: gRPC over TLS 1.3, and only with a client certificate of the machine authority. The one thing that
//! someone without a certificate may do is to claim a machine that nobody has claimed.
//!
//! ```text
//! accept ─ handshake (certificate) ─ HTTP/2 ─ authorize (one table, default deny) ─ audit ─ method ─ audit
//! ```

mod authorize;
mod certificates;
mod connection;
mod kernel_log;
mod methods;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mtls::{ClientAuth, Identity, Roots, Versions};
use pki::{Authority, Issued};
use proto::machine::machine_server::MachineServer;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

pub(crate) use self::methods::{About, Machine};

/// A dead client is noticed after these two.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(20);

/// Open calls on one connection. Each holds a task and a few KiB.
const STREAMS: u32 = 64;

/// Connections that the kernel keeps for us while we are busy.
const BACKLOG: i32 = 128;

/// Why the machine API is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The port cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The certificate does not fit.
    #[error("set up TLS for the machine API")]
    Tls(#[from] mtls::Error),
    /// The server ended by itself.
    #[error("serve the machine API")]
    Serve(#[from] tonic::transport::Error),
}

/// Makes the server's side of TLS: TLS 1.3, and a client certificate of the machine authority is required, unless the
/// machine may be claimed: then a claimant comes without one.
pub(crate) fn tls(authority: &Authority, own: &Issued, claimable: bool) -> Result<Arc<ServerConfig>, mtls::Error> {
    let identity = Identity::parse(own.cert_pem.as_bytes(), own.key_pem.as_bytes())?;
    let roots = Roots::parse(authority.cert_pem().as_bytes())?;
    let clients = if claimable { ClientAuth::Optional(roots) } else { ClientAuth::Required(roots) };
    mtls::server_config(identity, clients, Versions::Tls13, &[b"h2"])
}

/// Opens the port. Where the kernel has no IPv6, `[::]` means `0.0.0.0`.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let wildcard = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
    let listener = match bind(address) {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() => bind(wildcard).map_err(|_| error),
        other => other,
    };
    listener.map_err(|source| Error::Listen { address, source })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // After a restart the old connections may still linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves until `stop`. Each new connection uses the newest of `tls`.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    machine: Machine,
    stop: CancellationToken,
) -> Result<(), Error> {
    let incoming = connection::accept(listener, tls, stop.clone());
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
        .max_concurrent_streams(STREAMS)
        .layer(authorize::AuthorizeLayer::new(machine.audit.clone(), machine.claim.clone()))
        .add_service(MachineServer::new(machine))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await?;
    Ok(())
}
