use super::*;
use crate::engine::{Deletion, Updated, bind_pod, decide_delete, prepare_update};
use crate::kinds::testing::{self, context, create, create_errors, stored, try_update, update_errors};

fn row() -> std::sync::Arc<crate::Resource> {
    testing::row("", "pods")
}

fn simple() -> Value {
    json!({ "spec": { "containers": [{ "name": "c", "image": "nginx" }] } })
}

#[test]
fn defaults_are_filled_in() {
    let pod = create(&row(), simple());
    assert_eq!(
        pod.at(&["spec"]),
        Some(&json!({
            "containers": [{
                "name": "c", "image": "nginx", "imagePullPolicy": "Always", "resources": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30,
        }))
    );
    assert_eq!(pod.at(&["status"]), Some(&json!({ "phase": "Pending", "qosClass": "BestEffort" })));
    assert_eq!(pod.generation(), Some(1));
}

#[test]
fn images_that_may_change_are_pulled_always() {
    for (image, wanted) in [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("h:5000/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:0", "IfNotPresent"),
    ] {
        let pod = create(&row(), json!({ "spec": { "containers": [{ "name": "c", "image": image }] } }));
        assert_eq!(pod.list(&["spec", "containers"])[0]["imagePullPolicy"], wanted, "{image}");
    }
}

#[test]
fn quality_follows_requests_and_limits() {
    let of = |resources: Value| {
        let pod = create(
            &row(),
            json!({ "spec": { "containers": [{ "name": "c", "image": "a", "resources": resources }] } }),
        );
        pod.text(&["status", "qosClass"]).map(str::to_owned)
    };
    assert_eq!(of(json!({ "limits": { "cpu": "1", "memory": "1Gi" } })).as_deref(), Some("Guaranteed"));
    assert_eq!(of(json!({ "requests": { "cpu": "1" } })).as_deref(), Some("Burstable"));
    assert_eq!(of(json!({})).as_deref(), Some("BestEffort"));
}

#[test]
fn common_mistakes_are_named() {
    assert_eq!(create_errors(&row(), json!({ "spec": {} })), ["spec.containers: Required value"]);
    assert_eq!(
        create_errors(
            &row(),
            json!({ "spec": {
                "restartPolicy": "Sometimes",
                "containers": [
                    { "name": "c", "ports": [{ "containerPort": 0 }], "volumeMounts": [{ "name": "v", "mountPath": "/v" }] },
                    { "name": "c", "image": "a", "imagePullPolicy": "Maybe", "env": [{ "value": "1" }],
                      "resources": { "requests": { "cpu": "2" }, "limits": { "cpu": "1" } } },
                ],
                "volumes": [{ "name": "x", "emptyDir": {}, "hostPath": { "path": "/" } }],
            } })
        ),
        [
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.containers[0].image: Required value",
            "spec.containers[0].ports[0].containerPort: Required value",
            "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
            "spec.containers[1].name: Duplicate value: \"c\"",
            "spec.containers[1].imagePullPolicy: Unsupported value: \"Maybe\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            "spec.containers[1].env[0].name: Required value",
            "spec.containers[1].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ]
    );
}

#[test]
fn only_few_fields_change() {
    let mut image = simple();
    image["spec"]["containers"][0]["image"] = "nginx:1".into();
    image["spec"]["containers"][0]["imagePullPolicy"] = "Always".into();
    assert!(update_errors(&row(), None, simple(), image).is_empty());
    let mut named = simple();
    named["spec"]["hostname"] = "h".into();
    let errors = update_errors(&row(), None, simple(), named);
    assert!(
        errors[0].starts_with("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"),
        "{errors:?}"
    );
    assert!(errors[0].ends_with("- spec.hostname: null\n+ spec.hostname: \"h\""), "{errors:?}");
    let mut more = simple();
    more["spec"]["containers"] = json!([{ "name": "c", "image": "a" }, { "name": "d", "image": "a" }]);
    assert_eq!(
        update_errors(&row(), None, simple(), more),
        ["spec.containers: Forbidden: pod updates may not add or remove containers"]
    );
}

#[test]
fn status_and_spec_are_written_apart() {
    let mut new = simple();
    new["status"] = json!({ "phase": "Running", "podIPs": [{ "ip": "10.0.0.1" }] });
    new["spec"]["hostname"] = "h".into();
    let Ok(Updated::Store(prepared)) = try_update(&row(), Some("status"), simple(), new.clone()) else {
        panic!("a change")
    };
    assert_eq!(prepared.object.text(&["status", "phase"]), Some("Running"));
    assert_eq!(prepared.object.text(&["status", "qosClass"]), Some("BestEffort"));
    assert_eq!(prepared.object.at(&["spec", "hostname"]), None);
    assert_eq!(prepared.object.generation(), Some(1));
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("hostname");
    }
    assert!(matches!(try_update(&row(), None, simple(), new), Ok(Updated::Unchanged(_))));
}

#[test]
fn a_bound_pod_dies_gracefully_and_a_free_one_at_once() {
    let pod = stored(create(&row(), simple()));
    assert_eq!(decide_delete(&row(), &pod, &DeleteOptions::default(), &context()), Ok(Deletion::Remove));
    let mut bound = pod;
    bound.set(&["spec", "nodeName"], "n");
    let Ok(Deletion::Wait(going)) = decide_delete(&row(), &bound, &DeleteOptions::default(), &context()) else {
        panic!("a wait")
    };
    assert_eq!(going.deletion_timestamp(), Some("2026-08-01T10:00:30Z"));
    assert_eq!(going.integer(&["metadata", "deletionGracePeriodSeconds"]), Some(30));
    assert_eq!(going.generation(), Some(2));
    let going = stored(going);
    assert_eq!(decide_delete(&row(), &going, &DeleteOptions::default(), &context()), Ok(Deletion::Waiting));
    let sooner = DeleteOptions { grace_period_seconds: Some(5), ..DeleteOptions::default() };
    let Ok(Deletion::Wait(sooner)) = decide_delete(&row(), &going, &sooner, &context()) else { panic!("a wait") };
    assert_eq!(sooner.deletion_timestamp(), Some("2026-08-01T10:00:05Z"));
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    assert_eq!(decide_delete(&row(), &going, &now, &context()), Ok(Deletion::Remove));
}

#[test]
fn binding_names_a_node_once() {
    let pod = stored(create(&row(), simple()));
    let binding = Object::from_value(json!({ "target": { "kind": "Node", "name": "n" } })).expect("an object");
    let bound = bind_pod(&row(), &pod, &binding, &context()).expect("free");
    assert_eq!(bound.text(&["spec", "nodeName"]), Some("n"));
    let Ok(Updated::Store(prepared)) = prepare_update(&row(), Some("binding"), &pod, bound.clone(), &context()) else {
        panic!("a change")
    };
    assert_eq!(prepared.object.text(&["spec", "nodeName"]), Some("n"));
    assert_eq!(prepared.object.list(&["status", "conditions"])[0]["type"], "PodScheduled");
    assert_eq!(prepared.object.generation(), Some(2));
    let again = bind_pod(&row(), &bound, &binding, &context()).map_err(|status| (status.code, status.message));
    assert_eq!(
        again,
        Err((
            409,
            "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n\"".into()
        ))
    );
}

#[test]
fn tables_say_how_a_pod_is() {
    let cell = |status: Value, deleted: bool| {
        let mut pod = create(&row(), simple());
        pod.set(&["status"], status);
        if deleted {
            pod.set(&["metadata", "deletionTimestamp"], "2026-08-01T10:00:00Z");
        }
        let cells = row().strategy.cells(&pod, context().now);
        (
            cells[1].as_str().map(str::to_owned),
            cells[2].as_str().map(str::to_owned),
            cells[3].as_str().map(str::to_owned),
        )
    };
    let want = |ready: &str, status: &str, restarts: &str| {
        (Some(ready.to_owned()), Some(status.to_owned()), Some(restarts.to_owned()))
    };
    assert_eq!(cell(json!({ "phase": "Pending" }), false), want("0/1", "Pending", "0"));
    assert_eq!(
        cell(
            json!({ "phase": "Running", "containerStatuses": [{ "name": "c", "ready": true, "restartCount": 2, "state": { "running": {} },
            "lastState": { "terminated": { "finishedAt": "2026-08-01T09:59:00Z" } } }] }),
            false
        ),
        want("1/1", "Running", "2 (60s ago)")
    );
    assert_eq!(
        cell(
            json!({ "phase": "Running", "containerStatuses": [{ "name": "c", "restartCount": 1, "state": { "waiting": { "reason": "CrashLoopBackOff" } } }] }),
            false
        ),
        want("0/1", "CrashLoopBackOff", "1")
    );
    assert_eq!(
        cell(
            json!({ "phase": "Pending", "initContainerStatuses": [{ "name": "i", "state": { "terminated": { "exitCode": 3 } } }] }),
            false
        ),
        want("0/1", "Init:ExitCode:3", "0")
    );
    assert_eq!(cell(json!({ "phase": "Running" }), true), want("0/1", "Terminating", "0"));
}

fn updated(part: &str, old: Value, new: Value) -> Object {
    match try_update(&row(), Some(part), old, new).unwrap() {
        Updated::Store(prepared) => prepared.object,
        other => panic!("{other:?}"),
    }
}

#[test]
fn containers_for_debugging_join_and_stay() {
    let with = |ephemeral: Value| {
        let mut pod = simple();
        pod["metadata"]["labels"] = json!({ "ignored": "here" });
        pod["spec"]["nodeName"] = "ignored".into();
        pod["spec"]["ephemeralContainers"] = ephemeral;
        pod
    };
    let debugger = json!({ "name": "debug", "image": "sh", "targetContainerName": "c" });
    let joined = updated("ephemeralcontainers", simple(), with(json!([debugger])));
    assert_eq!(joined.list(&["spec", "ephemeralContainers"])[0]["name"], "debug");
    assert_eq!((joined.at(&["spec", "nodeName"]), joined.labels().count(), joined.generation()), (None, 0, Some(2)));

    let errors = |ephemeral| update_errors(&row(), Some("ephemeralcontainers"), simple(), with(ephemeral));
    assert_eq!(
        errors(json!([{ "name": "c", "image": "sh", "ports": [{ "containerPort": 1 }], "targetContainerName": "x" }])),
        [
            "spec.ephemeralContainers[0].name: Duplicate value: \"c\"",
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
            "spec.ephemeralContainers[0].targetContainerName: Not found: \"x\"",
        ]
    );
    let old = stored(joined);
    let mut gone = old.clone();
    gone.remove(&["spec", "ephemeralContainers"]);
    let mut other = old.clone();
    other.set(&["spec", "ephemeralContainers"], json!([{ "name": "debug", "image": "bash" }]));
    for (new, what) in [(gone, "removed"), (other, "changed")] {
        let refused = prepare_update(&row(), Some("ephemeralcontainers"), &old, new, &context()).unwrap_err();
        assert!(
            refused.message.contains(&format!("existing ephemeral containers \"debug\" may not be {what}")),
            "{}",
            refused.message
        );
    }
}

fn sized(resources: Value) -> Value {
    json!({ "spec": { "containers": [{ "name": "c", "image": "nginx", "resources": resources }] } })
}

#[test]
fn processor_time_and_memory_can_be_resized() {
    let old = || sized(json!({ "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "cpu": "200m" } }));
    let mut new =
        sized(json!({ "requests": { "cpu": "150m", "memory": "64Mi" }, "limits": { "cpu": "300m", "memory": "1Gi" } }));
    new["spec"]["containers"][0]["image"] = "ignored".into();
    let resized = updated("resize", old(), new);
    let container = &resized.list(&["spec", "containers"])[0];
    assert_eq!(container["resources"]["limits"], json!({ "cpu": "300m", "memory": "1Gi" }));
    assert_eq!((&container["image"], resized.generation()), (&json!("nginx"), Some(2)));

    let errors = |resources| update_errors(&row(), Some("resize"), old(), sized(resources));
    let requests = json!({ "cpu": "100m", "memory": "64Mi" });
    assert_eq!(
        errors(json!({ "requests": { "cpu": "100m" } })),
        [
            "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
        ]
    );
    let more = json!({ "cpu": "200m", "ephemeral-storage": "1Gi" });
    assert_eq!(
        errors(json!({ "requests": requests, "limits": more })),
        ["spec: Forbidden: only cpu and memory resources are mutable"]
    );
    assert_eq!(
        errors(
            json!({ "requests": { "cpu": "200m", "memory": "64Mi" }, "limits": { "cpu": "200m", "memory": "64Mi" } })
        ),
        ["spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing"]
    );
    let mut renamed = old();
    renamed["spec"]["containers"][0]["name"] = "d".into();
    assert_eq!(
        update_errors(&row(), Some("resize"), old(), renamed),
        ["spec: Forbidden: containers may not be renamed or reordered on resize"]
    );
}

#[test]
fn nodes_that_do_not_tell_what_containers_have_cannot_resize_them() {
    let pod = |cpu: &str| sized(json!({ "requests": { "cpu": cpu } }));
    let mut old = stored(create(&row(), pod("100m")));
    let mut new = old.clone();
    new.set(&["spec"], testing::object(&row(), pod("200m")).at(&["spec"]).cloned().unwrap());
    let mut status = json!([{ "name": "c", "state": { "running": {} } }]);
    old.set(&["status", "containerStatuses"], status.clone());
    let refused = prepare_update(&row(), Some("resize"), &old, new.clone(), &context()).unwrap_err();
    assert!(refused.message.contains("Pod running on node without support for resize"), "{}", refused.message);
    status[0]["resources"] = json!({ "requests": { "cpu": "100m" } });
    old.set(&["status", "containerStatuses"], status);
    assert!(prepare_update(&row(), Some("resize"), &old, new, &context()).is_ok());
}
