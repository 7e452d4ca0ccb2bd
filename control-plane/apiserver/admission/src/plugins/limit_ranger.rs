//! Limits of a namespace: what containers take when they do not say, and how little and how much they may.

use apiserver_core::quantity::Quantity;
use apiserver_core::{Object, Status};
use serde_json::{Map, Value};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;
use crate::pods::{Amounts, amounts, list, list_mut, text, totals};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// Applies every `LimitRange` of the namespace.
#[derive(Debug)]
pub(super) struct LimitRanger;

impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        let resizes = attributes.operation == Operation::Update && attributes.is_on("", "pods", Some("resize"));
        // What containers take cannot change otherwise.
        let wanted = resizes || attributes.creates("", "pods") || attributes.writes("", "persistentvolumeclaims");
        // What is about to go shall not be held up.
        wanted && attributes.old.is_none_or(|old| old.deletion_timestamp().is_none())
    }

    fn reads(&self) -> &'static [View] {
        &[views::LIMIT_RANGES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        if attributes.resource.plural == "pods" {
            for range in facts.list(views::LIMIT_RANGES, attributes.namespace) {
                fill(object, &range);
            }
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        for range in facts.list(views::LIMIT_RANGES, attributes.namespace) {
            let wrong: Vec<String> =
                range.list(&["spec", "limits"]).iter().flat_map(|limit| check(attributes, object, limit)).collect();
            match wrong.as_slice() {
                [] => {}
                [only] => return Err(attributes.forbidden(Some(object), only)),
                many => return Err(attributes.forbidden(Some(object), &format!("[{}]", many.join(", ")))),
            }
        }
        Ok(())
    }
}

