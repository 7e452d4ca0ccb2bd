//! What a certificate says, for people who look at it.

use sha2::{Digest, Sha256};
use x509_parser::pem::parse_x509_pem;

use crate::Error;
use crate::peer::hexadecimal;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// For example `O=system:masters, CN=kubernetes-admin`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate in DER form, hexadecimal.
    pub fingerprint: String,
    /// The first second it is valid, since 1970.
    pub not_before: i64,
    /// The last second it is valid, since 1970.
    pub not_after: i64,
    /// Whether it may sign others.
    pub authority: bool,
}

impl Described {
    /// Reads the first certificate of a PEM text.
    pub fn from_pem(pem: &str) -> Result<Self, Error> {
        let unreadable = |why: String| Error::ReadCertificate { what: "the file", why };
        let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| unreadable(error.to_string()))?;
        let cert = pem.parse_x509().map_err(|error| unreadable(error.to_string()))?;
        Ok(Self {
            subject: cert.subject().to_string(),
            issuer: cert.issuer().to_string(),
            serial: hexadecimal(cert.raw_serial()),
            fingerprint: hexadecimal(&Sha256::digest(&pem.contents)),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            authority: cert.is_ca(),
        })
    }
}
