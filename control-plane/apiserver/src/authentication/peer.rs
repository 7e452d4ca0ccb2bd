//! Who a connection belongs to: the certificate shown in its handshake, judged once and held to its end date.

use std::time::{Duration, SystemTime};

use apiserver_core::user::User;
use authentication::{Refused, certificate};
use chain::Chain;
use tokio_rustls::rustls::pki_types::CertificateDer;

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
        match certificate::read(&certificates[0]) {
            Ok(named) => {
                let until = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(named.until));
                until.map_or(Self::Refused, |until| Self::Known { user: named.user, until })
            }
            Err(unnamed) => {
                tracing::info!(?unnamed, "a client certificate that names nobody was refused");
                Self::Refused
            }
        }
    }

    /// Whether somebody proved who they are.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Known { .. })
    }

    /// The user of a request made now; `None` without a certificate.
    pub(super) fn user(&self, now: SystemTime) -> Result<Option<&User>, Refused> {
        match self {
            Self::Known { user, until } if now < *until => Ok(Some(user)),
            Self::Known { .. } => Err(Refused::because("x509: certificate has expired or is not yet valid")),
            Self::Refused => Err(Refused::because("x509: the client certificate was refused")),
            Self::Unknown => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_during_a_connection_stops_counting() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let peer = Peer::Known { user: User { name: "ann".into(), ..User::default() }, until };
        assert!(peer.user(until - Duration::from_secs(1)).unwrap().is_some());
        assert!(peer.user(until).is_err());
    }

    #[test]
    fn a_refused_certificate_is_not_anonymous() {
        let now = SystemTime::UNIX_EPOCH;
        assert!(Peer::Refused.user(now).is_err());
        assert_eq!(Peer::Unknown.user(now), Ok(None));
    }
}
