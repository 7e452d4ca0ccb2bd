//! Ranges of limits as objects, and the pods they hold for.

use serde_json::json;
use tests_api::behaviours;
use tests_api::stage::{Stage, overlay};

behaviours!(ranges_of_two_namespaces, pods_get_the_defaults_of_a_range);

async fn ranges_of_two_namespaces(stage: Stage) {
    let here = stage.sampled("LimitRange").await;
    let mut other = stage.another_namespace("");
    let name = format!("{}-b", stage.namespace);
    overlay(&mut other, &json!({ "metadata": { "name": name } }));
    assert_eq!(stage.raw().post("/api/v1/namespaces", &other).await.code, 201);
    let there = here.in_namespace(&name);
    for kind in [&here, &there] {
        kind.create(&kind.sample("limits")).await;
    }
    let everywhere = async |label: &str| here.everywhere.list(&here.selected(label)).await.unwrap().items.len();
    assert_eq!(everywhere("").await, 2);
    let change = json!({ "metadata": { "labels": { "patched": "yes" } }, "spec": { "limits": [{ "type": "Pod", "max": { "cpu": "2" } }] } });
    let patched = here.patch("limits", &kube::api::Patch::Strategic(change)).await;
    assert_eq!(patched["spec"]["limits"][0]["max"]["cpu"], "2", "{patched}");
    assert_eq!(everywhere("patched=yes").await, 1);
    here.delete_all("patched=yes").await;
    assert_eq!(here.find("limits").await, None);
    assert_eq!(everywhere("").await, 1);
    there.remove("limits").await;
}

async fn pods_get_the_defaults_of_a_range(stage: Stage) {
    let amounts = |cpu: &str, memory: &str| json!({ "cpu": cpu, "memory": memory });
    let (raw, pods, ranges) = (stage.raw(), stage.core("pods"), stage.core("limitranges"));
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "limits" },
        "spec": { "limits": [{
            "type": "Container", "min": amounts("50m", "100Mi"), "max": amounts("500m", "500Mi"),
            "default": amounts("500m", "500Mi"), "defaultRequest": amounts("100m", "200Mi"),
        }] },
    });
    assert_eq!(raw.post(&ranges, &range).await.code, 201);
    let pod = |name: &str, resources: serde_json::Value| {
        let mut pod = tests_api::pod(name);
        pod["spec"]["containers"][0]["resources"] = resources;
        pod
    };
    let made = raw.post(&pods, &pod("nothing", json!({}))).await.json();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({ "requests": amounts("100m", "200Mi"), "limits": amounts("500m", "500Mi") }),
        "{made}"
    );
    let some = json!({ "requests": amounts("300m", "150Mi"), "limits": { "cpu": "300m" } });
    let made = raw.post(&pods, &pod("some", some)).await.json();
    assert_eq!(
        made["spec"]["containers"][0]["resources"],
        json!({ "requests": amounts("300m", "150Mi"), "limits": amounts("300m", "500Mi") }),
        "{made}"
    );
    let refused = async |name: &str, request: &str, limit: &str| {
        let resources = json!({ "requests": { "cpu": request }, "limits": { "cpu": limit } });
        let answer = raw.post(&pods, &pod(name, resources)).await;
        (answer.code, answer.json()["message"].as_str().unwrap_or_default().to_owned())
    };
    let why = "pods \"small\" is forbidden: minimum cpu usage per Container is 50m, but request is 10m";
    assert_eq!(refused("small", "10m", "50m").await, (403, why.to_owned()));
    let why = "pods \"large\" is forbidden: maximum cpu usage per Container is 500m, but limit is 600m";
    assert_eq!(refused("large", "500m", "600m").await, (403, why.to_owned()));

    let lower = json!({ "spec": { "limits": [{ "type": "Container", "min": amounts("9m", "49Mi"), "max": amounts("500m", "500Mi") }] } });
    assert_eq!(raw.patch(&format!("{ranges}/limits"), "application/merge-patch+json", &lower).await.code, 200);
    assert_eq!(refused("small", "10m", "50m").await.0, 201, "what is the most is the default, too");
    assert_eq!(raw.delete(&format!("{ranges}/limits")).await.code, 200);
    assert_eq!(refused("free", "1m", "9").await.0, 201);
}
