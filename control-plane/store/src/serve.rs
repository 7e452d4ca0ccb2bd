//! Listeners and connections: gRPC and plain pages on one port, with or without TLS.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use mtls::{ClientAuth, Identity, Roots, Versions};
use rustls::ServerConfig;
use store_core::Refusal;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

use crate::access::CommonName;
use crate::config::{Listen, TlsFiles};
use crate::metrics::calls::Call;
use crate::node::Node;
use crate::pages;
use crate::reload::Reloaded;

/// Connections at the same time. More wait in the listener's backlog; each costs some ten kilobytes.
const MAX_CONNECTIONS: usize = 16_384;
/// A client that has not finished its handshake by then is dropped.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long to wait after a failed accept: the usual cause is that file descriptors ran out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
/// What one stream may have under way, and one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// What every connection needs.
#[derive(Clone)]
pub struct Front {
    node: Arc<Node>,
    routes: Routes,
    connections: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Front {
    /// Serves `node` until `stopping` turns true.
    pub fn new(node: Arc<Node>, stopping: watch::Receiver<bool>) -> Self {
        let routes = crate::grpc::routes(&node);
        Self { node, routes, connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)), stopping }
    }

    /// Binds an address and serves it in the background: gRPC and pages, or pages only.
    pub async fn listen(&self, listen: &Listen, tls: Option<&Tls>, grpc: bool) -> io::Result<()> {
        let listener = TcpListener::bind(listen.address).await?;
        let address = listener.local_addr()?;
        let tls = if listen.tls { tls.cloned() } else { None };
        tracing::info!(%address, tls = tls.is_some(), grpc, "serving");
        tokio::spawn(self.clone().accept(listener, tls, grpc));
        Ok(())
    }

    async fn accept(mut self, listener: TcpListener, tls: Option<Tls>, grpc: bool) {
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(Courteous::new(self.clone().connection(stream, tls.clone(), grpc, place)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                }
            }
        }
    }

    async fn connection(mut self, stream: TcpStream, tls: Option<Tls>, grpc: bool, _place: OwnedSemaphorePermit) {
        // Small answers should not wait for more to come; without it they are only slower.
        drop(stream.set_nodelay(true));
        let mut stopping = self.stopping.clone();
        let served = async {
            match tls {
                Some(tls) => {
                    let acceptor = TlsAcceptor::from(tls.current());
                    match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => {
                            let name = common_name(stream.get_ref().1);
                            self.serve(TokioIo::new(stream), grpc, name).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
                    }
                }
                None => self.serve(TokioIo::new(stream), grpc, None).await,
            }
        };
        tokio::select! {
            () = served => {}
            // Requests under way are cut off: their clients find the member gone, and go to another or come again.
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    async fn serve<I>(&mut self, io: I, grpc: bool, name: Option<CommonName>)
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE);
        builder
            .http2()
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(self.node.config.max_concurrent_streams)
            .keep_alive_interval(self.node.config.keep_alive.0)
            .keep_alive_timeout(self.node.config.keep_alive.1);
        let (node, routes) = (Arc::clone(&self.node), self.routes.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (node, routes) = (Arc::clone(&node), routes.clone());
            if let Some(name) = &name {
                request.extensions_mut().insert(name.clone());
            }
            async move {
                let is_grpc = request
                    .headers()
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
                let response: Result<Response<Body>, Infallible> = if is_grpc && grpc {
                    let call = Call::begin(&node.metrics, request.uri().path());
                    if let Err(refusal) = may_ask(&node, &request) {
                        return Ok(call.response(crate::grpc::refused(refusal).into_http()));
                    }
                    let response = routes.oneshot(call.request(request)).await;
                    response.map(|response| call.response(crate::grpc::range::unpack(response)))
                } else {
                    Ok(pages::answer(&node, &request).await.map(Body::new))
                };
                response
            }
        });
        if let Err(error) = builder.serve_connection(io, service).await {
            tracing::debug!(%error, "a connection ended with an error");
        }
    }
}

/// A connection that lets those go first who are ready when it is woken. The first of many answers would otherwise be written
/// alone, because who is woken runs next; so they go out with one write for all.
struct Courteous<F> {
    connection: Pin<Box<F>>,
    has_waited: bool,
}

impl<F> Courteous<F> {
    fn new(connection: F) -> Self {
        Self { connection: Box::pin(connection), has_waited: false }
    }
}

impl<F: Future> Future for Courteous<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.has_waited = !self.has_waited;
        if self.has_waited {
            // Woken while it runs, a task is put behind those that wait.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.connection.as_mut().poll(context)
    }
}

/// The common name of the certificate a client has shown, which the handshake has verified.
fn common_name(connection: &rustls::ServerConnection) -> Option<CommonName> {
    let leaf = connection.peer_certificates()?.first()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
    Some(CommonName(name.into()))
}

/// What this member can do nothing about, whoever asks: it only learns, or knows of no leader when one is asked for.
fn may_ask<B>(node: &Node, request: &Request<B>) -> Result<(), Refusal> {
    const FOR_LEARNERS: [&str; 4] = [
        "/etcdserverpb.KV/Range", // the serializable ones
        "/etcdserverpb.Maintenance/Status",
        "/etcdserverpb.Maintenance/Snapshot",
        "/grpc.health.v1.Health/Check",
    ];
    if node.is_learner() && !FOR_LEARNERS.contains(&request.uri().path()) {
        return Err(Refusal::NotForLearner);
    }
    let needs_leader = request.headers().get("hasleader").is_some_and(|value| value == "true");
    if needs_leader && node.leadership.now().is_none() {
        return Err(Refusal::NoLeader);
    }
    Ok(())
}

/// The client side's TLS, from its files.
pub type Tls = Reloaded<Arc<ServerConfig>>;

/// Reads the files, and again when they change.
pub fn open_tls(files: TlsFiles) -> Result<Tls, mtls::Error> {
    Reloaded::open("the serving certificate", files, |files| {
        let roots = Roots::load(&files.authorities)?;
        let auth = if files.required { ClientAuth::Required(roots) } else { ClientAuth::Optional(roots) };
        let identity = Identity::load(&files.cert, &files.key)?;
        mtls::server_config(identity, auth, Versions::Tls12AndUp, &[b"h2", b"http/1.1"])
    })
}
