//! Channels to the store's members, which of them is in use, and how long a call waits for an answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use backoff::Backoff;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::metrics::Metrics;
use crate::options::{StoreOptions, StoreTls};

/// How long one try may take before the next endpoint is asked.
const TRY: Duration = Duration::from_secs(5);
/// How long a call waits for the store in all. Longer than a restart of the store takes, so that a request outlives one;
/// shorter than the deadline of a request, so that the client learns why.
const PATIENCE: Duration = Duration::from_secs(12);

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// No endpoint answered in time. A write may or may not have taken effect.
    #[error("the store does not answer")]
    Unavailable(#[source] Box<Status>),
    /// The revision asked for is gone.
    #[error("the revision was compacted")]
    Compacted,
    /// The revision asked for does not exist yet.
    #[error("the revision is in the future")]
    FutureRevision,
    /// The store takes no more data until some is deleted and compacted, or its disk has room.
    #[error("the store has no space")]
    NoSpace(#[source] Box<Status>),
    /// The store answered with an error.
    #[error("the store refused")]
    Refused(#[source] Box<Status>),
}

impl From<Status> for StoreError {
    fn from(status: Status) -> Self {
        match status.code() {
            Code::OutOfRange if status.message().contains("has been compacted") => Self::Compacted,
            Code::OutOfRange if status.message().contains("is a future revision") => Self::FutureRevision,
            Code::ResourceExhausted if status.message().contains("database space exceeded") => {
                Self::NoSpace(Box::new(status))
            }
            _ if is_passing(&status) => Self::Unavailable(Box::new(status)),
            _ => Self::Refused(Box::new(status)),
        }
    }
}

/// Whether another try, perhaps at another member, can go better: the connection failed, or the member is without a
/// leader or overloaded.
fn is_passing(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
        || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled)
}

/// Why the client could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// Credentials are missing or broken.
    #[error("read the credentials for the store")]
    Tls(#[from] mtls::Error),
    /// An endpoint is not a URL with a host.
    #[error("{0:?} is not the URL of a store")]
    Url(String),
}

/// One member: a channel for calls and one for watches, so that neither waits for the other's window.
struct Member {
    calls: Channel,
    watches: Channel,
}

/// A client of the store. Cheap to share; all methods are cancel safe in that no lock is held, though a cancelled write
/// may have taken effect.
pub(crate) struct StoreClient {
    members: Vec<Member>,
    /// Index of the member asked first.
    current: AtomicUsize,
    metrics: Arc<Metrics>,
    /// What is older than this revision is compacted away, as far as this client knows.
    pub(super) compacted: AtomicI64,
}

/// An answer, and whether an earlier try of the same call may have taken effect as well.
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) repeated: bool,
}

impl StoreClient {
    /// Sets up the channels; connections are made when they are needed, and again when they break.
    pub(crate) fn new(options: &StoreOptions, metrics: Arc<Metrics>) -> Result<Self, SetupError> {
        let mut members = Vec::new();
        for url in &options.endpoints {
            let uri: Uri = url.parse().map_err(|_| SetupError::Url(url.clone()))?;
            let host = uri.host().ok_or_else(|| SetupError::Url(url.clone()))?.to_owned();
            let port = uri.port_u16().unwrap_or(2379);
            let connector = Connector::new(&host, port, options.tls.as_ref(), url)?;
            // The scheme stays plain: the connector below brings TLS.
            let endpoint = Endpoint::from_shared(format!("http://{}:{port}", uri.host().unwrap_or_default()))
                .map_err(|_| SetupError::Url(url.clone()))?
                .connect_timeout(Duration::from_secs(2))
                .tcp_nodelay(true)
                .http2_keep_alive_interval(Duration::from_secs(30))
                .keep_alive_timeout(Duration::from_secs(10))
                .keep_alive_while_idle(true)
                .initial_stream_window_size(4 << 20)
                .initial_connection_window_size(16 << 20);
            members.push(Member {
                calls: endpoint.connect_with_connector_lazy(connector.clone()),
                watches: endpoint.connect_with_connector_lazy(connector),
            });
        }
        if members.is_empty() {
            return Err(SetupError::Url(String::new()));
        }
        Ok(Self { members, current: AtomicUsize::new(0), metrics, compacted: AtomicI64::new(0) })
    }

    /// Calls a member; on a passing failure the next one, with growing pauses, until [`PATIENCE`] is used up.
    pub(super) async fn call<T, F, Fut>(&self, operation: &'static str, call: F) -> Result<Answer<T>, StoreError>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        let mut repeated = false;
        let outcome = loop {
            let index = self.current.load(Ordering::Relaxed);
            let channel = self.members[index % self.members.len()].calls.clone();
            let status = match tokio::time::timeout(TRY, call(channel)).await {
                Ok(Ok(response)) => break Ok(Answer { value: response.into_inner(), repeated }),
                Ok(Err(status)) => status,
                Err(_) => Status::deadline_exceeded("no answer in time"),
            };
            if !is_passing(&status) {
                break Err(StoreError::from(status));
            }
            self.turn_from(index);
            repeated = true;
            let pause = backoff.next_delay(rand::random());
            if start.elapsed() + pause >= PATIENCE {
                break Err(StoreError::Unavailable(Box::new(status)));
            }
            tokio::time::sleep(pause).await;
        };
        self.metrics.store_request(operation, start.elapsed(), outcome.is_ok());
        outcome
    }

    /// The channel for the next watch, and its index for [`turn_from`](Self::turn_from).
    pub(super) fn watch_channel(&self) -> (usize, Channel) {
        let index = self.current.load(Ordering::Relaxed);
        (index, self.members[index % self.members.len()].watches.clone())
    }

    /// Prefers the next member, if the one at `index` is still the preferred one.
    pub(super) fn turn_from(&self, index: usize) {
        if self.members.len() > 1 {
            let _ = self.current.compare_exchange(
                index,
                (index + 1) % self.members.len(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }
}

/// Opens a connection to one member.
#[derive(Clone)]
struct Connector {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    fn new(host: &str, port: u16, tls: Option<&StoreTls>, url: &str) -> Result<Self, SetupError> {
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = match tls {
            None => None,
            Some(files) => {
                let identity = match &files.identity {
                    Some((cert, key)) => Some(mtls::Identity::load(cert, key)?),
                    None => None,
                };
                let roots = mtls::Roots::load(&files.authority)?;
                let config = mtls::client_config(identity, roots, mtls::Versions::Tls13, &[b"h2"])?;
                let name = ServerName::try_from(host.clone()).map_err(|_| SetupError::Url(url.to_owned()))?;
                Some((TlsConnector::from(config), name))
            }
        };
        Ok(Self { host, port, tls })
    }

    async fn connect(self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(match self.tls {
            None => Connection::Plain(stream),
            Some((connector, name)) => Connection::Tls(Box::new(connector.connect(name, stream).await?)),
        })
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Connection>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

/// A connection to the store, with or without TLS.
enum Connection {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

impl tokio::io::AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl tokio::io::AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
