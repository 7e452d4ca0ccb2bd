//! API services: which server answers for a group and version.

use serde_json::{Value, json};

use super::tree::{self, at, flag, list, member, number, text};
use crate::engine::Context;
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::registry::Registry;
use crate::status::Status;
use crate::strategy::{NameRule, Part, Replacing, Shape, Strategy};
use crate::{table, time};

const GROUP: &str = "apiregistration.k8s.io";
const PORT: i64 = 443;
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
/// The server keeps these rows in step with what it serves when it starts.
const AUTOMANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Where groups stand among each other, and versions within them: upstream's, so that clients prefer the same.
const PRIORITIES: [(&str, &str, i64, i64); 22] = [
    ("", "v1", 18000, 1),
    ("apps", "v1", 17800, 15),
    ("events.k8s.io", "v1", 17750, 15),
    ("authentication.k8s.io", "v1", 17700, 15),
    ("authorization.k8s.io", "v1", 17600, 15),
    ("autoscaling", "v1", 17500, 15),
    ("autoscaling", "v2", 17500, 30),
    ("batch", "v1", 17400, 15),
    ("certificates.k8s.io", "v1", 17300, 15),
    ("networking.k8s.io", "v1", 17200, 15),
    ("policy", "v1", 17100, 15),
    ("rbac.authorization.k8s.io", "v1", 17000, 15),
    ("storage.k8s.io", "v1", 16800, 15),
    ("apiextensions.k8s.io", "v1", 16700, 15),
    ("admissionregistration.k8s.io", "v1", 16700, 15),
    ("scheduling.k8s.io", "v1", 16600, 15),
    ("coordination.k8s.io", "v1", 16500, 15),
    ("node.k8s.io", "v1", 16300, 15),
    ("discovery.k8s.io", "v1", 16200, 15),
    ("flowcontrol.apiserver.k8s.io", "v1", 16100, 21),
    ("resource.k8s.io", "v1", 15900, 20),
    ("storagemigration.k8s.io", "v1", 15800, 15),
];

/// The strategy.
#[derive(Debug)]
pub(super) struct ApiService;

/// The rows of what this server answers itself: all groups and versions but that of the rows themselves.
pub fn local(registry: &Registry) -> Vec<Value> {
    let groups = registry.groups().into_iter().filter(|(group, _)| group != GROUP);
    groups
        .flat_map(|(group, versions)| versions.into_iter().map(move |version| (group.clone(), version)))
        .map(|(group, version)| {
            let known = PRIORITIES.iter().find(|(one, other, _, _)| *one == group && *other == version);
            let (group_priority, version_priority) = known.map_or((1000, 15), |(_, _, group, version)| (*group, *version));
            let mut spec = json!({
                "version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority,
            });
            if !group.is_empty() {
                spec["group"] = group.as_str().into();
            }
            json!({
                "metadata": { "name": format!("{version}.{group}"), "labels": { (AUTOMANAGED): "onstart" } }, "spec": spec,
            })
        })
        .collect()
}

/// Whether a row was made by a server such as this one, for what it answered itself, and nothing of that is served any more.
pub fn is_stale(registry: &Registry, row: &Object) -> bool {
    let served = || local(registry).iter().any(|one| one["metadata"]["name"].as_str() == row.name());
    row.label(AUTOMANAGED) == Some("onstart") && !served()
}

impl Strategy for ApiService {
    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn default(&self, object: &mut Object) {
        if object.at(&["spec", "service"]).is_some_and(Value::is_object)
            && object.at(&["spec", "service", "port"]).is_none_or(Value::is_null)
        {
            object.set(&["spec", "service", "port"], PORT);
        }
    }

