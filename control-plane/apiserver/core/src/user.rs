//! Who asks.

use std::collections::BTreeMap;

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group every authenticated user is in.
pub const AUTHENTICATED: &str = "system:authenticated";

/// An authenticated user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Common name of the certificate.
    pub name: String,
    /// Organizations of the certificate, and [`AUTHENTICATED`].
    pub groups: Vec<String>,
    /// Uid, where the authenticator knows one.
    pub uid: String,
    /// More, such as `authentication.kubernetes.io/credential-id`.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// Whether a user is of the group that may do everything.
pub fn is_master(user: &User) -> bool {
    user.groups.iter().any(|group| group == MASTERS)
}
