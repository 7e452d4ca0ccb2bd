//! Brings an object that is there up to what the table says: what is missing is added, and what others added stays.

use apiserver_core::Object;
use serde_json::Value;

use crate::escalation::missing;
use crate::rule::Rule;

/// An object where this is `false` is left alone.
pub(super) const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";

fn is_left_alone(existing: &Object) -> bool {
    existing.annotations().any(|(key, value)| key == AUTOUPDATE && value == "false")
}

/// Whether an object is a binding of another role: the role of a binding cannot be changed, so it has to go and be made anew.
pub fn is_of_another_role(existing: &Object, wanted: &Object) -> bool {
    existing.at(&["roleRef"]) != wanted.at(&["roleRef"]) && !is_left_alone(existing)
}

/// What an object has to become; `None` if it is as it should be, or is to be left alone.
pub fn reconciled(existing: &Object, wanted: &Object) -> Option<Object> {
    if is_left_alone(existing) {
        return None;
    }
    let mut new = existing.clone();
    for section in ["annotations", "labels"] {
        for (key, value) in wanted.at(&["metadata", section]).and_then(Value::as_object).into_iter().flatten() {
            if existing.at(&["metadata", section, key]).is_none() {
                new.set(&["metadata", section, key], value.clone());
            }
        }
    }
    let [own, expected] = [existing, wanted].map(|role| Rule::read_all(role.list(&["rules"])));
    let lacking = missing(&own, &expected);
    if !lacking.is_empty() {
        let added = lacking.iter().map(Rule::to_value);
        new.set(&["rules"], existing.list(&["rules"]).iter().cloned().chain(added).collect::<Vec<_>>());
    }
    let path = ["aggregationRule", "clusterRoleSelectors"];
    if wanted.at(&["aggregationRule"]).is_none() {
        new.remove(&["aggregationRule"]);
    } else {
        add(&mut new, existing, wanted, &path, PartialEq::eq);
    }
    add(&mut new, existing, wanted, &["subjects"], same_subject);
    (new != *existing).then_some(new)
}

/// Adds to a list what it lacks.
fn add(new: &mut Object, existing: &Object, wanted: &Object, path: &[&str], same: impl Fn(&Value, &Value) -> bool) {
    let there = existing.list(path);
    let lacking = wanted.list(path).iter().filter(|one| !there.iter().any(|other| same(one, other)));
    let all: Vec<Value> = there.iter().chain(lacking).cloned().collect();
    if all.len() > there.len() {
        new.set(path, all);
    }
}

fn same_subject(one: &Value, other: &Value) -> bool {
    ["kind", "name", "namespace"]
        .iter()
        .all(|name| one[*name].as_str().unwrap_or_default() == other[*name].as_str().unwrap_or_default())
}