    fn prepare_create(&self, object: &mut Object, context: &Context<'_>) -> Result<(), Status> {
        object.set(&["status"], json!({}));
        if is_local(object) {
            let condition = json!({
                "type": "Available", "status": "True", "lastTransitionTime": time::seconds(context.now), "reason": "Local",
                "message": "Local APIServices are always available",
            });
            object.set(&["status", "conditions"], vec![condition]);
        }
        Ok(())
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let (group, version) = (text(spec, "group"), text(spec, "version"));
        let (name, wanted) = (object.name().unwrap_or_default(), format!("{version}.{group}"));
        if name != wanted {
            let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
            errors.invalid(&Path::new("metadata.name"), name, &why);
        }
        if group.is_empty() && version != "v1" {
            errors.required(&path.child("group"), "only v1 may have an empty group and it better be legacy kube");
        }
        if !group.is_empty() {
            tree::all(names::dns_subdomain(group), group, &path.child("group"), errors);
        }
        tree::all(names::dns_1035_label(version), version, &path.child("version"), errors);
        for (name, most) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
            let value = number(spec, name);
            if !(1..=most).contains(&value) {
                errors.invalid(&path.child(name), value, &format!("must be positive and less than {most}"));
            }
        }
        validate_service(spec, &path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part != Part::Status {
            return self.validate(new, errors);
        }
        let path = Path::new("status.conditions");
        for (index, condition) in list(at(new, &["status"]), "conditions").iter().enumerate() {
            let status = text(condition, "status");
            if !STATUSES.contains(&status) {
                errors.not_supported(&path.index(index).child("status"), status, &STATUSES);
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.service", "status.conditions.type", "status.conditions.status", "status.conditions.reason"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let service = at(object, &["spec", "service"]);
        let shown = if is_local(object) {
            "Local".to_owned()
        } else {
            format!("{}/{}", text(service, "namespace"), text(service, "name"))
        };
        let available = object.list(&["status", "conditions"]).iter().find(|one| text(one, "type") == "Available");
        let available = available.map_or_else(
            || "Unknown".to_owned(),
            |one| match (text(one, "status"), text(one, "reason")) {
                (status, reason) if status != "True" && !reason.is_empty() => format!("{status} ({reason})"),
                (status, _) => status.to_owned(),
            },
        );
        vec![
            object.name().unwrap_or_default().into(),
            shown.into(),
            available.into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn is_local(object: &Object) -> bool {
    !object.at(&["spec", "service"]).is_some_and(Value::is_object)
}

fn validate_service(spec: &Value, path: &Path, errors: &mut Errors) {
    let (service, bundle) = (member(spec, "service"), text(spec, "caBundle"));
    let insecure = flag(spec, "insecureSkipTLSVerify");
    if service.is_null() {
        if !bundle.is_empty() {
            let shown = format!("{} bytes", bundle.trim_end_matches('=').len() * 3 / 4);
            errors.invalid(&path.child("caBundle"), shown, "local APIServices may not have a caBundle");
        }
        if insecure {
            let why = "local APIServices may not have insecureSkipTLSVerify";
            errors.invalid(&path.child("insecureSkipTLSVerify"), true, why);
        }
        return;
    }
    let at = path.child("service");
    for name in ["namespace", "name"] {
        if text(service, name).is_empty() {
            errors.required(&at.child(name), "");
        }
    }
    let port = number(service, "port");
    if let Some(message) = names::port_number(port) {
        errors.invalid(&at.child("port"), port, &format!("port is not valid: {message}"));
    }
    if insecure && !bundle.is_empty() {
        errors.invalid(&path.child("insecureSkipTLSVerify"), true, "may not be true if caBundle is present");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{self, context, create, create_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row(GROUP, "apiservices")
    }

    #[test]
    fn every_group_and_version_served_has_a_valid_row() {
        let rows = local(&Registry::built_in());
        assert!(rows.len() >= 21, "{}", rows.len());
        for body in rows {
            let made = create(&row(), body);
            assert!(
                PRIORITIES
                    .iter()
                    .any(|(_, _, priority, _)| made.integer(&["spec", "groupPriorityMinimum"]) == Some(*priority)),
                "{made:?} has no priority of its own"
            );
            let cells = row().strategy.cells(&made, context().now);
            assert_eq!(cells[1..], [json!("Local"), json!("True"), json!("0s")]);
        }
    }

    #[test]
    fn a_row_for_somebody_else_is_checked() {
        let made = create(
            &row(),
            json!({
                "metadata": { "name": "v1.metrics.test" },
                "spec": {
                    "group": "metrics.test", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
                    "service": { "namespace": "kube-system", "name": "metrics" },
                },
            }),
        );
        assert_eq!(made.integer(&["spec", "service", "port"]), Some(443));
        assert_eq!(row().strategy.cells(&made, context().now)[1..3], [json!("kube-system/metrics"), json!("Unknown")]);
        assert_eq!(
            create_errors(
                &row(),
                json!({ "metadata": { "name": "a" }, "spec": { "version": "v2", "insecureSkipTLSVerify": true } })
            ),
            [
                "metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v2.\"",
                "spec.group: Required value: only v1 may have an empty group and it better be legacy kube",
                "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000",
                "spec.versionPriority: Invalid value: 0: must be positive and less than 1000",
                "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify",
            ]
        );
    }
}
