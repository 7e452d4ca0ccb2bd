//! A server that answers as a test likes, over HTTPS.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::credentials::Credentials;

/// What a test answers: a body for a path and the body that came with it, or 404.
type Answering = dyn Fn(&str, &[u8]) -> Option<String> + Send + Sync;

/// The server. Dropping it ends it.
pub struct Responder {
    port: u16,
    task: JoinHandle<()>,
}

impl Responder {
    /// Starts the server with the certificate of the API server.
    pub async fn start(
        credentials: &Credentials,
        answer: impl Fn(&str, &[u8]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let path = |name: &str| credentials.path(name);
        let identity = mtls::Identity::load(Path::new(&path("serving.crt")), Path::new(&path("serving.key")));
        let identity = identity.expect("read the certificate of the server");
        let (asked, versions) = (mtls::ClientAuth::Asked, mtls::Versions::Tls12AndUp);
        let config = mtls::server_config(identity, asked, versions, &[b"http/1.1"]).expect("set up TLS");
        let acceptor = TlsAcceptor::from(config);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let answer: Arc<Answering> = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| respond(Arc::clone(&answer), request));
                    // A client that leaves early is no failure.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { port, task }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(answer: Arc<Answering>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answered = answer(&path, &body);
    let code = if answered.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    let mut response = Response::new(Full::new(Bytes::from(answered.unwrap_or_default())));
    *response.status_mut() = code;
    Ok(response)
}
