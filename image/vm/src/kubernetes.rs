//! A small client of kube-apiserver, from outside the machine: enough to ask whether it is ready and who it lets in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mtls::{Identity, Roots, Versions};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// An answer to a readiness question is short.
const LONGEST_BODY: usize = 1 << 20;

/// Why a question got no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is not one.
    #[error("read the kubeconfig: {0}")]
    Kubeconfig(String),
    /// The certificates in the kubeconfig cannot be used.
    #[error("use the kubeconfig's certificates")]
    Tls(#[from] mtls::Error),
    /// No thread to run on.
    #[error("start the client")]
    Runtime(#[source] std::io::Error),
    /// The connection failed.
    #[error("connect to kube-apiserver at 127.0.0.1:{port}")]
    Connect {
        /// The port on the loopback.
        port: u16,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The connection ended before the answer.
    #[error("ask kube-apiserver")]
    Http(#[from] hyper::Error),
    /// The answer's body could not be read.
    #[error("read kube-apiserver's answer: {0}")]
    Body(String),
    /// No answer in time.
    #[error("kube-apiserver did not answer within {0:?}")]
    Late(Duration),
}

/// The parts of a kubeconfig that are used here.
#[derive(Deserialize)]
struct Kubeconfig {
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedCluster {
    cluster: Cluster,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(rename = "certificate-authority-data")]
    authority: String,
}

#[derive(Deserialize)]
struct NamedUser {
    user: User,
}

#[derive(Deserialize)]
struct User {
    #[serde(rename = "client-certificate-data")]
    certificate: String,
    #[serde(rename = "client-key-data")]
    key: String,
}

/// A client of the kube-apiserver behind a port of the loopback.
pub struct Kubernetes {
    port: u16,
    tls: Arc<ClientConfig>,
    runtime: tokio::runtime::Runtime,
}

impl Kubernetes {
    /// A client with the certificate of a kubeconfig.
    pub fn new(kubeconfig: &str, port: u16) -> Result<Self, Error> {
        let (roots, identity) = parse(kubeconfig)?;
        Self::with(roots, Some(identity), port)
    }

    /// A client that trusts what the kubeconfig trusts and shows no certificate.
    pub fn without_certificate(kubeconfig: &str, port: u16) -> Result<Self, Error> {
        let (roots, _) = parse(kubeconfig)?;
        Self::with(roots, None, port)
    }

    fn with(roots: Roots, identity: Option<Identity>, port: u16) -> Result<Self, Error> {
        let tls = mtls::client_config(identity, roots, Versions::Tls12AndUp, &[b"http/1.1"])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        Ok(Self { port, tls, runtime })
    }

    /// Gets a path; the status code and the body.
    pub fn get(&self, path: &str, at_most: Duration) -> Result<(u16, String), Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(at_most, self.get_once(path)).await.map_err(|_| Error::Late(at_most))?
        })
    }

    /// Whether `/readyz` says yes.
    pub fn ready(&self, at_most: Duration) -> Result<bool, Error> {
        Ok(self.get("/readyz", at_most)?.0 == 200)
    }

    async fn get_once(&self, path: &str) -> Result<(u16, String), Error> {
        let connect = |source| Error::Connect { port: self.port, source };
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(connect)?;
        let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
        let tls = TlsConnector::from(Arc::clone(&self.tls)).connect(name, tcp).await.map_err(connect)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        let request = hyper::Request::get(path)
            .header("host", "127.0.0.1")
            .header("accept", "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|error| Error::Body(error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), LONGEST_BODY).collect().await;
            let body = body.map_err(|error| Error::Body(error.to_string()))?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        };
        tokio::pin!(exchange);
        // The connection must be driven for the exchange to get on; its own end is told by the exchange.
        tokio::select! {
            answer = &mut exchange => answer,
            ended = connection => { ended?; exchange.await }
        }
    }
}

fn parse(kubeconfig: &str) -> Result<(Roots, Identity), Error> {
    let parsed: Kubeconfig =
        serde_saphyr::from_str(kubeconfig).map_err(|error| Error::Kubeconfig(error.to_string()))?;
    let cluster = parsed.clusters.first().ok_or_else(|| Error::Kubeconfig("it names no cluster".into()))?;
    let user = parsed.users.first().ok_or_else(|| Error::Kubeconfig("it names no user".into()))?;
    let decode = |text: &str| STANDARD.decode(text).map_err(|error| Error::Kubeconfig(error.to_string()));
    let roots = Roots::parse(&decode(&cluster.cluster.authority)?)?;
    let identity = Identity::parse(&decode(&user.user.certificate)?, &decode(&user.user.key)?)?;
    Ok((roots, identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn kubeconfig() -> String {
        let now = SystemTime::now();
        let authority = pki::Authority::generate(pki::AuthorityName::Kubernetes, now).unwrap();
        let request = pki::Request {
            subject: pki::Subject::with_organization("admin", "system:masters"),
            sans: Vec::new(),
            usage: pki::Usage::Client,
            lifetime: Duration::from_hours(1),
        };
        let issued = authority.issue(&request, now).unwrap();
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster:\n    server: https://10.0.2.15:6443\n    \
             certificate-authority-data: {}\nusers:\n- name: u\n  user:\n    client-certificate-data: {}\n    \
             client-key-data: {}\n",
            STANDARD.encode(authority.cert_pem()),
            STANDARD.encode(&issued.cert_pem),
            STANDARD.encode(&issued.key_pem),
        )
    }

    #[test]
    fn a_kubeconfig_is_read() {
        Kubernetes::new(&kubeconfig(), 1).unwrap();
    }

    #[test]
    fn what_is_no_kubeconfig_is_named() {
        assert!(matches!(Kubernetes::new("clusters: []\nusers: []\n", 1), Err(Error::Kubeconfig(_))));
        assert!(matches!(Kubernetes::new("\u{0}", 1), Err(Error::Kubeconfig(_))));
    }

    #[test]
    fn a_closed_port_is_an_error_and_not_a_wait() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let client = Kubernetes::new(&kubeconfig(), port).unwrap();
        assert!(matches!(client.ready(Duration::from_secs(10)), Err(Error::Connect { .. })));
    }

    #[test]
    fn a_silent_port_does_not_hold_up() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = Kubernetes::new(&kubeconfig(), listener.local_addr().unwrap().port()).unwrap();
        assert!(matches!(client.ready(Duration::from_millis(100)), Err(Error::Late(_))));
    }
}
