//! The built-in kinds: rows from the table in `api/kinds`, and one file for each kind with rules of its own.

mod admission;
mod amounts;
pub mod api_service;
mod apps;
mod autoscaler;
mod batch;
mod certificates;
mod component_status;
pub mod config_map;
mod custom_resource_definition;
mod device;
mod disruption_budget;
mod endpoint_slice;
pub mod endpoints;
pub mod event;
pub mod flow_control;
pub mod lease;
mod limit_range;
pub mod namespace;
mod networking;
pub mod node;
pub mod pod;
mod pod_template;
mod priority_class;
mod rbac;
mod replication_controller;
mod resource_quota;
mod review;
mod runtime_class;
pub mod secret;
mod selectors;
pub mod service;
pub mod service_account;
mod storage;
mod template;
pub(crate) mod tree;
mod version_migration;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use crate::resource::{Column, Resource, Scope, SelectableField, Subresource, Twin, Verb, cells_outline, outline};
use crate::strategy::Strategy;

/// Every built-in row, in the order of discovery.
pub(crate) fn rows() -> Vec<Resource> {
    let mut rows: Vec<Resource> = kinds::resources()
        .into_iter()
        .filter_map(|row| Some(with_strategy(strategy(&row.group, &row.version, &row.kind)?, row)))
        .collect();
    let versions: Vec<(String, Twin)> = rows.iter().map(|row| (row.storage.clone(), twin(row))).collect();
    for row in rows.iter_mut().filter(|row| row.stored) {
        let own = row.api_version();
        let others = versions.iter().filter(|(storage, twin)| *storage == row.storage && twin.api_version != own);
        row.twins = others.map(|(_, twin)| twin.clone()).collect();
    }
    rows
}

fn twin(row: &Resource) -> Twin {
    Twin { api_version: row.api_version(), schema: row.schema.clone(), strategy: Arc::clone(&row.strategy) }
}

pub(crate) use component_status::of as component_status;
pub(crate) use review::answer;

/// Whether a label selector, if there is one, selects an object.
pub(crate) fn selects(selector: Option<&serde_json::Value>, object: &crate::Object) -> bool {
    let none = serde_json::Value::Null;
    selector.is_some_and(|selector| selectors::matches(selector, object.at(&["metadata", "labels"]).unwrap_or(&none)))
}

/// A label selector in the form of query parameters.
pub(crate) fn selector_query(selector: &serde_json::Value) -> String {
    selectors::query(selector)
}

