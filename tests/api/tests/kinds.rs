//! Every kind besides the core ones: made, read, shown, changed, counted and deleted, as a client does it.

use serde_json::json;
use tests_api::rig::Cluster;
use tests_api::samples::{of, samples};
use tests_api::{names, on_every_store, version};

on_every_store!(
    every_kind_lives_from_create_to_delete,
    groups_are_discovered_in_upstreams_order,
    wishes_and_knowledge_are_written_apart,
    what_is_wrong_is_said_field_by_field,
    the_system_has_objects_of_its_own,
);

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

async fn every_kind_lives_from_create_to_delete(cluster: Cluster) {
    let admin = cluster.admin();
    for sample in samples() {
        let (kind, path) = (sample.kind, &sample.path);
        let made = admin.post(path, &sample.object("one")).await;
        assert_eq!(made.code, 201, "{kind}: {}", made.text());
        let one = format!("{path}/one");
        let read = admin.get(&one).await.json();
        assert_eq!(read, made.json(), "{kind}");
        assert_eq!((&read["kind"], &read["apiVersion"]), (&json!(kind), &json!(sample.api_version)));
        let list = admin.get(path).await.json();
        assert_eq!(list["kind"], format!("{kind}List"));
        assert!(names(&list).contains(&"one".to_owned()), "{kind}: {list}");

        let table = admin.get_as(path, TABLE).await.json();
        let columns = table["columnDefinitions"].as_array().unwrap();
        let shown: Vec<&str> =
            columns.iter().filter(|one| one["priority"] == 0).map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(shown, sample.columns, "{kind}");
        assert!(columns.iter().all(|one| !one["description"].as_str().unwrap().is_empty()), "{kind}");
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        assert_eq!(cells.len(), columns.len(), "{kind}");

        let labelled = json!({ "metadata": { "labels": { "color": "red" } } });
        let patched = admin.patch(&one, "application/merge-patch+json", &labelled).await;
        assert_eq!(patched.code, 200, "{kind}: {}", patched.text());
        assert_ne!(version(&patched.json()), version(&read), "{kind}");
        let again = admin.put(&one, &patched.json()).await;
        assert_eq!((again.code, version(&again.json())), (200, version(&patched.json())), "{kind}: {}", again.text());
        let stale = admin.put(&one, &read).await;
        assert_eq!((stale.code, stale.json()["reason"].clone()), (409, json!("Conflict")), "{kind}");
        let red = admin.get(&format!("{path}?labelSelector=color%3Dred")).await.json();
        assert_eq!(names(&red), ["one"], "{kind}");

        let gone = admin.delete(&one).await;
        assert_eq!(gone.code, 200, "{kind}: {}", gone.text());
        assert_eq!(admin.get(&one).await.code, 404, "{kind}");
    }
}

async fn groups_are_discovered_in_upstreams_order(cluster: Cluster) {
    let admin = cluster.admin();
    let groups = admin.get("/apis").await.json();
    let found: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let wanted = [
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
    ];
    let known: Vec<&str> = found.into_iter().filter(|name| wanted.contains(name)).collect();
    assert_eq!(known, wanted);
    let apps = admin.get("/apis/apps/v1").await.json();
    let one =
        |name: &str| apps["resources"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned().unwrap();
    let deployments = one("deployments");
    assert_eq!((&deployments["shortNames"], &deployments["categories"]), (&json!(["deploy"]), &json!(["all"])));
    let scale = one("deployments/scale");
    assert_eq!(
        (&scale["kind"], &scale["group"], &scale["version"]),
        (&json!("Scale"), &json!("autoscaling"), &json!("v1"))
    );
    let index = admin.get("/openapi/v3").await.json();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let schemas = admin.get(&url).await.json()["components"]["schemas"].clone();
    assert!(schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["template"].is_object());
    assert!(schemas["io.k8s.api.autoscaling.v1.Scale"].is_object());
}

async fn wishes_and_knowledge_are_written_apart(cluster: Cluster) {
    let admin = cluster.admin();
    let deployment = of("Deployment");
    let made = admin.post(&deployment.path, &deployment.object("web")).await.json();
    assert_eq!((&made["metadata"]["generation"], &made["status"]), (&json!(1), &json!({})));
    let path = format!("{}/web", deployment.path);
    let mut both = made.clone();
    both["spec"]["replicas"] = json!(4);
    both["status"] = json!({ "replicas": 4, "observedGeneration": 1 });
    let main = admin.put(&path, &both).await.json();
    assert_eq!((&main["spec"]["replicas"], &main["status"]), (&json!(4), &json!({})));
    assert_eq!(main["metadata"]["generation"], 2);
    both["metadata"] = main["metadata"].clone();
    both["spec"]["replicas"] = json!(9);
    let status = admin.put(&format!("{path}/status"), &both).await.json();
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(4), &json!(4)));
    assert_eq!(status["metadata"]["generation"], 2);
    let chosen = admin.get("/apis/apps/v1/replicasets?fieldSelector=status.replicas%3D0").await;
    assert_eq!(chosen.code, 200, "{}", chosen.text());
}

async fn what_is_wrong_is_said_field_by_field(cluster: Cluster) {
    let admin = cluster.admin();
    let deployment = of("Deployment");
    let mut wrong = deployment.object("web");
    wrong["spec"]["replicas"] = json!(-1);
    wrong["spec"]["template"]["metadata"]["labels"] = json!({ "app": "db" });
    wrong["spec"]["template"]["spec"]["containers"][0]["image"] = json!("");
    let refused = admin.post(&deployment.path, &wrong).await;
    assert_eq!(refused.code, 422, "{}", refused.text());
    let status = refused.json();
    assert!(status["message"].as_str().unwrap().starts_with("Deployment.apps \"web\" is invalid: ["), "{status}");
    let fields: Vec<&str> =
        status["details"]["causes"].as_array().unwrap().iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["spec.replicas", "spec.template.metadata.labels", "spec.template.spec.containers[0].image"]);
    let mut unknown = deployment.object("web");
    unknown["spec"]["replikas"] = json!(1);
    let refused = admin.post(&format!("{}?fieldValidation=Strict", deployment.path), &unknown).await;
    assert_eq!(refused.code, 400);
    assert!(refused.text().contains("unknown field \\\"spec.replikas\\\""), "{}", refused.text());
}

async fn the_system_has_objects_of_its_own(cluster: Cluster) {
    let admin = cluster.admin();
    let classes = admin.get("/apis/scheduling.k8s.io/v1/priorityclasses").await.json();
    let found: Vec<(&str, i64)> = classes["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["metadata"]["name"].as_str().unwrap(), one["value"].as_i64().unwrap()))
        .collect();
    assert_eq!(found, [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]);
    let slice = admin.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.json();
    assert_eq!(slice["metadata"]["labels"], json!({ "kubernetes.io/service-name": "kubernetes" }));
    assert_eq!(
        (&slice["endpoints"][0]["addresses"], &slice["ports"][0]["port"]),
        (&json!(["192.0.2.10"]), &json!(cluster.port()))
    );
}
