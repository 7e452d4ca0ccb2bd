//! Which updates of a pod can change what the checks say.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::pod::{Pod, items, name, text};

/// Whether an update has to be looked at: of what checks read, only images, seccomp annotations and the containers for
/// debugging can change.
pub(crate) fn is_significant(new: &Value, old: &Value) -> bool {
    let (new, old) = (Pod::new(new), Pod::new(old));
    let fixed_differ = ["containers", "initContainers"].into_iter().any(|list| {
        let (new_list, old_list) = (items(new.spec, list), items(old.spec, list));
        new_list.len() != old_list.len()
            || new_list.iter().zip(old_list).any(|(one, other)| differs(new, one, old, other))
    });
    if fixed_differ {
        return true;
    }
    let before: BTreeMap<&str, &Value> =
        items(old.spec, "ephemeralContainers").iter().rev().map(|container| (name(container), container)).collect();
    items(new.spec, "ephemeralContainers")
        .iter()
        .any(|container| before.get(name(container)).is_none_or(|other| differs(new, container, old, other)))
}

fn differs(new_pod: Pod<'_>, new: &Value, old_pod: Pod<'_>, old: &Value) -> bool {
    let annotation = format!("container.seccomp.security.alpha.kubernetes.io/{}", name(new));
    text(new, "image") != text(old, "image")
        || new_pod.annotation(&annotation).unwrap_or_default() != old_pod.annotation(&annotation).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_some_changes_matter() {
        let old = json!({
            "metadata": {"annotations": {"a": "b"}},
            "spec": {
                "initContainers": [{"name": "i", "image": "1"}],
                "containers": [{"name": "c", "image": "1"}],
                "ephemeralContainers": [{"name": "e", "image": "1"}],
            },
        });
        let seccomp = "/metadata/annotations/container.seccomp.security.alpha.kubernetes.io~1c";
        for (path, value, expected) in [
            ("/metadata/annotations/a", json!("c"), false),
            ("/metadata/labels", json!({"x": "y"}), false),
            ("/spec/containers/0/securityContext", json!({"privileged": true}), false),
            ("/spec/hostPID", json!(true), false),
            ("/spec/containers/0/image", json!("2"), true),
            ("/spec/initContainers/0/image", json!("2"), true),
            ("/spec/ephemeralContainers/0/image", json!("2"), true),
            ("/spec/ephemeralContainers/1", json!({"name": "f", "image": "1"}), true),
            ("/spec/ephemeralContainers", json!([]), false),
            ("/spec/containers", json!([]), true),
            ("/spec/initContainers/1", json!({"name": "j"}), true),
            (seccomp, json!("unconfined"), true),
            (seccomp, json!(""), false),
        ] {
            let mut new = old.clone();
            let (parent, last) = path.rsplit_once('/').unwrap();
            match new.pointer_mut(parent).unwrap() {
                Value::Array(list) if last.parse() == Ok(list.len()) => list.push(value),
                Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
                Value::Object(members) => {
                    members.insert(last.replace("~1", "/"), value);
                }
                other => panic!("{path}: {other}"),
            }
            assert_eq!(is_significant(&new, &old), expected, "{path}");
        }
    }
}
