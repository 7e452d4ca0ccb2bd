//! What happens to an object between a request's body and the store, the same for every resource.

use serde_json::Value;

use crate::apply;
use crate::field::{Errors, Path};
use crate::form;
use crate::kinds::service::ClusterIps;
use crate::metadata;
use crate::object::Object;
use crate::options::{DeleteOptions, Propagation};
use crate::resource::Resource;
use crate::status::Status;
use crate::strategy::{Part, Replacing};
use crate::time;
use crate::user::User;

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
    /// Addresses and ports that the store refused in this request because another Service has them.
    pub refused: &'a [String],
    /// Who comes to own the fields that are written. `None`: the object says already who owns what.
    pub manager: Option<&'a str>,
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

/// Prepares an object for creation without admission: [`take_new`] and [`finish_create`] in one.
pub fn prepare_create(
    resource: &Resource,
    namespace: Option<&str>,
    name: Option<&str>,
    object: Object,
    context: &Context<'_>,
) -> Result<Prepared, Status> {
    finish_create(resource, take_new(resource, namespace, name, object, context)?, context)
}

/// Takes in an object to be created: its namespace and its defaults are settled, and who owns its fields. What comes out is what
/// admission sees and may change; [`finish_create`] takes it from there.
///
/// `namespace` and `name` are those of the request's path; `name` is `None` for a POST on the collection.
pub fn take_new(
    resource: &Resource,
    namespace: Option<&str>,
    name: Option<&str>,
    mut object: Object,
    context: &Context<'_>,
) -> Result<Object, Status> {
    if let Some(name) = name {
        check_name(name, &object)?;
    }
    metadata::settle_namespace(resource, namespace, &mut object)?;
    metadata::strip(&mut object);
    resource.strategy.default(&mut object);
    form::complete(&resource.schema, &mut object);
    if let Some(manager) = context.manager {
        apply::track(resource, None, None, &mut object, manager, context.now);
    }
    Ok(object)
}

/// Prepares an object that was [taken in](take_new) for creation: metadata, strategy, validation.
pub fn finish_create(resource: &Resource, mut object: Object, context: &Context<'_>) -> Result<Prepared, Status> {
    let strategy = &resource.strategy;
    metadata::fill_new(&mut object, context);
    strategy.prepare_create(&mut object, context)?;
    form::complete(&resource.schema, &mut object);
    if strategy.generation_changes(&object, &object).is_some() {
        object.set(&["metadata", "generation"], 1);
    }
    let mut errors = Errors::new();
    metadata::validate(resource, &object, &mut errors);
    strategy.validate(&object, &mut errors);
    refuse_if_any(resource, &object, &errors)?;
    if object.resource_version().is_some_and(|version| version != "0") {
        return Err(Status::unclassified("resourceVersion should not be set on objects to be created"));
    }
    object.remove(&["metadata", "resourceVersion"]);
    let warnings = strategy.warnings(&object, None);
    Ok(Prepared { object, warnings })
}

/// Prepares an update without admission: [`take_change`] and [`finish_update`] in one.
pub fn prepare_update(
    resource: &Resource,
    subresource: Option<&str>,
    old: &Object,
    new: Object,
    context: &Context<'_>,
) -> Result<Updated, Status> {
    finish_update(resource, subresource, old, take_change(resource, subresource, old, new, context)?, context)
}

/// Takes in a change of `old`, which must carry its resource version, to `new` through the object itself or a subresource: names
/// and versions must fit, defaults are settled, and who owns the fields. What comes out is what admission sees and may change;
/// [`finish_update`] takes it from there.
///
/// A stale `metadata.resourceVersion` or a foreign `metadata.uid` in `new` is a conflict; no version means "whatever is there" where
/// the resource allows it.
pub fn take_change(
    resource: &Resource,
    subresource: Option<&str>,
    old: &Object,
    mut new: Object,
    context: &Context<'_>,
) -> Result<Object, Status> {
    let name = old.name().unwrap_or_default();
    check_name(name, &new)?;
    if let Some(namespace) = new.namespace()
        && resource.is_namespaced()
        && Some(namespace) != old.namespace()
    {
        let wanted = old.namespace().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({wanted})"
        )));
    }
    check_versions(resource, old, &new)?;
    if !resource.is_namespaced() {
        new.remove(&["metadata", "namespace"]);
    }
    resource.strategy.default(&mut new);
    form::complete(&resource.schema, &mut new);
    if let Some(manager) = context.manager {
        let mut old = old.clone();
        form::complete(&resource.schema, &mut old);
        apply::track(resource, subresource, Some(&old), &mut new, manager, context.now);
    }
    Ok(new)
}

