//! The `resize` subresource: processor time and memory of containers that run.

use serde_json::{Map, Value};

use super::{list, quality, text, validation};
use crate::field::{Errors, Path};
use crate::object::Object;

/// The containers that have resources of their own.
const LISTS: [&str; 2] = ["containers", "initContainers"];
/// What a resize may ask for.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

fn names<'a>(spec: &'a Value, member: &str) -> Vec<&'a str> {
    list(spec, member).iter().map(|one| text(one, "name")).collect()
}

/// Takes the resources and the policies of resizing of `new` and nothing else of it. Lists whose containers are not those of `old`
/// stay, for [`validate`] to refuse.
pub(super) fn prepare(new: &mut Object, old: &Object) {
    let wanted = new.at(&["spec"]).cloned().unwrap_or_default();
    new.take_over(&["spec"], old);
    for member in LISTS {
        let same = names(&wanted, member) == names(old.at(&["spec"]).unwrap_or(&Value::Null), member);
        let Some(spec) = new.map_mut().get_mut("spec").and_then(Value::as_object_mut) else { return };
        if !same {
            spec.insert(member.to_owned(), list(&wanted, member).to_vec().into());
            continue;
        }
        let Some(containers) = spec.get_mut(member).and_then(Value::as_array_mut) else { continue };
        for (container, wish) in containers.iter_mut().zip(list(&wanted, member)) {
            let Some(container) = container.as_object_mut() else { continue };
            for part in ["resources", "resizePolicy"] {
                match wish.get(part) {
                    Some(value) => container.insert(part.to_owned(), value.clone()),
                    None => container.remove(part),
                };
            }
        }
    }
}

/// Checks what [`prepare`] left.
pub(super) fn validate(new: &Object, old: &Object, errors: &mut Errors) {
    let path = Path::new("spec");
    let null = Value::Null;
    let (after, before) = (new.at(&["spec"]).unwrap_or(&null), old.at(&["spec"]).unwrap_or(&null));
    validation::validate_spec(after, &path, errors);
    if old.annotations().any(|(key, _)| key == super::MIRROR) {
        errors.forbidden(&Path::new(""), "static pods cannot be resized");
    }
    if before.get("os").is_some_and(|os| text(os, "name") == "windows") {
        errors.forbidden(&Path::new(""), "windows pods cannot be resized");
    }
    if !is_supported(old) {
        errors.forbidden(&Path::new(""), "Pod running on node without support for resize");
    }
    let mut same = true;
    for member in LISTS {
        if names(after, member) != names(before, member) {
            same = false;
            errors.forbidden(&path, "containers may not be renamed or reordered on resize");
        }
    }
    if !same {
        return;
    }
    // A stored class is what the pod was made with.
    let class = old.text(&["status", "qosClass"]).unwrap_or_else(|| quality::class(old));
    if class != quality::class(new) {
        errors.invalid(&path, class, "Pod QOS Class may not change as a result of resizing");
    }
    let mut munged = after.clone();
    for member in LISTS {
        for (index, (container, was)) in list(after, member).iter().zip(list(before, member)).enumerate() {
            let path = path.child(member).index(index).child("resources");
            let sidecar = text(was, "restartPolicy") == "Always";
            if member == "initContainers" && !sidecar {
                if resources(container) != resources(was) {
                    errors.forbidden(&path, "resources for non-sidecar init containers are immutable");
                }
                continue;
            }
            for (kind, what) in [("limits", "resource limits"), ("requests", "resource requests")] {
                let there = |one: &Value, name: &str| resources(one).get(kind).and_then(|all| all.get(name)).is_some();
                if RESIZABLE.iter().any(|name| there(was, name) && !there(container, name)) {
                    errors.forbidden(&path.child(kind), &format!("{what} cannot be removed"));
                }
            }
            undo(&mut munged, member, index, was);
        }
    }
    if munged != *before {
        errors.forbidden(&path, "only cpu and memory resources are mutable");
    }
}

fn resources(container: &Value) -> &Value {
    container.get("resources").unwrap_or(&Value::Null)
}

/// Whether the node that runs the pod says what its containers really have.
fn is_supported(pod: &Object) -> bool {
    let mut running = pod
        .list(&["status", "containerStatuses"])
        .iter()
        .filter(|status| status.get("state").and_then(|state| state.get("running")).is_some());
    running.all(|status| status.get("resources").is_some())
}

/// Puts back what a resize may change, so that what is left can be compared.
fn undo(spec: &mut Value, member: &str, index: usize, was: &Value) {
    let Some(container) = spec.get_mut(member).and_then(|all| all.get_mut(index)) else { return };
    let before = resources(was);
    let Some(now) = container.as_object_mut().map(|map| map.entry("resources").or_insert(Value::Object(Map::new())))
    else {
        return;
    };
    for kind in ["limits", "requests"] {
        let Some(owner) = now.as_object_mut() else { return };
        let amounts = owner.entry(kind).or_insert(Value::Object(Map::new()));
        let Some(amounts) = amounts.as_object_mut() else { return };
        for name in RESIZABLE {
            match before.get(kind).and_then(|all| all.get(name)) {
                Some(amount) => amounts.insert(name.to_owned(), amount.clone()),
                None => amounts.remove(name),
            };
        }
        let (none, had) = (amounts.is_empty(), before.get(kind).is_some());
        if none && !had {
            owner.remove(kind);
        }
    }
    if now.as_object().is_some_and(Map::is_empty) && was.get("resources").is_none() {
        container.as_object_mut().and_then(|map| map.remove("resources"));
    }
}