/// What is special about a kind; `None` for kinds nobody has written rules for, which a test forbids.
fn strategy(group: &str, version: &str, kind: &str) -> Option<Arc<dyn Strategy>> {
    use rbac::Reach;
    Some(match (group, kind) {
        ("", "ComponentStatus") => Arc::new(component_status::ComponentStatus),
        ("", "ConfigMap") => Arc::new(config_map::ConfigMap),
        ("", "Endpoints") => Arc::new(endpoints::Endpoints),
        ("", "Event") => Arc::new(event::CORE),
        ("", "LimitRange") => Arc::new(limit_range::LimitRange),
        ("", "Namespace") => Arc::new(namespace::Namespace),
        ("", "Node") => Arc::new(node::Node),
        ("", "PersistentVolume") => Arc::new(storage::PersistentVolume),
        ("", "PersistentVolumeClaim") => Arc::new(storage::PersistentVolumeClaim),
        ("", "Pod") => Arc::new(pod::Pod),
        ("", "PodTemplate") => Arc::new(pod_template::PodTemplate),
        ("", "ReplicationController") => Arc::new(replication_controller::ReplicationController),
        ("", "ResourceQuota") => Arc::new(resource_quota::ResourceQuota),
        ("", "Secret") => Arc::new(secret::Secret),
        ("", "Service") => Arc::new(service::Service),
        ("", "ServiceAccount") => Arc::new(service_account::ServiceAccount),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => Arc::new(admission::MutatingAdmissionPolicy),
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => {
            Arc::new(admission::Binding { validating: false })
        }
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => Arc::new(admission::MUTATING),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => Arc::new(admission::ValidatingAdmissionPolicy),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => {
            Arc::new(admission::Binding { validating: true })
        }
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => Arc::new(admission::VALIDATING),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Arc::new(custom_resource_definition::CustomResourceDefinition)
        }
        ("apiregistration.k8s.io", "APIService") => Arc::new(api_service::ApiService),
        ("apps", "ControllerRevision") => Arc::new(apps::ControllerRevision),
        ("apps", "DaemonSet") => Arc::new(apps::DaemonSet),
        ("apps", "Deployment") => Arc::new(apps::Deployment),
        ("apps", "ReplicaSet") => Arc::new(apps::ReplicaSet),
        ("apps", "StatefulSet") => Arc::new(apps::StatefulSet),
        ("", "Binding")
        | ("authentication.k8s.io", "SelfSubjectReview" | "TokenReview")
        | (
            "authorization.k8s.io",
            "LocalSubjectAccessReview" | "SelfSubjectAccessReview" | "SelfSubjectRulesReview" | "SubjectAccessReview",
        ) => Arc::new(review::Review),
        ("autoscaling", "HorizontalPodAutoscaler") if version == "v1" => Arc::new(autoscaler::FirstVersion),
        ("autoscaling", "HorizontalPodAutoscaler") => Arc::new(autoscaler::HorizontalPodAutoscaler),
        ("batch", "CronJob") => Arc::new(batch::CronJob),
        ("batch", "Job") => Arc::new(batch::Job),
        ("certificates.k8s.io", "CertificateSigningRequest") => Arc::new(certificates::CertificateSigningRequest),
        ("certificates.k8s.io", "ClusterTrustBundle") => Arc::new(certificates::ClusterTrustBundle),
        ("certificates.k8s.io", "PodCertificateRequest") => Arc::new(certificates::PodCertificateRequest),
        ("coordination.k8s.io", "Lease") => Arc::new(lease::Lease),
        ("discovery.k8s.io", "EndpointSlice") => Arc::new(endpoint_slice::EndpointSlice),
        ("events.k8s.io", "Event") => Arc::new(event::EVENTS),
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => Arc::new(flow_control::FlowSchema),
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => {
            Arc::new(flow_control::PriorityLevelConfiguration)
        }
        ("networking.k8s.io", "IPAddress") => Arc::new(networking::IpAddress),
        ("networking.k8s.io", "Ingress") => Arc::new(networking::Ingress),
        ("networking.k8s.io", "IngressClass") => Arc::new(networking::IngressClass),
        ("networking.k8s.io", "NetworkPolicy") => Arc::new(networking::NetworkPolicy),
        ("networking.k8s.io", "ServiceCIDR") => Arc::new(networking::ServiceCidr),
        ("node.k8s.io", "RuntimeClass") => Arc::new(runtime_class::RuntimeClass),
        ("policy", "PodDisruptionBudget") => Arc::new(disruption_budget::PodDisruptionBudget),
        ("rbac.authorization.k8s.io", "ClusterRole") => Arc::new(rbac::Role(Reach::Cluster)),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => Arc::new(rbac::Binding(Reach::Cluster)),
        ("rbac.authorization.k8s.io", "Role") => Arc::new(rbac::Role(Reach::Namespace)),
        ("rbac.authorization.k8s.io", "RoleBinding") => Arc::new(rbac::Binding(Reach::Namespace)),
        ("resource.k8s.io", "DeviceClass") => Arc::new(device::DeviceClass),
        ("resource.k8s.io", "DeviceTaintRule") => Arc::new(device::DeviceTaintRule),
        ("resource.k8s.io", "ResourceClaim") => Arc::new(device::ResourceClaim),
        ("resource.k8s.io", "ResourceClaimTemplate") => Arc::new(device::ResourceClaimTemplate),
        ("resource.k8s.io", "ResourceSlice") => Arc::new(device::ResourceSlice),
        ("scheduling.k8s.io", "PriorityClass") => Arc::new(priority_class::PriorityClass),
        ("storage.k8s.io", "CSIDriver") => Arc::new(storage::CsiDriver),
        ("storage.k8s.io", "CSINode") => Arc::new(storage::CsiNode),
        ("storage.k8s.io", "CSIStorageCapacity") => Arc::new(storage::CsiStorageCapacity),
        ("storage.k8s.io", "StorageClass") => Arc::new(storage::StorageClass),
        ("storage.k8s.io", "VolumeAttachment") => Arc::new(storage::VolumeAttachment),
        ("storage.k8s.io", "VolumeAttributesClass") => Arc::new(storage::VolumeAttributesClass),
        ("storagemigration.k8s.io", "StorageVersionMigration") => Arc::new(version_migration::StorageVersionMigration),
        _ => return None,
    })
}

