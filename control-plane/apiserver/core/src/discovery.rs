//! Discovery documents, derived from the rows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::registry::Registry;
use crate::resource::{Resource, Subresource, Verb};

/// Parameters of the aggregated form's media type.
pub const AGGREGATED_PARAMETERS: &str = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`: `APIVersions`. `server_address` is `host:port` as clients reach the server.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server_address }],
    })
}

/// `/apis`: `APIGroupList`.
pub fn api_group_list(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry
        .groups()
        .into_iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| Value::Object(group_document(&group, &versions)))
        .collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/<group>`: `APIGroup`; `None` if there is none.
pub fn api_group(registry: &Registry, group: &str) -> Option<Value> {
    let (group, versions) = registry.groups().into_iter().find(|(one, _)| !one.is_empty() && one == group)?;
    let mut document = group_document(&group, &versions);
    document.insert("kind".into(), "APIGroup".into());
    document.insert("apiVersion".into(), "v1".into());
    Some(Value::Object(document))
}

fn group_document(group: &str, versions: &[String]) -> Map<String, Value> {
    let versions: Vec<Value> = versions
        .iter()
        .map(|version| json!({ "groupVersion": format!("{group}/{version}"), "version": version }))
        .collect();
    let mut document = Map::new();
    document.insert("name".into(), group.into());
    document.insert("preferredVersion".into(), versions.first().cloned().unwrap_or_default());
    document.insert("versions".into(), versions.into());
    document
}

/// `/api/v1` and `/apis/<group>/<version>`: `APIResourceList`; `None` if there is none.
pub fn api_resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut resources: Vec<(String, Value)> = Vec::new();
    for row in registry.of_group_version(group, version) {
        resources.push((row.plural.clone(), resource(row)));
        for sub in &row.subresources {
            let name = format!("{}/{}", row.plural, sub.name);
            resources.push((name.clone(), subresource(row, sub, &name)));
        }
    }
    if resources.is_empty() {
        return None;
    }
    resources.sort_by(|(a, _), (b, _)| a.cmp(b));
    let resources: Vec<Value> = resources.into_iter().map(|(_, document)| document).collect();
    // Upstream leaves the version of the list itself out for the core group; its clients do not mind, nor may ours.
    Some(if group.is_empty() {
        json!({ "kind": "APIResourceList", "groupVersion": version, "resources": resources })
    } else {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"), "resources": resources,
        })
    })
}

fn verbs(verbs: &[Verb]) -> Value {
    verbs.iter().map(|verb| verb.as_str()).collect()
}

fn resource(row: &Resource) -> Value {
    let mut document = json!({
        "name": row.plural, "singularName": row.singular, "namespaced": row.is_namespaced(), "kind": row.kind,
        "verbs": verbs(&row.verbs),
    });
    if row.stored {
        document["storageVersionHash"] = storage_version_hash(row).into();
    }
    for (member, list) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !list.is_empty() {
            document[member] = list.as_slice().into();
        }
    }
    document
}

fn subresource(row: &Resource, sub: &Subresource, name: &str) -> Value {
    let mut document = json!({
        "name": name, "singularName": "", "namespaced": row.is_namespaced(), "kind": sub.kind, "verbs": verbs(&sub.verbs),
    });
    if (&sub.group, &sub.version) != (&row.group, &row.version) {
        document["group"] = sub.group.as_str().into();
        document["version"] = sub.version.as_str().into();
    }
    document
}

/// Tells clients when the stored form of a resource changes.
fn storage_version_hash(row: &Resource) -> String {
    let hash = Sha256::digest(format!("{}/{}/{}", row.group, row.version, row.kind));
    STANDARD.encode(&hash[..8])
}

/// `/api` in the aggregated form: `APIGroupDiscoveryList` of the core group.
pub fn aggregated_core(registry: &Registry) -> Value {
    aggregated(registry, str::is_empty)
}

/// `/apis` in the aggregated form: `APIGroupDiscoveryList` of all named groups.
pub fn aggregated_groups(registry: &Registry) -> Value {
    aggregated(registry, |group| !group.is_empty())
}

