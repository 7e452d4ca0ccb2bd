//! Field ownership and server-side apply: who wrote which field of an object, and merging what somebody declares into what others did.
//!
//! Each manager owns a set of fields ([`FieldSet`]), kept in `metadata.managedFields`. A write takes over the fields it changes
//! ([`track`]). An apply says all that its manager wants ([`apply`]): fields it names become the manager's, fields it no longer names
//! go unless somebody else owns them, and a field that another manager owns with another value is a conflict.
//!
//! What a field is follows from the schemas: lists have their own rules here (`x-kubernetes-list-type`), which are not those of
//! strategic merges, and some structs are one value (`x-kubernetes-map-type`).

mod collect;
mod compare;
mod configuration;
mod conflict;
mod element;
mod last_applied;
mod managers;
mod merge;
mod scale;
mod set;
mod shape;
mod target;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

pub use configuration::Configuration;
pub use element::{PathElement, Scalar};
pub(crate) use managers::differ_in_times_only;
pub(crate) use scale::{to_parent, to_scale};
pub use set::FieldSet;

use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::time;
use conflict::Conflict;
use managers::{Managed, Manager, Operation, Owned, is_reset};
use target::{Comparison, Target};

/// Media type of configurations.
pub const MEDIA_TYPE: &str = "application/apply-patch+yaml";

/// Who owns what an object had before anybody applied to it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that nobody owns: what names the object, and what the server writes.
static NEVER_OWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// Notes in `new` that `manager` wrote what is not as in `old` (`None`: the object is new). Both carry their defaults.
///
/// `metadata.managedFields` of `new` is what the client says about owners: it counts if it can be read, except through a
/// subresource. An object that lost its owners stays without until somebody applies to it.
pub(crate) fn track(
    resource: &Resource,
    subresource: Option<&str>,
    old: Option<&Object>,
    new: &mut Object,
    manager: &str,
    now: jiff::Timestamp,
) {
    let target = Target::of(resource, subresource);
    let mut managed = owners(old, new, subresource.is_some());
    new.remove(&["metadata", "managedFields"]);
    let exists = old.is_some_and(|old| old.uid().is_some());
    if managed.0.is_empty() && exists {
        return;
    }
    let manager = Manager::new(manager, Operation::Update, &target.api_version, subresource);
    took(&target, old.unwrap_or(&Object::default()), new, &mut managed, &manager, now);
    managed.write(new);
}

/// The owners a write begins with.
fn owners(old: Option<&Object>, new: &Object, through_subresource: bool) -> Managed {
    let before = || old.and_then(|old| Managed::of(old).ok()).unwrap_or_default();
    if through_subresource {
        return before();
    }
    if is_reset(new) {
        return Managed::default();
    }
    Managed::of(new).ok().filter(|managed| !managed.0.is_empty()).unwrap_or_else(before)
}

/// Moves what changed from `before` to `after` to the manager that changed it.
fn took(
    target: &Target<'_>,
    before: &Object,
    after: &Object,
    managed: &mut Managed,
    manager: &Manager,
    now: jiff::Timestamp,
) {
    let mut comparison = Comparison::new(target, before, after);
    let managers: Vec<Manager> = managed.0.keys().cloned().collect();
    for other in managers {
        let version = managed.0[&other].api_version.clone();
        match comparison.at(&version) {
            Some(changes) => {
                managed.take(&other, &changes.taken);
                managed.take(&other, &changes.removed);
            }
            None => {
                managed.0.remove(&other);
            }
        }
    }
    let set = comparison.own().taken.difference(&NEVER_OWNED);
    if !set.is_empty() {
        let before = managed.0.remove(manager).map(|owned| owned.set).unwrap_or_default();
        let owned =
            Owned { api_version: target.api_version.clone(), set: before.union(set), time: Some(time::seconds(now)) };
        managed.0.insert(manager.clone(), owned);
    }
    managed.join_oldest();
}

/// Merges a configuration into an object (`None`: there is none yet). The outcome carries its owners; it has still to be decoded,
/// prepared and checked like any body.
///
/// # Errors
///
/// 400 for another kind or version or for a configuration that names owners, 409 for conflicts (never with `force`), 500 as upstream
/// for one that does not fit its schema.
pub fn apply(
    resource: &Resource,
    subresource: Option<&str>,
    live: Option<&Object>,
    configuration: &Configuration,
    manager: &str,
    force: bool,
    now: jiff::Timestamp,
) -> Result<Value, Status> {
    let target = Target::of(resource, subresource);
    let wanted = configuration.object();
    configuration.check_kind(&target.api_version, target.kind)?;
    let none = Object::default();
    let live = live.unwrap_or(&none);
    let mut managed =
        Managed::of(live).map_err(|why| Status::unclassified(format!("failed to decode managed fields: {why}")))?;
    let mut plain = live.clone();
    plain.remove(&["metadata", "managedFields"]);
    if managed.0.is_empty() {
        let first = Manager::new(BEFORE_FIRST_APPLY, Operation::Update, &target.api_version, subresource);
        took(&target, &none, &plain, &mut managed, &first, now);
    }
    if wanted.at(&["metadata", "managedFields"]).is_some() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let (plain, config) = (plain.into_value(), wanted.clone().into_value());
    let faults = collect::check(&config, target.shape);
    if !faults.is_empty() {
        return Err(Status::unclassified(format!(
            "failed to create typed patch object ({}): {faults}",
            configuration.described()
        )));
    }
    let manager = Manager::new(manager, Operation::Apply, &target.api_version, subresource);
    let merged = last_applied::allowing(&target, live, &manager, |allowed| {
        let mut managed = managed.clone();
        let merged = lay_over(&target, &plain, &config, &mut managed, &manager, force, allowed)?;
        Ok((merged, managed))
    });
    let (merged, mut after) = merged.map_err(|conflicts| conflict::status(&conflicts))?;
    if (merged != plain || !after.owns_same(&managed))
        && let Some(owned) = after.0.get_mut(&manager)
    {
        owned.time = Some(time::seconds(now));
    }
    let mut object = Object::from_value(merged).unwrap_or_default();
    after.write(&mut object);
    last_applied::renew(&mut object, wanted, &manager);
    Ok(object.into_value())
}

