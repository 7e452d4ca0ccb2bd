//! An authority: a key and a self-signed certificate that leaves lead to.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SerialNumber,
};
use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;

use crate::request::{distinguished_name, leaf};
use crate::{Error, Request, Subject, Validity};

/// How long an authority lives. Replacing one with an overlap needs weeks of notice, so it is counted in years.
const LIFETIME: Duration = Duration::from_hours(10 * 365 * 24);

/// Which authority: what one of them signs is worth nothing to the peers of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityName {
    /// The machine API's servers and its operators.
    Machine,
    /// The Kubernetes API's servers and its clients.
    Kubernetes,
    /// The members of the store, among themselves.
    EtcdPeer,
    /// The store's servers and its clients.
    Etcd,
    /// The proxy in front of aggregated APIs.
    FrontProxy,
}

impl AuthorityName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Machine, Self::Kubernetes, Self::EtcdPeer, Self::Etcd, Self::FrontProxy];

    /// A short name that suits a file, for example `etcd-peer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Kubernetes => "kubernetes",
            Self::EtcdPeer => "etcd-peer",
            Self::Etcd => "etcd",
            Self::FrontProxy => "front-proxy",
        }
    }

    /// The `CN` of its certificate.
    #[must_use]
    pub const fn common_name(self) -> &'static str {
        match self {
            Self::Machine => "orlop-machine-ca",
            Self::Kubernetes => "kubernetes-ca",
            Self::EtcdPeer => "etcd-peer-ca",
            Self::Etcd => "etcd-ca",
            Self::FrontProxy => "front-proxy-ca",
        }
    }
}

impl fmt::Display for AuthorityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A key and the certificate that was issued for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// The leaf certificate.
    pub cert_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

/// An authority that can sign.
pub struct Authority {
    name: AuthorityName,
    cert_pem: String,
    not_after: SystemTime,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a fresh key and a self-signed certificate for it. It may sign leaves only, not further authorities.
    pub fn generate(name: AuthorityName, now: SystemTime) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(Error::Key)?;
        let mut validity = Validity::starting(now, LIFETIME);
        // Leaves are dated back as well; the authority must already be valid when they are.
        validity.not_before =
            validity.not_before.checked_sub(Duration::from_hours(1)).unwrap_or(SystemTime::UNIX_EPOCH);
        let mut params = CertificateParams::default();
        params.not_before = validity.not_before.into();
        params.not_after = validity.not_after.into();
        params.distinguished_name = distinguished_name(&Subject::new(name.common_name()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial(&key, validity));
        let cert = params
            .self_signed(&key)
            .map_err(|source| Error::Sign { subject: name.common_name().to_owned(), source })?;
        Self::from_pem(name, &cert.pem(), &key.serialize_pem())
    }

    /// Reads an authority that was kept as two PEM texts, and checks that they belong together.
    pub fn from_pem(name: AuthorityName, cert_pem: &str, key_pem: &str) -> Result<Self, Error> {
        let what = name.as_str();
        let key = KeyPair::from_pem(key_pem).map_err(|source| Error::ReadKey { what, source })?;
        let unreadable = |why: String| Error::ReadCertificate { what, why };
        let (_, pem) = parse_x509_pem(cert_pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
        let cert = pem.parse_x509().map_err(|error| unreadable(error.to_string()))?;
        if !cert.is_ca() {
            return Err(unreadable("it is not that of an authority".to_owned()));
        }
        if cert.public_key().raw != key.subject_public_key_info() {
            return Err(Error::KeyMismatch { what });
        }
        let not_after = u64::try_from(cert.validity().not_after.timestamp())
            .map_err(|_| unreadable("it ended before 1970".to_owned()))?;
        let issuer = Issuer::from_ca_cert_pem(cert_pem, key).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            name,
            cert_pem: cert_pem.to_owned(),
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(not_after),
            issuer,
        })
    }

    /// Which authority this is.
    pub fn name(&self) -> AuthorityName {
        self.name
    }

    /// Its certificate: what peers verify against.
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// Its private key, to be kept where only root can read.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// When its certificate ends.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// Makes a fresh key and issues a certificate for it.
    pub fn issue(&self, request: &Request, now: SystemTime) -> Result<Issued, Error> {
        let key = KeyPair::generate().map_err(Error::Key)?;
        Ok(Issued { cert_pem: self.sign(&key, request, now)?, key_pem: key.serialize_pem() })
    }

    /// Issues a certificate for the public key of a signing request, after verifying that its maker holds the key.
    ///
    /// The certificate says what `grant` says. Subject, names and extensions of the request itself are ignored.
    pub fn sign_csr(&self, csr_pem: &str, grant: &Request, now: SystemTime) -> Result<String, Error> {
        let csr = CertificateSigningRequestParams::from_pem(csr_pem).map_err(Error::ReadCsr)?;
        self.sign(&csr.public_key, grant, now)
    }

    fn sign(&self, public_key: &impl PublicKeyData, request: &Request, now: SystemTime) -> Result<String, Error> {
        if self.not_after <= now {
            return Err(Error::AuthorityExpired { what: self.name.as_str() });
        }
        let mut validity = Validity::starting(now, request.lifetime);
        validity.not_after = validity.not_after.min(self.not_after);
        let mut params = leaf(request, validity)?;
        params.serial_number = Some(serial(public_key, validity));
        params
            .signed_by(public_key, &self.issuer)
            .map(|cert| cert.pem())
            .map_err(|source| Error::Sign { subject: request.subject.common_name.clone(), source })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("name", &self.name)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// A serial number that differs whenever the key or the time differs, so that signing one key again is told apart.
fn serial(public_key: &impl PublicKeyData, validity: Validity) -> SerialNumber {
    let mut hash = Sha256::new();
    hash.update(public_key.subject_public_key_info());
    for time in [validity.not_before, validity.not_after] {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        hash.update(since_epoch.as_nanos().to_be_bytes());
    }
    let mut bytes: [u8; 16] = std::array::from_fn({
        let digest = hash.finalize();
        move |index| digest[index]
    });
    // A serial number is a positive integer without leading zero bytes.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}
