//! How important a pod is: the number its class stands for.

use std::sync::Arc;

use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

/// Resolves priority classes, and keeps the default one alone.
#[derive(Debug)]
pub(super) struct Priority;

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.writes("", "pods") || attributes.writes("scheduling.k8s.io", "priorityclasses")
    }

    fn reads(&self) -> &'static [View] {
        &[views::PRIORITY_CLASSES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        match (attributes.resource.plural.as_str(), attributes.old) {
            ("pods", Some(old)) => keep(pod, old),
            ("pods", None) => return resolve(attributes, pod, facts),
            _ => {}
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, class: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(class) =
            class.filter(|class| attributes.resource.plural == "priorityclasses" && class.flag(&["globalDefault"]))
        else {
            return Ok(());
        };
        match default_class(facts) {
            Some(other) if attributes.operation == Operation::Create || other.name() != class.name() => {
                let why = format!(
                    "PriorityClass {} is already marked as default. Only one default can exist",
                    other.name().unwrap_or_default()
                );
                Err(attributes.forbidden(Some(class), &why))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What was resolved when the pod was made stays, also for those who write it without.
fn keep(pod: &mut Object, old: &Object) {
    for member in ["priority", "preemptionPolicy"] {
        if pod.at(&["spec", member]).is_none_or(Value::is_null) {
            pod.take_over(&["spec", member], old);
        }
    }
}

/// Of several defaults, which only a race can make, the least important.
fn default_class(facts: &dyn Facts) -> Option<Arc<Object>> {
    let classes = facts.list(views::PRIORITY_CLASSES, None).into_iter();
    classes.filter(|class| class.flag(&["globalDefault"])).min_by_key(|class| class.integer(&["value"]).unwrap_or(0))
}

fn resolve(attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
    let class =
        match pod.text(&["spec", "priorityClassName"]) {
            None => default_class(facts),
            Some(name) => Some(facts.get(views::PRIORITY_CLASSES, None, name).ok_or_else(|| {
                attributes.forbidden(Some(pod), &format!("no PriorityClass with name {name} was found"))
            })?),
        };
    let class = class.as_deref();
    let priority = class.and_then(|class| class.integer(&["value"])).unwrap_or(0);
    if let Some(given) = pod.integer(&["spec", "priority"]).filter(|given| *given != priority) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(Some(pod), &why));
    }
    let policy = class.map_or(Some("PreemptLowerPriority"), |class| class.text(&["preemptionPolicy"]));
    if let (Some(given), Some(policy)) = (pod.text(&["spec", "preemptionPolicy"]), policy)
        && given != policy
    {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(attributes.forbidden(Some(pod), &why));
    }
    if let Some(name) = class.and_then(Object::name) {
        pod.set(&["spec", "priorityClassName"], name);
    }
    pod.set(&["spec", "priority"], priority);
    if let Some(policy) = policy {
        pod.set(&["spec", "preemptionPolicy"], policy);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    fn class(name: &str, value: i64, default: bool) -> Value {
        json!({ "metadata": { "name": name }, "value": value, "globalDefault": default, "preemptionPolicy": "Never" })
    }

    fn world(default: bool) -> World {
        World::default()
            .with(views::PRIORITY_CLASSES, class("low", 5, default))
            .with(views::PRIORITY_CLASSES, class("high", 100, false))
    }

    fn resolved(spec: Value, default: bool) -> Result<Value, String> {
        let pod = json!({ "metadata": { "name": "p" }, "spec": spec });
        create("", "pods")
            .mutate(&Priority, pod, &world(default))
            .map(|mut pod| pod["spec"].take())
            .map_err(|status| status.message)
    }

    #[test]
    fn a_pod_has_the_priority_of_its_class() {
        let never = |name: &str, value: i64| {
            Ok(json!({ "priorityClassName": name, "priority": value, "preemptionPolicy": "Never" }))
        };
        assert_eq!(resolved(json!({ "priorityClassName": "high" }), false), never("high", 100));
        assert_eq!(resolved(json!({}), true), never("low", 5));
        assert_eq!(
            resolved(json!({}), false),
            Ok(json!({ "priority": 0, "preemptionPolicy": "PreemptLowerPriority" }))
        );
        assert_eq!(
            resolved(json!({ "priorityClassName": "nope" }), false),
            Err("pods \"p\" is forbidden: no PriorityClass with name nope was found".into())
        );
        assert_eq!(
            resolved(json!({ "priority": 7 }), false),
            Err("pods \"p\" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name".into())
        );
        assert_eq!(
            resolved(json!({ "preemptionPolicy": "Never" }), false),
            Err("pods \"p\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name".into())
        );
    }

    #[test]
    fn it_stays_when_others_forget_it() {
        let old = json!({ "metadata": { "name": "a" }, "spec": { "priority": 5, "preemptionPolicy": "Never" } });
        let new = json!({ "metadata": { "name": "a" }, "spec": {} });
        assert_eq!(update("", "pods", None, old.clone()).mutate(&Priority, new, &world(false)), Ok(old));
    }

    #[test]
    fn there_is_one_default() {
        let refused =
            create("scheduling.k8s.io", "priorityclasses").validate(&Priority, class("new", 1, true), &world(true));
        assert_eq!(
            refused,
            Err("priorityclasses.scheduling.k8s.io \"new\" is forbidden: PriorityClass low is already marked as default. Only one default can exist".into())
        );
        let own = update("scheduling.k8s.io", "priorityclasses", None, class("low", 5, true));
        assert_eq!(own.validate(&Priority, class("low", 5, true), &world(true)), Ok(()));
    }
}
