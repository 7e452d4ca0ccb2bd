//! Discovery documents, derived from the rows.

use serde_json::{Value, json};

use crate::registry::Registry;

/// Media type of the aggregated form.
pub const AGGREGATED_MEDIA_TYPE: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// `/api`: `APIVersions`. `server_address` is `host:port` as clients reach the server.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{ "clientCIDR": "0.0.0.0/0", "serverAddress": server_address }],
    })
}

/// `/apis`: `APIGroupList`.
pub fn api_group_list(registry: &Registry) -> Value {
    let _ = registry;
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": [] })
}

/// `/apis/<group>`: `APIGroup`; `None` if there is none.
pub fn api_group(registry: &Registry, group: &str) -> Option<Value> {
    let _ = (registry, group);
    None
}

/// `/api/v1` and `/apis/<group>/<version>`: `APIResourceList`; `None` if there is none.
pub fn api_resource_list(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let _ = (registry, group, version);
    None
}

/// `/api` in the aggregated form: `APIGroupDiscoveryList` of the core group.
pub fn aggregated_core(registry: &Registry) -> Value {
    let _ = registry;
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [] })
}

/// `/apis` in the aggregated form: `APIGroupDiscoveryList` of all named groups.
pub fn aggregated_groups(registry: &Registry) -> Value {
    let _ = registry;
    json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": [] })
}
