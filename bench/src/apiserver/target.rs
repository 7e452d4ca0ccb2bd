//! Connections to an API server, and what is asked on them.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mtls::{Identity, Roots, Versions};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// JSON, as requests and answers.
pub const JSON: &str = "application/json";
/// What client-go's typed clients ask for.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
/// What kubectl asks for.
pub const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Where a server is, and who asks.
#[derive(Clone)]
pub struct Target {
    host: String,
    port: u16,
    config: Arc<ClientConfig>,
}

/// A target cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The URL is none of an API server.
    #[error("--server {0:?}: it is not https://host:port")]
    Url(String),
    /// A file is missing or holds something else.
    #[error("set up TLS")]
    Tls(#[from] mtls::Error),
}

impl Target {
    /// A server by its URL, with the authority and the credentials in PEM.
    pub fn new(url: &str, authority: &[u8], cert: &[u8], key: &[u8]) -> Result<Self, TargetError> {
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
        let authority_of = uri.as_ref().and_then(Uri::authority).ok_or_else(|| TargetError::Url(url.to_owned()))?;
        let identity = Identity::parse(cert, key)?;
        let config = mtls::client_config(Some(identity), Roots::parse(authority)?, Versions::Tls12AndUp, &[b"h2"])?;
        let host = authority_of.host().trim_matches(['[', ']']).to_owned();
        Ok(Self { host, port: authority_of.port_u16().unwrap_or(443), config })
    }

    /// Opens a connection.
    ///
    /// # Panics
    ///
    /// When the server does not take it: there is nothing to measure then.
    pub async fn connect(&self) -> Connection {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.expect("connect to the server");
        stream.set_nodelay(true).expect("set an option of a socket");
        let name = ServerName::try_from(self.host.clone()).expect("a name of a server");
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await.expect("a TLS handshake");
        let (requests, connection) =
            handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("an HTTP/2 connection");
        tokio::spawn(connection);
        Connection { requests, base: format!("https://{}:{}", self.host, self.port) }
    }

    /// As many connections as so many clients share.
    pub async fn connections(&self, clients: usize, share: usize) -> Vec<Connection> {
        let mut connections = Vec::new();
        for _ in 0..clients.div_ceil(share) {
            connections.push(self.connect().await);
        }
        connections
    }
}

/// A connection that several clients share.
#[derive(Clone)]
pub struct Connection {
    requests: SendRequest<Full<Bytes>>,
    base: String,
}

impl Connection {
    /// Asks, and returns the answer's body as it comes.
    ///
    /// # Panics
    ///
    /// When the server refuses: the load is one that it must take.
    pub async fn open(&mut self, method: Method, path: &str, accept: &str, kind: &str, body: Bytes) -> Incoming {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("accept", accept)
            .header("content-type", kind)
            .header("user-agent", "bench-apiserver/1")
            .body(Full::new(body))
            .expect("a request");
        self.requests.ready().await.expect("the connection lasts");
        let answer = self.requests.send_request(request).await.expect("the server answers");
        let status = answer.status();
        if !status.is_success() {
            let text = answer.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
            panic!("{path}: {status}: {}", String::from_utf8_lossy(&text));
        }
        answer.into_body()
    }

    /// Asks and reads the answer to its end; how many bytes it had.
    pub async fn ask(&mut self, method: Method, path: &str, accept: &str, kind: &str, body: Bytes) -> u64 {
        let mut answer = self.open(method, path, accept, kind, body).await;
        let mut bytes = 0;
        while let Some(frame) = answer.frame().await {
            bytes += frame.expect("the answer goes on").data_ref().map_or(0, Bytes::len) as u64;
        }
        bytes
    }

    /// Asks for JSON and reads it.
    pub async fn json(&mut self, path: &str) -> serde_json::Value {
        let answer = self.open(Method::GET, path, JSON, JSON, Bytes::new()).await;
        let body = answer.collect().await.expect("the answer goes on").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }
}
