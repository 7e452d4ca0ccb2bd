//! Certificates: the operator's next one, those of other operators, and all that the machine has.

use std::io::{Write, stdout};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use proto::machine::{Certificate, CertificatesRequest, IssueOperatorRequest, RenewOperatorRequest};
use serde_json::json;

use crate::cli::{Cli, IssueArgs, Output};
use crate::client_config::{ClientConfig, Context, Credentials};
use crate::connection::Machine;
use crate::error::Error;
use crate::table;

/// Takes the next certificate for a fresh key, with the one that is still valid.
pub(crate) async fn login(cli: &Cli) -> Result<(), Error> {
    let config = ClientConfig::load(&cli.orlopconfig)?;
    let context = config.context(&cli.orlopconfig, cli.context.as_deref())?.clone();
    let before = context.credentials(&cli.orlopconfig)?;
    let machine = Machine::connect(cli).await?;
    let fresh = pki::KeyAndCsr::generate(&pki::Subject::new("operator")).map_err(Error::Key)?;
    let mut client = machine.client.clone();
    let request = RenewOperatorRequest { csr: fresh.csr_pem };
    let granted = machine.answer("renew the certificate", client.renew_operator(request)).await?;
    let described = pki::Described::from_pem(&granted.certificate).map_err(Error::Granted)?;
    let credentials =
        Credentials { ca: before.ca, cert: granted.certificate.into_bytes(), key: fresh.key_pem.into_bytes() };
    let renewed = Context::new(context.name, context.endpoint, &credentials);
    let name = renewed.name.clone();
    ClientConfig::replace(&cli.orlopconfig, renewed)?;
    Ok(writeln!(stdout(), "context {name}: {} until {}", described.subject, time(described.not_after))?)
}

/// Signs the request of another operator.
pub(crate) async fn issue(machine: Machine, args: &IssueArgs) -> Result<(), Error> {
    let csr = std::fs::read_to_string(&args.csr).map_err(|source| Error::Read { path: args.csr.clone(), source })?;
    let mut client = machine.client.clone();
    let request = IssueOperatorRequest { csr, name: args.name.clone(), role: args.role.to_string() };
    let granted = machine.answer("sign the request", client.issue_operator(request)).await?;
    let bundle = granted.certificate + &granted.authority;
    let path: &Path = &args.bundle;
    durable::write(path, bundle.as_bytes(), 0o644).map_err(|source| Error::Write { path: path.into(), source })?;
    Ok(writeln!(stdout(), "{} goes to the operator, who imports it with: orlopctl config import", path.display())?)
}

/// Lists every certificate and authority.
pub(crate) async fn list(machine: Machine, cli: &Cli, output: Output) -> Result<(), Error> {
    let mut client = machine.client.clone();
    let answer = machine.answer("list the certificates", client.certificates(CertificatesRequest {})).await?;
    let mut certificates = answer.certificates;
    certificates.push(own(cli)?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    match output {
        Output::Table => {
            let rows: Vec<_> = certificates.iter().map(|certificate| row(certificate, now)).collect();
            let heading = ["USE", "SUBJECT", "ISSUER", "EXPIRES", "LEFT", "SERIAL"];
            Ok(table::print(stdout().lock(), &heading, &rows)?)
        }
        Output::Json => {
            let all: Vec<_> = certificates.iter().map(document).collect();
            Ok(writeln!(stdout(), "{:#}", json!({ "certificates": all }))?)
        }
    }
}

/// The certificate of this context.
fn own(cli: &Cli) -> Result<Certificate, Error> {
    let config = ClientConfig::load(&cli.orlopconfig)?;
    let context = config.context(&cli.orlopconfig, cli.context.as_deref())?;
    let pem = context.credentials(&cli.orlopconfig)?.cert;
    let described = pki::Described::from_pem(&String::from_utf8_lossy(&pem)).map_err(Error::Granted)?;
    Ok(Certificate {
        r#use: format!("operator/{}", context.name),
        authority: described.authority,
        subject: described.subject,
        issuer: described.issuer,
        serial: described.serial,
        fingerprint: described.fingerprint,
        not_before: described.not_before,
        not_after: described.not_after,
    })
}

fn row(certificate: &Certificate, now: i64) -> Vec<String> {
    let kind = if certificate.authority { "authority " } else { "" };
    vec![
        format!("{kind}{}", certificate.r#use),
        certificate.subject.clone(),
        certificate.issuer.clone(),
        time(certificate.not_after),
        left(certificate.not_after - now),
        certificate.serial.clone(),
    ]
}

fn document(certificate: &Certificate) -> serde_json::Value {
    json!({
        "use": certificate.r#use,
        "authority": certificate.authority,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "notBefore": time(certificate.not_before),
        "notAfter": time(certificate.not_after),
    })
}

/// A time in seconds since 1970, as people read it.
pub(crate) fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

fn left(seconds: i64) -> String {
    match seconds {
        ..=0 => "expired".to_owned(),
        1..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_in_the_unit_that_matters() {
        assert_eq!(
            [-5, 0, 59, 3_600, 86_400, 31_536_000].map(left),
            ["expired", "expired", "0m", "60m", "24h", "365d"]
        );
        assert_eq!(time(1_790_000_000), "2026-09-21T14:13:20Z");
    }
}
