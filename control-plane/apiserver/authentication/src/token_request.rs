//! The `token` subresource of a service account: what a `TokenRequest` asks for, and what it gets.

#[cfg(test)]
mod tests;

use apiserver_core::field::{Errors, Path};
use apiserver_core::status::{Details, Reason};
use apiserver_core::{Object, Status, time};
use serde_json::json;

use crate::service_account::{Kind, Reference, Relic};

/// How long a token is good whose request does not say it, in seconds.
const DEFAULT_EXPIRATION: i64 = 60 * 60;
const LEAST_EXPIRATION: i64 = 10 * 60;
const MOST_EXPIRATION: i64 = 1 << 32;
/// What the volumes of pods ask for when nobody chose an expiration: such tokens took the place of those that had no end.
const WARN_ONLY_EXPIRATION: i64 = 60 * 60 + 7;
/// How long those are good instead.
const EXTENDED_EXPIRATION: i64 = 365 * 24 * 60 * 60;
const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

/// What the command line says about new tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The audiences of this server.
    pub audiences: Vec<String>,
    /// How long a token may be good at most, in seconds.
    pub max_expiration: Option<i64>,
    /// Whether tokens for the volumes of pods are good for longer than they say.
    pub extend: bool,
}

/// The object a token is to end with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundTo {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    uid: String,
}

/// A request that makes sense, with its blanks filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    request: Object,
    audiences: Vec<String>,
    expiration: i64,
    bound: Option<BoundTo>,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Who it is for.
    pub audiences: Vec<String>,
    /// How long it is good, in seconds.
    pub expires_after: i64,
    /// When its use is to be warned of, in seconds.
    pub warn_after: Option<i64>,
}

/// Fills in what a request left out and checks it against the account it is for, as that is in the store.
///
/// # Errors
///
/// 422, 409 or 400, as upstream.
pub fn check(mut request: Object, account: &Object, policy: &Policy, now: jiff::Timestamp) -> Result<Checked, Status> {
    let (name, namespace) = (account.name().unwrap_or_default(), account.namespace().unwrap_or_default());
    let metadata = Path::new("metadata");
    for (field, said, is, why) in [
        ("name", request.name(), name, "must match the service account name if specified"),
        ("namespace", request.namespace(), namespace, "must match the service account namespace if specified"),
    ] {
        if let Some(said) = said.filter(|said| *said != is) {
            let mut errors = Errors::new();
            errors.invalid(&metadata.child(field), said, why);
            return Err(Status::invalid(GROUP, KIND, name, &errors));
        }
    }
    let uid = account.uid().unwrap_or_default();
    if let Some(said) = request.uid().filter(|said| *said != uid) {
        let why =
            format!("the UID in the token request ({said}) does not match the UID of the service account ({uid})");
        return Err(conflict(GROUP, KIND, name, &why));
    }
    let mut audiences: Vec<String> =
        request.list(&["spec", "audiences"]).iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
    if audiences.is_empty() {
        audiences.clone_from(&policy.audiences);
    }
    let expiration = request.integer(&["spec", "expirationSeconds"]).unwrap_or(DEFAULT_EXPIRATION);
    let mut errors = Errors::new();
    let path = Path::new("spec").child("expirationSeconds");
    if expiration < LEAST_EXPIRATION {
        errors.invalid(&path, expiration, "may not specify a duration less than 10 minutes");
    }
    if expiration > MOST_EXPIRATION {
        errors.invalid(&path, expiration, "may not specify a duration larger than 2^32 seconds");
    }
    if !errors.is_empty() {
        return Err(Status::invalid(GROUP, KIND, "", &errors));
    }
    let bound = match request.at(&["spec", "boundObjectRef"]) {
        Some(reference) if reference.is_object() => Some(bound_to(&request)?),
        _ => None,
    };
    request.set(&["metadata", "name"], name);
    request.set(&["metadata", "namespace"], namespace);
    request.set(&["metadata", "uid"], uid);
    request.set(&["metadata", "creationTimestamp"], time::seconds(now));
    request.set(&["spec", "audiences"], audiences.clone());
    request.set(&["spec", "expirationSeconds"], expiration);
    request.remove(&["status"]);
    Ok(Checked { request, audiences, expiration, bound })
}

