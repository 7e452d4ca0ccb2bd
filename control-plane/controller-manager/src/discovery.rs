//! Asks the API server which resources it serves: in two requests where it can, group by group where it cannot.

use controller_manager_core::catalogue::{Catalogue, GroupVersion, Resource};
use futures::StreamExt;
use futures::stream;
use http::Request;
use kube::core::discovery::v2::APIGroupDiscovery;
use serde::Deserialize;

use crate::api_server::{ApiError, ApiServer};
use crate::informer::JSON;

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// Group versions that are asked for at the same time where there is no aggregated document.
const AT_ONCE: usize = 8;

/// Either form of the answer at `/api` and `/apis`.
#[derive(Deserialize)]
struct Root {
    /// Aggregated: the groups with all their resources.
    #[serde(default)]
    items: Vec<APIGroupDiscovery>,
    /// At `/apis`: the groups with their versions.
    #[serde(default)]
    groups: Vec<Group>,
    /// At `/api`: the versions of the core group.
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    #[serde(default)]
    versions: Vec<Version>,
    #[serde(rename = "preferredVersion")]
    preferred: Option<Version>,
}

#[derive(Deserialize, PartialEq)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Served {
    #[serde(default)]
    resources: Vec<ServedResource>,
}

#[derive(Deserialize)]
struct ServedResource {
    name: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

/// Everything the server serves now; never from a cache, since a resource that is overlooked leaves objects behind.
///
/// Fails when nothing at all could be learned; groups that could not be are noted in the catalogue.
pub(crate) async fn catalogue(api: &ApiServer) -> Result<Catalogue, ApiError> {
    let (core, groups) = futures::try_join!(root(api, "/api"), root(api, "/apis"))?;
    let mut catalogue = Catalogue::default();
    let mut single = Vec::new();
    for root in [core, groups] {
        for group in root.items {
            add_aggregated(&mut catalogue, group);
        }
        single.extend(root.versions.into_iter().map(|version| GroupVersion { group: String::new(), version }));
        for group in root.groups {
            let preferred = group.preferred;
            let (first, others): (Vec<_>, Vec<_>) =
                group.versions.into_iter().partition(|version| Some(version) == preferred.as_ref());
            single.extend(
                first
                    .into_iter()
                    .chain(others)
                    .map(|version| GroupVersion { group: group.name.clone(), version: version.version }),
            );
        }
    }
    // In the order of `single`: the preferred version of a group must come first.
    let answers: Vec<_> = stream::iter(single)
        .map(|group_version| async move {
            let answer = resources(api, &group_version).await;
            (group_version, answer)
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (group_version, answer) in answers {
        match answer {
            Ok(resources) => catalogue.add(&group_version, resources),
            Err(error) => catalogue.failed(&group_version, chain::Chain(&error).to_string()),
        }
    }
    Ok(catalogue)
}

fn get(path: &str) -> Result<Request<Vec<u8>>, ApiError> {
    Request::get(path)
        .body(Vec::new())
        .map_err(|error| ApiError::Build(kube::core::request::Error::BuildRequest(error)))
}

async fn root(api: &ApiServer, path: &str) -> Result<Root, ApiError> {
    api.call(get(path)?, AGGREGATED).await
}

async fn resources(api: &ApiServer, group_version: &GroupVersion) -> Result<Vec<Resource>, ApiError> {
    let served: Served = api.call(get(&group_version.path())?, JSON).await?;
    Ok(served
        .resources
        .into_iter()
        .map(|resource| Resource {
            group_version: group_version.clone(),
            plural: resource.name,
            namespaced: resource.namespaced,
            verbs: resource.verbs,
        })
        .collect())
}

fn add_aggregated(catalogue: &mut Catalogue, group: APIGroupDiscovery) {
    let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
    for version in group.versions {
        let group_version = GroupVersion { group: name.clone(), version: version.version.unwrap_or_default() };
        if version.freshness.as_deref() == Some("Stale") {
            catalogue.failed(&group_version, "the server that provides it cannot be asked (stale)");
        }
        let resources = version.resources.into_iter().map(|resource| Resource {
            group_version: group_version.clone(),
            plural: resource.resource.unwrap_or_default(),
            namespaced: resource.scope.as_deref() == Some("Namespaced"),
            verbs: resource.verbs,
        });
        catalogue.add(&group_version, resources.collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_discovery_are_understood() {
        let aggregated = r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[
            {"metadata":{"name":"apps"},"versions":[{"version":"v1","freshness":"Current","resources":[
                {"resource":"deployments","scope":"Namespaced","verbs":["delete","list"],"subresources":[
                    {"subresource":"status","verbs":["get"]}]}]}]},
            {"metadata":{"name":"metrics.k8s.io"},"versions":[{"version":"v1beta1","freshness":"Stale"}]}]}"#;
        let root: Root = serde_json::from_str(aggregated).unwrap();
        let mut catalogue = Catalogue::default();
        for group in root.items {
            add_aggregated(&mut catalogue, group);
        }
        let found: Vec<_> = catalogue.deletable().map(|found| found.path_in("shop")).collect();
        assert_eq!(found, ["/apis/apps/v1/namespaces/shop/deployments"]);
        assert!(catalogue.failures().contains_key("metrics.k8s.io/v1beta1"));

        let core: Root = serde_json::from_str(r#"{"kind":"APIVersions","versions":["v1"]}"#).unwrap();
        assert_eq!(core.versions, ["v1"]);
        let groups: Root = serde_json::from_str(
            r#"{"kind":"APIGroupList","groups":[{"name":"apps","versions":[{"groupVersion":"apps/v1","version":"v1"}],
                "preferredVersion":{"groupVersion":"apps/v1","version":"v1"}}]}"#,
        )
        .unwrap();
        assert_eq!(groups.groups[0].versions[0].version, "v1");
        let served: Served =
            serde_json::from_str(r#"{"resources":[{"name":"pods","namespaced":true,"verbs":["list"]}]}"#).unwrap();
        assert!(served.resources[0].namespaced);
    }
}
