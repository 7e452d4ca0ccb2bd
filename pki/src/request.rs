//! What a certificate shall say: subject, names, usage, validity; and keys that are not an authority's.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

use crate::Error;

/// How far the clocks of two machines may be apart before a fresh certificate is refused as "not yet valid".
///
/// A board clock that runs on local time instead of UTC is off by hours; a smaller value would make such a machine
/// unreachable between its first certificate and its first answer from a time server.
const SKEW: Duration = Duration::from_hours(24);

/// Who a certificate is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// `CN`: the user to Kubernetes; for people only to our own servers.
    pub common_name: String,
    /// `O`: the group to Kubernetes, the role to the machine API.
    pub organization: Option<String>,
}

impl Subject {
    /// A subject without an organization.
    pub fn new(common_name: impl Into<String>) -> Self {
        Self { common_name: common_name.into(), organization: None }
    }

    /// A subject in an organization, for example `system:masters`.
    pub fn with_organization(common_name: impl Into<String>, organization: impl Into<String>) -> Self {
        Self { common_name: common_name.into(), organization: Some(organization.into()) }
    }
}

/// A name that the peer may be reached by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// A DNS name.
    Dns(String),
    /// An address.
    Ip(IpAddr),
}

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// To prove who a server is.
    Server,
    /// To prove who a client is.
    Client,
    /// Both, for peers that call each other.
    ServerAndClient,
}

/// A certificate to be issued. For a signing request from elsewhere it is what the authority grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who it is about.
    pub subject: Subject,
    /// Where a server is reached. Clients need none.
    pub sans: Vec<San>,
    /// What it may be used for.
    pub usage: Usage,
    /// How long it is valid. Shortened when the authority itself ends earlier.
    pub lifetime: Duration,
}

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: SystemTime,
    /// The last second.
    pub not_after: SystemTime,
}

impl Validity {
    /// Valid for `lifetime` from `now` on, and already before `now` by the tolerated difference of clocks.
    #[must_use]
    pub fn starting(now: SystemTime, lifetime: Duration) -> Self {
        Self { not_before: now.checked_sub(SKEW).unwrap_or(SystemTime::UNIX_EPOCH), not_after: now + lifetime }
    }
}

/// A fresh private key and the request that asks an authority to vouch for it.
pub struct KeyAndCsr {
    /// Stays with its maker.
    pub key_pem: String,
    /// Goes to the authority.
    pub csr_pem: String,
}

impl KeyAndCsr {
    /// Makes a key and a request that names `subject`. The authority may grant another subject.
    pub fn generate(subject: &Subject) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(subject);
        let sign = |source| Error::Sign { subject: subject.common_name.clone(), source };
        let csr_pem = params.serialize_request(&key).and_then(|csr| csr.pem()).map_err(sign)?;
        Ok(Self { key_pem: key.serialize_pem(), csr_pem })
    }
}

impl fmt::Debug for KeyAndCsr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyAndCsr").field("csr_pem", &self.csr_pem).finish_non_exhaustive()
    }
}

/// The pair of keys that signs and verifies service account tokens. It is no authority: it signs no certificate.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceAccountKey {
    /// PKCS #8.
    pub private_pem: String,
    /// `SubjectPublicKeyInfo`.
    pub public_pem: String,
}

impl ServiceAccountKey {
    /// Makes a fresh pair.
    pub fn generate() -> Result<Self, Error> {
        Ok(Self::from_pair(&KeyPair::generate().map_err(Error::Key)?))
    }

    /// Reads the pair from its private half.
    pub fn from_private_pem(private_pem: &str) -> Result<Self, Error> {
        let pair =
            KeyPair::from_pem(private_pem).map_err(|source| Error::ReadKey { what: "service accounts", source })?;
        Ok(Self::from_pair(&pair))
    }

    fn from_pair(pair: &KeyPair) -> Self {
        Self { private_pem: pair.serialize_pem(), public_pem: pair.public_key_pem() }
    }
}

impl fmt::Debug for ServiceAccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountKey").field("public_pem", &self.public_pem).finish_non_exhaustive()
    }
}

/// Fills in a leaf certificate, all but its serial number.
pub(crate) fn leaf(request: &Request, validity: Validity) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.not_before = validity.not_before.into();
    params.not_after = validity.not_after.into();
    params.distinguished_name = distinguished_name(&request.subject);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params.extended_key_usages = match request.usage {
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::ServerAndClient => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    for san in &request.sans {
        params.subject_alt_names.push(match san {
            San::Ip(address) => SanType::IpAddress(*address),
            San::Dns(name) => {
                let ascii = name.as_str().try_into().map_err(|source| Error::Name { name: name.clone(), source })?;
                SanType::DnsName(ascii)
            }
        });
    }
    Ok(params)
}

pub(crate) fn distinguished_name(subject: &Subject) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = &subject.organization {
        name.push(DnType::OrganizationName, organization.as_str());
    }
    name.push(DnType::CommonName, subject.common_name.as_str());
    name
}
