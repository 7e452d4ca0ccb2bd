//! Namespaces whose pods run on some nodes only.

use std::collections::BTreeMap;

use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::Attributes;
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const DEFAULT: &str = "clusterDefaultNodeSelector";

type Labels = BTreeMap<String, String>;

/// Gives pods the selector of their namespace.
#[derive(Debug)]
pub(super) struct PodNodeSelector {
    default: Labels,
    allowed: BTreeMap<String, Labels>,
}

impl PodNodeSelector {
    /// Reads the selectors of the cluster and of each namespace.
    pub(super) fn configured(configuration: &Value) -> Result<Self, String> {
        let mut this = Self { default: Labels::new(), allowed: BTreeMap::new() };
        let own = configuration.get("podNodeSelectorPluginConfig").and_then(Value::as_object);
        for (name, selector) in own.into_iter().flatten() {
            let selector = parse(selector.as_str().unwrap_or_default())?;
            if name == DEFAULT {
                this.default = selector;
            } else {
                this.allowed.insert(name.clone(), selector);
            }
        }
        Ok(this)
    }

    fn of_namespace(&self, attributes: &Attributes<'_>, facts: &dyn Facts) -> Result<Labels, Status> {
        let name = attributes.namespace.unwrap_or_default();
        let namespace = facts.get(views::NAMESPACES, None, name);
        let namespace = namespace.ok_or_else(|| Status::not_found_named("", "namespaces", name))?;
        match namespace.at(&["metadata", "annotations", ANNOTATION]).and_then(Value::as_str) {
            None => Ok(self.default.clone()),
            Some(selector) => parse(selector).map_err(Status::unclassified),
        }
    }
}

fn parse(selector: &str) -> Result<Labels, String> {
    let parts = selector.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').ok_or_else(|| format!("invalid selector: {part}"))?;
            Ok((key.trim().to_owned(), value.trim_start_matches('=').trim().to_owned()))
        })
        .collect()
}

fn own(pod: &Object) -> Labels {
    let selector = pod.at(&["spec", "nodeSelector"]).and_then(Value::as_object).into_iter().flatten();
    selector.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

impl Plugin for PodNodeSelector {
    fn name(&self) -> &'static str {
        "PodNodeSelector"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("", "pods")
    }

    fn reads(&self) -> &'static [View] {
        &[views::NAMESPACES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let wanted = self.of_namespace(attributes, facts)?;
        let mut selector = own(pod);
        if wanted.iter().any(|(key, value)| selector.get(key).is_some_and(|own| own != value)) {
            let why = "pod node label selector conflicts with its namespace node label selector";
            return Err(attributes.forbidden(Some(pod), why));
        }
        if !wanted.is_empty() {
            selector.extend(wanted);
            pod.set(
                &["spec", "nodeSelector"],
                selector.into_iter().map(|(key, value)| (key, value.into())).collect::<serde_json::Map<_, _>>(),
            );
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let (wanted, own) = (self.of_namespace(attributes, facts)?, own(pod));
        if wanted.iter().any(|(key, value)| own.get(key).is_some_and(|own| own != value)) {
            let why = "pod node label selector conflicts with its namespace node label selector";
            return Err(attributes.forbidden(Some(pod), why));
        }
        let allowed = self.allowed.get(attributes.namespace.unwrap_or_default()).filter(|allowed| !allowed.is_empty());
        if allowed.is_some_and(|allowed| own.iter().any(|(key, value)| allowed.get(key) != Some(value))) {
            let why = "pod node label selector labels conflict with its namespace whitelist";
            return Err(attributes.forbidden(Some(pod), why));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn pods_run_where_their_namespace_does() {
        let plugin = PodNodeSelector::configured(&json!({
            "podNodeSelectorPluginConfig": { DEFAULT: "disk=slow", "default": "disk=fast,zone=z" },
        }))
        .unwrap();
        let world = |annotations: Value| {
            World::default()
                .with(views::NAMESPACES, json!({ "metadata": { "name": "default", "annotations": annotations } }))
        };
        let fast = world(json!({ ANNOTATION: "disk=fast" }));
        let pod = |selector: Value| json!({ "metadata": { "name": "p" }, "spec": { "nodeSelector": selector } });
        let made = create("", "pods").mutate(&plugin, pod(json!({ "zone": "z" })), &fast).unwrap();
        assert_eq!(made["spec"]["nodeSelector"], json!({ "disk": "fast", "zone": "z" }));
        assert_eq!(create("", "pods").validate(&plugin, made, &fast), Ok(()));
        assert!(create("", "pods").mutate(&plugin, pod(json!({ "disk": "slow" })), &fast).is_err());
        assert_eq!(
            create("", "pods").validate(&plugin, pod(json!({ "disk": "slow" })), &world(json!({}))),
            Err("pods \"p\" is forbidden: pod node label selector labels conflict with its namespace whitelist".into())
        );
        assert!(PodNodeSelector::configured(&json!({ "podNodeSelectorPluginConfig": { "x": "nonsense" } })).is_err());
    }
}
