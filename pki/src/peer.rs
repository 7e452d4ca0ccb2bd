//! What a verified certificate says about the peer that showed it.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::Error;

/// The subject of a certificate. Whether the certificate can be trusted is decided before, by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `CN`; empty if the certificate has none.
    pub common_name: String,
    /// Every `O`, in the order of the certificate.
    pub organizations: Vec<String>,
    /// When the certificate ends.
    pub not_after: SystemTime,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate in DER form, hexadecimal.
    pub fingerprint: String,
}

impl Peer {
    /// Reads the subject out of the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let unreadable = |why: String| Error::ReadCertificate { what: "the peer", why };
        let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
        Self::from_der(&pem.contents)
    }

    /// Reads the subject out of a certificate in DER form.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let unreadable = |why: String| Error::ReadCertificate { what: "the peer", why };
        let (_, cert) = X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        let text = |value: Result<&str, x509_parser::error::X509Error>| {
            value.map(str::to_owned).map_err(|error| unreadable(error.to_string()))
        };
        let common_name = cert.subject().iter_common_name().next().map_or(Ok(String::new()), |cn| text(cn.as_str()))?;
        let organizations =
            cert.subject().iter_organization().map(|o| text(o.as_str())).collect::<Result<Vec<_>, _>>()?;
        let not_after = u64::try_from(cert.validity().not_after.timestamp()).unwrap_or(0);
        Ok(Self {
            common_name,
            organizations,
            not_after: SystemTime::UNIX_EPOCH + Duration::from_secs(not_after),
            serial: hexadecimal(cert.raw_serial()),
            fingerprint: hexadecimal(&Sha256::digest(der)),
        })
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
