//! The connection to the API server: requests with deadlines, watches, and a kubeconfig that may change at any time.

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::BytesMut;
use chain::Chain;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{Status, WatchEvent};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use tower::{BoxError, ServiceBuilder, ServiceExt};

use crate::files;

/// Every request but a watch is given up after this time. It must be longer than the server's own patience for
/// ordinary requests would be in trouble, and short enough that a hanging connection does not hold a controller up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Establishing a connection is given up after this time.
const CONNECT: Duration = Duration::from_secs(5);

/// The largest answer or event that is read: ten times the largest object an API server accepts, so that a list page
/// always fits and a broken server cannot fill the memory.
const LARGEST: usize = 64 << 20;

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The server answered with a failure.
    #[error("the API server refused with code {}", .0.code)]
    Refused(#[source] Box<Status>),
    /// The request could not be sent, or the answer broke off.
    #[error("talk to the API server")]
    Transport(#[source] BoxError),
    /// No answer in time.
    #[error("no answer from the API server within {0:?}")]
    TimedOut(Duration),
    /// The answer is larger than anything reasonable.
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    /// The answer is not what it should be.
    #[error("understand the answer of the API server")]
    Decode(#[source] serde_json::Error),
    /// The request makes no sense.
    #[error("make the request")]
    Build(#[source] kube::core::request::Error),
}

impl ApiError {
    fn refused(&self) -> Option<&Status> {
        match self {
            Self::Refused(status) => Some(status),
            Self::Transport(_) | Self::TimedOut(_) | Self::TooLarge | Self::Decode(_) | Self::Build(_) => None,
        }
    }

    /// The code of the server's refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        self.refused().map(|status| status.code)
    }

    /// The object, or the resource, does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Somebody else created the object first.
    pub(crate) fn is_already_exists(&self) -> bool {
        self.refused().is_some_and(Status::is_already_exists)
    }

    /// The object is refused because its namespace is being deleted.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        self.has_cause("NamespaceTerminating")
    }

    /// The asked revision is newer than anything the server has.
    pub(crate) fn is_revision_ahead(&self) -> bool {
        self.has_cause("ResourceVersionTooLarge")
    }

    fn has_cause(&self, reason: &str) -> bool {
        let causes = self.refused().and_then(|status| status.details.as_ref()).map(|details| details.causes.as_slice());
        causes.is_some_and(|causes| causes.iter().any(|cause| cause.reason == reason))
    }
}

impl From<kube::Error> for ApiError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            kube::Error::Service(cause) => Self::Transport(cause),
            kube::Error::HyperError(cause) => Self::Transport(Box::new(cause)),
            kube::Error::SerdeError(cause) => Self::Decode(cause),
            kube::Error::BuildRequest(cause) => Self::Build(cause),
            other => Self::Transport(Box::new(other)),
        }
    }
}

/// Why there is no connection to speak of.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The kubeconfig cannot be read or used.
    #[error("use the kubeconfig {}", path.display())]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// There is neither a kubeconfig nor a service account of a pod.
    #[error("no --kubeconfig is given and this is not a pod of a cluster")]
    NotInCluster(#[source] Box<kube::config::InClusterError>),
    /// TLS or authentication cannot be set up.
    #[error("set up the connection to the API server")]
    Client(#[source] Box<kube::Error>),
}

/// The API server as all controllers see it. Clones share the connections.
#[derive(Clone)]
pub(crate) struct ApiServer {
    current: Arc<RwLock<Client>>,
    kubeconfig: Option<PathBuf>,
    fingerprint: u64,
}

impl ApiServer {
    /// Reads the kubeconfig and prepares the connection; nothing is sent yet.
    pub(crate) async fn new(kubeconfig: Option<PathBuf>) -> Result<Self, ConnectError> {
        let fingerprint = match &kubeconfig {
            Some(path) => fingerprint(path).await,
            None => 0,
        };
        let client = make_client(kubeconfig.as_deref()).await?;
        Ok(Self { current: Arc::new(RwLock::new(client)), kubeconfig, fingerprint })
    }

    /// The client to use for the next request.
    pub(crate) fn client(&self) -> Client {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes up a changed kubeconfig (a renewed certificate) for new requests, for ever. One that cannot be used is
    /// logged, and the former is kept.
    pub(crate) async fn follow_kubeconfig(self) {
        let Some(path) = self.kubeconfig else { return std::future::pending().await };
        let mut known = self.fingerprint;
        loop {
            tokio::time::sleep(files::INTERVAL).await;
            let found = fingerprint(&path).await;
            if found == known {
                continue;
            }
            known = found;
            match make_client(Some(&path)).await {
                Ok(client) => {
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = client;
                    tracing::info!(kubeconfig = %path.display(), "the kubeconfig changed and is in use");
                }
                Err(error) => {
                    tracing::warn!(error = %Chain(&error), "the kubeconfig changed and cannot be used; the former stays");
                }
            }
        }
    }

    /// Awaits a call made with [`ApiServer::client`], no longer than [`DEADLINE`].
    pub(crate) async fn within<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
        timeout(DEADLINE, call).await.map_err(|_| ApiError::TimedOut(DEADLINE))?.map_err(ApiError::from)
    }

    /// Sends a request and returns its parsed answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        request: Request<Vec<u8>>,
        accept: &'static str,
    ) -> Result<T, ApiError> {
        let call = async {
            let body = self.open(request, accept).await?;
            let bytes = collect(body, LARGEST).await?;
            serde_json::from_slice(&bytes).map_err(ApiError::Decode)
        };
        timeout(DEADLINE, call).await.map_err(|_| ApiError::TimedOut(DEADLINE))?
    }

    /// Sends a request whose answer is of no interest beyond its success.
    pub(crate) async fn tell(
        &self,
        request: Request<Vec<u8>>,
        accept: &'static str,
        deadline: Duration,
    ) -> Result<(), ApiError> {
        let call = async {
            let mut body = self.open(request, accept).await?;
            while let Some(frame) = body.frame().await {
                frame.map_err(|error| ApiError::Transport(Box::new(error)))?;
            }
            Ok(())
        };
        timeout(deadline, call).await.map_err(|_| ApiError::TimedOut(deadline))?
    }

    /// Starts a watch. The answer must begin within [`DEADLINE`].
    pub(crate) async fn watch(&self, request: Request<Vec<u8>>, accept: &'static str) -> Result<Events, ApiError> {
        let body = timeout(DEADLINE, self.open(request, accept)).await.map_err(|_| ApiError::TimedOut(DEADLINE))??;
        Ok(Events { body, buffer: BytesMut::new(), scanned: 0 })
    }

    async fn open(&self, request: Request<Vec<u8>>, accept: &'static str) -> Result<Body, ApiError> {
        let mut request = request.map(Body::from);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        let response: Response<Body> = self.client().send(request).await?;
        let code = response.status();
        let body = response.into_body();
        if code.is_success() {
            return Ok(body);
        }
        // A failure is a Status; a proxy in between may say something else.
        let bytes = collect(body, 1 << 20).await?;
        let status = serde_json::from_slice::<Status>(&bytes).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(&bytes).trim().chars().take(200).collect();
            Status::failure(&text, "Unknown").with_code(code.as_u16())
        });
        Err(ApiError::Refused(Box::new(if status.code == 0 { status.with_code(code.as_u16()) } else { status })))
    }
}

