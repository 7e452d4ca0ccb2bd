//! One request to a server elsewhere that helps to authenticate: a provider of tokens, or a webhook.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

/// How long an answer may take; a client waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer. Sets of keys and reviews have a few thousand.
const MOST: usize = 1 << 20;
/// The authorities of the machine, for servers for which none are given.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A server did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The URL leads nowhere.
    #[error("{0} is no URL of a server")]
    Url(String),
    /// It cannot be reached, or is not who it should be.
    #[error("connect to {host}")]
    Connect {
        /// The server.
        host: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The request failed.
    #[error("talk to {host}")]
    Talk {
        /// The server.
        host: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered something else than was asked for.
    #[error("{host} answered {code}")]
    Answer {
        /// The server.
        host: String,
        /// The code.
        code: StatusCode,
    },
    /// It took too long.
    #[error("{0} did not answer in time")]
    Late(String),
}

/// A client of one server.
#[derive(Clone)]
pub(super) struct Https {
    tls: TlsConnector,
    authorization: Option<HeaderValue>,
}

impl Https {
    /// A client of servers whose certificates lead to these authorities, or to those of the machine.
    pub(super) fn new(authority: Option<&str>, identity: Option<mtls::Identity>) -> Result<Self, mtls::Error> {
        let roots = match authority {
            Some(pem) => mtls::Roots::parse(pem.as_bytes())?,
            None => mtls::Roots::load(Path::new(SYSTEM_ROOTS))?,
        };
        let config: Arc<ClientConfig> =
            mtls::client_config(identity, roots, mtls::Versions::Tls12AndUp, &[b"http/1.1"])?;
        Ok(Self { tls: TlsConnector::from(config), authorization: None })
    }

    /// The same client, which says who it is with a token.
    pub(super) fn with_token(self, token: Option<&str>) -> Self {
        let authorization = token.and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
        Self { authorization, ..self }
    }

    /// GET.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        self.send(Method::GET, url, Bytes::new()).await
    }

    /// POST of JSON.
    pub(super) async fn post(&self, url: &str, body: Vec<u8>) -> Result<Bytes, FetchError> {
        self.send(Method::POST, url, body.into()).await
    }

    async fn send(&self, method: Method, url: &str, body: Bytes) -> Result<Bytes, FetchError> {
        let wrong = || FetchError::Url(url.to_owned());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        let host = parsed.host_str().filter(|_| parsed.scheme() == "https").ok_or_else(wrong)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = parsed.port().unwrap_or(443);
        let name = ServerName::try_from(bare.clone()).map_err(|_| wrong())?;
        let work = async {
            let connect = |source| FetchError::Connect { host: bare.clone(), source };
            let stream = TcpStream::connect((bare.as_str(), port)).await.map_err(connect)?;
            let stream = self.tls.connect(name, stream).await.map_err(connect)?;
            let talk =
                |source: Box<dyn std::error::Error + Send + Sync>| FetchError::Talk { host: bare.clone(), source };
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| talk(error.into()))?;
            let connection = tokio::spawn(connection);
            let path = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
            let authority = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            let mut request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, authority)
                .header(USER_AGENT, "kube-apiserver")
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json");
            if let Some(authorization) = &self.authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            let request = request.body(Full::new(body)).map_err(|error| talk(error.into()))?;
            let answer = sender.send_request(request).await.map_err(|error| talk(error.into()))?;
            let code = answer.status();
            let bytes = Limited::new(answer.into_body(), MOST).collect().await.map_err(talk)?.to_bytes();
            connection.abort();
            if code.is_success() { Ok(bytes) } else { Err(FetchError::Answer { host: bare.clone(), code }) }
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(FetchError::Late(bare.clone())))
    }
}
