//! Owners of a set's replicas, as the `scale` subresource shows and changes them.

use super::element::PathElement;
use super::managers::{Managed, Owned};
use super::set::FieldSet;
use crate::object::Object;
use crate::resource::Resource;

/// Version of the body of the subresource.
const SCALE: &str = "autoscaling/v1";

/// The field, the same in a set and in its Scale.
fn replicas() -> [PathElement; 2] {
    [PathElement::field("spec"), PathElement::field("replicas")]
}

/// Gives a Scale the owners of the replicas of its set.
pub(crate) fn to_scale(set: &Object, scale: &mut Object) {
    let mut managed = Managed::of(set).unwrap_or_default();
    managed.0.retain(|_, owned| owned.set.has_path(&replicas()));
    for owned in managed.0.values_mut() {
        owned.set = FieldSet::of_fields(&[&["spec", "replicas"]]);
        SCALE.clone_into(&mut owned.api_version);
    }
    managed.write(scale);
}

/// Gives a set, which has the owners it had, the owners its Scale has now.
pub(crate) fn to_parent(resource: &Resource, scale: &Object, set: &mut Object) {
    let mut scaled = Managed::of(scale).unwrap_or_default();
    let mut managed = Managed::of(set).unwrap_or_default();
    let field = FieldSet::of_fields(&[&["spec", "replicas"]]);
    let owners: Vec<_> =
        managed.0.iter().filter(|(_, owned)| owned.set.has_path(&replicas())).map(|(one, _)| one.clone()).collect();
    for manager in owners {
        // An updater's entry names the version it wrote; in a Scale that is the Scale's.
        let mut there = manager.clone();
        if !there.api_version.is_empty() {
            SCALE.clone_into(&mut there.api_version);
        }
        if scaled.0.remove(&there).is_none() {
            managed.take(&manager, &field);
        }
    }
    for (mut manager, owned) in scaled.0 {
        if !owned.set.has_path(&replicas()) {
            continue;
        }
        let api_version = resource.api_version();
        if !manager.api_version.is_empty() {
            manager.api_version.clone_from(&api_version);
        }
        let set = managed.0.remove(&manager).map(|owned| owned.set).unwrap_or_default().union(field.clone());
        managed.0.insert(manager, Owned { api_version, set, time: owned.time });
    }
    managed.write(set);
}
