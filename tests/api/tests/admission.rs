//! Admission: what the built-in plugins make of writes, and what they refuse, over the wire.

use serde_json::{Value, json};
use tests_api::rig::{Client, Cluster};
use tests_api::{on_every_store, pod};

const PODS: &str = "/api/v1/namespaces/default/pods";
const MERGE: &str = "application/merge-patch+json";

on_every_store!(
    pods_are_completed,
    what_plugins_add_is_nobodys,
    every_way_to_write_passes,
    namespaces_that_go_take_nothing,
    dry_runs_pass_too,
);

async fn made(client: &Client, path: &str, body: &Value) -> Value {
    let answer = client.post(path, body).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
    answer.json()
}

async fn message(client: &Client, path: &str, body: &Value) -> (u16, String) {
    let answer = client.post(path, body).await;
    (answer.code, answer.json()["message"].as_str().unwrap_or_default().to_owned())
}

async fn pods_are_completed(cluster: Cluster) {
    let admin = cluster.admin();
    let class = json!({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" }, "value": 1000,
    });
    made(&admin, "/apis/scheduling.k8s.io/v1/priorityclasses", &class).await;
    let mut high = pod("high");
    high["spec"]["priorityClassName"] = "high".into();
    let high = made(&admin, PODS, &high).await;
    let spec = &high["spec"];
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(1000), &json!("PreemptLowerPriority")));
    assert_eq!(spec["serviceAccountName"], "default");
    let keys: Vec<&str> =
        spec["tolerations"].as_array().unwrap().iter().filter_map(|toleration| toleration["key"].as_str()).collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-") && volume.len() == "kube-api-access-".len() + 5, "{volume}");
    assert_eq!(spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(made(&admin, PODS, &pod("plain")).await["spec"]["priority"], 0);
    let mut unknown = pod("unknown");
    unknown["spec"]["priorityClassName"] = "nope".into();
    let refused = message(&admin, PODS, &unknown).await;
    assert_eq!(refused, (403, "pods \"unknown\" is forbidden: no PriorityClass with name nope was found".to_owned()));
    let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" } });
    let node = made(&admin, "/api/v1/nodes", &node).await;
    assert_eq!(node["spec"]["taints"], json!([{ "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" }]));
}

/// As upstream: what a plugin adds is not the field of whoever wrote the rest.
async fn what_plugins_add_is_nobodys(cluster: Cluster) {
    let made = made(&cluster.admin(), PODS, &pod("owned")).await;
    let fields = &made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"];
    assert!(fields["f:containers"].is_object(), "{fields}");
    for added in ["f:tolerations", "f:priority", "f:serviceAccountName", "f:volumes"] {
        assert!(fields[added].is_null(), "{added} in {fields}");
    }
}

async fn every_way_to_write_passes(cluster: Cluster) {
    let admin = cluster.admin();
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = |name: &str, size: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": size } } },
        })
    };
    let range = json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "sizes" },
        "spec": { "limits": [{ "type": "PersistentVolumeClaim", "max": { "storage": "2Gi" } }] },
    });
    made(&admin, "/api/v1/namespaces/default/limitranges", &range).await;
    let created = made(&admin, claims, &claim("a", "1Gi")).await;
    assert_eq!(created["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    assert_eq!(message(&admin, claims, &claim("b", "3Gi")).await.0, 403);
    let one = format!("{claims}/a");
    let mut larger = created.clone();
    larger["spec"]["resources"]["requests"]["storage"] = "3Gi".into();
    let put = admin.put(&one, &larger).await;
    assert_eq!(put.code, 422, "a claim that is not bound has no other size: {}", put.text());
    let size = json!({ "spec": { "resources": { "requests": { "storage": "3Gi" } } } });
    assert!(admin.patch(&one, MERGE, &size).await.code >= 400);
    let applied = claim("c", "3Gi");
    let apply = format!("{claims}/c?fieldManager=me");
    let refused = admin.patch(&apply, "application/apply-patch+yaml", &applied).await;
    assert_eq!(
        (refused.code, refused.json()["message"].as_str().unwrap_or_default()),
        (
            403,
            "persistentvolumeclaims \"c\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
        )
    );
    for name in ["default", "kube-system"] {
        let kept = admin.delete(&format!("/api/v1/namespaces/{name}")).await;
        assert_eq!(kept.code, 403, "{}", kept.text());
    }
    let page = admin.get("/metrics").await.text();
    let refusals = "apiserver_admission_controller_admission_duration_seconds_count{name=\"LimitRanger\",operation=\"CREATE\",rejected=\"true\",type=\"validate\"} 2";
    assert!(page.contains(refusals), "{page}");
}

async fn namespaces_that_go_take_nothing(cluster: Cluster) {
    let admin = cluster.admin();
    let nowhere = message(&admin, "/api/v1/namespaces/nowhere/configmaps", &tests_api::config_map("a", "b")).await;
    assert_eq!(nowhere, (404, "namespaces \"nowhere\" not found".to_owned()));
    let going = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "going" } });
    made(&admin, "/api/v1/namespaces", &going).await;
    assert_eq!(admin.delete("/api/v1/namespaces/going").await.code, 200);
    let refused = message(&admin, "/api/v1/namespaces/going/configmaps", &tests_api::config_map("a", "b")).await;
    let why =
        "configmaps \"a\" is forbidden: unable to create new content in namespace going because it is being terminated";
    assert_eq!(refused, (403, why.to_owned()));
}

async fn dry_runs_pass_too(cluster: Cluster) {
    let admin = cluster.admin();
    let made = made(&admin, &format!("{PODS}?dryRun=All"), &pod("dry")).await;
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(admin.get(&format!("{PODS}/dry")).await.code, 404);
    let mut unknown = pod("dry");
    unknown["spec"]["runtimeClassName"] = "nope".into();
    assert_eq!(message(&admin, &format!("{PODS}?dryRun=All"), &unknown).await.0, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plugins_are_turned_on_and_off() {
    let mut cluster = Cluster::start(tests_api::rig::StoreKind::Orlop).await;
    cluster
        .restart_server_with(&[
            "--disable-admission-plugins=ServiceAccount,DefaultTolerationSeconds",
            "--default-not-ready-toleration-seconds=7",
        ])
        .await;
    let bare = made(&cluster.admin(), PODS, &pod("bare")).await;
    assert!(bare["spec"]["serviceAccountName"].is_null() && bare["spec"]["tolerations"].is_null(), "{bare}");
    cluster
        .restart_server_with(&[
            "--enable-admission-plugins=AlwaysDeny",
            "--disable-admission-plugins=ServiceAccount",
            "--default-not-ready-toleration-seconds=7",
        ])
        .await;
    let refused = message(&cluster.admin(), PODS, &pod("more")).await;
    assert_eq!(refused, (403, "pods \"more\" is forbidden: admission control is denying all modifications".to_owned()));
}