fn aggregated(registry: &Registry, wanted: impl Fn(&str) -> bool) -> Value {
    let items: Vec<Value> = registry
        .groups()
        .into_iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let mut rows: Vec<&Resource> =
                        registry.of_group_version(&group, version).map(AsRef::as_ref).collect();
                    rows.sort_by(|a, b| a.plural.cmp(&b.plural));
                    let resources: Vec<Value> = rows.into_iter().map(aggregated_resource).collect();
                    json!({ "version": version, "freshness": "Current", "resources": resources })
                })
                .collect();
            let mut metadata = json!({ "creationTimestamp": null });
            if !group.is_empty() {
                metadata["name"] = group.into();
            }
            json!({ "metadata": metadata, "versions": versions })
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items,
    })
}

fn aggregated_resource(row: &Resource) -> Value {
    let kind = |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let mut document = json!({
        "resource": row.plural, "responseKind": kind(&row.group, &row.version, &row.kind),
        "scope": if row.is_namespaced() { "Namespaced" } else { "Cluster" },
        "singularResource": row.singular, "verbs": verbs(&row.verbs),
    });
    for (member, list) in [("shortNames", &row.short_names), ("categories", &row.categories)] {
        if !list.is_empty() {
            document[member] = list.as_slice().into();
        }
    }
    if !row.subresources.is_empty() {
        document["subresources"] = row
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name, "responseKind": kind(&sub.group, &sub.version, &sub.kind),
                    "verbs": verbs(&sub.verbs),
                })
            })
            .collect();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_group_lists_resources_and_subresources() {
        let list = api_resource_list(&Registry::built_in(), "", "v1").expect("the core group");
        let names: Vec<&str> =
            list["resources"].as_array().into_iter().flatten().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(
            names,
            [
                "bindings",
                "componentstatuses",
                "configmaps",
                "endpoints",
                "events",
                "limitranges",
                "namespaces",
                "namespaces/finalize",
                "namespaces/status",
                "nodes",
                "nodes/proxy",
                "nodes/status",
                "persistentvolumeclaims",
                "persistentvolumeclaims/status",
                "persistentvolumes",
                "persistentvolumes/status",
                "pods",
                "pods/attach",
                "pods/binding",
                "pods/ephemeralcontainers",
                "pods/eviction",
                "pods/exec",
                "pods/log",
                "pods/portforward",
                "pods/proxy",
                "pods/resize",
                "pods/status",
                "podtemplates",
                "replicationcontrollers",
                "replicationcontrollers/scale",
                "replicationcontrollers/status",
                "resourcequotas",
                "resourcequotas/status",
                "secrets",
                "serviceaccounts",
                "serviceaccounts/token",
                "services",
                "services/proxy",
                "services/status",
            ]
        );
        let pods = list["resources"].as_array().into_iter().flatten().find(|one| one["name"] == "pods");
        assert_eq!(
            pods,
            Some(&json!({
                "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"], "categories": ["all"],
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "storageVersionHash": "xPOwRZ+Yhw8=",
            }))
        );
    }

    #[test]
    fn groups_name_their_versions() {
        let registry = Registry::built_in();
        let group = api_group(&registry, "coordination.k8s.io").expect("a group");
        assert_eq!(group["preferredVersion"], json!({ "groupVersion": "coordination.k8s.io/v1", "version": "v1" }));
        assert_eq!(api_group(&registry, ""), None);
        assert_eq!(api_resource_list(&registry, "x", "v1"), None);
    }

    #[test]
    fn the_aggregated_form_holds_the_same() {
        let registry = Registry::built_in();
        let core = aggregated_core(&registry);
        let resources = core["items"][0]["versions"][0]["resources"].as_array().expect("resources");
        let namespaces = resources.iter().find(|one| one["resource"] == "namespaces").expect("namespaces");
        assert_eq!(namespaces["scope"], "Cluster");
        assert_eq!(namespaces["subresources"][0]["subresource"], "finalize");
        assert_eq!(namespaces["responseKind"], json!({ "group": "", "version": "v1", "kind": "Namespace" }));
        let groups = aggregated_groups(&registry);
        assert!(
            groups["items"].as_array().is_some_and(|items| items.iter().all(|one| one["metadata"]["name"].is_string()))
        );
    }
}
