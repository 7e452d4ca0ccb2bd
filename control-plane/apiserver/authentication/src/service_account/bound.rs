//! Tokens from requests: bound to their audience, to their time, and to an object they end with.

use std::collections::BTreeMap;

use apiserver_core::user::User;
use serde_json::{Map, Value, json};

use super::objects::{Found, Kind, Seen, Wanted};
use super::{LEEWAY, Remarks, text, user, user_name};
use crate::jose::time;
use crate::{CREDENTIAL_ID, Refused};

/// An object in a token.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reference {
    /// Its name.
    pub name: String,
    /// Its uid; empty for the node of a pod that has no object.
    pub uid: String,
}

/// What a token says of its account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Relic {
    /// Namespace of the account.
    pub namespace: String,
    /// The account.
    pub account: Reference,
    /// The pod it ends with.
    pub pod: Option<Reference>,
    /// The secret it ends with.
    pub secret: Option<Reference>,
    /// The node it ends with or, if there is a pod, the pod's.
    pub node: Option<Reference>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant<'a> {
    /// Who makes it.
    pub issuer: &'a str,
    /// Who it is for.
    pub audiences: &'a [String],
    /// Whose it is.
    pub relic: &'a Relic,
    /// Its id.
    pub id: &'a str,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// How long it is good, in seconds.
    pub expires_after: i64,
    /// When its use is to be warned of, in seconds.
    pub warn_after: Option<i64>,
}

impl Grant<'_> {
    /// The claims to sign.
    pub fn claims(&self) -> Map<String, Value> {
        let relic = self.relic;
        let reference = |one: &Reference| {
            let mut all = Map::from_iter([("name".to_owned(), one.name.clone().into())]);
            if !one.uid.is_empty() {
                all.insert("uid".to_owned(), one.uid.clone().into());
            }
            Value::Object(all)
        };
        let mut kubernetes = Map::new();
        kubernetes.insert("namespace".into(), relic.namespace.clone().into());
        let bound = [("node", &relic.node), ("pod", &relic.pod), ("secret", &relic.secret)];
        for (name, bound) in bound.into_iter().filter_map(|(name, bound)| Some((name, bound.as_ref()?))) {
            kubernetes.insert(name.into(), reference(bound));
        }
        kubernetes.insert("serviceaccount".into(), reference(&relic.account));
        if let Some(after) = self.warn_after {
            kubernetes.insert("warnafter".into(), (self.now + after).into());
        }
        let claims = json!({
            "aud": self.audiences,
            "exp": self.now + self.expires_after,
            "iat": self.now,
            "iss": self.issuer,
            "jti": self.id,
            "kubernetes.io": kubernetes,
            "nbf": self.now,
            "sub": user_name(&relic.namespace, &relic.account.name),
        });
        match claims {
            Value::Object(claims) => claims,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
        }
    }
}

/// A token that was signed by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    relic: Relic,
    id: String,
    expires: Option<i64>,
    not_before: Option<i64>,
    issued: Option<i64>,
    warn_after: Option<i64>,
}

