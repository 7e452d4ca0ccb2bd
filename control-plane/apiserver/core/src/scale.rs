//! The `scale` subresource: how many pods a set has, in a form that is the same for every kind of set.

use serde_json::{Value, json};

use crate::apply;
use crate::engine::{Context, Updated, prepare_update};
use crate::field::{Errors, Path};
use crate::kinds;
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;

/// Kind of the body of that subresource.
pub const KIND: &str = "Scale";

/// The Scale of a set: its replicas, and its selector as text.
pub fn of(set: &Object) -> Object {
    let mut scale = Object::new("autoscaling/v1", KIND);
    for member in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        scale.take_over(&["metadata", member], set);
    }
    scale.set(&["spec"], json!({}));
    scale.take_over(&["spec", "replicas"], set);
    let selector = set.at(&["spec", "selector"]).cloned().unwrap_or_default();
    // Replication controllers have labels where all others have a selector.
    let plain = selector.as_object().is_some_and(|map| map.values().all(Value::is_string) && !map.is_empty());
    let selector = if plain { json!({ "matchLabels": selector }) } else { selector };
    scale.set(&["status", "replicas"], set.integer(&["status", "replicas"]).unwrap_or(0));
    let selector = kinds::selector_query(&selector);
    if !selector.is_empty() {
        scale.set(&["status", "selector"], selector);
    }
    scale
}

/// The same with the owners of its fields, which clients are not shown.
pub fn owned(set: &Object) -> Object {
    let mut scale = of(set);
    apply::to_scale(set, &mut scale);
    scale
}

/// Takes in a Scale by which the set `old` is to be changed: who owns its fields is settled.
pub fn take(resource: &Resource, old: &Object, mut scale: Object, context: &Context<'_>) -> Object {
    if let Some(manager) = context.manager {
        apply::track(resource, Some("scale"), Some(&owned(old)), &mut scale, manager, context.now);
    }
    scale
}

/// Prepares an update of the set `old` by a Scale that was [taken in](take). The Scale's version, uid and owners count as the set's
/// own.
///
/// # Errors
///
/// 422 for fewer than no replicas, and as [`prepare_update`].
pub fn finish(resource: &Resource, old: &Object, scale: &Object, context: &Context<'_>) -> Result<Updated, Status> {
    let new = scaled(resource, old, scale)?;
    prepare_update(resource, Some("scale"), old, new, &Context { manager: None, ..*context })
}

/// The set `old` with the replicas a client asks for, and with their owners.
fn scaled(resource: &Resource, old: &Object, scale: &Object) -> Result<Object, Status> {
    let replicas = scale.integer(&["spec", "replicas"]).unwrap_or(0);
    if replicas < 0 {
        let mut errors = Errors::new();
        errors.invalid(&Path::new("spec.replicas"), replicas, "must be greater than or equal to 0");
        let group = resource.subresource("scale").map_or("", |sub| sub.group.as_str());
        return Err(Status::invalid(group, KIND, scale.name().unwrap_or_default(), &errors));
    }
    let mut new = old.clone();
    new.set(&["spec", "replicas"], replicas);
    apply::to_parent(resource, scale, &mut new);
    for member in ["resourceVersion", "uid"] {
        match scale.text(&["metadata", member]) {
            Some(text) => new.set(&["metadata", member], text),
            None => {
                new.remove(&["metadata", member]);
            }
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{context, create, row, stored};

    fn prepare(resource: &Resource, old: &Object, scale: Object) -> Result<Updated, Status> {
        finish(resource, old, &take(resource, old, scale, &context()), &context())
    }

    fn deployment() -> Object {
        let mut made = create(
            &row("apps", "deployments"),
            json!({ "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "web" } }, "template": {
                "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
            } } }),
        );
        made.set(&["status", "replicas"], 2);
        stored(made)
    }

    #[test]
    fn a_scale_shows_what_matters() {
        let scale = of(&deployment());
        assert_eq!(
            scale.into_value(),
            json!({
                "apiVersion": "autoscaling/v1", "kind": "Scale",
                "metadata": {
                    "name": "a", "namespace": "default", "uid": context().uid, "resourceVersion": "5",
                    "creationTimestamp": "2026-08-01T10:00:00Z",
                },
                "spec": { "replicas": 3 }, "status": { "replicas": 2, "selector": "app=web" },
            })
        );
        let controller = create(
            &row("", "replicationcontrollers"),
            json!({ "spec": { "template": {
                "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
            } } }),
        );
        assert_eq!(of(&controller).text(&["status", "selector"]), Some("a=b"));
    }

    #[test]
    fn a_new_scale_changes_the_replicas_and_nothing_else() {
        let (row, old) = (row("apps", "deployments"), deployment());
        let mut scale = of(&old);
        scale.set(&["spec", "replicas"], 7);
        let Ok(Updated::Store(prepared)) = prepare(&row, &old, scale.clone()) else { panic!("a valid change") };
        assert_eq!(prepared.object.integer(&["spec", "replicas"]), Some(7));
        assert_eq!(prepared.object.generation(), Some(2));
        assert_eq!(prepared.object.integer(&["status", "replicas"]), Some(2));
        scale.set(&["metadata", "resourceVersion"], "4");
        let stale = prepare(&row, &old, scale.clone());
        assert_eq!(stale.map_err(|status| status.code).err(), Some(409));
        scale.set(&["spec", "replicas"], -1);
        let refused = prepare(&row, &old, scale).map_err(|status| status.message);
        assert_eq!(
            refused,
            Err("Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
                .to_owned())
        );
    }
}
