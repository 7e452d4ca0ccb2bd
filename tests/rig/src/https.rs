//! Raw HTTPS: what a client library would hide is visible here.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::credentials::Login;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(70);

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub code: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A client with one identity, or none.
#[derive(Clone)]
pub struct Client {
    port: u16,
    config: Arc<ClientConfig>,
}

impl Client {
    /// A client of the server at `port`; without `login` it shows no certificate but still verifies the server.
    pub fn new(port: u16, authority: &str, login: Option<&Login>) -> Self {
        let identity = login
            .map(|login| mtls::Identity::parse(login.cert.as_bytes(), login.key.as_bytes()).expect("read an identity"));
        let roots = mtls::Roots::parse(authority.as_bytes()).expect("read an authority");
        let config = mtls::client_config(identity, roots, mtls::Versions::Tls12AndUp, &[b"h2", b"http/1.1"]);
        Self { port, config: config.expect("set up TLS") }
    }

    /// Opens a connection to write bytes of any kind to; the server expects HTTP/2 unless `http1`.
    pub async fn stream(&self, http1: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::clone(&self.config);
        if http1 {
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST));
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// Opens a connection, HTTP/2 unless `http1`.
    pub async fn connect(&self, http1: bool) -> std::io::Result<Connection> {
        let stream = self.stream(http1).await?;
        let two = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        if two {
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(std::io::Error::other)?;
            tokio::spawn(connection);
            Ok(Connection::Two(sender))
        } else {
            let (sender, connection) =
                hyper::client::conn::http1::handshake(io).await.map_err(std::io::Error::other)?;
            tokio::spawn(connection.with_upgrades());
            Ok(Connection::One(sender))
        }
    }

    /// Asks for another protocol: the answer, and the connection as it is after 101.
    pub async fn upgrade(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> std::io::Result<(Response<()>, TokioIo<Upgraded>)> {
        let work = async {
            let mut response = self.connect(true).await?.open("GET", path, headers, "").await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let body = response.collect().await.map_err(std::io::Error::other)?.to_bytes();
                return Err(std::io::Error::other(String::from_utf8_lossy(&body).into_owned()));
            }
            let upgraded = hyper::upgrade::on(&mut response).await.map_err(std::io::Error::other)?;
            Ok((response.map(drop), TokioIo::new(upgraded)))
        };
        tokio::time::timeout(ANSWER, work).await.map_err(std::io::Error::other)?
    }

    /// GET.
    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// GET with an `Accept` header.
    pub async fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], "").await
    }

    /// POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string()).await
    }

    /// PUT of JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], &body.to_string()).await
    }

    /// PATCH of the given media type.
    pub async fn patch(&self, path: &str, media_type: &str, body: &Value) -> Answer {
        self.send("PATCH", path, &[("content-type", media_type)], &body.to_string()).await
    }

    /// DELETE without a body.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "").await
    }

    /// Any request, over a connection of its own.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Answer {
        self.try_send(method, path, headers, body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path} got no answer: {error}"))
    }

    /// Any request; an error when there is no answer at all.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> std::io::Result<Answer> {
        let mut connection = self.connect(false).await?;
        connection.send(method, path, headers, body).await
    }
}

/// An open connection.
pub enum Connection {
    /// HTTP/1.1
    One(hyper::client::conn::http1::SendRequest<Full<Bytes>>),
    /// HTTP/2
    Two(hyper::client::conn::http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Sends a request and reads the whole answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> std::io::Result<Answer> {
        let work = async {
            let response = self.open(method, path, headers, body).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            Ok(Answer { code: parts.status.as_u16(), headers: parts.headers, body })
        };
        tokio::time::timeout(ANSWER, work).await.map_err(std::io::Error::other)?
    }

    /// Sends a request and returns the answer with its body still to be read.
    pub async fn open(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> std::io::Result<Response<Incoming>> {
        let uri = match self {
            Self::One(_) => path.to_owned(),
            Self::Two(_) => format!("https://127.0.0.1{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if matches!(self, Self::One(_)) {
            request = request.header("host", "127.0.0.1");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_ref()))).map_err(std::io::Error::other)?;
        match self {
            Self::One(sender) => {
                sender.ready().await.map_err(std::io::Error::other)?;
                sender.send_request(request).await
            }
            Self::Two(sender) => {
                sender.ready().await.map_err(std::io::Error::other)?;
                sender.send_request(request).await
            }
        }
        .map_err(std::io::Error::other)
    }

    /// Opens a watch.
    pub async fn watch(mut self, path: &str) -> Watch {
        let response = self.open("GET", path, &[], "").await.expect("open a watch");
        let code = response.status().as_u16();
        Watch { code, body: response.into_body(), read: BytesMut::new(), _connection: self }
    }
}

/// An open watch, event by event.
pub struct Watch {
    /// The status code of the answer.
    pub code: u16,
    body: Incoming,
    read: BytesMut,
    _connection: Connection,
}

impl Watch {
    /// The next event; `None` when the server ended the watch.
    pub async fn next(&mut self) -> Option<Value> {
        let work = async {
            loop {
                if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                    let line = self.read.split_to(end + 1);
                    return Some(serde_json::from_slice(&line).expect("an event is JSON"));
                }
                let frame = self.body.frame().await?;
                if let Ok(data) = frame.ok()?.into_data() {
                    self.read.extend_from_slice(&data);
                }
            }
        };
        tokio::time::timeout(ANSWER, work).await.expect("waited in vain for an event")
    }

    /// The next event that is no bookmark, as its type and the name of its object.
    pub async fn next_change(&mut self) -> (String, String) {
        loop {
            let event = self.next().await.expect("the watch goes on");
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            if kind != "BOOKMARK" {
                return (kind, event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
}
