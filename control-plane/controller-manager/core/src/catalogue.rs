//! Which resources a cluster serves, put together from what discovery said.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

/// An API group and one of its versions. The core group has the empty name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersion {
    /// The group, for example `apps`.
    pub group: String,
    /// The version, for example `v1`.
    pub version: String,
}

impl GroupVersion {
    /// The path below which its resources are served.
    #[must_use]
    pub fn path(&self) -> String {
        if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        }
    }
}

impl fmt::Display for GroupVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.version) } else { write!(f, "{}/{}", self.group, self.version) }
    }
}

/// One resource in the version the server prefers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Where it is served.
    pub group_version: GroupVersion,
    /// Its plural name, for example `pods`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// What can be done with it.
    pub verbs: Vec<String>,
}

impl Resource {
    /// Whether it supports `verb`.
    #[must_use]
    pub fn can(&self, verb: &str) -> bool {
        self.verbs.iter().any(|own| own == verb)
    }

    /// The path of its collection in `namespace`.
    #[must_use]
    pub fn path_in(&self, namespace: &str) -> String {
        format!("{}/namespaces/{namespace}/{}", self.group_version.path(), self.plural)
    }

    /// The name users read in conditions: `pods.`, `deployments.apps`.
    #[must_use]
    pub fn group_resource(&self) -> String {
        format!("{}.{}", self.plural, self.group_version.group)
    }
}

/// All resources, each once, and what could not be learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalogue {
    resources: Vec<Resource>,
    seen: HashSet<(String, String)>,
    failures: BTreeMap<String, String>,
}

impl Catalogue {
    /// Adds what one version of a group serves. Versions of a group must be added by preference: a resource that an
    /// earlier one served is not added again. Subresources (with a `/`) are left out.
    pub fn add(&mut self, group_version: &GroupVersion, resources: impl IntoIterator<Item = Resource>) {
        for resource in resources {
            let once = (group_version.group.clone(), resource.plural.clone());
            if !resource.plural.is_empty() && !resource.plural.contains('/') && self.seen.insert(once) {
                self.resources.push(resource);
            }
        }
    }

    /// Notes that nothing fresh is known about a version of a group.
    pub fn failed(&mut self, group_version: &GroupVersion, reason: impl Into<String>) {
        self.failures.insert(group_version.to_string(), reason.into());
    }

    /// The resources whose objects can be deleted from a namespace.
    pub fn deletable(&self) -> impl Iterator<Item = &Resource> {
        self.resources.iter().filter(|resource| resource.namespaced && resource.can("delete"))
    }

    /// What could not be learned: version of a group, and why.
    #[must_use]
    pub const fn failures(&self) -> &BTreeMap<String, String> {
        &self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, version: &str, plural: &str, namespaced: bool, verbs: &[&str]) -> Resource {
        Resource {
            group_version: GroupVersion { group: group.into(), version: version.into() },
            plural: plural.into(),
            namespaced,
            verbs: verbs.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn each_resource_counts_once_in_the_preferred_version() {
        let mut catalogue = Catalogue::default();
        for version in ["v2", "v1"] {
            let scaler = resource("autoscaling", version, "horizontalpodautoscalers", true, &["delete", "list"]);
            let only_old = resource("autoscaling", version, "oldies", true, &["delete"]);
            let group_version = scaler.group_version.clone();
            catalogue.add(&group_version, if version == "v2" { vec![scaler] } else { vec![scaler, only_old] });
        }
        let found: Vec<_> = catalogue.deletable().map(|found| found.path_in("shop")).collect();
        assert_eq!(
            found,
            [
                "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers",
                "/apis/autoscaling/v1/namespaces/shop/oldies"
            ]
        );
    }

    #[test]
    fn only_deletable_namespaced_resources_are_offered() {
        let core = GroupVersion { group: String::new(), version: "v1".into() };
        let mut catalogue = Catalogue::default();
        catalogue.add(
            &core,
            [
                resource("", "v1", "pods", true, &["delete", "list"]),
                resource("", "v1", "pods/status", true, &["delete", "get"]),
                resource("", "v1", "bindings", true, &["create"]),
                resource("", "v1", "nodes", false, &["delete", "list"]),
            ],
        );
        let found: Vec<_> = catalogue.deletable().map(|found| found.path_in("shop")).collect();
        assert_eq!(found, ["/api/v1/namespaces/shop/pods"]);
        assert_eq!(catalogue.deletable().next().map(Resource::group_resource).as_deref(), Some("pods."));
    }
}
