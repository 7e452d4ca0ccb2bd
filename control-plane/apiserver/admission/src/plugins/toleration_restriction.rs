//! Namespaces whose pods tolerate some taints by default, and no others.

use apiserver_core::{Object, Status};
use serde_json::{Value, json};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;
use crate::pods::{covers, items, list, merged_tolerations};

const DEFAULTS: &str = "scheduler.alpha.kubernetes.io/defaultTolerations";
const ALLOWED: &str = "scheduler.alpha.kubernetes.io/tolerationsWhitelist";

/// Gives pods the tolerations of their namespace, and holds them to those it allows.
#[derive(Debug)]
pub(super) struct PodTolerationRestriction {
    defaults: Vec<Value>,
    allowed: Vec<Value>,
}

impl PodTolerationRestriction {
    /// Reads what holds for namespaces that say nothing.
    pub(super) fn configured(configuration: &Value) -> Result<Self, String> {
        let kind = configuration.get("kind").and_then(Value::as_str);
        if !configuration.is_null() && kind != Some("Configuration") {
            return Err(format!("{} is no configuration of this plugin", kind.unwrap_or_default()));
        }
        let list = |member: &str| items(configuration, member).to_vec();
        Ok(Self { defaults: list("default"), allowed: list("whitelist") })
    }
}

/// What an annotation of the namespace says, if it says something.
fn said(attributes: &Attributes<'_>, annotation: &str, facts: &dyn Facts) -> Result<Option<Vec<Value>>, Status> {
    let name = attributes.namespace.unwrap_or_default();
    let namespace = facts.get(views::NAMESPACES, None, name);
    let namespace = namespace.ok_or_else(|| Status::not_found_named("", "namespaces", name))?;
    match namespace.at(&["metadata", "annotations", annotation]).and_then(Value::as_str) {
        None => Ok(None),
        Some("") => Ok(Some(Vec::new())),
        Some(text) => serde_json::from_str(text).map(Some).map_err(|error| Status::unclassified(error.to_string())),
    }
}

impl Plugin for PodTolerationRestriction {
    fn name(&self) -> &'static str {
        "PodTolerationRestriction"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods")
    }

    fn reads(&self) -> &'static [View] {
        &[views::NAMESPACES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let own = list(pod, "tolerations").to_vec();
        if attributes.old.is_some_and(|old| list(old, "tolerations") == own) {
            return Ok(());
        }
        let mut all = own;
        if attributes.operation == Operation::Create {
            let defaults = said(attributes, DEFAULTS, facts)?.unwrap_or_else(|| self.defaults.clone());
            all = merged_tolerations(&defaults, &all);
        }
        if !crate::quota::is_best_effort(pod) {
            let pressure =
                json!({ "key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule" });
            all = merged_tolerations(&all, &[pressure]);
        }
        if !all.is_empty() {
            pod.set(&["spec", "tolerations"], merged_tolerations(&all, &[]));
        }
        self.validate(attributes, Some(pod), facts)
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let own = list(pod, "tolerations");
        if own.is_empty() || attributes.old.is_some_and(|old| list(old, "tolerations") == own) {
            return Ok(());
        }
        let (allowed, scope) = match said(attributes, ALLOWED, facts)? {
            Some(allowed) => (allowed, "namespace"),
            None => (self.allowed.clone(), "cluster"),
        };
        if allowed.is_empty() || own.iter().all(|one| allowed.iter().any(|may| covers(may, one))) {
            return Ok(());
        }
        Err(Status::unclassified(format!(
            "pod tolerations (possibly merged with namespace default tolerations) conflict with its {scope} whitelist"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create};

    fn toleration(key: &str) -> Value {
        json!({ "key": key, "operator": "Exists" })
    }

    #[test]
    fn pods_tolerate_what_their_namespace_says() {
        let plugin =
            PodTolerationRestriction::configured(&json!({ "kind": "Configuration", "default": [toleration("c")] }));
        let plugin = plugin.unwrap();
        let world = |annotations: Value| {
            World::default()
                .with(views::NAMESPACES, json!({ "metadata": { "name": "default", "annotations": annotations } }))
        };
        let pod = |key: &str| json!({ "metadata": { "name": "p" }, "spec": { "tolerations": [toleration(key)] } });
        let made = create("", "pods").mutate(&plugin, pod("own"), &world(json!({}))).unwrap();
        assert_eq!(made["spec"]["tolerations"], json!([toleration("c"), toleration("own")]));
        let strict = world(json!({ DEFAULTS: "[]", ALLOWED: json!([toleration("own")]).to_string() }));
        assert!(create("", "pods").mutate(&plugin, pod("own"), &strict).is_ok());
        assert_eq!(
            create("", "pods").mutate(&plugin, pod("other"), &strict).map_err(|status| (status.code, status.message)),
            Err((500, "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist".into()))
        );
        assert!(create("", "pods").mutate(&plugin, pod("own"), &world(json!({ DEFAULTS: "nonsense" }))).is_err());
    }
}
