//! Roles and who has them.

use serde_json::{Value, json};

use super::selectors;
use super::tree::{self, at, has, list, member, text};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{NameRule, Replacing, Strategy};
use crate::table;

/// The group of users, groups and roles.
const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether a kind is for one namespace or for the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// `Role`, `RoleBinding`
    Namespace,
    /// `ClusterRole`, `ClusterRoleBinding`
    Cluster,
}

/// The strategy of `Role` and `ClusterRole`.
#[derive(Debug)]
pub(super) struct Role(pub(super) Reach);

impl Strategy for Role {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        for (index, rule) in object.list(&["rules"]).iter().enumerate() {
            self.validate_rule(rule, &Path::new("rules").index(index), errors);
        }
        let aggregation = at(object, &["aggregationRule"]);
        if aggregation.is_null() {
            return;
        }
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        let selectors = list(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            errors.required(&path, "at least one clusterRoleSelector required if aggregationRule is non-nil");
        }
        for (index, selector) in selectors.iter().enumerate() {
            selectors::validate(selector, &path.index(index), errors);
        }
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        table::name_and_creation(object)
    }
}

impl Role {
    fn validate_rule(&self, rule: &Value, path: &Path, errors: &mut Errors) {
        let given = |name: &str| !list(rule, name).is_empty();
        if !given("verbs") {
            errors.required(&path.child("verbs"), "verbs must contain at least one value");
        }
        if given("nonResourceURLs") {
            let (path, urls) = (path.child("nonResourceURLs"), member(rule, "nonResourceURLs"));
            if self.0 == Reach::Namespace {
                errors.invalid(&path, urls.clone(), "namespaced rules cannot apply to non-resource URLs");
            }
            if given("apiGroups") || given("resources") || given("resourceNames") {
                errors.invalid(
                    &path,
                    urls.clone(),
                    "rules cannot apply to both regular resources and non-resource URLs",
                );
            }
            return;
        }
        if !given("apiGroups") {
            errors.required(&path.child("apiGroups"), "resource rules must supply at least one api group");
        }
        if !given("resources") {
            errors.required(&path.child("resources"), "resource rules must supply at least one resource");
        }
    }
}

/// The strategy of `RoleBinding` and `ClusterRoleBinding`.
#[derive(Debug)]
pub(super) struct Binding(pub(super) Reach);

