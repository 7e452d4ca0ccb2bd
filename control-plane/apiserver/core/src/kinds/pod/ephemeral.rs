//! The `ephemeralcontainers` subresource: containers for debugging, which are added to a pod that runs and never taken away.

use serde_json::Value;

use super::{list, text, validation};
use crate::field::{Errors, Path};
use crate::object::Object;

/// What a container that joins a running pod cannot have.
const REFUSED: [&str; 4] = ["lifecycle", "ports", "resources", "resizePolicy"];

/// Takes the ephemeral containers of `new` and nothing else of it.
pub(super) fn prepare(new: &mut Object, old: &Object) {
    let wanted = new.at(&["spec", "ephemeralContainers"]).cloned();
    new.take_over(&["spec"], old);
    match wanted {
        Some(containers) => new.set(&["spec", "ephemeralContainers"], containers),
        None => {
            new.remove(&["spec", "ephemeralContainers"]);
        }
    }
}

/// Checks what [`prepare`] left.
pub(super) fn validate(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let null = Value::Null;
    let (after, before) = (new.at(&["spec"]).unwrap_or(&null), old.at(&["spec"]).unwrap_or(&null));
    validation::validate_spec(after, &path, errors);
    let path = path.child("ephemeralContainers");
    if old.annotations().any(|(key, _)| key == super::MIRROR) {
        errors.forbidden(&Path::new(""), "static pods do not support ephemeral containers");
    }
    for (index, container) in list(after, "ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        for member in REFUSED {
            if container.get(member).is_some_and(|value| !is_empty(value)) {
                errors.forbidden(&path.child(member), "cannot be set for an Ephemeral Container");
            }
        }
        for (at, mount) in list(container, "volumeMounts").iter().enumerate() {
            for member in ["subPath", "subPathExpr"] {
                if !text(mount, member).is_empty() {
                    let path = path.child("volumeMounts").index(at).child(member);
                    errors.forbidden(&path, "cannot be set for an Ephemeral Container");
                }
            }
        }
        let target = text(container, "targetContainerName");
        let known = |member: &str| list(after, member).iter().any(|one| text(one, "name") == target);
        if !target.is_empty() && !known("containers") && !known("initContainers") {
            errors.not_found(&path.child("targetContainerName"), target);
        }
    }
    for container in list(before, "ephemeralContainers") {
        let name = text(container, "name");
        match list(after, "ephemeralContainers").iter().find(|one| text(one, "name") == name) {
            None => errors.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be removed\n")),
            Some(again) if again != container => {
                errors.forbidden(&path, &format!("existing ephemeral containers {name:?} may not be changed\n"));
            }
            Some(_) => {}
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
