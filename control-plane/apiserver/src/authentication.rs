//! Who a connection belongs to: the certificate shown in its handshake, judged once and held to its end date.

use std::fmt::Write as _;
use std::time::SystemTime;

use apiserver_core::user::{AUTHENTICATED, User};
use chain::Chain;
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The user of requests without credentials, where those are let in.
pub(crate) const ANONYMOUS: &str = "system:anonymous";
/// The group of requests without credentials.
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";

/// What the certificate of a connection says.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// None was shown.
    Unknown,
    /// One was shown that does not lead to the client authority, or is out of its time.
    Refused,
    /// One of ours.
    Known {
        /// Whose it is.
        user: User,
        /// The first moment it is not valid any more.
        until: SystemTime,
    },
}

impl Peer {
    /// Judges the certificates shown in a handshake. Why one is refused is logged, not told to the client.
    pub(crate) fn judge(clients: &mtls::Clients, certificates: Option<&[CertificateDer<'_>]>, now: SystemTime) -> Self {
        let Some(certificates) = certificates.filter(|certificates| !certificates.is_empty()) else {
            return Self::Unknown;
        };
        if let Err(error) = clients.verify(certificates, now) {
            tracing::info!(error = %Chain(&error), "a client certificate was refused");
            return Self::Refused;
        }
        let Some((user, until)) = read(&certificates[0]) else {
            tracing::info!("a client certificate without a common name was refused");
            return Self::Refused;
        };
        Self::Known { user, until }
    }

    /// The user of a request made now; `None` is answered with 401.
    pub(crate) fn user(&self, anonymous: bool, now: SystemTime) -> Option<User> {
        match self {
            Self::Known { user, until } if now < *until => Some(user.clone()),
            Self::Unknown if anonymous => {
                Some(User { name: ANONYMOUS.to_owned(), groups: vec![UNAUTHENTICATED.to_owned()], ..User::default() })
            }
            Self::Known { .. } | Self::Refused | Self::Unknown => None,
        }
    }
}

/// Common name, organizations and end of a certificate.
fn read(certificate: &CertificateDer<'_>) -> Option<(User, SystemTime)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let name = parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    if name.is_empty() {
        return None;
    }
    let mut groups: Vec<String> = parsed
        .subject()
        .iter_organization()
        .filter_map(|organization| organization.as_str().ok())
        .map(str::to_owned)
        .collect();
    groups.push(AUTHENTICATED.to_owned());
    let mut credential = String::from("X509SHA256=");
    for byte in Sha256::digest(certificate.as_ref()) {
        let _ = write!(credential, "{byte:02x}");
    }
    let extra = [("authentication.kubernetes.io/credential-id".to_owned(), vec![credential])];
    let end = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    let until = SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(end))?;
    Some((User { name, groups, uid: String::new(), extra: extra.into() }, until))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_certificate_that_ends_during_a_connection_stops_counting() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let peer = Peer::Known { user: User { name: "ann".into(), ..User::default() }, until };
        assert!(peer.user(true, until - Duration::from_secs(1)).is_some());
        assert!(peer.user(true, until).is_none());
    }

    #[test]
    fn a_refused_certificate_is_not_anonymous() {
        let now = SystemTime::UNIX_EPOCH;
        assert!(Peer::Refused.user(true, now).is_none());
        assert!(Peer::Unknown.user(false, now).is_none());
        assert_eq!(Peer::Unknown.user(true, now).unwrap().name, ANONYMOUS);
    }

    #[test]
    fn garbage_is_no_certificate() {
        assert!(read(&CertificateDer::from(b"garbage".as_slice())).is_none());
    }
}
