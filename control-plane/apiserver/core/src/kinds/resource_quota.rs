//! Resource quotas: how much a namespace may use.

use std::collections::BTreeSet;

use serde_json::Value;

use super::amounts;
use super::tree::{self, at, entries, list, member, text, texts};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// What can be limited besides counts of objects (`count/…`), huge pages and resources of domains.
const STANDARD: [&str; 19] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes no object can be in at once.
const CONFLICTS: [(&str, &str); 2] = [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")];

/// The strategy.
#[derive(Debug)]
pub(super) struct ResourceQuota;

impl Strategy for ResourceQuota {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_amounts(spec, "hard", &path, errors);
        let scopes: BTreeSet<&str> = texts(spec, "scopes").collect();
        validate_scopes(spec, &scopes, member(spec, "scopes"), &path.child("scopes"), errors);
        let selector = path.child("scopeSelector").child("matchExpressions");
        let rules = list(member(spec, "scopeSelector"), "matchExpressions");
        for (index, rule) in rules.iter().enumerate() {
            validate_rule(rule, &selector.index(index), errors);
        }
        let scopes: BTreeSet<&str> = rules.iter().map(|rule| text(rule, "scopeName")).collect();
        validate_scopes(spec, &scopes, member(spec, "scopeSelector"), &path.child("scopeSelector"), errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            for name in ["hard", "used"] {
                validate_amounts(at(new, &["status"]), name, &Path::new("status"), errors);
            }
            return;
        }
        self.validate(new, errors);
        let scopes = |object: &Object| {
            let mut scopes: Vec<String> = texts(at(object, &["spec"]), "scopes").map(str::to_owned).collect();
            scopes.sort();
            scopes
        };
        if scopes(new) != scopes(replacing.old) {
            errors.invalid(
                &Path::new("spec.scopes"),
                member(at(new, &["spec"]), "scopes").clone(),
                "field is immutable",
            );
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["status.hard", "status.used"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let status = at(object, &["status"]);
        let used = member(status, "used");
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, hard) in entries(status, "hard") {
            let used = used.get(name).map_or_else(|| "0".to_owned(), amounts::show);
            let text = format!("{name}: {used}/{}", amounts::show(hard));
            if name.starts_with("limits") { limits.push(text) } else { requests.push(text) }
        }
        vec![
            object.name().unwrap_or_default().into(),
            requests.join(", ").into(),
            limits.join(", ").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate_amounts(owner: &Value, name: &str, path: &Path, errors: &mut Errors) {
    for (resource, amount) in entries(owner, name) {
        let path = path.child(name).key(resource);
        tree::all(names::qualified_name(resource), resource, &path, errors);
        let huge = ["hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
        if !resource.contains('/') && !huge && !STANDARD.contains(&resource) {
            errors.invalid(&path, resource, "must be a standard resource for quotas");
        }
        amounts::validate(resource, amount, &path, errors);
    }
}

fn validate_scopes(spec: &Value, scopes: &BTreeSet<&str>, shown: &Value, path: &Path, errors: &mut Errors) {
    for scope in scopes {
        if !SCOPES.contains(scope) {
            errors.invalid(path, shown.clone(), "unsupported scope");
        }
        for (resource, _) in entries(spec, "hard") {
            if !applies(scope, resource) {
                errors.invalid(path, shown.clone(), "unsupported scope applied to resource");
            }
        }
    }
    for (one, other) in CONFLICTS {
        if scopes.contains(one) && scopes.contains(other) {
            errors.invalid(path, shown.clone(), "conflicting scopes");
        }
    }
}

/// Whether uses of a resource can be told apart by a scope. Only what pods use can, and only what the scope leaves them.
fn applies(scope: &str, resource: &str) -> bool {
    const OF_PODS: [&str; 9] = [
        "pods",
        "cpu",
        "memory",
        "ephemeral-storage",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
        "requests.ephemeral-storage",
    ];
    match scope {
        "BestEffort" => resource == "pods",
        "Terminating" | "NotTerminating" | "NotBestEffort" | "PriorityClass" => {
            OF_PODS.contains(&resource)
                || resource.contains('/')
                || !STANDARD.contains(&resource)
                || resource == "limits.ephemeral-storage"
        }
        "VolumeAttributesClass" => {
            ["persistentvolumeclaims", "requests.storage", "count/persistentvolumeclaims"].contains(&resource)
        }
        _ => true,
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Errors) {
    let (scope, values) = (text(rule, "scopeName"), list(rule, "values"));
    if !SCOPES.contains(&scope) {
        errors.not_supported(&path.child("scopeName"), scope, &SCOPES);
    }
    let by_value = ["PriorityClass", "VolumeAttributesClass"].contains(&scope);
    if !by_value && text(rule, "operator") != "Exists" {
        errors.invalid(
            &path.child("operator"),
            text(rule, "operator"),
            "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        );
    }
    match text(rule, "operator") {
        "In" | "NotIn" if values.is_empty() => errors.required(
            &path.child("values"),
            "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
        ),
        "Exists" | "DoesNotExist" if !values.is_empty() => errors.invalid(
            &path.child("values"),
            Value::Array(values.to_vec()),
            "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
        ),
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::engine::Updated;
    use crate::kinds::testing::{context, create_errors, row, try_update, update_errors};

    #[test]
    fn resources_and_amounts_are_checked() {
        assert_eq!(
            create_errors(
                &row("", "resourcequotas"),
                json!({ "spec": { "hard": { "pods": "1500m", "cpu": "-1", "apples": "1", "count/jobs.batch": "3" } } })
            ),
            [
                "spec.hard[apples]: Invalid value: \"apples\": must be a standard resource for quotas",
                "spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
            ]
        );
        assert_eq!(
            create_errors(
                &row("", "resourcequotas"),
                json!({ "spec": { "scopes": ["BestEffort", "NotBestEffort", "X"] } })
            ),
            [
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"X\"]: unsupported scope",
                "spec.scopes: Invalid value: [\"BestEffort\",\"NotBestEffort\",\"X\"]: conflicting scopes",
            ]
        );
    }

    #[test]
    fn use_is_written_through_status_and_shown() {
        let spec = json!({ "hard": { "pods": "10", "limits.cpu": "4" } });
        let new = json!({ "spec": {}, "status": { "hard": spec["hard"], "used": { "pods": "3" } } });
        let Ok(Updated::Store(prepared)) =
            try_update(&row("", "resourcequotas"), Some("status"), json!({ "spec": spec }), new)
        else {
            panic!("a valid change")
        };
        assert_eq!(prepared.object.at(&["spec"]), Some(&spec));
        assert_eq!(
            row("", "resourcequotas").strategy.cells(&prepared.object, context().now),
            ["a", "pods: 3/10", "limits.cpu: 0/4", "0s"]
        );
        assert_eq!(
            update_errors(
                &row("", "resourcequotas"),
                None,
                json!({ "spec": { "scopes": ["Terminating"] } }),
                json!({})
            ),
            ["spec.scopes: Invalid value: null: field is immutable"]
        );
    }
}
