//! Requests over HTTP, one at a time, from threads that may block.

use std::env;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use backoff::Backoff;
use bytes::{Buf, Bytes};
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mtls::{Roots, Versions};
use url::Url;

use super::settings::Settings;
use crate::backup::target::Network;

/// A connection must be there by then.
const CONNECT: Duration = Duration::from_secs(10);
/// A request must be taken and answered by then: sixteen mebibytes at a hundred kilobytes a second.
const ANSWER: Duration = Duration::from_mins(3);
/// The next piece of an object must come by then.
const PIECE: Duration = Duration::from_mins(1);
/// How often a request is sent. What fails longer is for the caller to try again, who waits longer.
const TRIES: usize = 4;
/// Where systems keep the authorities of public servers.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Sends requests.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    network: Network,
}

/// An answer, whatever it says.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The entity's tag, as it was given.
    pub(super) tag: Option<String>,
    pub(super) body: Body,
}

/// A body, read as it comes.
pub(super) struct Body {
    incoming: Incoming,
    piece: Bytes,
    network: Network,
}

impl Http {
    pub(super) fn new(settings: &Settings, network: Network) -> io::Result<Self> {
        let tls = if settings.endpoint.scheme() == "https" {
            let path = authorities(settings)?;
            let roots = Roots::load(&path).map_err(io::Error::other)?;
            mtls::client_config(None, roots, Versions::Tls12AndUp, &[]).map_err(io::Error::other)?
        } else {
            // Never used; the connector wants one.
            let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let config = config.map_err(io::Error::other)?;
            let config = config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
            std::sync::Arc::new(config)
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config((*tls).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, network })
    }

    /// Sends a request and returns the answer, once one comes that is not about a passing trouble, or none does. `sign`
    /// makes the URL, anew for each try.
    pub(super) fn send(
        &self,
        method: &Method,
        headers: &[(HeaderName, String)],
        body: &Bytes,
        sign: impl Fn() -> Url,
    ) -> io::Result<Answer> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        for _ in 1..TRIES {
            match self.send_once(method, headers, body, &sign()) {
                Ok(answer) if !is_passing(answer.status) => return Ok(answer),
                Ok(answer) => tracing::debug!(status = %answer.status, "the object store is asked again"),
                Err(error) => tracing::debug!(%error, "the object store is asked again"),
            }
            let delay = backoff.next_delay(rand::random());
            // Not to be waited out when the program stops.
            match self.network.within(delay, std::future::pending::<()>()) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                Err(error) => return Err(error),
                Ok(()) => {}
            }
        }
        self.send_once(method, headers, body, &sign())
    }

    fn send_once(
        &self,
        method: &Method,
        headers: &[(HeaderName, String)],
        body: &Bytes,
        url: &Url,
    ) -> io::Result<Answer> {
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if matches!(*method, Method::PUT | Method::POST) {
            request = request.header(header::CONTENT_LENGTH, body.len());
        }
        let request = request.body(Full::new(body.clone())).map_err(io::Error::other)?;
        let answer = self.network.within(ANSWER, self.client.request(request))?;
        let (parts, incoming) = answer.map_err(io::Error::other)?.into_parts();
        let tag = parts.headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let body = Body { incoming, piece: Bytes::new(), network: self.network.clone() };
        Ok(Answer { status: parts.status, tag, body })
    }
}

/// Troubles that pass; a conflict is another writer who is not done yet.
fn is_passing(status: StatusCode) -> bool {
    let client = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS);
    client || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn authorities(settings: &Settings) -> io::Result<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named =
        settings.authorities.clone().or_else(|| variable("AWS_CA_BUNDLE")).or_else(|| variable("SSL_CERT_FILE"));
    let system = || SYSTEM_AUTHORITIES.iter().map(PathBuf::from).find(|path| path.exists());
    named.or_else(system).ok_or_else(|| {
        let problem = "this system has no file with the authorities of public servers: name one by --backup-ca-file";
        io::Error::new(io::ErrorKind::NotFound, problem)
    })
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.network.within(PIECE, self.incoming.frame())? {
                None => return Ok(0),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
                        self.piece = data;
                    }
                }
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
