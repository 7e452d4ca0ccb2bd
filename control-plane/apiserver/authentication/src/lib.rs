//! How credentials become a [`User`], decided without any input or output: what a token, a certificate or a header says, and whether
//! it may be believed. Keys, times and the objects a token speaks of are arguments.
//!
//! Every way to authenticate answers with an [`Outcome`]: an [`Identity`], nothing because the credential is of another kind, or why
//! it is refused. Refusals are for logs and for token reviews; a client that asks for something else hears `Unauthorized`.

pub mod bearer;
pub mod bootstrap_token;
pub mod certificate;
pub mod configuration;
pub mod jose;
pub mod key;
pub mod oidc;
pub mod request_header;
pub mod review;
pub mod service_account;
pub mod token_file;
pub mod token_request;

use apiserver_core::user::{AUTHENTICATED, User};

/// Who a credential stands for, and whom it may be shown to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The user.
    pub user: User,
    /// The audiences that were asked for and are the credential's.
    pub audiences: Vec<String>,
}

/// Why a credential is refused, in upstream's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// What became of a credential: whose it is, not one of this kind, or refused.
pub type Outcome = Result<Option<Identity>, Refused>;

impl Refused {
    /// A refusal.
    pub fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// Several refusals in one text, each said once, as upstream joins them.
    pub fn joined(all: &[Self]) -> String {
        let mut said: Vec<&str> = Vec::new();
        for one in all {
            if !said.contains(&one.0.as_str()) {
                said.push(&one.0);
            }
        }
        match said.as_slice() {
            [one] => (*one).to_owned(),
            many => format!("[{}]", many.join(", ")),
        }
    }
}

/// The audiences that are in both, in the order of the first.
pub fn intersection(some: &[String], others: &[String]) -> Vec<String> {
    some.iter().filter(|one| others.contains(one)).cloned().collect()
}

/// Puts a user into the group of all users who are known; upstream leaves those alone who are in a group of the kind already.
pub fn known(mut user: User) -> User {
    let settled = |group: &String| group == AUTHENTICATED || group == UNAUTHENTICATED;
    if user.name != ANONYMOUS && !user.groups.iter().any(settled) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

/// The user of requests without credentials, where those are let in.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of requests without credentials.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Which credential a request came with, among what is known of its user.
pub const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_joined_as_upstream_does() {
        let one = Refused::because("invalid bearer token");
        let two = Refused::because("service account token has expired");
        assert_eq!(Refused::joined(&[one.clone(), one.clone()]), "invalid bearer token");
        assert_eq!(Refused::joined(&[one, two]), "[invalid bearer token, service account token has expired]");
    }

    #[test]
    fn the_group_of_known_users_is_added_once() {
        let user = |groups: &[&str]| User {
            name: "ann".into(),
            groups: groups.iter().map(|&group| group.into()).collect(),
            ..User::default()
        };
        assert_eq!(known(user(&["dev"])).groups, ["dev", AUTHENTICATED]);
        assert_eq!(known(user(&[AUTHENTICATED])).groups, [AUTHENTICATED]);
        assert_eq!(known(user(&[UNAUTHENTICATED])).groups, [UNAUTHENTICATED]);
    }
}
