//! Tokens that live in secrets and have no end of their own.

use std::collections::BTreeMap;

use apiserver_core::user::User;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::objects::{Found, Kind, Wanted};
use super::{Remarks, text, user, user_name};
use crate::Refused;

/// The label of the day a token was last used.
pub const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// The label of the day a token was turned off.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
const DAY: i64 = 24 * 60 * 60;

/// The secret of a token that was used, and the day to write into its label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tracked {
    /// Namespace of the secret.
    pub namespace: String,
    /// Name of the secret.
    pub secret: String,
    /// Its uid.
    pub uid: String,
    /// Today; `None` when the label says it already.
    pub day: Option<String>,
    /// Whether the token was made by a controller.
    pub generated: bool,
    /// Whether the token was turned off.
    pub invalid: bool,
}

/// A token that was signed by us for a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Legacy {
    namespace: String,
    account: String,
    uid: String,
    secret: String,
    token: String,
}

impl Legacy {
    pub(super) fn read(claims: &Map<String, Value>, token: &str) -> Result<Self, Refused> {
        let claim = |name: &str, what: &str| match text(claims, name) {
            "" => Err(Refused::because(format!("{what} claim is missing"))),
            value => Ok(value.to_owned()),
        };
        let subject = claim("sub", "sub")?;
        let this = Self {
            namespace: claim("kubernetes.io/serviceaccount/namespace", "namespace")?,
            secret: claim("kubernetes.io/serviceaccount/secret.name", "secretName")?,
            account: claim("kubernetes.io/serviceaccount/service-account.name", "serviceAccountName")?,
            uid: claim("kubernetes.io/serviceaccount/service-account.uid", "serviceAccountUID")?,
            token: token.to_owned(),
        };
        if subject != user_name(&this.namespace, &this.account) {
            return Err(Refused::because("sub claim is invalid"));
        }
        Ok(this)
    }

    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let wanted = |kind, name: &str, uid: &str| Wanted {
            kind,
            namespace: Some(self.namespace.clone()),
            name: name.to_owned(),
            uid: uid.to_owned(),
        };
        vec![wanted(Kind::Secret, &self.secret, ""), wanted(Kind::ServiceAccount, &self.account, &self.uid)]
    }

    pub(super) fn judge(&self, lookup: bool, found: &Found, now: i64) -> (Result<User, Refused>, Remarks) {
        let user = user(&self.namespace, &self.account, &self.uid, BTreeMap::new());
        if !lookup {
            return (Ok(user), Remarks::default());
        }
        let refuse = |why: String| (Err(Refused(why)), Remarks::default());
        let Self { namespace, account, secret, .. } = self;
        let Some(held) = found.get(&Kind::Secret).filter(|held| held.deleted.is_none()) else {
            return refuse("Token has been invalidated".to_owned());
        };
        if !bool::from(held.token.as_slice().ct_eq(self.token.as_bytes())) {
            return refuse("Token does not match server's copy".to_owned());
        }
        let Some(owner) = found.get(&Kind::ServiceAccount) else {
            return refuse(format!("serviceaccounts {account:?} not found"));
        };
        if owner.deleted.is_some() {
            return refuse(format!("ServiceAccount {namespace}/{account} has been deleted"));
        }
        if owner.uid != self.uid {
            return refuse(format!("ServiceAccount UID ({}) does not match claim ({})", owner.uid, self.uid));
        }
        let last = held.labels.get(LAST_USED);
        let (today, tomorrow) = (day(now), day(now + DAY));
        let fresh = last.is_some_and(|last| *last == today || *last == tomorrow);
        let invalid = held.labels.get(INVALID_SINCE).is_some_and(|since| !since.is_empty());
        let generated = owner.secrets.contains(secret);
        let mut remarks = Remarks {
            tracked: Some(Tracked {
                namespace: namespace.clone(),
                secret: secret.clone(),
                uid: held.uid.clone(),
                day: (!fresh).then_some(today),
                generated,
                invalid,
            }),
            ..Remarks::default()
        };
        if invalid {
            let why = format!(
                "the token in secret {namespace}/{secret} for service account {namespace}/{account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            );
            return (Err(Refused(why)), remarks);
        }
        if generated {
            remarks.warnings.push(
                "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens."
                    .to_owned(),
            );
        }
        (Ok(user), remarks)
    }
}

/// The day of a moment.
fn day(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%d").to_string()
}