/// Prepares a change that was [taken in](take_change): metadata, strategy, validation.
pub fn finish_update(
    resource: &Resource,
    subresource: Option<&str>,
    old: &Object,
    mut new: Object,
    context: &Context<'_>,
) -> Result<Updated, Status> {
    let stored = old;
    let mut old = stored.clone();
    // An older release may have stored less.
    form::complete(&resource.schema, &mut old);
    let strategy = &resource.strategy;
    metadata::carry_over(&mut new, &old);
    let replacing = Replacing { old: &old, part: Part::of(subresource) };
    strategy.prepare_update(&mut new, replacing, context)?;
    form::complete(&resource.schema, &mut new);
    if let Some(generation) = old.generation() {
        new.set(&["metadata", "generation"], generation);
    }
    if strategy.generation_changes(&new, &old) == Some(true) {
        new.set(&["metadata", "generation"], old.generation().unwrap_or(0) + 1);
    }
    let mut errors = Errors::new();
    metadata::validate(resource, &new, &mut errors);
    metadata::validate_update(&new, &old, &mut errors);
    strategy.validate_update(&new, replacing, &mut errors);
    refuse_if_any(resource, &new, &errors)?;

    let warnings = strategy.warnings(&new, Some(&old));
    new.remove(&["metadata", "resourceVersion"]);
    let mut before = old;
    before.remove(&["metadata", "resourceVersion"]);
    let deletable = before.deletion_timestamp().is_some()
        && before.integer(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0
        && new.finalizers().next().is_none()
        && !strategy.holds_back(&new);
    Ok(if deletable {
        Updated::Remove(Prepared { object: new, warnings })
    } else if new == before || apply::differ_in_times_only(&new, &before) {
        Updated::Unchanged(Prepared { object: stored.clone(), warnings })
    } else {
        Updated::Store(Prepared { object: new, warnings })
    })
}

/// Decides what a deletion of `object`, which must carry its resource version, comes to.
pub fn decide_delete(
    resource: &Resource,
    object: &Object,
    options: &DeleteOptions,
    context: &Context<'_>,
) -> Result<Deletion, Status> {
    let name = object.name().unwrap_or_default();
    if let Some(uid) = &options.precondition_uid
        && Some(uid.as_str()) != object.uid()
    {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            object.uid().unwrap_or_default()
        );
        return Err(Status::conflict(resource, name, &why));
    }
    if let Some(version) = &options.precondition_resource_version
        && Some(version.as_str()) != object.resource_version()
    {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
            object.resource_version().unwrap_or_default()
        );
        return Err(Status::conflict(resource, name, &why));
    }
    resource.strategy.check_delete(resource, object)?;

    let mut next = object.clone();
    settle_finalizers(&mut next, options);
    let finalizers_left = next.finalizers().next().is_some();
    let grace = match resource.strategy.grace_period(object, options) {
        None => Grace::None,
        Some(seconds) => start_grace(&mut next, object, options, seconds, context),
    };
    let outcome = match grace {
        Grace::Pending => Deletion::Waiting,
        Grace::Started(seconds) if seconds > 0 || finalizers_left => Deletion::Wait(next),
        Grace::None if finalizers_left || resource.strategy.holds_back(&next) => {
            mark_deleting(&mut next, context);
            resource.strategy.mark_terminating(&mut next);
            Deletion::Wait(next)
        }
        Grace::Started(_) | Grace::None => Deletion::Remove,
    };
    Ok(match outcome {
        Deletion::Wait(mut next) => {
            let unchanged = next == *object;
            next.remove(&["metadata", "resourceVersion"]);
            if unchanged { Deletion::Waiting } else { Deletion::Wait(next) }
        }
        Deletion::Remove | Deletion::Waiting => outcome,
    })
}

/// `pods/binding`: the pod as a `Binding` posted to it makes it. Hand the outcome to [`prepare_update`] with that subresource.
///
/// # Errors
///
/// 409 when the pod is bound, going or gated already; 422 when the binding names no node.
pub fn bind_pod(resource: &Resource, pod: &Object, binding: &Object, context: &Context<'_>) -> Result<Object, Status> {
    crate::kinds::pod::bind(resource, pod, binding, context)
}

/// Checks an object that is a question, such as a `SubjectAccessReview`. `namespace` is the path's.
///
/// # Errors
///
/// 422 for a question that makes no sense.
pub fn check_question(resource: &Resource, namespace: Option<&str>, question: &Object) -> Result<(), Status> {
    crate::kinds::check_question(resource, namespace, question)
}

/// The answer to a question about who somebody is.
///
/// # Errors
///
/// 422 for a question that makes no sense.
pub fn answer(resource: &Resource, namespace: Option<&str>, question: Object, user: &User) -> Result<Object, Status> {
    crate::kinds::answer(resource, namespace, question, user)
}

/// The status of a part of the control plane: whether it is well, what it says, and what kept it from saying anything.
pub fn component_status(name: &str, well: bool, message: &str, error: &str) -> Object {
    crate::kinds::component_status(name, well, message, error)
}

fn check_name(wanted: &str, object: &Object) -> Result<(), Status> {
    match object.name() {
        Some(name) if name == wanted => Ok(()),
        Some(name) => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({wanted})"
        ))),
        None => Err(Status::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        ))),
    }
}