async fn collect(mut body: Body, largest: usize) -> Result<BytesMut, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ApiError::Transport(Box::new(error)))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > largest {
                return Err(ApiError::TooLarge);
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

/// The events of a watch, as they come.
pub(crate) struct Events {
    body: Body,
    buffer: BytesMut,
    /// So many bytes of the buffer are known to hold no line end.
    scanned: usize,
}

impl Events {
    /// Waits for the next event; `None` when the server closed the watch in order. A silence longer than `patience`
    /// is an error: the connection may be dead without saying so.
    pub(crate) async fn next<T: DeserializeOwned>(
        &mut self,
        patience: Duration,
    ) -> Result<Option<WatchEvent<T>>, ApiError> {
        loop {
            if let Some(found) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.scanned + found + 1);
                self.scanned = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return serde_json::from_slice(&line).map(Some).map_err(ApiError::Decode);
            }
            self.scanned = self.buffer.len();
            let frame = timeout(patience, self.body.frame()).await.map_err(|_| ApiError::TimedOut(patience))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| ApiError::Transport(Box::new(error)))?;
            if let Some(data) = frame.data_ref() {
                if self.buffer.len() + data.len() > LARGEST {
                    return Err(ApiError::TooLarge);
                }
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

async fn make_client(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let config = match kubeconfig {
        Some(path) => {
            let in_file = |source| ConnectError::Kubeconfig { path: path.into(), source: Box::new(source) };
            let kubeconfig = Kubeconfig::read_from(path).map_err(in_file)?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(in_file)?
        }
        None => Config::incluster().map_err(|error| ConnectError::NotInCluster(Box::new(error)))?,
    };
    client_of(&config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// Our own stack instead of kube's default: no retries below the work queues (they would hide outages for minutes) and
/// no log line of its own for each failed request.
fn client_of(config: &Config) -> kube::Result<Client> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(Duration::from_secs(30)));
    let connector = config.rustls_https_connector_with_connector(connector)?;
    let http = legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .build::<_, Body>(connector);
    let user_agent = HeaderValue::from_static(concat!("kube-controller-manager/orlop-", env!("CARGO_PKG_VERSION")));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .map_err(BoxError::from)
        .service(http.map_request(move |mut request: Request<Body>| {
            request.headers_mut().insert(USER_AGENT, user_agent.clone());
            request
        }));
    Ok(Client::new(service, config.default_namespace.clone()))
}

/// A number that changes when the kubeconfig or a file it names does.
async fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut paths = vec![path.to_owned()];
    if let Ok(kubeconfig) = Kubeconfig::read_from(path) {
        let clusters = kubeconfig.clusters.into_iter().filter_map(|named| named.cluster);
        paths.extend(clusters.filter_map(|cluster| cluster.certificate_authority).map(PathBuf::from));
        for user in kubeconfig.auth_infos.into_iter().filter_map(|named| named.auth_info) {
            paths.extend(user.client_certificate.map(PathBuf::from));
            paths.extend(user.client_key.map(PathBuf::from));
        }
    }
    for path in paths {
        tokio::fs::read(&path).await.ok().hash(&mut hasher);
    }
    hasher.finish()
}
