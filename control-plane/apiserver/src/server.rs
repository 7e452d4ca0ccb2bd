//! The port: TLS, connections and their bounds, and going away without breaking anything.
//!
//! ```text
//!   Serving ──SIGTERM──> Leaving (readyz fails, still serving) ──delay──> Draining (watches end, no new
//!   connections, requests finish) ──idle or 10 s──> gone
//! ```

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::app::{App, Phase};
use crate::authentication::Peer;
use crate::pipeline;

/// Open connections. Each costs some 100 KB with its TLS and HTTP/2 state; more clients than this wait in the backlog.
const MAX_CONNECTIONS: usize = 8192;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests may take to finish once the server drains.
const DRAIN: Duration = Duration::from_secs(10);
/// How often files of credentials are looked at for a change.
const RELOAD: Duration = Duration::from_secs(20);

/// What a handshake needs; replaced when the files change.
#[derive(Clone)]
struct Credentials {
    acceptor: TlsAcceptor,
    clients: mtls::Clients,
}

impl Credentials {
    fn load(app: &App) -> Result<Self, mtls::Error> {
        let (cert, key) = &app.options.serving;
        let identity = mtls::Identity::load(cert, key)?;
        let config =
            mtls::server_config(identity, mtls::ClientAuth::Asked, mtls::Versions::Tls12AndUp, &[b"h2", b"http/1.1"])?;
        let clients = mtls::Clients::new(mtls::Roots::load(&app.options.client_ca)?)?;
        Ok(Self { acceptor: TlsAcceptor::from(config), clients })
    }
}

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The port cannot be had.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Credentials are missing or broken.
    #[error("read the credentials of the server")]
    Credentials(#[from] mtls::Error),
    /// The file for the address cannot be written.
    #[error("write the address to {}", path.display())]
    AddressFile {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// A bound port with its credentials: the step between starting and serving.
pub(crate) struct Listening {
    listener: TcpListener,
    credentials: watch::Sender<Credentials>,
}

impl Listening {
    /// Binds the port and reads the credentials.
    pub(crate) async fn open(app: &App) -> Result<Self, ServeError> {
        let credentials = watch::Sender::new(Credentials::load(app)?);
        let address = app.options.listen;
        let listener = match TcpListener::bind(address).await {
            // A kernel without IPv6 still has the other family.
            Err(_) if address.ip() == std::net::IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) => {
                TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            outcome => outcome,
        };
        let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
        if let Some(path) = &app.options.listen_address_file {
            let local = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
            durable::write(path, local.to_string().as_bytes(), 0o644)
                .map_err(|source| ServeError::AddressFile { path: path.clone(), source })?;
        }
        Ok(Self { listener, credentials })
    }

    /// The port listened on.
    pub(crate) fn port(&self) -> Option<u16> {
        self.listener.local_addr().ok().map(|address| address.port())
    }

    /// Serves until the app's phase is [`Phase::Draining`] and what was going on then is finished.
    pub(crate) async fn serve(self, app: Arc<App>) {
        let Self { listener, credentials } = self;
        let credentials = Arc::new(credentials);
        let reload = tokio::spawn(reload(Arc::clone(&app), Arc::clone(&credentials)));
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut phase = app.phase.subscribe();
        loop {
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Draining) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: connections that end give some back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let app = Arc::clone(&app);
            let credentials = credentials.borrow().clone();
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                app.metrics.connections.fetch_add(1, Ordering::Relaxed);
                serve_connection(Arc::clone(&app), stream, credentials, watcher).await;
                app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
        }
        drop(listener);
        reload.abort();
        app.switched.close();
        let finished = futures::future::join(graceful.shutdown(), app.switched.wait());
        if tokio::time::timeout(DRAIN, finished).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
    }
}

async fn serve_connection(
    app: Arc<App>,
    stream: TcpStream,
    credentials: Credentials,
    watcher: hyper_util::server::graceful::Watcher,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, credentials.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            app.metrics.handshake_errors.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let (_, session) = stream.get_ref();
    let peer = Arc::new(Peer::judge(&credentials.clients, session.peer_certificates(), SystemTime::now()));
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (app, peer) = (Arc::clone(&app), Arc::clone(&peer));
        async move { Ok::<_, Infallible>(pipeline::serve(app, peer, request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30)).max_buf_size(1 << 20);
    builder
        .http2()
        .timer(TokioTimer::new())
        // Upstream's 100 would make kubelet-like clients with many watches open more connections; each stream is bounded
        // by the limits of the pipeline anyway.
        .max_concurrent_streams(250)
        .initial_stream_window_size(256 << 10)
        .initial_connection_window_size(4 << 20)
        .max_header_list_size(256 << 10)
        .max_send_buf_size(256 << 10)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(15));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Takes in new credentials when the files change. Open connections keep what they were made with.
async fn reload(app: Arc<App>, credentials: Arc<watch::Sender<Credentials>>) {
    let files = [&app.options.serving.0, &app.options.serving.1, &app.options.client_ca];
    let stamps = || files.map(|file| modified(file));
    let mut seen = stamps();
    loop {
        tokio::time::sleep(RELOAD).await;
        let now = stamps();
        if now == seen {
            continue;
        }
        match Credentials::load(&app) {
            Ok(fresh) => {
                credentials.send_replace(fresh);
                seen = now;
                tracing::info!("new credentials are in use");
            }
            // Half-written files come right later; until then the old ones serve.
            Err(error) => tracing::warn!(error = %chain::Chain(&error), "changed credentials could not be read"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
