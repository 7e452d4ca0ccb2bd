//! A client of the machine API, with whatever credentials a test wants to show.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hyper_util::rt::TokioIo;
use mtls::{Identity, Roots, Versions};
use pki::{Authority, Request, San, Subject, Usage};
use proto::machine::machine_client::MachineClient;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::node::Node;

/// A certificate and its key.
pub(crate) struct Credentials {
    pub(crate) cert_pem: String,
    pub(crate) key_pem: String,
}

impl Credentials {
    /// A client's certificate for a day, from `now` on.
    pub(crate) fn issue(authority: &Authority, organization: &str, now: SystemTime) -> Self {
        Self::make(authority, organization, Usage::Client, now)
    }

    /// A server's certificate, which is of no use to a client.
    pub(crate) fn of_server(authority: &Authority, now: SystemTime) -> Self {
        Self::make(authority, "orlop:admin", Usage::Server, now)
    }

    fn make(authority: &Authority, organization: &str, usage: Usage, now: SystemTime) -> Self {
        let request = Request {
            subject: Subject::with_organization("tester", organization),
            sans: vec![San::Dns("localhost".into())],
            usage,
            lifetime: Duration::from_hours(24),
        };
        let issued = authority.issue(&request, now).unwrap();
        Self { cert_pem: issued.cert_pem, key_pem: issued.key_pem }
    }
}

/// Connects as a client that trusts the machine's own authority.
pub(crate) async fn connect(
    node: &Node,
    credentials: Option<&Credentials>,
) -> Result<MachineClient<Channel>, Box<dyn Error>> {
    connect_with(node, credentials, node.machine_authority().cert_pem(), Versions::Tls13).await
}

/// Connects as a client that trusts `authority`.
pub(crate) async fn connect_with(
    node: &Node,
    credentials: Option<&Credentials>,
    authority: &str,
    versions: Versions,
) -> Result<MachineClient<Channel>, Box<dyn Error>> {
    let identity = credentials
        .map(|credentials| Identity::parse(credentials.cert_pem.as_bytes(), credentials.key_pem.as_bytes()))
        .transpose()?;
    let tls = mtls::client_config(identity, Roots::parse(authority.as_bytes())?, versions, &[b"h2"])?;
    let address = node.address;
    let connector = service_fn(move |_: Uri| {
        let tls = TlsConnector::from(Arc::clone(&tls));
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::IpAddress(address.ip().into());
            Ok::<_, std::io::Error>(TokioIo::new(tls.connect(name, stream).await?))
        }
    });
    let channel = Endpoint::from_static("http://machine").connect_with_connector(connector).await?;
    Ok(MachineClient::new(channel))
}

/// The first certificate of a PEM text.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
