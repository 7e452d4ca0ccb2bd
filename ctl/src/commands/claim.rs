//! First contact with a machine: the code on its console becomes the operator's first certificate.

use std::io::{BufRead, Write, stderr, stdin, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use claim::{BINDING_LABEL, Binding, Claimant, Code, Side};
use hyper_util::rt::TokioIo;
use proto::machine::machine_client::MachineClient;
use proto::machine::{ClaimExchangeRequest, ClaimFinishRequest, ClaimFinishResponse};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use crate::cli::{ClaimArgs, Cli};
use crate::client_config::{ClientConfig, Context, Credentials};
use crate::error::Error;

/// Where a machine API is when the address names no port.
const PORT: u16 = 50_000;

pub(crate) async fn run(cli: &Cli, args: &ClaimArgs) -> Result<(), Error> {
    let endpoint = with_port(&args.address);
    let code = match &args.code {
        Some(code) => code.clone(),
        None => ask()?,
    };
    let fresh = pki::KeyAndCsr::generate(&pki::Subject::new(&args.name)).map_err(Error::Key)?;
    let claiming = shake_hands(&endpoint, &code, &args.name, &fresh.csr_pem, cli.timeout);
    let late = |_| Error::Late { endpoint: endpoint.clone(), seconds: cli.timeout.as_secs_f64() };
    let granted = tokio::time::timeout(cli.timeout, claiming).await.map_err(late)??;
    let credentials = Credentials {
        ca: granted.authority.into_bytes(),
        cert: granted.certificate.clone().into_bytes(),
        key: fresh.key_pem.into_bytes(),
    };
    let context = cli.context.clone().unwrap_or_else(|| "default".to_owned());
    ClientConfig::put(&cli.orlopconfig, Context::new(context.clone(), endpoint.clone(), &credentials))?;
    let described = pki::Described::from_pem(&granted.certificate).map_err(Error::Granted)?;
    let mut out = stdout().lock();
    writeln!(out, "{endpoint} is claimed; context {context} written to {}", cli.orlopconfig.display())?;
    writeln!(out, "certificate: {}", described.subject)?;
    Ok(writeln!(out, "valid until: {} (renew it with: orlopctl login)", super::certs::time(described.not_after))?)
}

async fn shake_hands(
    endpoint: &str,
    code: &Code,
    name: &str,
    csr: &str,
    timeout: Duration,
) -> Result<ClaimFinishResponse, Error> {
    let (mut client, binding) = connect(endpoint, timeout).await?;
    let (claimant, message) = Claimant::begin(code, binding);
    let exchange = ClaimExchangeRequest { message: message.into() };
    let theirs = client.claim_exchange(exchange).await.map_err(Error::refused("claim the machine"))?.into_inner();
    let session = claimant.finish(&theirs.message).map_err(Error::Claim)?;
    let proof = session.prove(Side::Claimant, &[csr.as_bytes(), name.as_bytes()]);
    let finish = ClaimFinishRequest { csr: csr.to_owned(), name: name.to_owned(), proof: proof.into() };
    let granted = client.claim_finish(finish).await.map_err(Error::refused("claim the machine"))?.into_inner();
    // Only now is it known that this is the machine whose console shows the code.
    let texts = [granted.certificate.as_bytes(), granted.authority.as_bytes()];
    session.check(Side::Machine, &texts, &granted.proof).map_err(Error::Claim)?;
    Ok(granted)
}

/// Connects to a machine that nobody vouches for, and returns what this TLS session is bound by.
async fn connect(endpoint: &str, timeout: Duration) -> Result<(MachineClient<Channel>, Binding), Error> {
    let tls = mtls::stranger_config(&[b"h2"]).map_err(Error::FirstContact)?;
    let bound = Arc::new(Mutex::new(None));
    let binding = Arc::clone(&bound);
    let address = endpoint.to_owned();
    let connector = service_fn(move |_: http::Uri| {
        let (tls, address, binding) = (TlsConnector::from(Arc::clone(&tls)), address.clone(), Arc::clone(&binding));
        async move {
            let stream = TcpStream::connect(address).await?;
            // The name is of no use to somebody whose certificate is not looked at.
            let name = ServerName::try_from("machine").map_err(std::io::Error::other)?;
            let stream = tls.connect(name, stream).await?;
            let derived = stream.get_ref().1.export_keying_material([0; 32], BINDING_LABEL, None);
            let mut binding = binding.lock().unwrap_or_else(PoisonError::into_inner);
            if binding.replace(derived.map_err(std::io::Error::other)?).is_some() {
                // A second session would need a second handshake.
                return Err(std::io::Error::other("the connection was lost"));
            }
            Ok(TokioIo::new(stream))
        }
    });
    let channel = Endpoint::from_static("http://machine")
        .connect_timeout(timeout)
        .connect_with_connector(connector)
        .await
        .map_err(|source| Error::Connect { endpoint: endpoint.to_owned(), source })?;
    let derived = *bound.lock().unwrap_or_else(PoisonError::into_inner);
    let derived = derived.ok_or_else(|| Error::Endpoint { endpoint: endpoint.to_owned() })?;
    Ok((MachineClient::new(channel), derived))
}

/// A code that is typed here is in no history of a shell.
fn ask() -> Result<Code, Error> {
    write!(stderr(), "Claim code on the machine's console: ")?;
    stderr().flush()?;
    let mut line = String::new();
    stdin().lock().read_line(&mut line)?;
    line.parse().map_err(Error::Code)
}

fn with_port(address: &str) -> String {
    let bare_v6 = address.parse::<std::net::Ipv6Addr>().is_ok();
    match address.rsplit_once(':') {
        _ if bare_v6 => format!("[{address}]:{PORT}"),
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => address.to_owned(),
        Some(_) | None => format!("{address}:{PORT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_means_that_of_the_machine_api() {
        let cases = [
            ("192.0.2.1", "192.0.2.1:50000"),
            ("192.0.2.1:4000", "192.0.2.1:4000"),
            ("cp-1.example", "cp-1.example:50000"),
            ("2001:db8::1", "[2001:db8::1]:50000"),
            ("[2001:db8::1]", "[2001:db8::1]:50000"),
            ("[2001:db8::1]:4000", "[2001:db8::1]:4000"),
        ];
        for (given, meant) in cases {
            assert_eq!(with_port(given), meant);
        }
    }
}
