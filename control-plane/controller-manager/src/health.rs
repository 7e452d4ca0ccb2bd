//! The health endpoint: `/healthz`, `/livez` and `/readyz` for everybody, `/metrics` for clients with a certificate
//! of the given authority. Always TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chain::Chain;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mtls::{ClientAuth, Identity, Roots, Versions};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::files;
use crate::flags::HealthOptions;
use crate::metrics::Metrics;

/// More connections than this wait: a flood of them must not take the memory of the controllers.
const CONNECTIONS: usize = 64;

/// A peer that takes longer for its handshake or a request head is cut off.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why health cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HealthError {
    #[error("listen on {address}")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("set up TLS of the health endpoint")]
    Tls(#[source] mtls::Error),
    #[error("make a certificate for the health endpoint")]
    Certificate(#[source] rcgen::Error),
}

/// What the checks look at.
#[derive(Debug, Default)]
pub(crate) struct Health {
    reached: AtomicBool,
}

impl Health {
    /// The API server answered at least once.
    pub(crate) fn set_reached(&self) {
        self.reached.store(true, Ordering::Relaxed);
    }

    fn reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }
}

/// A bound endpoint, ready to serve.
pub(crate) struct Endpoint {
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    peers_are_known: bool,
}

impl Endpoint {
    /// Binds the port and sets up TLS. Certificates from files are renewed while serving.
    pub(crate) async fn bind(options: &HealthOptions) -> Result<Self, HealthError> {
        let source = if let Some((cert, key)) = &options.identity {
            Source::Files { cert: cert.clone(), key: key.clone() }
        } else {
            Source::Made(self_signed()?)
        };
        let client_ca = options.client_ca.clone();
        let first = source.config(client_ca.as_ref())?;
        let (sender, tls) = watch::channel(first);
        let peers_are_known = client_ca.is_some();
        let mut paths: Vec<PathBuf> = client_ca.iter().cloned().collect();
        if let Source::Files { cert, key } = &source {
            paths.extend([cert.clone(), key.clone()]);
        }
        if !paths.is_empty() {
            tokio::spawn(files::follow(paths, sender, move || source.config(client_ca.as_ref())));
        }
        let address = SocketAddr::new(options.address, options.port);
        let listener = TcpListener::bind(address).await.map_err(|source| HealthError::Listen { address, source })?;
        Ok(Self { listener, tls, peers_are_known })
    }

    /// Serves for ever.
    pub(crate) async fn serve(self, health: Arc<Health>, metrics: Arc<Metrics>) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of file descriptors, or the peer was gone already: the next one may fare better.
                    tracing::debug!(%error, "a connection to the health endpoint could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
            let (health, metrics, peers_are_known) = (Arc::clone(&health), Arc::clone(&metrics), self.peers_are_known);
            tokio::spawn(async move {
                if let Err(error) = connection(stream, acceptor, &health, &metrics, peers_are_known).await {
                    tracing::debug!(error = %Chain(&*error), "a connection to the health endpoint ended");
                }
                drop(permit);
            });
        }
    }
}

/// Where the certificate comes from.
enum Source {
    Files { cert: PathBuf, key: PathBuf },
    Made(Made),
}

/// A certificate that only this process knows the key of.
struct Made {
    cert: String,
    key: String,
}

fn self_signed() -> Result<Made, HealthError> {
    let make = || {
        let key = rcgen::KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "kube-controller-manager".to_owned()];
        let cert = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
        Ok(Made { cert: cert.pem(), key: key.serialize_pem() })
    };
    make().map_err(HealthError::Certificate)
}

impl Source {
    /// Without an authority for clients nobody is asked who he is in earnest: our own certificate stands for the
    /// authority, which no client's can lead to.
    fn config(&self, client_ca: Option<&PathBuf>) -> Result<Arc<ServerConfig>, HealthError> {
        let make = || {
            let (identity, own) = match self {
                Self::Files { cert, key } => (Identity::load(cert, key)?, Roots::load(cert)),
                Self::Made(made) => {
                    (Identity::parse(made.cert.as_bytes(), made.key.as_bytes())?, Roots::parse(made.cert.as_bytes()))
                }
            };
            let roots = match client_ca {
                Some(path) => Roots::load(path)?,
                None => own?,
            };
            mtls::server_config(identity, ClientAuth::Optional(roots), Versions::Tls12AndUp, &[b"http/1.1"])
        };
        make().map_err(HealthError::Tls)
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    health: &Health,
    metrics: &Metrics,
    peers_are_known: bool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = timeout(PATIENCE, acceptor.accept(stream)).await??;
    let known = peers_are_known && stream.get_ref().1.peer_certificates().is_some_and(|chain| !chain.is_empty());
    let service = service_fn(|request: Request<hyper::body::Incoming>| {
        let response = answer(&request, health, metrics, known);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

fn answer<B>(request: &Request<B>, health: &Health, metrics: &Metrics, known: bool) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" | "/livez" => text(StatusCode::OK, "ok"),
        "/readyz" if health.reached() => text(StatusCode::OK, "ok"),
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "the API server has not been reached yet\n"),
        "/metrics" if known => text(StatusCode::OK, metrics.render()),
        "/metrics" => text(StatusCode::UNAUTHORIZED, "a client certificate is needed\n"),
        _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
    }
}

fn text(code: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, reached: bool, known: bool) -> StatusCode {
        let health = Health::default();
        if reached {
            health.set_reached();
        }
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        answer(&request, &health, &Metrics::new("x".into()), known).status()
    }

    #[test]
    fn health_is_for_everybody_and_metrics_are_not() {
        assert_eq!(ask(Method::GET, "/healthz?verbose", false, false), 200);
        assert_eq!(ask(Method::GET, "/readyz", false, false), 503);
        assert_eq!(ask(Method::GET, "/readyz", true, false), 200);
        assert_eq!(ask(Method::GET, "/metrics", true, false), 401);
        assert_eq!(ask(Method::GET, "/metrics", true, true), 200);
        assert_eq!(ask(Method::POST, "/healthz", true, true), 405);
        assert_eq!(ask(Method::GET, "/", true, true), 404);
    }

    #[test]
    fn a_made_certificate_serves() {
        let source = Source::Made(self_signed().unwrap());
        assert!(source.config(None).is_ok());
        assert!(source.config(Some(&PathBuf::from("missing"))).is_err());
    }
}
