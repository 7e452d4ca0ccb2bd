//! Nodes with special devices are tainted by the device's name; pods that ask for one tolerate that.

use std::collections::BTreeSet;

use apiserver_core::{Object, Status};
use serde_json::json;

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;
use crate::pods::{list, list_mut};

/// Adds those tolerations.
#[derive(Debug)]
pub(super) struct ExtendedResourceToleration;

impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods")
    }

    fn mutate(&self, _: &Attributes<'_>, pod: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        let containers = list(pod, "containers").iter().chain(list(pod, "initContainers"));
        let requests = containers.filter_map(|one| one.get("resources")?.get("requests")?.as_object());
        let extended = requests.flat_map(serde_json::Map::keys).filter(|name| is_extended(name));
        let extended: BTreeSet<String> = extended.cloned().collect();
        if extended.is_empty() {
            return Ok(());
        }
        for name in extended {
            let toleration = json!({ "key": name, "operator": "Exists" });
            if let Some(tolerations) = list_mut(pod, "spec", "tolerations")
                && !tolerations.contains(&toleration)
            {
                tolerations.push(toleration);
            }
        }
        Ok(())
    }
}

fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn a_pod_tolerates_the_devices_it_asks_for() {
        let requests = json!({ "cpu": "1", "example.com/gpu": "1" });
        let pod = json!({ "spec": { "containers": [{ "resources": { "requests": requests } }] } });
        let made = create("", "pods").mutate(&ExtendedResourceToleration, pod, &World::default()).unwrap();
        assert_eq!(made["spec"]["tolerations"], json!([{ "key": "example.com/gpu", "operator": "Exists" }]));
        assert_eq!(create("", "pods").mutate(&ExtendedResourceToleration, made.clone(), &World::default()), Ok(made));
    }
}
