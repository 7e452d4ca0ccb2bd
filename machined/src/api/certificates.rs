//! The methods about operators and certificates: first contact, renewal, and what there is.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use chain::Chain;
use machined_core::claim::OPERATOR_LIFETIME;
use machined_core::roles::Role;
use pki::{AuthorityName, Described, Request as CertificateRequest, Subject, Usage};
use proto::machine as api;
use tonic::{Code, Request, Response, Status};

use super::connection::Caller;
use super::methods::{Answer, Machine, credential, noted};
use crate::claim::Proof;

/// Bytes of a request; one has about 500.
const LONGEST_CSR: usize = 16 * 1024;
/// Letters of a common name, as X.509 bounds it.
const LONGEST_NAME: usize = 64;

impl Machine {
    pub(super) fn exchange(&self, request: &Request<api::ClaimExchangeRequest>) -> Answer<api::ClaimExchangeResponse> {
        let message = self.claim.exchange(caller(request)?.binding, &request.get_ref().message)?;
        Ok(Response::new(api::ClaimExchangeResponse { message: message.into() }))
    }

    pub(super) fn finish(&self, request: &Request<api::ClaimFinishRequest>) -> Answer<api::ClaimFinishResponse> {
        let api::ClaimFinishRequest { csr, name, proof } = request.get_ref();
        let authority = self.about.authorities.machine.cert_pem();
        let proof = Proof { csr, name, tag: proof };
        let granted = self.claim.finish(caller(request)?.binding, proof, authority, |occasion| {
            self.operator(csr, name, occasion.role().organization(), occasion.lifetime())
        })?;
        let note = credential(&granted.certificate, "of the machine API");
        let answer = api::ClaimFinishResponse {
            certificate: granted.certificate,
            authority: authority.to_owned(),
            proof: granted.proof.into(),
        };
        Ok(noted(answer, note))
    }

    pub(super) fn renew(&self, request: &Request<api::RenewOperatorRequest>) -> Answer<api::RenewOperatorResponse> {
        let peer = caller(request)?.peer.ok_or_else(|| Status::unauthenticated("who calls is not known"))?;
        // More than one role is what nobody was granted here.
        let [role] = peer.organizations.as_slice() else {
            return Err(Status::failed_precondition("a certificate with exactly one role can be renewed"));
        };
        let certificate = self.operator(&request.get_ref().csr, &peer.common_name, role, OPERATOR_LIFETIME)?;
        let note = credential(&certificate, "of the machine API");
        Ok(noted(api::RenewOperatorResponse { certificate }, note))
    }

    pub(super) fn issue(&self, request: &Request<api::IssueOperatorRequest>) -> Answer<api::IssueOperatorResponse> {
        let api::IssueOperatorRequest { csr, name, role } = request.get_ref();
        let role = match role.as_str() {
            "reader" => Role::Reader,
            "operator" => Role::Operator,
            "admin" => Role::Admin,
            _ => return Err(Status::invalid_argument("the role is reader, operator or admin")),
        };
        let certificate = self.operator(csr, name, role.organization(), OPERATOR_LIFETIME)?;
        let note = credential(&certificate, "of the machine API");
        let authority = self.about.authorities.machine.cert_pem().to_owned();
        Ok(noted(api::IssueOperatorResponse { certificate, authority }, note))
    }

    fn operator(&self, csr: &str, name: &str, organization: &str, lifetime: Duration) -> Result<String, Status> {
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(Status::invalid_argument(format!("a name has 1 to {LONGEST_NAME} printable characters")));
        }
        if csr.len() > LONGEST_CSR {
            return Err(Status::invalid_argument("the certificate request is too long"));
        }
        let grant = CertificateRequest {
            subject: Subject::with_organization(name, organization),
            sans: Vec::new(),
            usage: Usage::Client,
            lifetime,
        };
        self.about.authorities.machine.sign_csr(csr, &grant, SystemTime::now()).map_err(|error| {
            let code = if matches!(error, pki::Error::ReadCsr(_)) { Code::InvalidArgument } else { Code::Internal };
            Status::new(code, Chain(&error).to_string())
        })
    }

    /// Every certificate: the authorities, the machine API's own, and those that the services were given.
    pub(super) fn certificates(&self) -> api::CertificatesResponse {
        let authorities = &self.about.authorities;
        let named = [
            &authorities.machine,
            &authorities.kubernetes,
            &authorities.etcd_peer,
            &authorities.etcd,
            &authorities.front_proxy,
        ];
        let mut found: Vec<_> = named
            .iter()
            .map(|authority| (authority.name().as_str().to_owned(), authority.cert_pem().to_owned()))
            .collect();
        debug_assert_eq!(found.len(), AuthorityName::ALL.len());
        found.push(("machine-api".to_owned(), self.about.own_certificate()));
        found.extend(of_services(&self.about.credentials));
        let certificates = found
            .into_iter()
            .filter_map(|(name, pem)| match Described::from_pem(&pem) {
                Ok(described) => Some(certificate(name, described)),
                Err(error) => {
                    tracing::warn!(name, "{}", Chain(&error));
                    None
                }
            })
            .collect();
        api::CertificatesResponse { certificates }
    }
}

fn caller<T>(request: &Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("who calls is not known"))
}

fn certificate(name: String, described: Described) -> api::Certificate {
    api::Certificate {
        r#use: name,
        authority: described.authority,
        subject: described.subject,
        issuer: described.issuer,
        serial: described.serial,
        fingerprint: described.fingerprint,
        not_before: described.not_before,
        not_after: described.not_after,
    }
}

/// The certificates below the folder of credentials, without those of the authorities, which stand beside them.
fn of_services(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for service in fs::read_dir(folder).into_iter().flatten().flatten() {
        for file in fs::read_dir(service.path()).into_iter().flatten().flatten() {
            let path = file.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(name) = name.strip_suffix(".crt").filter(|name| !name.ends_with("ca")) else { continue };
            let Ok(pem) = fs::read_to_string(&path) else { continue };
            found.push((format!("{}/{name}", service.file_name().to_string_lossy()), pem));
        }
    }
    found.sort();
    found
}