/// Fills in what containers take by default, and notes that.
fn fill(pod: &mut Object, range: &Object) {
    let of = |member: &str| -> Map<String, Value> {
        let limits = range.list(&["spec", "limits"]).iter().filter(|limit| text(limit, "type") == "Container");
        limits
            .filter_map(|limit| limit.get(member)?.as_object())
            .flatten()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let (limits, requests) = (of("default"), of("defaultRequest"));
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let mut notes = Vec::new();
    for (containers, word) in [("containers", "container"), ("initContainers", "init container")] {
        if list(pod, containers).is_empty() {
            continue;
        }
        for container in list_mut(pod, "spec", containers).into_iter().flatten() {
            let name = text(container, "name").to_owned();
            for (which, defaults, kind) in [("requests", &requests, "request"), ("limits", &limits, "limit")] {
                let set = fill_amounts(container, which, defaults);
                if !set.is_empty() {
                    notes.push(format!("{} {kind} for {word} {name}", set.join(", ")));
                }
            }
        }
    }
    if !notes.is_empty() {
        pod.set(&["metadata", "annotations", ANNOTATION], format!("LimitRanger plugin set: {}", notes.join("; ")));
    }
}

/// Which amounts were missing, and are there now.
fn fill_amounts(container: &mut Value, which: &str, defaults: &Map<String, Value>) -> Vec<String> {
    let Some(container) = container.as_object_mut() else { return Vec::new() };
    let resources = container.entry("resources").or_insert_with(|| Value::Object(Map::new()));
    let Some(resources) = resources.as_object_mut() else { return Vec::new() };
    let mut had = resources.get(which).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut set = Vec::new();
    for (name, amount) in defaults {
        if !had.contains_key(name) {
            had.insert(name.clone(), amount.clone());
            set.push(name.clone());
        }
    }
    if !set.is_empty() {
        resources.insert(which.to_owned(), Value::Object(had));
    }
    set
}

/// What is wrong with an object by one limit.
fn check(attributes: &Attributes<'_>, object: &Object, limit: &Value) -> Vec<String> {
    let kind = text(limit, "type");
    let bound = |member: &str| amounts(limit.get(member));
    let mut wrong = Vec::new();
    let mut judge = |requests: &Amounts, limits: &Amounts| {
        let (of_request, of_limit) = (|name: &String| requests.get(name), |name: &String| limits.get(name));
        wrong.extend(
            bound("min")
                .iter()
                .filter_map(|(name, least)| too_little(kind, name, least, of_request(name), of_limit(name))),
        );
        wrong.extend(
            bound("max").iter().filter_map(|(name, most)| too_much(kind, name, most, of_request(name), of_limit(name))),
        );
        wrong.extend(
            bound("maxLimitRequestRatio")
                .iter()
                .filter_map(|(name, most)| too_far_apart(kind, name, most, of_request(name), of_limit(name))),
        );
    };
    match (kind, attributes.resource.plural.as_str()) {
        ("Container", "pods") => {
            for container in list(object, "containers").iter().chain(list(object, "initContainers")) {
                let of = |which: &str| amounts(container.get("resources").and_then(|resources| resources.get(which)));
                judge(&of("requests"), &of("limits"));
            }
        }
        ("Pod", "pods") => judge(&totals(object, "requests", false), &totals(object, "limits", false)),
        ("PersistentVolumeClaim", "persistentvolumeclaims") => {
            let requests = amounts(object.at(&["spec", "resources", "requests"]));
            for (name, least) in &bound("min") {
                wrong.extend(too_little(kind, name, least, requests.get(name), None));
            }
            for (name, most) in &bound("max") {
                wrong.extend(requested_too_much(kind, name, most, requests.get(name)));
            }
        }
        _ => {}
    }
    wrong
}

fn too_little(
    kind: &str,
    name: &str,
    least: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = || format!("minimum {name} usage per {kind} is {least}");
    match (request, limit) {
        (None, _) => Some(format!("{}.  No request is specified", rule())),
        (Some(request), _) if request < least => Some(format!("{}, but request is {request}", rule())),
        (Some(_), Some(limit)) if limit < least => Some(format!("{}, but limit is {limit}", rule())),
        (Some(_), _) => None,
    }
}

fn too_much(
    kind: &str,
    name: &str,
    most: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = || format!("maximum {name} usage per {kind} is {most}");
    match (limit, request) {
        (None, _) => Some(format!("{}.  No limit is specified", rule())),
        (Some(limit), _) if limit > most => Some(format!("{}, but limit is {limit}", rule())),
        (Some(_), Some(request)) if request > most => Some(format!("{}, but request is {request}", rule())),
        (Some(_), _) => None,
    }
}

fn requested_too_much(kind: &str, name: &str, most: &Quantity, request: Option<&Quantity>) -> Option<String> {
    let rule = || format!("maximum {name} usage per {kind} is {most}");
    match request {
        None => Some(format!("{}.  No request is specified", rule())),
        Some(request) if request > most => Some(format!("{}, but request is {request}", rule())),
        Some(_) => None,
    }
}

fn too_far_apart(
    kind: &str,
    name: &str,
    most: &Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let rule = || format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(request) = request.filter(|amount| !amount.is_zero()) else {
        return Some(format!("{}, but no request is specified or request is 0", rule()));
    };
    let Some(limit) = limit.filter(|amount| !amount.is_zero()) else {
        return Some(format!("{}, but no limit is specified or limit is 0", rule()));
    };
    let ratio = limit.milli_value() as f64 / request.milli_value() as f64;
    let most = most.milli_value() as f64 / 1000.0;
    (ratio > most).then(|| format!("{}, but provided ratio is {ratio:.6}", rule()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    fn world(limits: Value) -> World {
        let range = json!({ "metadata": { "name": "l", "namespace": "default" }, "spec": { "limits": limits } });
        World::default().with(views::LIMIT_RANGES, range)
    }

    fn pod(resources: Value) -> Value {
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "c", "resources": resources }] } })
    }

    #[test]
    fn containers_that_say_nothing_get_the_default() {
        let world = world(json!([{
            "type": "Container", "default": { "cpu": "500m", "memory": "1Gi" }, "defaultRequest": { "cpu": "100m", "memory": "1Gi" },
        }]));
        let filled =
            create("", "pods").mutate(&LimitRanger, pod(json!({ "requests": { "cpu": "1" } })), &world).unwrap();
        assert_eq!(
            filled["spec"]["containers"][0]["resources"],
            json!({ "requests": { "cpu": "1", "memory": "1Gi" }, "limits": { "cpu": "500m", "memory": "1Gi" } })
        );
        assert_eq!(
            filled["metadata"]["annotations"][ANNOTATION],
            "LimitRanger plugin set: memory request for container c; cpu, memory limit for container c"
        );
        // Twice changes nothing more.
        assert_eq!(create("", "pods").mutate(&LimitRanger, filled.clone(), &world).unwrap(), filled);
    }

    #[test]
    fn bounds_are_kept() {
        let world = world(json!([{
            "type": "Container", "min": { "cpu": "100m" }, "max": { "cpu": "1" }, "maxLimitRequestRatio": { "cpu": "2" },
        }]));
        let refused = |resources: Value| create("", "pods").validate(&LimitRanger, pod(resources), &world);
        let cpu = |request: &str, limit: &str| json!({ "requests": { "cpu": request }, "limits": { "cpu": limit } });
        assert_eq!(refused(cpu("500m", "1")), Ok(()));
        assert_eq!(
            refused(cpu("50m", "100m")),
            Err("pods \"p\" is forbidden: minimum cpu usage per Container is 100m, but request is 50m".to_owned())
        );
        assert_eq!(
            refused(cpu("2", "2")),
            Err("pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2".to_owned())
        );
        assert_eq!(
            refused(cpu("300m", "1")),
            Err("pods \"p\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 3.333333".to_owned())
        );
        assert_eq!(
            refused(json!({})),
            Err("pods \"p\" is forbidden: [minimum cpu usage per Container is 100m.  No request is specified, \
                 maximum cpu usage per Container is 1.  No limit is specified, \
                 cpu max limit to request ratio per Container is 2, but no request is specified or request is 0]"
                .to_owned())
        );
    }

    #[test]
    fn pods_and_claims_have_bounds_of_their_own() {
        let world = world(json!([
            { "type": "Pod", "max": { "memory": "1Gi" } },
            { "type": "PersistentVolumeClaim", "min": { "storage": "1Gi" }, "max": { "storage": "5Gi" } },
        ]));
        let two = json!({ "metadata": { "name": "p" }, "spec": { "containers": [
            { "name": "a", "resources": { "limits": { "memory": "1Gi" }, "requests": { "memory": "1" } } },
            { "name": "b", "resources": { "limits": { "memory": "1Gi" }, "requests": { "memory": "1" } } },
        ] } });
        assert_eq!(
            create("", "pods").validate(&LimitRanger, two, &world),
            Err("pods \"p\" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2Gi".to_owned())
        );
        let claim = |storage: &str| json!({ "metadata": { "name": "a" }, "spec": { "resources": { "requests": { "storage": storage } } } });
        assert_eq!(create("", "persistentvolumeclaims").validate(&LimitRanger, claim("2Gi"), &world), Ok(()));
        let grown =
            update("", "persistentvolumeclaims", None, claim("2Gi")).validate(&LimitRanger, claim("9Gi"), &world);
        assert_eq!(
            grown,
            Err("persistentvolumeclaims \"a\" is forbidden: maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 9Gi".to_owned())
        );
    }
}