fn with_strategy(strategy: Arc<dyn Strategy>, row: kinds::Resource) -> Resource {
    let selectable: Vec<_> = row.selectable.into_iter().map(selectable).collect();
    Resource {
        singular: row.kind.to_lowercase(),
        scope: if row.namespaced { Scope::Namespaced } else { Scope::Cluster },
        verbs: verbs(&row.verbs),
        subresources: row.subresources.into_iter().map(subresource).collect(),
        columns: row.columns.into_iter().map(column).collect(),
        outline: outline(&selectable),
        cells_outline: cells_outline(strategy.as_ref()),
        selectable,
        group: row.group,
        version: row.version,
        kind: row.kind,
        plural: row.plural,
        short_names: row.short_names,
        categories: row.categories,
        stored: row.stored,
        storage: row.storage,
        schema: row.definition,
        returns_deleted: row.returns_deleted,
        create_on_update: row.create_on_update,
        unconditional_update: row.unconditional_update,
        deprecation: row.deprecation,
        strategy,
        twins: Vec::new(),
    }
}

fn verbs(names: &[String]) -> Vec<Verb> {
    Verb::ALL.into_iter().filter(|verb| names.iter().any(|name| name == verb.as_str())).collect()
}

fn subresource(one: kinds::Subresource) -> Subresource {
    Subresource {
        verbs: verbs(&one.verbs),
        name: one.name,
        group: one.group,
        version: one.version,
        kind: one.kind,
        schema: one.definition,
        connects: one.connects,
    }
}

fn column(one: kinds::Column) -> Column {
    Column { name: one.name, kind: one.kind, format: one.format, priority: one.priority, description: one.description }
}

fn selectable(one: kinds::SelectableField) -> SelectableField {
    let paths = one.paths.iter().map(|path| path.split('.').map(str::to_owned).collect()).collect();
    SelectableField { label: one.label, paths, absent: one.absent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_has_its_rules() {
        let without: Vec<String> = kinds::resources()
            .into_iter()
            .filter(|row| strategy(&row.group, &row.version, &row.kind).is_none())
            .map(|row| row.plural)
            .collect();
        assert_eq!(without, Vec::<String>::new());
    }

    #[test]
    fn rows_that_share_a_place_select_by_the_same_fields_in_the_same_order() {
        let rows = rows();
        for row in &rows {
            for other in rows.iter().filter(|other| other.storage == row.storage) {
                assert_eq!(row.selectable.len(), other.selectable.len(), "{}", row.storage);
            }
        }
    }

    #[test]
    fn what_is_written_apart_is_owned_apart() {
        use crate::strategy::{Part, Reach};
        let without = |reach: Reach, section: &'static str| match reach {
            Reach::But(paths) => paths.contains(&[section].as_slice()),
            Reach::Only(paths) => !paths.iter().any(|path| path.first() == Some(&section)),
        };
        let rows = rows();
        let mixed: Vec<&str> = rows
            .iter()
            .filter(|row| row.subresource("status").is_some())
            .filter(|row| {
                let reach = |part| row.strategy.reach(part);
                !without(reach(Part::Main), "status") || !without(reach(Part::Status), "spec")
            })
            .map(|row| row.plural.as_str())
            .collect();
        assert_eq!(mixed, Vec::<&str>::new());
    }
}