impl Bound {
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, Refused> {
        let unreadable = || Refused::because("service account token claims could not be read");
        let none = Map::new();
        let own = claims.get("kubernetes.io").and_then(Value::as_object).unwrap_or(&none);
        let reference = |name: &str| {
            let one = own.get(name).and_then(Value::as_object)?;
            Some(Reference { name: text(one, "name").to_owned(), uid: text(one, "uid").to_owned() })
        };
        let seconds = |claims: &Map<String, Value>, name: &str| time(claims, name).map_err(|_| unreadable());
        Ok(Self {
            relic: Relic {
                namespace: text(own, "namespace").to_owned(),
                account: reference("serviceaccount").unwrap_or_default(),
                pod: reference("pod"),
                secret: reference("secret"),
                node: reference("node"),
            },
            id: text(claims, "jti").to_owned(),
            expires: seconds(claims, "exp")?,
            not_before: seconds(claims, "nbf")?,
            issued: seconds(claims, "iat")?,
            warn_after: seconds(own, "warnafter")?.filter(|after| *after != 0),
        })
    }

    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let relic = &self.relic;
        let node = relic.node.as_ref().filter(|_| relic.pod.is_none());
        [
            (Kind::ServiceAccount, Some(&relic.account)),
            (Kind::Secret, relic.secret.as_ref()),
            (Kind::Pod, relic.pod.as_ref()),
            (Kind::Node, node),
        ]
        .into_iter()
        .filter_map(|(kind, reference)| {
            let reference = reference?;
            let namespace = (kind != Kind::Node).then(|| relic.namespace.clone());
            Some(Wanted { kind, namespace, name: reference.name.clone(), uid: reference.uid.clone() })
        })
        .collect()
    }

    pub(super) fn judge(&self, found: &Found, now: i64) -> (Result<User, Refused>, Remarks) {
        let user = self.user(found, now);
        let stale = self.warn_after.filter(|_| user.is_ok()).map(|after| now > after);
        (user, Remarks { stale, ..Remarks::default() })
    }

    fn user(&self, found: &Found, now: i64) -> Result<User, Refused> {
        if self.expires.is_some_and(|expires| now.saturating_sub(LEEWAY) > expires) {
            return Err(Refused::because("service account token has expired"));
        }
        if self.not_before.is_some_and(|not_before| now.saturating_add(LEEWAY) < not_before) {
            return Err(Refused::because("service account token is not valid yet"));
        }
        if self.issued.is_some_and(|issued| now.saturating_add(LEEWAY) < issued) {
            let why = "service account token claims could not be validated due to unexpected validation error";
            return Err(Refused::because(why));
        }
        let Relic { namespace, account, pod, secret, node } = &self.relic;
        let gone = |seen: &Seen| seen.deleted.is_some_and(|deleted| deleted < now - LEEWAY);
        let full = format!("{namespace}/{}", account.name);
        let Some(seen) = found.get(&Kind::ServiceAccount) else {
            return Err(Refused::because(format!("serviceaccounts {:?} not found", account.name)));
        };
        if gone(seen) {
            return Err(Refused::because(format!("service account {full} has been deleted")));
        }
        if seen.uid != account.uid {
            let (uid, claimed) = (&seen.uid, &account.uid);
            return Err(Refused::because(format!("service account UID ({uid}) does not match claim ({claimed})")));
        }
        let check = |kind: Kind, what: &str, reference: &Reference| match found.get(&kind) {
            Some(seen) if !gone(seen) && seen.uid == reference.uid => Ok(()),
            Some(seen) if !gone(seen) => Err(Refused::because(format!(
                "{what} UID ({}) does not match service account {} ref claim ({})",
                seen.uid,
                what.to_lowercase(),
                reference.uid
            ))),
            Some(_) | None => Err(Refused::because("service account token has been invalidated")),
        };
        let mut extra = BTreeMap::new();
        let mut tell = |name: &str, value: &str| {
            if !value.is_empty() {
                extra.insert(name.to_owned(), vec![value.to_owned()]);
            }
        };
        if let Some(secret) = secret {
            check(Kind::Secret, "secret", secret)?;
        }
        if let Some(pod) = pod {
            check(Kind::Pod, "pod", pod)?;
            tell("authentication.kubernetes.io/pod-name", &pod.name);
            tell("authentication.kubernetes.io/pod-uid", &pod.uid);
        }
        if let Some(node) = node {
            // The node of a pod was written down when the pod ran there; it says nothing about whether the token is good.
            if pod.is_none() {
                check(Kind::Node, "node", node)?;
            }
            tell("authentication.kubernetes.io/node-name", &node.name);
            tell("authentication.kubernetes.io/node-uid", &node.uid);
        }
        if !self.id.is_empty() {
            tell(CREDENTIAL_ID, &format!("JTI={}", self.id));
        }
        Ok(user(namespace, &account.name, &account.uid, extra))
    }
}
