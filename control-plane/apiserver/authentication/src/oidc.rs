//! Tokens of providers (`OpenID` Connect): whether one is good, and the user its claims name.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use apiserver_core::user::User;
use serde_json::{Map, Value};

use crate::configuration::{Claim, Issuer};
use crate::jose::{self, Token, time};
use crate::key::NamedKey;
use crate::{CREDENTIAL_ID, Refused};

/// How far ahead the clock of a provider may be, in seconds; that of the library upstream uses.
const NOT_BEFORE_LEEWAY: i64 = 5 * 60;

/// What the keys at hand say of a token.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// It is signed by one of them; these are its claims.
    Signed(Map<String, Value>),
    /// None of them signed it. A provider may have new ones.
    UnknownKey,
}

/// Whether a token says it is of this issuer.
pub fn is_of(issuer: &Issuer, token: &Token<'_>) -> bool {
    token.issuer() == issuer.url
}

/// Looks whether one of the keys signed a token in a way that is allowed.
///
/// # Errors
///
/// When it is signed in another way.
pub fn check(issuer: &Issuer, token: &Token<'_>, keys: &[NamedKey]) -> Result<Checked, Refused> {
    let algorithm = token.algorithm().filter(|algorithm| issuer.algorithms.contains(algorithm));
    let Some(algorithm) = algorithm else {
        return Err(Refused::because("oidc: verify token: oidc: id token signed with unsupported algorithm"));
    };
    let fits = |key: &&NamedKey| {
        (token.key_id.is_empty() || key.id == token.key_id) && key.algorithm.is_none_or(|meant| meant == algorithm)
    };
    Ok(if keys.iter().filter(fits).any(|key| token.is_signed_by(&key.key)) {
        Checked::Signed(token.claims().clone())
    } else {
        Checked::UnknownKey
    })
}

/// The user the claims of a token name, which must be signed.
///
/// # Errors
///
/// When it is for others, out of its time, or lacks what the configuration asks for.
pub fn user(issuer: &Issuer, claims: &Map<String, Value>, now: i64) -> Result<User, Refused> {
    let refused = |why: String| Refused(format!("oidc: {why}"));
    let seconds =
        |name: &str| time(claims, name).map_err(|_| refused(format!("verify token: claim {name} is no time")));
    let audiences = jose::audiences(claims);
    if !audiences.iter().any(|one| issuer.audiences.contains(one)) {
        let wanted = &issuer.audiences;
        return Err(refused(format!("verify token: oidc: expected audience in {wanted:?} got {audiences:?}")));
    }
    // A token without an end has ended.
    if seconds("exp")?.is_none_or(|end| end < now) {
        return Err(refused("verify token: oidc: token is expired".to_owned()));
    }
    if seconds("nbf")?.is_some_and(|begin| now + NOT_BEFORE_LEEWAY < begin) {
        return Err(refused("verify token: oidc: current time is before the nbf (not before) time".to_owned()));
    }
    let name = user_name(&issuer.user, claims)?;
    let groups = issuer.groups.as_ref().map_or(Ok(Vec::new()), |claim| groups(claim, claims))?;
    let uid = match &issuer.uid {
        None => String::new(),
        Some(claim) => text(claims, claim).map_err(|why| refused(format!("error parsing uid claim: {why}")))?,
    };
    for (claim, wanted) in &issuer.required {
        match claims.get(claim) {
            None => return Err(refused(format!("required claim {claim} not present in ID token"))),
            Some(Value::String(value)) if value == wanted => {}
            Some(Value::String(value)) => {
                let why = format!("required claim {claim} value does not match. Got = {value}, want = {wanted}");
                return Err(refused(why));
            }
            Some(_) => return Err(refused(format!("parse claim {claim}: expected claim to be a string"))),
        }
    }
    let mut extra = BTreeMap::new();
    if let Some(id) = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        extra.insert(CREDENTIAL_ID.to_owned(), vec![format!("JTI={id}")]);
    }
    Ok(User { name, groups, uid, extra })
}

fn user_name(claim: &Claim, claims: &Map<String, Value>) -> Result<String, Refused> {
    let name = text(claims, &claim.name)
        .map_err(|why| Refused(format!("oidc: parse username claims {:?}: {why}", claim.name)))?;
    if claim.name == "email" && claims.get("email_verified").is_some_and(|verified| *verified != Value::Bool(true)) {
        return Err(Refused::because("oidc: email not verified"));
    }
    // Nobody is called by a prefix alone.
    if name.is_empty() {
        return Err(Refused(format!("oidc: parse username claims {:?}: claim is empty", claim.name)));
    }
    Ok(format!("{}{name}", claim.prefix))
}

fn groups(claim: &Claim, claims: &Map<String, Value>) -> Result<Vec<String>, Refused> {
    let bad = || Refused(format!("oidc: parse groups claim {:?}: expected a string or a list of strings", claim.name));
    let prefixed = |group: &str| format!("{}{group}", claim.prefix);
    match claims.get(&claim.name) {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![prefixed(one)]),
        Some(Value::Array(many)) => many.iter().map(|one| one.as_str().map(prefixed).ok_or_else(bad)).collect(),
        Some(_) => Err(bad()),
    }
}

fn text(claims: &Map<String, Value>, name: &str) -> Result<String, &'static str> {
    match claims.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err("claim is not a string"),
        None => Err("claim not present"),
    }
}
