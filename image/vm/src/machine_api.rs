//! A client of the machine API, from outside the machine. Calls block, and each has a deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use mtls::{Identity, Roots, Versions};
use proto::machine::machine_client::MachineClient;
use proto::machine::{
    BootStep, BootTimelineRequest, KubeconfigRequest, LogLine, LogsRequest, RebootRequest, Service,
    ServiceSignalRequest, ServicesRequest, ShutdownRequest, StatusRequest, StatusResponse, VersionRequest,
    VersionResponse,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::operator::Credentials;

/// A machine under load, on an emulated processor, answers within a second or two.
const ANSWER: Duration = Duration::from_secs(15);
/// Lines taken from a log: more than the machine keeps of any service.
const LONGEST_LOG: usize = 100_000;

/// Why a call did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificates cannot be used.
    #[error("use the operator's certificate")]
    Tls(#[from] mtls::Error),
    /// No thread to run on.
    #[error("start the client")]
    Runtime(#[source] std::io::Error),
    /// No connection, or the machine does not let us in.
    #[error("connect to the machine API at 127.0.0.1:{port}")]
    Connect {
        /// The port on the loopback.
        port: u16,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// The machine refused the call or could not do it.
    #[error("call {method}")]
    Call {
        /// The method.
        method: &'static str,
        /// The answer.
        #[source]
        source: Box<tonic::Status>,
    },
    /// No answer in time.
    #[error("the machine API did not answer {method} within {at_most:?}")]
    Late {
        /// What was asked.
        method: &'static str,
        /// How long it was waited for.
        at_most: Duration,
    },
    /// No key for the kubeconfig.
    #[error("make a key for the kubeconfig")]
    Key(#[source] pki::Error),
}

/// A connection to the machine API behind a port of the loopback.
pub struct MachineApi {
    client: MachineClient<Channel>,
    runtime: tokio::runtime::Runtime,
}

impl MachineApi {
    /// Connects as the operator.
    pub fn connect(port: u16, credentials: &Credentials, at_most: Duration) -> Result<Self, Error> {
        let identity = Identity::parse(credentials.cert_pem.as_bytes(), credentials.key_pem.as_bytes())?;
        Self::connect_as(port, &credentials.ca_pem, Some(identity), at_most)
    }

    /// Connects as anybody, or as nobody.
    ///
    /// With TLS 1.3 a server says no to a certificate only after the client's side of the handshake is through: the
    /// refusal may come with the first call.
    pub fn connect_as(port: u16, ca_pem: &str, identity: Option<Identity>, at_most: Duration) -> Result<Self, Error> {
        let roots = Roots::parse(ca_pem.as_bytes())?;
        let tls = mtls::client_config(identity, roots, Versions::Tls13, &[b"h2"])?;
        // A thread of its own answers the machine's pings between calls; without it the connection is given up as dead.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().map_err(Error::Runtime)?;
        let endpoint = Endpoint::from_static("http://127.0.0.1").timeout(ANSWER);
        let connecting = endpoint.connect_with_connector(service_fn(move |_| dial(port, Arc::clone(&tls))));
        let connected = runtime.block_on(async { tokio::time::timeout(at_most, connecting).await });
        let channel = connected
            .map_err(|_| Error::Late { method: "the connection", at_most })?
            .map_err(|source| Error::Connect { port, source })?;
        Ok(Self { client: MachineClient::new(channel), runtime })
    }

    fn call<T>(
        &self,
        method: &'static str,
        call: impl AsyncFnOnce(MachineClient<Channel>) -> Result<T, tonic::Status>,
    ) -> Result<T, Error> {
        self.runtime.block_on(within(method, call(self.client.clone())))
    }

    /// What runs on the machine.
    pub fn version(&self) -> Result<VersionResponse, Error> {
        self.call("Version", async |mut client| Ok(client.version(VersionRequest {}).await?.into_inner()))
    }

    /// What is wrong with the machine, and who it is.
    pub fn status(&self) -> Result<StatusResponse, Error> {
        self.call("Status", async |mut client| Ok(client.status(StatusRequest {}).await?.into_inner()))
    }

    /// The services, in start order.
    pub fn services(&self) -> Result<Vec<Service>, Error> {
        self.call("Services", async |mut client| Ok(client.services(ServicesRequest {}).await?.into_inner().services))
    }

    /// Every step of this boot.
    pub fn boot_timeline(&self) -> Result<Vec<BootStep>, Error> {
        self.call("BootTimeline", async |mut client| {
            Ok(client.boot_timeline(BootTimelineRequest {}).await?.into_inner().steps)
        })
    }

    /// The newest lines of a service's log.
    pub fn logs(&self, service: &str, tail: u32) -> Result<Vec<LogLine>, Error> {
        self.call("Logs", async |mut client| {
            let request = LogsRequest { service: service.to_owned(), tail: Some(tail), follow: false };
            let mut stream = client.logs(request).await?.into_inner();
            let mut lines = Vec::new();
            while let Some(line) = stream.message().await? {
                lines.push(line);
                if lines.len() == LONGEST_LOG {
                    break;
                }
            }
            Ok(lines)
        })
    }

    /// Sends a signal to the main process of a service.
    pub fn signal(&self, service: &str, signal: i32) -> Result<(), Error> {
        self.call("ServiceSignal", async |mut client| {
            client.service_signal(ServiceSignalRequest { service: service.to_owned(), signal }).await.map(drop)
        })
    }

    /// Orders the machine to start again.
    pub fn reboot(&self, reason: &str) -> Result<(), Error> {
        self.call("Reboot", async |mut client| {
            client.reboot(RebootRequest { reason: reason.to_owned() }).await.map(drop)
        })
    }

    /// Orders the machine to switch itself off.
    pub fn shutdown(&self, reason: &str) -> Result<(), Error> {
        self.call("Shutdown", async |mut client| {
            client.shutdown(ShutdownRequest { reason: reason.to_owned() }).await.map(drop)
        })
    }

    /// An administrator's kubeconfig for a kube-apiserver behind `port` of the loopback. The key is made here.
    pub fn kubeconfig(&self, port: u16) -> Result<String, Error> {
        let subject = pki::Subject::with_organization("operator", "system:masters");
        let fresh = pki::KeyAndCsr::generate(&subject).map_err(Error::Key)?;
        let request = KubeconfigRequest { csr: fresh.csr_pem };
        let answer = self.call("Kubeconfig", async |mut client| Ok(client.kubeconfig(request).await?.into_inner()))?;
        let cluster = if answer.cluster_name.is_empty() { "orlop" } else { &answer.cluster_name };
        Ok(kubeconfig(cluster, port, &answer.certificate_authority, &answer.certificate, &fresh.key_pem))
    }
}

async fn within<T>(method: &'static str, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, Error> {
    match tokio::time::timeout(ANSWER, call).await {
        Ok(answer) => answer.map_err(|source| Error::Call { method, source: Box::new(source) }),
        Err(_) => Err(Error::Late { method, at_most: ANSWER }),
    }
}

async fn dial(
    port: u16,
    tls: Arc<ClientConfig>,
) -> std::io::Result<TokioIo<tokio_rustls::client::TlsStream<TcpStream>>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::IpAddress(std::net::Ipv4Addr::LOCALHOST.into());
    Ok(TokioIo::new(TlsConnector::from(tls).connect(name, tcp).await?))
}

/// Names come from a checked configuration; everything else is base64: no quoting is needed.
fn kubeconfig(cluster: &str, port: u16, authority: &str, certificate: &str, key: &str) -> String {
    let (authority, certificate, key) =
        (STANDARD.encode(authority), STANDARD.encode(certificate), STANDARD.encode(key));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {cluster}
  cluster:
    server: https://127.0.0.1:{port}
    certificate-authority-data: {authority}
users:
- name: operator@{cluster}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
contexts:
- name: operator@{cluster}
  context:
    cluster: {cluster}
    user: operator@{cluster}
current-context: operator@{cluster}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::Kubernetes;
    use std::time::SystemTime;

    fn credentials() -> Credentials {
        let now = SystemTime::now();
        let authority = pki::Authority::generate(pki::AuthorityName::Machine, now).unwrap();
        let request = pki::Request {
            subject: pki::Subject::with_organization("operator", "orlop:admin"),
            sans: Vec::new(),
            usage: pki::Usage::Client,
            lifetime: Duration::from_hours(1),
        };
        let issued = authority.issue(&request, now).unwrap();
        Credentials { ca_pem: authority.cert_pem().to_owned(), cert_pem: issued.cert_pem, key_pem: issued.key_pem }
    }

    #[test]
    fn the_kubeconfig_is_one() {
        let Credentials { ca_pem, cert_pem, key_pem } = credentials();
        let text = kubeconfig("demo", 4000, &ca_pem, &cert_pem, &key_pem);
        Kubernetes::new(&text, 4000).unwrap();
        assert!(text.contains("server: https://127.0.0.1:4000\n") && text.contains("current-context: operator@demo\n"));
    }

    #[test]
    fn a_closed_port_is_an_error_and_not_a_wait() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(matches!(MachineApi::connect(port, &credentials(), ANSWER), Err(Error::Connect { .. })));
    }
}