fn bound_to(request: &Object) -> Result<BoundTo, Status> {
    let text = |name: &str| request.text(&["spec", "boundObjectRef", name]).unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    let (group, plain) = version.split_once('/').unwrap_or(("", version));
    let found = match kind {
        "Pod" if group.is_empty() => Kind::Pod,
        "Node" if group.is_empty() => Kind::Node,
        "Secret" if group.is_empty() => Kind::Secret,
        _ => {
            let what = format!("{group}/{plain}, Kind={kind}");
            return Err(Status::bad_request(format!("cannot bind token to object of type {what}")));
        }
    };
    Ok(BoundTo { kind: found, name: text("name").to_owned(), uid: text("uid").to_owned() })
}

impl Checked {
    /// The object to look up.
    pub fn bound(&self) -> Option<&BoundTo> {
        self.bound.as_ref()
    }

    /// The node of the pod a token is to end with, which is written into the token, too.
    pub fn node_of(&self, object: &Object) -> Option<String> {
        let pod = self.bound.as_ref().is_some_and(|bound| bound.kind == Kind::Pod);
        object.text(&["spec", "nodeName"]).filter(|_| pod).map(str::to_owned)
    }

    /// Whose the token is to be. `object` is what [`bound`](Self::bound) names, `node` what [`node_of`](Self::node_of) does, if it is there.
    ///
    /// # Errors
    ///
    /// 400 for a pod of another account, 409 for an object that is not the one meant.
    pub fn relic(&self, account: &Object, object: Option<&Object>, node: Option<&Object>) -> Result<Relic, Status> {
        let reference = |object: &Object| Reference {
            name: object.name().unwrap_or_default().to_owned(),
            uid: object.uid().unwrap_or_default().to_owned(),
        };
        let mut relic = Relic {
            namespace: account.namespace().unwrap_or_default().to_owned(),
            account: reference(account),
            ..Relic::default()
        };
        let (Some(bound), Some(object)) = (&self.bound, object) else { return Ok(relic) };
        let found = reference(object);
        let kind = match bound.kind {
            Kind::Pod => {
                let name = account.name().unwrap_or_default();
                if object.text(&["spec", "serviceAccountName"]) != Some(name) {
                    return Err(Status::bad_request(format!(
                        "cannot bind token for serviceaccount {name:?} to pod running with different serviceaccount name."
                    )));
                }
                let absent = |name: String| Reference { name, uid: String::new() };
                relic.node = self.node_of(object).map(|name| node.map_or_else(|| absent(name), reference));
                relic.pod = Some(found.clone());
                "Pod"
            }
            Kind::Node => {
                relic.node = Some(found.clone());
                "Node"
            }
            Kind::Secret | Kind::ServiceAccount => {
                relic.secret = Some(found.clone());
                "Secret"
            }
        };
        if !bound.uid.is_empty() && bound.uid != found.uid {
            let why = format!(
                "the UID in the bound object reference ({}) does not match the UID in record. The object might have been deleted and then recreated",
                bound.uid
            );
            return Err(conflict("", kind, &bound.name, &why));
        }
        Ok(relic)
    }

    /// What token to make, and what to tell the client about it.
    pub fn wish(&mut self, policy: &Policy) -> (Wish, Option<String>) {
        let mut warning = None;
        if let Some(most) = policy.max_expiration.filter(|most| self.expiration > *most) {
            let asked = self.expiration;
            warning = Some(format!("requested expiration of {asked} seconds shortened to {most} seconds"));
            self.expiration = most;
            self.request.set(&["spec", "expirationSeconds"], most);
        }
        let pod = self.bound.as_ref().is_some_and(|bound| bound.kind == Kind::Pod);
        let ours = self.audiences.iter().all(|one| policy.audiences.contains(one));
        let extended = policy.extend && pod && self.expiration == WARN_ONLY_EXPIRATION && ours;
        let wish = Wish {
            audiences: self.audiences.clone(),
            expires_after: if extended { EXTENDED_EXPIRATION } else { self.expiration },
            warn_after: extended.then_some(self.expiration),
        };
        (wish, warning)
    }

    /// The request with its answer.
    pub fn answered(mut self, token: &str, now: jiff::Timestamp) -> Object {
        let end = now.checked_add(jiff::SignedDuration::from_secs(self.expiration)).unwrap_or(jiff::Timestamp::MAX);
        self.request.set(&["status"], json!({ "expirationTimestamp": time::seconds(end), "token": token }));
        self.request
    }
}

/// Upstream names the kind here where it names the resource elsewhere.
fn conflict(group: &str, kind: &str, name: &str, why: &str) -> Status {
    let what = apiserver_core::status::qualified(kind, group);
    let mut status = Status::unclassified(format!("Operation cannot be fulfilled on {what} {name:?}: {why}"));
    status.code = 409;
    status.reason = Reason::Conflict;
    let details = Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() };
    status.details = Some(Box::new(details));
    status
}
