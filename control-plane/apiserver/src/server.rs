//! The port: TLS, connections and their bounds, and going away without breaking anything.
//!
//! ```text
//!   Serving ──SIGTERM──> Leaving (readyz fails, still serving) ──delay──> Draining (watches end; new requests are
//!   sent elsewhere until the others are answered, if that is wanted) ──> Closing (no new connections, the last
//!   requests finish) ──all closed, or too late──> gone
//! ```

use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::app::{App, Phase};
use crate::authentication::{Judges, Peer, Proxies};
use crate::connection::Connections;
use crate::pipeline;

/// Open connections. Each costs some 100 KB with its TLS and HTTP/2 state; more clients than this wait in the backlog.
const MAX_CONNECTIONS: usize = 8192;
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may have no request; upstream's.
const IDLE: Duration = Duration::from_secs(90);
/// How long a client may take to let go of an idle connection.
const LET_GO: Duration = Duration::from_secs(5);
/// How often it is looked whether all requests are answered.
const LOOK: Duration = Duration::from_millis(20);
/// How often files of credentials are looked at for a change.
const RELOAD: Duration = Duration::from_secs(20);

/// What a handshake needs; replaced when the files change.
#[derive(Clone)]
struct Credentials {
    acceptor: TlsAcceptor,
    judges: Judges,
}

impl Credentials {
    fn load(app: &App) -> Result<Self, mtls::Error> {
        let (cert, key) = &app.options.serving;
        let identity = mtls::Identity::load(cert, key)?;
        let config =
            mtls::server_config(identity, mtls::ClientAuth::Asked, mtls::Versions::Tls12AndUp, &[b"h2", b"http/1.1"])?;
        let clients = |authority| mtls::Clients::new(mtls::Roots::load(authority)?);
        let proxies = app.options.authentication.front_proxy.as_ref().map(|proxy| {
            Ok::<_, mtls::Error>(Proxies { clients: clients(&proxy.authority)?, allowed: proxy.allowed.clone() })
        });
        let judges = Judges { clients: clients(&app.options.client_ca)?, proxies: proxies.transpose()? };
        Ok(Self { acceptor: TlsAcceptor::from(config), judges })
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

    /// Serves until the app's phase is [`Phase::Closing`] and what was going on then is finished.
    pub(crate) async fn serve(self, app: Arc<App>) {
        let Self { listener, credentials } = self;
        let credentials = Arc::new(credentials);
        let reload = tokio::spawn(reload(Arc::clone(&app), Arc::clone(&credentials)));
        let (open, tasks) = (Arc::new(Connections::default()), TaskTracker::new());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut phase = app.phase.subscribe();
        loop {
            if places.available_permits() == 0 {
                open.shed();
            }
            let place = tokio::select! {
                place = Arc::clone(&places).acquire_owned() => place,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
                // Another one may be idle by then.
                () = tokio::time::sleep(LOOK) => continue,
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = phase.wait_for(|phase| *phase == Phase::Closing) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: connections that end give some back.
                    tracing::warn!(%error, "a connection could not be accepted");
                    open.shed();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let (app, open) = (Arc::clone(&app), Arc::clone(&open));
            let credentials = credentials.borrow().clone();
            tasks.spawn(async move {
                app.metrics.connections.fetch_add(1, Ordering::Relaxed);
                serve_connection(Arc::clone(&app), stream, credentials, &open).await;
                app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                drop(place);
            });
        }
        drop(listener);
        reload.abort();
        app.switched.close();
        tasks.close();
        let finished = futures::future::join(tasks.wait(), app.switched.wait());
        if tokio::time::timeout(longest_request(&app), finished).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
    }
}

/// How long a request may still take that the server has when it drains.
fn longest_request(app: &App) -> Duration {
    app.options.request_timeout + app.options.watch_grace
}

/// Waits until all requests are answered, and all watches over.
pub(crate) async fn drained(app: &App) {
    let metrics = &app.metrics;
    let left =
        || [&metrics.reads, &metrics.writes, &metrics.watchers].iter().any(|count| count.load(Ordering::Relaxed) > 0);
    let wait = async {
        while left() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(longest_request(app), wait).await.is_err() {
        tracing::warn!("some requests were not answered in time");
    }
}

async fn serve_connection(app: Arc<App>, stream: TcpStream, credentials: Credentials, open: &Arc<Connections>) {
    let _ = stream.set_nodelay(true);
    let entered = open.enter();
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(HANDSHAKE, credentials.acceptor.accept(stream)) => shaken,
        () = entered.connection.closing() => return,
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            app.metrics.handshake_errors.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "a TLS handshake failed");
            return;
        }
        Err(_) => return,
    };
    let (_, session) = stream.get_ref();
    let peer = Peer::judge(&credentials.judges, session.peer_certificates(), SystemTime::now());
    entered.connection.introduce(peer);
    let connection = Arc::clone(&entered.connection);
    let mut phase = app.phase.subscribe();
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (app, connection) = (Arc::clone(&app), Arc::clone(&connection));
        async move { Ok::<_, Infallible>(pipeline::serve(app, connection, request).await) }
    });
    let builder = protocols();
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut idle = pin!(entered.connection.idle(IDLE));
    tokio::select! {
        outcome = serving.as_mut() => return tell(outcome),
        () = entered.connection.closing() => {}
        _ = phase.wait_for(|phase| *phase == Phase::Closing) => {}
        () = idle.as_mut() => {}
    }
    serving.as_mut().graceful_shutdown();
    // Whoever has no request has nothing to wait for, once it has had the time to hear of it.
    let let_go = async {
        tokio::time::sleep(LET_GO).await;
        entered.connection.idle(LET_GO).await;
    };
    tokio::select! {
        outcome = serving.as_mut() => tell(outcome),
        () = let_go => {}
    }
}

fn tell(outcome: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection broke");
    }
}

/// The bounds of what a connection may do.
fn protocols() -> auto::Builder<TokioExecutor> {
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
    builder
}

/// Takes in new credentials when the files change. Open connections keep what they were made with.
async fn reload(app: Arc<App>, credentials: Arc<watch::Sender<Credentials>>) {
    let proxies = app.options.authentication.front_proxy.as_ref().map(|proxy| &proxy.authority);
    let files = [&app.options.serving.0, &app.options.serving.1, &app.options.client_ca];
    let stamps = || files.into_iter().chain(proxies).map(|file| modified(file)).collect::<Vec<_>>();
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
