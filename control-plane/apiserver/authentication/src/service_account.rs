//! Tokens of service accounts: what is written into one, and whether one that was signed by us is still good.
//!
//! ```text
//!   Verifier::open(token) ── signature, issuer, audience ──> Opened ── wanted() ──> the objects it speaks of
//!                                                              └── judge(objects, now) ──> the user, or why not
//! ```

mod bound;
mod legacy;
mod objects;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use apiserver_core::user::User;
use serde_json::{Map, Value};

use crate::jose::{self, Token};
use crate::key::PublicKey;
use crate::{Identity, Refused, intersection};

pub use bound::{Bound, Grant, Reference, Relic};
pub use legacy::{LAST_USED, Legacy, Tracked};
pub use objects::{Found, Kind, Seen, Wanted};

/// The issuer of the tokens in secrets.
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// The name of every service account begins so.
const PREFIX: &str = "system:serviceaccount:";
/// How much clocks may differ, and how long what is deleted still counts, in seconds.
pub const LEEWAY: i64 = 60;

/// The user a service account is.
pub fn user_name(namespace: &str, name: &str) -> String {
    format!("{PREFIX}{namespace}:{name}")
}

/// Checks whose tokens are ours.
#[derive(Debug, Clone, Default)]
pub struct Verifier {
    /// The issuers whose tokens are taken; the first is the one of new tokens.
    pub issuers: Vec<String>,
    /// The keys that may have signed them.
    pub keys: Vec<(String, PublicKey)>,
    /// The audiences of this server, which tokens without any are for.
    pub audiences: Vec<String>,
    /// Whether the secret of a legacy token is looked at.
    pub lookup: bool,
}

/// A token whose signature, issuer and audience are right.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    audiences: Vec<String>,
    claims: Claims,
}

#[derive(Debug, Clone, PartialEq)]
enum Claims {
    Bound(Box<Bound>),
    Legacy(Box<Legacy>),
}

/// What was found out of a token besides its user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remarks {
    /// What the client is told.
    pub warnings: Vec<String>,
    /// The secret of a legacy token, and what to note of it.
    pub tracked: Option<Tracked>,
    /// Whether a token for the way from legacy ones was used in its time, or after it.
    pub stale: Option<bool>,
}

impl Verifier {
    /// The same with these keys, under their names.
    #[must_use]
    pub fn with_keys(self, keys: Vec<PublicKey>) -> Self {
        Self { keys: keys.into_iter().map(|key| (key.id(), key)).collect(), ..self }
    }

    /// Looks at a token for some audiences. `None` when it is of another issuer, or no token at all.
    ///
    /// # Errors
    ///
    /// When it claims to be ours and is not, or is for others.
    pub fn open(&self, text: &str, wanted: &[String]) -> Result<Option<Opened>, Refused> {
        let Some(token) = Token::parse(text) else { return Ok(None) };
        let legacy = token.issuer() == LEGACY_ISSUER;
        if !legacy && !self.issuers.iter().any(|issuer| issuer == token.issuer()) {
            return Ok(None);
        }
        let mut keys = self.keys.iter().filter(|(id, _)| token.key_id.is_empty() || *id == token.key_id).peekable();
        if keys.peek().is_none() {
            return Err(Refused::because("invalid signature, no keys found"));
        }
        if !keys.any(|(_, key)| token.is_signed_by(key)) {
            return Err(Refused::because("go-jose/go-jose: error in cryptographic primitive"));
        }
        let claims = token.claims();
        let mut own = jose::audiences(claims);
        if own.is_empty() {
            own.clone_from(&self.audiences);
        }
        let audiences = intersection(&own, wanted);
        if audiences.is_empty() && !self.audiences.is_empty() {
            return Err(Refused::because(format!(
                "token audiences {own:?} is invalid for the target audiences {wanted:?}"
            )));
        }
        let claims = if legacy {
            Claims::Legacy(Box::new(Legacy::read(claims, text)?))
        } else {
            Claims::Bound(Box::new(Bound::read(claims)?))
        };
        Ok(Some(Opened { audiences, claims }))
    }

    /// Decides on an opened token, with the objects [`Opened::wanted`] asked for as they are now.
    ///
    /// It is refused when it is out of its time, or one of its objects is gone or another one.
    pub fn judge(&self, opened: Opened, found: &Found, now: i64) -> (Result<Identity, Refused>, Remarks) {
        let Opened { audiences, claims } = opened;
        let (user, remarks) = match claims {
            Claims::Bound(bound) => bound.judge(found, now),
            Claims::Legacy(legacy) => legacy.judge(self.lookup, found, now),
        };
        (user.map(|user| Identity { user, audiences }), remarks)
    }
}

impl Opened {
    /// The objects that say whether the token is still good.
    pub fn wanted(&self) -> Vec<Wanted> {
        match &self.claims {
            Claims::Bound(bound) => bound.wanted(),
            Claims::Legacy(legacy) => legacy.wanted(),
        }
    }
}

/// The user of a service account. What is in `extra` must not be empty.
fn user(namespace: &str, name: &str, uid: &str, extra: BTreeMap<String, Vec<String>>) -> User {
    User {
        name: user_name(namespace, name),
        uid: uid.to_owned(),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
        extra,
    }
}

fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}
