//! What plugins want to know of pods.

use std::collections::BTreeMap;

use apiserver_core::Object;
use apiserver_core::quantity::Quantity;
use serde_json::{Map, Value};

/// Amounts by the name of a resource.
pub type Amounts = BTreeMap<String, Quantity>;

/// The members of a list in the spec of a pod.
pub(crate) fn list<'a>(pod: &'a Object, name: &str) -> &'a [Value] {
    pod.list(&["spec", name])
}

/// The text of a member, empty when absent.
pub(crate) fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The members of a list, none when absent.
pub(crate) fn items<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The list of that name in a section of an object, to change; made if absent.
pub(crate) fn list_mut<'a>(object: &'a mut Object, section: &str, name: &str) -> Option<&'a mut Vec<Value>> {
    let slot = object.section(section).entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if slot.is_null() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut()
}

/// The amounts in an object of them.
pub(crate) fn amounts(value: Option<&Value>) -> Amounts {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    members.filter_map(|(name, amount)| Some((name.clone(), Quantity::of(amount)?))).collect()
}

/// Amounts as they are written into objects.
pub(crate) fn written(amounts: &Amounts) -> Value {
    Value::Object(amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string().into())).collect::<Map<_, _>>())
}

/// Adds amounts.
pub(crate) fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.get(name).map_or(*amount, |had| had.plus(*amount));
        total.insert(name.clone(), sum);
    }
}

/// Takes the greater of each.
fn raise(total: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if total.get(name).is_none_or(|had| had < amount) {
            total.insert(name.clone(), *amount);
        }
    }
}

/// `requests` or `limits` of a whole pod: of containers that run together the sum, of those that run one after another the
/// greatest, and where the pod itself says how much it takes, that.
pub(crate) fn totals(pod: &Object, which: &str, with_overhead: bool) -> Amounts {
    let own = |container: &Value| amounts(container.get("resources").and_then(|resources| resources.get(which)));
    let mut total = Amounts::new();
    for container in list(pod, "containers") {
        add(&mut total, &own(container));
    }
    // Sidecars go on running beside all that starts after them.
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in list(pod, "initContainers") {
        let mut wanted = own(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &wanted);
            add(&mut sidecars, &wanted);
            wanted.clone_from(&sidecars);
        } else {
            add(&mut wanted, &sidecars);
        }
        raise(&mut starting, &wanted);
    }
    raise(&mut total, &starting);
    let whole = amounts(pod.at(&["spec", "resources", which]));
    for (name, amount) in whole {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.insert(name, amount);
        }
    }
    if with_overhead {
        for (name, amount) in amounts(pod.at(&["spec", "overhead"])) {
            if which == "requests" || total.contains_key(&name) {
                add(&mut total, &Amounts::from([(name, amount)]));
            }
        }
    }
    total
}

/// Whether a pod was put on its node by the node itself.
pub(crate) fn is_mirror(pod: &Object) -> bool {
    pod.at(&["metadata", "annotations", "kubernetes.io/config.mirror"]).is_some()
}

/// Whether a toleration tolerates all that another one does.
pub(crate) fn covers(one: &Value, other: &Value) -> bool {
    let (key, effect) = (text(one, "key"), text(one, "effect"));
    let seconds = |toleration: &Value| toleration.get("tolerationSeconds").and_then(Value::as_i64);
    let value_fits = match text(one, "operator") {
        "" | "Equal" => {
            matches!(text(other, "operator"), "" | "Equal") && text(one, "value") == text(other, "value")
                || one == other
        }
        "Exists" => true,
        _ => one == other,
    };
    (key.is_empty() || key == text(other, "key"))
        && (effect.is_empty() || effect == text(other, "effect"))
        && value_fits
        && match (seconds(one), seconds(other)) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(one), Some(other)) => one >= other,
        }
}

/// Two lists of tolerations as one, without what others of them say already.
pub(crate) fn merged_tolerations(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let said = merged.iter().any(|other| covers(other, one));
        let comes = all[at + 1..].iter().any(|other| other != one && covers(other, one) && !covers(one, other));
        if !said && !comes {
            merged.push((*one).clone());
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: Value) -> Object {
        Object::from_value(json!({ "spec": spec })).unwrap()
    }

    fn shown(amounts: &Amounts) -> Value {
        written(amounts)
    }

    #[test]
    fn containers_that_run_together_add_up() {
        let needs = |cpu: &str| json!({ "requests": { "cpu": cpu } });
        let pod = pod(json!({
            "containers": [{ "resources": needs("1") }, { "resources": needs("500m") }],
            "initContainers": [
                { "resources": needs("200m"), "restartPolicy": "Always" },
                { "resources": needs("3") },
            ],
            "overhead": { "cpu": "100m" },
        }));
        assert_eq!(shown(&totals(&pod, "requests", false)), json!({ "cpu": "3200m" }));
        assert_eq!(shown(&totals(&pod, "requests", true)), json!({ "cpu": "3300m" }));
        assert_eq!(totals(&pod, "limits", true), Amounts::new());
    }

    #[test]
    fn a_pod_that_says_what_it_takes_takes_that() {
        let pod = pod(json!({
            "resources": { "requests": { "cpu": "4" } },
            "containers": [{ "resources": { "requests": { "cpu": "1", "memory": "1Gi" } } }],
        }));
        assert_eq!(shown(&totals(&pod, "requests", true)), json!({ "cpu": "4", "memory": "1Gi" }));
    }

    #[test]
    fn tolerations_that_others_cover_go() {
        let exact = json!({ "key": "a", "operator": "Equal", "value": "b", "effect": "NoSchedule" });
        let any = json!({ "key": "a", "operator": "Exists", "effect": "NoSchedule" });
        assert_eq!(merged_tolerations(std::slice::from_ref(&exact), std::slice::from_ref(&any)), [any.clone(); 1]);
        assert_eq!(merged_tolerations(std::slice::from_ref(&any), std::slice::from_ref(&exact)), [any.clone(); 1]);
        assert_eq!(merged_tolerations(std::slice::from_ref(&any), std::slice::from_ref(&any)), [any]);
    }
}
