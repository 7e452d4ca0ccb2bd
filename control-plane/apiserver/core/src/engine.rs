//! What happens to an object between a request's body and the store, the same for every resource.

use crate::authorize::User;
use crate::kinds::service::ClusterIps;
use crate::object::Object;
use crate::options::DeleteOptions;
use crate::resource::Resource;
use crate::status::Status;

/// The letters and digits a `generateName` suffix may have: no vowels, nothing that looks like another.
pub const SUFFIX_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// How long such a suffix is.
pub const SUFFIX_LENGTH: usize = 5;

/// What comes from outside: time, random bits, who asks.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Wall-clock time of the request.
    pub now: jiff::Timestamp,
    /// A fresh UUID, for an object that may be created.
    pub uid: &'a str,
    /// A fresh suffix of [`SUFFIX_LENGTH`] of [`SUFFIX_ALPHABET`], for `generateName`.
    pub name_suffix: &'a str,
    /// Fresh random bits, for choices such as a Service's address.
    pub seed: u64,
    /// Who asks.
    pub user: &'a User,
    /// Addresses and ports that Services hold. Must be given for writes to `services`.
    pub addresses: Option<&'a ClusterIps>,
}

/// An object ready for the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What to store. Carries no resource version.
    pub object: Object,
    /// What to say in `Warning` headers.
    pub warnings: Vec<String>,
}

/// What an update comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Updated {
    /// Store this (it carries no resource version).
    Store(Prepared),
    /// Nothing changes: answer with the old object, write nothing.
    Unchanged(Prepared),
    /// The last obstacle to a deletion is gone: delete the object and answer with this one.
    Remove(Prepared),
}

/// What a deletion comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Deletion {
    /// Delete the object now.
    Remove,
    /// Store this object, which waits for its finalizers, its kubelet or its controller.
    Wait(Object),
    /// It waits already, and nothing changes.
    Waiting,
}

/// Prepares an object for creation: defaults, metadata, strategy, validation.
///
/// `namespace` and `name` are those of the request's path; `name` is `None` for a POST on the collection.
pub fn prepare_create(
    resource: &Resource,
    namespace: Option<&str>,
    name: Option<&str>,
    object: Object,
    context: &Context<'_>,
) -> Result<Prepared, Status> {
    let _ = (resource, namespace, name, context);
    Ok(Prepared { object, warnings: Vec::new() })
}

/// Prepares an update of `old`, which must carry its resource version, by `new` through the object itself or a subresource.
///
/// A stale `metadata.resourceVersion` or a foreign `metadata.uid` in `new` is a conflict; no version means "whatever is there" where
/// the resource allows it.
pub fn prepare_update(
    resource: &Resource,
    subresource: Option<&str>,
    old: &Object,
    new: Object,
    context: &Context<'_>,
) -> Result<Updated, Status> {
    let _ = (resource, subresource, old, context);
    Ok(Updated::Store(Prepared { object: new, warnings: Vec::new() }))
}

/// Decides what a deletion of `object`, which must carry its resource version, comes to.
pub fn decide_delete(
    resource: &Resource,
    object: &Object,
    options: &DeleteOptions,
    context: &Context<'_>,
) -> Result<Deletion, Status> {
    let _ = (resource, object, options, context);
    Ok(Deletion::Remove)
}

/// Whether a namespace lets new objects in: `namespace` is the Namespace object, `None` if there is none.
///
/// To be asked before a create in a namespace; `name` is the new object's, for the message.
pub fn admit_to_namespace(
    resource: &Resource,
    name: &str,
    namespace_name: &str,
    namespace: Option<&Object>,
) -> Result<(), Status> {
    let Some(namespace) = namespace else { return Err(Status::not_found_named("", "namespaces", namespace_name)) };
    let going = namespace.deletion_timestamp().is_some() || namespace.text(&["status", "phase"]) == Some("Terminating");
    if going { Err(Status::namespace_terminating(resource, name, namespace_name)) } else { Ok(()) }
}

/// `pods/binding`: the pod as it is after a `Binding` was posted to it. To be stored if the pod is unchanged since.
pub fn bind_pod(resource: &Resource, pod: &Object, binding: &Object, context: &Context<'_>) -> Result<Object, Status> {
    let _ = (resource, binding, context);
    Ok(pod.clone())
}