impl Strategy for Binding {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn default(&self, object: &mut Object) {
        if object.text(&["roleRef", "apiGroup"]).is_none() {
            object.set(&["roleRef", "apiGroup"], GROUP);
        }
        for subject in object.map_mut().get_mut("subjects").and_then(Value::as_array_mut).into_iter().flatten() {
            let is_person = matches!(text(subject, "kind"), "User" | "Group");
            if let (true, Some(subject)) = (is_person, subject.as_object_mut()) {
                tree::or_set(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (role, path) = (at(object, &["roleRef"]), Path::new("roleRef"));
        if text(role, "apiGroup") != GROUP {
            errors.not_supported(&path.child("apiGroup"), text(role, "apiGroup"), &[GROUP]);
        }
        let kinds: &[&str] = match self.0 {
            Reach::Namespace => &["Role", "ClusterRole"],
            Reach::Cluster => &["ClusterRole"],
        };
        if !kinds.contains(&text(role, "kind")) {
            errors.not_supported(&path.child("kind"), text(role, "kind"), kinds);
        }
        match text(role, "name") {
            "" => errors.required(&path.child("name"), ""),
            name => tree::all(names::path_segment(name, false), name, &path.child("name"), errors),
        }
        for (index, subject) in object.list(&["subjects"]).iter().enumerate() {
            self.validate_subject(subject, &Path::new("subjects").index(index), errors);
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate(new, errors);
        let (now, before) = (at(new, &["roleRef"]), at(replacing.old, &["roleRef"]));
        if now != before {
            errors.invalid(&Path::new("roleRef"), now.clone(), "cannot change roleRef");
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["roleRef", "subjects"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let role = at(object, &["roleRef"]);
        let subjects = |kind: &str| {
            let named = object.list(&["subjects"]).iter().filter(|one| text(one, "kind") == kind).map(|one| {
                let (namespace, name) = (text(one, "namespace"), text(one, "name"));
                if kind == "ServiceAccount" { format!("{namespace}/{name}") } else { name.to_owned() }
            });
            Value::from(named.collect::<Vec<_>>().join(", "))
        };
        vec![
            object.name().unwrap_or_default().into(),
            format!("{}/{}", text(role, "kind"), text(role, "name")).into(),
            table::age(object.creation_timestamp(), now).into(),
            subjects("User"),
            subjects("Group"),
            subjects("ServiceAccount"),
        ]
    }
}

impl Binding {
    fn validate_subject(&self, subject: &Value, path: &Path, errors: &mut Errors) {
        let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        }
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    tree::all(names::dns_subdomain(name), name, &path.child("name"), errors);
                }
                if !group.is_empty() {
                    errors.not_supported(&path.child("apiGroup"), group, &[""]);
                }
                if self.0 == Reach::Cluster && !has(subject, "namespace") {
                    errors.required(&path.child("namespace"), "");
                }
            }
            "User" | "Group" => {
                if group != GROUP {
                    errors.not_supported(&path.child("apiGroup"), group, &[GROUP]);
                }
            }
            other => errors.not_supported(&path.child("kind"), json!(other), &["ServiceAccount", "User", "Group"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{context, create, create_errors, row, update_errors};

    #[test]
    fn rules_are_for_resources_or_for_paths() {
        assert_eq!(
            create_errors(
                &row(GROUP, "roles"),
                json!({ "rules": [{}, { "verbs": ["get"], "nonResourceURLs": ["/x"], "resources": ["pods"] }] })
            ),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
                "rules[0].resources: Required value: resource rules must supply at least one resource",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs",
                "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and non-resource URLs",
            ]
        );
        let paths =
            json!({ "metadata": { "name": "system:a" }, "rules": [{ "verbs": ["get"], "nonResourceURLs": ["/x"] }] });
        assert!(create_errors(&row(GROUP, "clusterroles"), paths).is_empty());
        assert_eq!(
            create_errors(&row(GROUP, "clusterroles"), json!({ "aggregationRule": {} })),
            [
                "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil"
            ]
        );
    }

    fn binding(role: &str) -> Value {
        json!({
            "roleRef": { "kind": "ClusterRole", "name": role },
            "subjects": [
                { "kind": "User", "name": "ann" }, { "kind": "Group", "name": "ops" },
                { "kind": "ServiceAccount", "name": "a", "namespace": "n" },
            ],
        })
    }

    #[test]
    fn subjects_get_their_group_and_are_shown() {
        let made = create(&row(GROUP, "rolebindings"), binding("view"));
        assert_eq!(made.text(&["roleRef", "apiGroup"]), Some(GROUP));
        assert_eq!(made.list(&["subjects"])[0]["apiGroup"], GROUP);
        assert!(made.list(&["subjects"])[2].get("apiGroup").is_none());
        assert_eq!(
            row(GROUP, "rolebindings").strategy.cells(&made, context().now),
            ["a", "ClusterRole/view", "0s", "ann", "ops", "n/a"]
        );
    }

    #[test]
    fn subjects_and_roles_are_checked() {
        assert_eq!(
            create_errors(
                &row(GROUP, "clusterrolebindings"),
                json!({
                    "roleRef": { "kind": "Role" },
                    "subjects": [{ "kind": "Robot", "name": "r" }, { "kind": "ServiceAccount", "name": "a" }, { "kind": "User" }],
                })
            ),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "roleRef.name: Required value",
                "subjects[0].kind: Unsupported value: \"Robot\": supported values: \"ServiceAccount\", \"User\", \"Group\"",
                "subjects[1].namespace: Required value",
                "subjects[2].name: Required value",
            ]
        );
    }

    #[test]
    fn a_binding_keeps_its_role() {
        assert_eq!(
            update_errors(&row(GROUP, "rolebindings"), None, binding("view"), binding("edit")),
            [
                "roleRef: Invalid value: {\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"edit\"}: cannot change roleRef"
            ]
        );
    }
}
