//! Who a connection belongs to: the certificate shown in its handshake, judged once and held to its end date.

use std::time::{Duration, SystemTime};

use apiserver_core::user::User;
use authentication::{Refused, certificate};
use chain::Chain;
use tokio_rustls::rustls::pki_types::CertificateDer;

/// Whose certificates are believed, and what for.
#[derive(Clone)]
pub(crate) struct Judges {
    /// Clients.
    pub(crate) clients: mtls::Clients,
    /// Front proxies.
    pub(crate) proxies: Option<Proxies>,
}

/// Whose certificates are those of front proxies.
#[derive(Clone)]
pub(crate) struct Proxies {
    /// Their authority.
    pub(crate) clients: mtls::Clients,
    /// Their names; all that the authority signed when there are none.
    pub(crate) allowed: Vec<String>,
}

/// What the certificate of a connection says.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Whether one was shown at all.
    shown: bool,
    /// Whose it is, if it is a client's, and the first moment it is not valid any more.
    user: Option<(User, SystemTime)>,
    /// The same moment, if it is a front proxy's.
    proxy: Option<SystemTime>,
}

impl Peer {
    /// No certificate was shown.
    pub(crate) const UNKNOWN: Self = Self { shown: false, user: None, proxy: None };

    /// Judges the certificates shown in a handshake. Why one is refused is logged, not told to the client.
    pub(crate) fn judge(judges: &Judges, certificates: Option<&[CertificateDer<'_>]>, now: SystemTime) -> Self {
        let Some(certificates) = certificates.filter(|certificates| !certificates.is_empty()) else {
            return Self::UNKNOWN;
        };
        let refused = Self { shown: true, ..Self::UNKNOWN };
        let named = match certificate::read(&certificates[0]) {
            Ok(named) => named,
            Err(unnamed) => {
                tracing::info!(?unnamed, "a client certificate that names nobody was refused");
                return refused;
            }
        };
        let Some(until) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(named.until)) else { return refused };
        let proxy = judges.proxies.as_ref().filter(|proxies| {
            let allowed = proxies.allowed.is_empty() || proxies.allowed.contains(&named.user.name);
            allowed && proxies.clients.verify(certificates, now).is_ok()
        });
        let client = judges.clients.verify(certificates, now);
        if let (Err(error), None) = (&client, proxy) {
            tracing::info!(error = %Chain(error), "a client certificate was refused");
        }
        Self { shown: true, user: client.is_ok().then_some((named.user, until)), proxy: proxy.map(|_| until) }
    }

    /// Somebody who is known.
    #[cfg(test)]
    pub(crate) fn known(user: User, until: SystemTime) -> Self {
        Self { shown: true, user: Some((user, until)), proxy: None }
    }

    /// Whether somebody proved who they are.
    pub(crate) fn is_known(&self) -> bool {
        self.user.is_some() || self.proxy.is_some()
    }

    /// Whether this is a front proxy, whose word on its users counts.
    pub(super) fn is_proxy(&self, now: SystemTime) -> bool {
        self.proxy.is_some_and(|until| now < until)
    }

    /// The user of a request made now; `None` without a certificate.
    pub(super) fn user(&self, now: SystemTime) -> Result<Option<&User>, Refused> {
        match &self.user {
            Some((user, until)) if now < *until => Ok(Some(user)),
            Some(_) => Err(Refused::because("x509: certificate has expired or is not yet valid")),
            None if self.shown => Err(Refused::because("x509: the client certificate was refused")),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_ends_during_a_connection_stops_counting() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let peer = Peer::known(User { name: "ann".into(), ..User::default() }, until);
        assert!(peer.user(until - Duration::from_secs(1)).unwrap().is_some());
        assert!(peer.user(until).is_err());
        let proxy = Peer { proxy: Some(until), ..Peer::UNKNOWN };
        assert!(proxy.is_proxy(until - Duration::from_secs(1)) && !proxy.is_proxy(until));
    }

    #[test]
    fn a_refused_certificate_is_not_anonymous() {
        let now = SystemTime::UNIX_EPOCH;
        assert!(Peer { shown: true, ..Peer::UNKNOWN }.user(now).is_err());
        assert_eq!(Peer::UNKNOWN.user(now), Ok(None));
        assert!(!Peer::UNKNOWN.is_proxy(now));
    }
}
