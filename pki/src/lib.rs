//! Authorities and certificates, as a plan: no file is touched and no clock is read; time is an argument.
//!
//! A cluster has one [`Authority`] for each [`AuthorityName`], and a [`ServiceAccountKey`]. An authority issues a leaf
//! with a fresh key ([`Authority::issue`]), or signs the public key of a request that was made elsewhere
//! ([`Authority::sign_csr`]); in the second case the private key never leaves its maker, and nothing but the public key
//! is taken from the request.
//!
//! All keys are ECDSA P-256. Randomness is the business of the cryptographic library below.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use pki::{Authority, AuthorityName, Request, San, Subject, Usage};
//!
//! let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
//! let authority = Authority::generate(AuthorityName::Etcd, now)?;
//! let server = authority.issue(
//!     &Request {
//!         subject: Subject::new("store"),
//!         sans: vec![San::Dns("localhost".into()), San::Ip([127, 0, 0, 1].into())],
//!         usage: Usage::Server,
//!         lifetime: Duration::from_secs(24 * 60 * 60),
//!     },
//!     now,
//! )?;
//! assert!(server.cert_pem.starts_with("-----BEGIN CERTIFICATE-----"));
//! # Ok::<(), pki::Error>(())
//! ```

mod authority;
mod described;
mod peer;
mod request;

pub use authority::{Authority, AuthorityName, Issued};
pub use described::Described;
pub use peer::Peer;
pub use request::{KeyAndCsr, Request, San, ServiceAccountKey, Subject, Usage, Validity};

/// Why a key or a certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cryptographic library could not make a key pair.
    #[error("make a key pair")]
    Key(#[source] rcgen::Error),
    /// The private key is not a PEM text that can be used.
    #[error("read the private key of {what}")]
    ReadKey {
        /// Whose key it is.
        what: &'static str,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate is not one that can be used.
    #[error("read the certificate of {what}: {why}")]
    ReadCertificate {
        /// Whose certificate it is.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate belongs to another key.
    #[error("the certificate of {what} belongs to another key")]
    KeyMismatch {
        /// Whose certificate it is.
        what: &'static str,
    },
    /// The request is not a PEM text, or its signature does not prove that its maker holds the key.
    #[error("read the certificate signing request")]
    ReadCsr(#[source] rcgen::Error),
    /// A DNS name or a subject cannot be written into a certificate.
    #[error("{name:?} cannot stand in a certificate")]
    Name {
        /// The name.
        name: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The certificate could not be signed.
    #[error("sign the certificate of {subject:?}")]
    Sign {
        /// Common name of the subject.
        subject: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// The authority's own time is over: nothing that it signs would be accepted.
    #[error("the authority {what} has expired")]
    AuthorityExpired {
        /// Which authority.
        what: &'static str,
    },
}