/// Lays a configuration over an object and says who owns what then. Conflicts about fields that are `allowed` are none.
fn lay_over(
    target: &Target<'_>,
    live: &Value,
    config: &Value,
    managed: &mut Managed,
    manager: &Manager,
    force: bool,
    allowed: Option<&FieldSet>,
) -> Result<Value, Vec<Conflict>> {
    let merged = merge::merge(live, config, target.shape);
    let set = target.reachable(collect::fields(config, target.shape));
    let last = managed.0.remove(manager);
    let time = last.as_ref().and_then(|last| last.time.clone());
    managed.0.insert(manager.clone(), Owned { api_version: target.api_version.clone(), set, time });
    let merged = match last {
        Some(last) => prune(target, merged, managed, &last),
        None => merged,
    };
    let (before, after) = (object_of(live), object_of(&merged));
    let mut comparison = Comparison::new(target, &before, &after);
    let others: Vec<Manager> = managed.0.keys().filter(|one| *one != manager).cloned().collect();
    let mut conflicts = Vec::new();
    for other in &others {
        let owned = &managed.0[other];
        if let Some(changes) = comparison.at(&owned.api_version) {
            let contested = owned.set.intersection(&changes.taken);
            contested.for_each(&mut |path| conflicts.push(Conflict::new(other, path)));
        }
    }
    if let Some(allowed) = allowed {
        // All or nothing: with a conflict left, the rest of them is what is told.
        conflicts.retain(|conflict| !allowed.has_path(&conflict.path));
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for other in &others {
        let version = managed.0[other].api_version.clone();
        match comparison.at(&version) {
            Some(changes) => {
                managed.take(other, &changes.taken);
                managed.take(other, &changes.removed);
            }
            None => {
                managed.0.remove(other);
            }
        }
    }
    managed.take(manager, &NEVER_OWNED);
    Ok(merged)
}

fn object_of(value: &Value) -> Object {
    Object::from_value(value.clone()).unwrap_or_default()
}

/// Takes out what the manager applied last time, does not apply now, and nobody else owns.
fn prune(target: &Target<'_>, merged: Value, managed: &Managed, last: &Owned) -> Value {
    if last.set.is_empty() {
        return merged;
    }
    let without = |value: &Value, shape| merge::remove(value, &merge::with_named_fields(&last.set, shape), shape);
    let Some(mut pruned) = target.edit_in_version(&last.api_version, &merged, without) else { return merged };
    // What others own, or the manager still does, comes back.
    let mut by_version: BTreeMap<&str, FieldSet> = BTreeMap::new();
    for owned in managed.0.values() {
        let set = by_version.entry(&owned.api_version).or_default();
        *set = std::mem::take(set).union(owned.set.clone());
    }
    for (version, owned) in by_version {
        let kept = target.in_version(version, &pruned, |pruned, shape| {
            merge::with_named_fields(&collect::fields(pruned, shape), shape)
                .union(merge::with_named_fields(&owned, shape))
        });
        let Some(kept) = kept else { continue };
        let back = target.edit_in_version(version, &merged, |merged, shape| {
            let all = merge::with_named_fields(&collect::fields(merged, shape), shape);
            merge::remove(merged, &all.difference(&kept), shape)
        });
        pruned = back.unwrap_or(pruned);
    }
    // Only what was the manager's goes.
    let left = target.in_version(&last.api_version, &pruned, |pruned, shape| {
        merge::with_named_fields(&collect::fields(pruned, shape), shape)
    });
    let Some(left) = left else { return merged };
    let outcome = target.edit_in_version(&last.api_version, &merged, |merged, shape| {
        let all = merge::with_named_fields(&collect::fields(merged, shape), shape);
        let gone = all.difference(&left).intersection(&merge::with_named_fields(&last.set, shape));
        merge::remove(merged, &gone, shape)
    });
    outcome.unwrap_or(merged)
}

#[cfg(test)]
mod tests;