fn check_versions(resource: &Resource, old: &Object, new: &Object) -> Result<(), Status> {
    let name = old.name().unwrap_or_default();
    if let (Some(wanted), Some(uid)) = (new.uid(), old.uid())
        && wanted != uid
    {
        let key = resource.key(old.namespace(), name);
        return Err(Status::conflict(
            resource,
            name,
            &format!(
                "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: \
                 UID in precondition: {wanted}, UID in object meta: {uid}"
            ),
        ));
    }
    // Upstream names the resource here where it names the kind elsewhere.
    let invalid = |shown: Value, why: &str| {
        let mut errors = Errors::new();
        errors.invalid(&Path::new("metadata.resourceVersion"), shown, why);
        Status::invalid(&resource.group, &resource.plural, name, &errors)
    };
    match new.resource_version() {
        None | Some("0") if resource.unconditional_update => Ok(()),
        None | Some("0") => Err(invalid(0.into(), "must be specified for an update")),
        Some(version) if Some(version) == old.resource_version() => Ok(()),
        Some(version) if version.parse::<u64>().is_ok() => Err(Status::modified(resource, name)),
        Some(version) => {
            Err(invalid(version.into(), &format!("strconv.ParseUint: parsing {version:?}: invalid syntax")))
        }
    }
}

fn refuse_if_any(resource: &Resource, object: &Object, errors: &Errors) -> Result<(), Status> {
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&resource.group, &resource.kind, object.name().unwrap_or_default(), errors))
}

/// Sets the garbage collector's finalizers to what the options ask for; without a wish they stay.
fn settle_finalizers(object: &mut Object, options: &DeleteOptions) {
    const ORPHAN: &str = "orphan";
    const FOREGROUND: &str = "foregroundDeletion";
    let wanted = match (options.orphan_dependents, options.propagation) {
        (Some(true), _) | (None, Some(Propagation::Orphan)) => Some(ORPHAN),
        (None, Some(Propagation::Foreground)) => Some(FOREGROUND),
        (Some(false), _) | (None, Some(Propagation::Background)) => None,
        (None, None) => return,
    };
    let mut finalizers: Vec<String> =
        object.finalizers().filter(|one| *one != ORPHAN && *one != FOREGROUND).map(str::to_owned).collect();
    finalizers.extend(wanted.map(str::to_owned));
    if object.finalizers().eq(finalizers.iter().map(String::as_str)) {
        return;
    }
    if finalizers.is_empty() {
        object.remove(&["metadata", "finalizers"]);
    } else {
        object.set(&["metadata", "finalizers"], finalizers);
    }
}

/// What graceful deletion has come to.
enum Grace {
    /// The kind has none, or it is over.
    None,
    /// It runs, and this request changes nothing.
    Pending,
    /// It runs with this many seconds, from this request on.
    Started(i64),
}

fn start_grace(
    next: &mut Object,
    object: &Object,
    options: &DeleteOptions,
    seconds: i64,
    context: &Context<'_>,
) -> Grace {
    let Some(deleting) = object.deletion_timestamp().and_then(time::parse) else {
        let end = context.now.as_second().saturating_add(seconds);
        set_deletion(next, end, seconds);
        bump_generation(next);
        return Grace::Started(seconds);
    };
    // Only shorter is possible once it runs.
    match (object.integer(&["metadata", "deletionGracePeriodSeconds"]), options.grace_period_seconds) {
        (None, _) => Grace::None,
        (Some(_), None) => Grace::Pending,
        (Some(running), Some(asked)) => {
            // The strategy has turned "at least one" and the like into `seconds`; what was asked decides whether it is shorter.
            let period = asked.max(0).min(seconds);
            if period >= running {
                return Grace::Pending;
            }
            set_deletion(next, deleting.as_second().saturating_sub(running).saturating_add(period), period);
            Grace::Started(period)
        }
    }
}

fn set_deletion(object: &mut Object, at_second: i64, grace_seconds: i64) {
    let at = jiff::Timestamp::from_second(at_second).unwrap_or(jiff::Timestamp::MAX);
    object.set(&["metadata", "deletionTimestamp"], time::seconds(at));
    object.set(&["metadata", "deletionGracePeriodSeconds"], grace_seconds);
}

/// Starts a deletion that waits for finalizers.
fn mark_deleting(object: &mut Object, context: &Context<'_>) {
    let now = context.now.as_second();
    match object.deletion_timestamp().and_then(time::parse) {
        Some(at) if at.as_second() <= now => {}
        Some(_) => set_deletion(object, now, 0),
        None => {
            set_deletion(object, now, 0);
            bump_generation(object);
        }
    }
    if object.integer(&["metadata", "deletionGracePeriodSeconds"]) != Some(0) {
        object.set(&["metadata", "deletionGracePeriodSeconds"], Value::from(0));
    }
}

fn bump_generation(object: &mut Object) {
    if let Some(generation) = object.generation().filter(|generation| *generation > 0) {
        object.set(&["metadata", "generation"], generation + 1);
    }
}

#[cfg(test)]
pub(crate) mod robustness;
#[cfg(test)]
mod tests;
