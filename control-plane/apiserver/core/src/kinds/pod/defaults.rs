//! What a pod is when its author does not say.

use serde_json::{Map, Value, json};

use super::CONTAINER_LISTS;
use crate::object::Object;

/// Fills in documented defaults.
pub(super) fn fill(pod: &mut Object) {
    let host_network = pod.flag(&["spec", "hostNetwork"]);
    let spec = pod.section("spec");
    or_set(spec, "enableServiceLinks", true);
    fill_spec(spec);
    for name in CONTAINER_LISTS {
        for container in objects(spec.get_mut(name)) {
            if name != "ephemeralContainers" {
                request_what_is_limited(container);
            }
            if host_network {
                listen_on_the_host(container);
            }
        }
    }
}

/// Fills in the defaults that the spec of a pod and that of a template share.
pub(in crate::kinds) fn fill_spec(spec: &mut Map<String, Value>) {
    or_set(spec, "dnsPolicy", "ClusterFirst");
    or_set(spec, "restartPolicy", "Always");
    or_set(spec, "securityContext", json!({}));
    or_set(spec, "terminationGracePeriodSeconds", 30);
    or_set(spec, "schedulerName", "default-scheduler");
    mirror(spec, "serviceAccountName", "serviceAccount");
    for name in CONTAINER_LISTS {
        for container in objects(spec.get_mut(name)) {
            fill_container(container);
        }
    }
    for volume in objects(spec.get_mut("volumes")) {
        fill_volume(volume);
    }
}

/// Sets a member that is absent or an empty string.
fn or_set(map: &mut Map<String, Value>, member: &str, value: impl Into<Value>) {
    if map.get(member).is_none_or(|value| value.as_str() == Some("")) {
        map.insert(member.to_owned(), value.into());
    }
}

/// Two names of one field: what one says holds for both.
fn mirror(map: &mut Map<String, Value>, name: &str, old_name: &str) {
    let given = |map: &Map<String, Value>, member: &str| {
        map.get(member).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    if let Some(value) = given(map, name).or_else(|| given(map, old_name)) {
        map.insert(name.to_owned(), value.clone().into());
        map.insert(old_name.to_owned(), value.into());
    }
}

fn objects(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

fn member<'a>(map: &'a mut Map<String, Value>, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter().try_fold(map, |map, name| map.get_mut(*name)?.as_object_mut())
}

fn fill_container(container: &mut Map<String, Value>) {
    let policy = container.get("image").and_then(Value::as_str).map_or("IfNotPresent", pull_policy);
    or_set(container, "imagePullPolicy", policy);
    or_set(container, "terminationMessagePath", "/dev/termination-log");
    or_set(container, "terminationMessagePolicy", "File");
    or_set(container, "resources", json!({}));
    for port in objects(container.get_mut("ports")) {
        or_set(port, "protocol", "TCP");
    }
    for variable in objects(container.get_mut("env")) {
        if let Some(reference) = member(variable, &["valueFrom", "fieldRef"]) {
            or_set(reference, "apiVersion", "v1");
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = member(container, &[name]) {
            for (field, value) in
                [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
            {
                if probe.get(field).and_then(Value::as_i64).unwrap_or(0) == 0 {
                    probe.insert(field.into(), value.into());
                }
            }
            fill_handler(probe);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = member(container, &["lifecycle", hook]) {
            fill_handler(handler);
        }
    }
}

fn fill_handler(handler: &mut Map<String, Value>) {
    if let Some(get) = member(handler, &["httpGet"]) {
        or_set(get, "path", "/");
        or_set(get, "scheme", "HTTP");
    }
    if let Some(grpc) = member(handler, &["grpc"])
        && !grpc.contains_key("service")
    {
        grpc.insert("service".into(), "".into());
    }
}

/// Images that may change under their name are pulled each time.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains('@') {
        return "IfNotPresent";
    }
    match name.split_once(':') {
        None | Some((_, "latest")) => "Always",
        Some(_) => "IfNotPresent",
    }
}

/// In the network of its host a container listens where it says.
fn listen_on_the_host(container: &mut Map<String, Value>) {
    for port in objects(container.get_mut("ports")) {
        if port.get("hostPort").and_then(Value::as_i64).unwrap_or(0) == 0 {
            let own = port.get("containerPort").cloned().unwrap_or_default();
            port.insert("hostPort".into(), own);
        }
    }
}

fn request_what_is_limited(container: &mut Map<String, Value>) {
    let Some(resources) = member(container, &["resources"]) else { return };
    let Some(Value::Object(limits)) = resources.get("limits").cloned() else { return };
    if let Value::Object(requests) = resources.entry("requests").or_insert_with(|| json!({})) {
        for (name, amount) in limits {
            requests.entry(name).or_insert(amount);
        }
    }
}

fn fill_volume(volume: &mut Map<String, Value>) {
    if volume.keys().all(|key| key == "name") {
        volume.insert("emptyDir".into(), json!({}));
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = member(volume, &[source]) {
            or_set(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = member(volume, &["hostPath"])
        && !path.contains_key("type")
    {
        path.insert("type".into(), "".into());
    }
    if let Some(claim) = member(volume, &["ephemeral", "volumeClaimTemplate", "spec"]) {
        or_set(claim, "volumeMode", "Filesystem");
    }
    if let Some(api) = member(volume, &["downwardAPI"]) {
        fill_downward(api);
    }
    if let Some(projected) = member(volume, &["projected"]) {
        for source in objects(projected.get_mut("sources")) {
            if let Some(token) = member(source, &["serviceAccountToken"]) {
                or_set(token, "expirationSeconds", 3600);
            }
            if let Some(api) = member(source, &["downwardAPI"]) {
                fill_downward(api);
            }
        }
    }
}

fn fill_downward(source: &mut Map<String, Value>) {
    for item in objects(source.get_mut("items")) {
        if let Some(reference) = member(item, &["fieldRef"]) {
            or_set(reference, "apiVersion", "v1");
        }
    }
}
