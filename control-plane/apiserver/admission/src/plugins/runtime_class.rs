//! Ways to run pods: what each takes besides its pods, and which nodes have it.

use std::sync::Arc;

use apiserver_core::{Object, Status};

use crate::attributes::Attributes;
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;
use crate::pods::{amounts, list, merged_tolerations};

/// Resolves runtime classes.
#[derive(Debug)]
pub(super) struct RuntimeClass;

impl Plugin for RuntimeClass {
    fn name(&self) -> &'static str {
        "RuntimeClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("", "pods")
    }

    fn reads(&self) -> &'static [View] {
        &[views::RUNTIME_CLASSES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let Some(class) = class(attributes, pod, facts)? else { return Ok(()) };
        let overhead = class.at(&["overhead", "podFixed"]);
        check_overhead(attributes, pod, Some(&class), false)?;
        let mut selector =
            pod.at(&["spec", "nodeSelector"]).and_then(|one| one.as_object()).cloned().unwrap_or_default();
        for (key, value) in
            class.at(&["scheduling", "nodeSelector"]).and_then(|one| one.as_object()).into_iter().flatten()
        {
            if let Some(own) = selector.get(key).filter(|own| *own != value) {
                let (value, own) = (value.as_str().unwrap_or_default(), own.as_str().unwrap_or_default());
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                );
                return Err(attributes.forbidden(Some(pod), &why));
            }
            selector.insert(key.clone(), value.clone());
        }
        if let Some(overhead) = overhead.filter(|_| class.at(&["overhead"]).is_some()) {
            pod.set(&["spec", "overhead"], overhead.clone());
        }
        if class.at(&["scheduling"]).is_some() {
            if !selector.is_empty() {
                pod.set(&["spec", "nodeSelector"], selector);
            }
            let merged = merged_tolerations(list(pod, "tolerations"), class.list(&["scheduling", "tolerations"]));
            if !merged.is_empty() {
                pod.set(&["spec", "tolerations"], merged);
            }
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let class = class(attributes, pod, facts)?;
        check_overhead(attributes, pod, class.as_deref(), true)
    }
}

fn class(attributes: &Attributes<'_>, pod: &Object, facts: &dyn Facts) -> Result<Option<Arc<Object>>, Status> {
    let Some(name) = pod.text(&["spec", "runtimeClassName"]) else { return Ok(None) };
    match facts.get(views::RUNTIME_CLASSES, None, name) {
        Some(class) => Ok(Some(class)),
        None => Err(attributes.forbidden(Some(pod), &format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

/// What a pod says it takes besides its containers must be what its class says. `all` asks for it, too.
fn check_overhead(attributes: &Attributes<'_>, pod: &Object, class: Option<&Object>, all: bool) -> Result<(), Status> {
    let own = pod.at(&["spec", "overhead"]).filter(|own| own.as_object().is_some_and(|own| !own.is_empty()));
    let wanted = class.filter(|class| class.at(&["overhead"]).is_some());
    let why = match (own, wanted) {
        (None, Some(_)) if !all => return Ok(()),
        (own, Some(class)) if amounts(own) == amounts(class.at(&["overhead", "podFixed"])) => return Ok(()),
        (_, Some(_)) => "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
        (Some(_), None) if all => "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        (_, None) => return Ok(()),
    };
    Err(attributes.forbidden(Some(pod), why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{World, create};

    fn world() -> World {
        World::default().with(
            views::RUNTIME_CLASSES,
            json!({
                "metadata": { "name": "vm" }, "overhead": { "podFixed": { "memory": "128Mi" } },
                "scheduling": { "nodeSelector": { "vm": "yes" }, "tolerations": [{ "key": "vm", "operator": "Exists" }] },
            }),
        )
    }

    fn resolved(spec: Value) -> Result<Value, String> {
        let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
        let made = create("", "pods").mutate(&RuntimeClass, pod, &world()).map_err(|status| status.message)?;
        create("", "pods").validate(&RuntimeClass, made.clone(), &world())?;
        Ok(made["spec"].clone())
    }

    #[test]
    fn a_pod_gets_what_its_class_says() {
        assert_eq!(
            resolved(json!({ "runtimeClassName": "vm", "nodeSelector": { "a": "b" } })),
            Ok(json!({
                "runtimeClassName": "vm", "overhead": { "memory": "128Mi" }, "nodeSelector": { "a": "b", "vm": "yes" },
                "tolerations": [{ "key": "vm", "operator": "Exists" }],
            }))
        );
        assert_eq!(resolved(json!({})), Ok(json!({})));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (spec, why) in [
            (json!({ "runtimeClassName": "x" }), "pod rejected: RuntimeClass \"x\" not found"),
            (
                json!({ "runtimeClassName": "vm", "overhead": { "memory": "1" } }),
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead",
            ),
            (
                json!({ "overhead": { "memory": "1" } }),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
            (
                json!({ "runtimeClassName": "vm", "nodeSelector": { "vm": "no" } }),
                "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
            ),
        ] {
            assert_eq!(resolved(spec), Err(format!("pods \"p\" is forbidden: {why}")));
        }
    }
}
