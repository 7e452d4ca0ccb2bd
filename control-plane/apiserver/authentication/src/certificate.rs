//! The user a client certificate names. Whether the certificate may be believed was decided before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use apiserver_core::user::User;
use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::CREDENTIAL_ID;

/// The attribute of a subject that holds the uid of the user; Kubernetes' own.
const UID: Oid<'static> = oid!(1.3.6.1.4.1.57683.2);

/// A certificate, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Who it names: common name, organizations, uid, and the digest of the certificate.
    pub user: User,
    /// The last second it is valid, since 1970.
    pub until: u64,
}

/// Why a certificate names nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unnamed {
    /// It cannot be read.
    Unreadable,
    /// It has no common name.
    NoCommonName,
    /// More than one uid, or one that is empty or no text.
    BadUid,
}

/// Reads who a certificate names.
///
/// # Errors
///
/// When it names nobody, or nobody for sure.
pub fn read(der: &[u8]) -> Result<Named, Unnamed> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| Unnamed::Unreadable)?;
    let subject = parsed.subject();
    // Of several names the last counts, as in Go.
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Err(Unnamed::NoCommonName);
    }
    let groups = subject.iter_organization().filter_map(|one| one.as_str().ok()).map(str::to_owned).collect();
    let mut uids = subject.iter_by_oid(&UID).map(|uid| uid.as_str().unwrap_or_default());
    let uid = match (uids.next(), uids.next()) {
        (None, _) => "",
        (Some(uid), None) if !uid.is_empty() => uid,
        (Some(_), _) => return Err(Unnamed::BadUid),
    };
    let mut credential = String::from("X509SHA256=");
    for byte in Sha256::digest(der) {
        let _ = write!(credential, "{byte:02x}");
    }
    let user = User {
        name: name.to_owned(),
        groups,
        uid: uid.to_owned(),
        extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]),
    };
    let until = u64::try_from(parsed.validity().not_after.timestamp()).map_err(|_| Unnamed::Unreadable)?;
    Ok(Named { user, until })
}
