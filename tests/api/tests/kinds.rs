//! Every kind besides the core ones: made, read, shown, changed, counted and deleted, as a client does it.

use serde_json::json;
use tests_api::rig::Cluster;
use tests_api::samples::{of, samples};
use tests_api::stage::eventually;
use tests_api::{names, on_every_store, settled, version};

on_every_store!(
    every_kind_lives_from_create_to_delete,
    groups_are_discovered_in_upstreams_order,
    wishes_and_knowledge_are_written_apart,
    what_is_wrong_is_said_field_by_field,
    the_system_has_objects_of_its_own,
    every_group_has_its_row_and_every_request_its_level,
    certificates_are_asked_for_approved_and_issued,
    autoscalers_are_the_same_in_both_versions,
    parts_tokens_and_bindings_are_answered,
);

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

async fn every_kind_lives_from_create_to_delete(cluster: Cluster) {
    let admin = cluster.admin();
    for sample in samples() {
        let (kind, path) = (sample.kind, &sample.path);
        let made = admin.post(path, &sample.object(sample.name)).await;
        assert_eq!(made.code, 201, "{kind}: {}", made.text());
        let one = format!("{path}/{}", sample.name);
        let read = settled(&admin, &one).await;
        if kind != "FlowSchema" {
            assert_eq!(read, made.json(), "{kind}");
        }
        assert_eq!((&read["kind"], &read["apiVersion"]), (&json!(kind), &json!(sample.api_version)));
        let list = admin.get(path).await.json();
        assert_eq!(list["kind"], format!("{kind}List"));
        assert!(names(&list).contains(&sample.name.to_owned()), "{kind}: {list}");

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
        assert_eq!(names(&red), [sample.name], "{kind}");

        let gone = admin.delete(&one).await;
        assert_eq!(gone.code, 200, "{kind}: {}", gone.text());
        // What may be in use is let go by a controller.
        eventually(&format!("{one} to be gone"), async || (admin.get(&one).await.code == 404).then_some(())).await;
    }
}

async fn groups_are_discovered_in_upstreams_order(cluster: Cluster) {
    let admin = cluster.admin();
    let groups = admin.get("/apis").await.json();
    let found: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    let wanted = [
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
        "autoscaling",
        "batch",
        "certificates.k8s.io",
        "networking.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "scheduling.k8s.io",
        "coordination.k8s.io",
        "node.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "resource.k8s.io",
        "storagemigration.k8s.io",
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

async fn every_group_has_its_row_and_every_request_its_level(cluster: Cluster) {
    let admin = cluster.admin();
    let rows = admin.get("/apis/apiregistration.k8s.io/v1/apiservices").await.json();
    let groups = admin.get("/apis").await.json();
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let name = format!("{}.{}", version["version"].as_str().unwrap(), group["name"].as_str().unwrap());
            let own = group["name"] == "apiregistration.k8s.io";
            assert_eq!(names(&rows).contains(&name), !own, "{name}");
        }
    }
    let core = admin.get("/apis/apiregistration.k8s.io/v1/apiservices/v1.").await.json();
    assert_eq!(core["spec"], json!({ "groupPriorityMinimum": 18000, "version": "v1", "versionPriority": 1 }));
    assert_eq!(core["metadata"]["labels"], json!({ "kube-aggregator.kubernetes.io/automanaged": "onstart" }));
    assert_eq!(
        (&core["status"]["conditions"][0]["type"], &core["status"]["conditions"][0]["reason"]),
        (&json!("Available"), &json!("Local"))
    );

    let root = "/apis/flowcontrol.apiserver.k8s.io/v1";
    let levels = names(&admin.get(&format!("{root}/prioritylevelconfigurations")).await.json());
    assert_eq!(
        levels,
        [
            "catch-all",
            "exempt",
            "global-default",
            "leader-election",
            "node-high",
            "system",
            "workload-high",
            "workload-low"
        ]
    );
    let schemas = admin.get(&format!("{root}/flowschemas")).await.json();
    assert_eq!(schemas["items"].as_array().unwrap().len(), 13);
    let mut exempt = admin.get(&format!("{root}/flowschemas/exempt")).await.json();
    exempt["spec"]["rules"] = json!([]);
    let refused = admin.put(&format!("{root}/flowschemas/exempt"), &exempt).await;
    assert_eq!(refused.code, 422, "{}", refused.text());
    assert!(refused.text().contains("spec of 'exempt' must equal the fixed value"), "{}", refused.text());
}

async fn certificates_are_asked_for_approved_and_issued(cluster: Cluster) {
    let admin = cluster.admin();
    let request = of("CertificateSigningRequest");
    let made = admin.post(&request.path, &request.object("ann")).await.json();
    assert_eq!(made["spec"]["username"], "kubernetes-admin");
    assert_eq!(made["spec"]["groups"], json!(["system:masters", "system:authenticated"]));
    let one = format!("{}/ann", request.path);
    let mut approved = made.clone();
    approved["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True", "reason": "Test", "message": "by hand" }]);
    let wrong = admin.put(&format!("{one}/status"), &approved).await;
    assert_eq!(wrong.code, 422, "{}", wrong.text());
    assert!(wrong.text().contains("updates may not add a condition of type \\\"Approved\\\""), "{}", wrong.text());
    let right = admin.put(&format!("{one}/approval"), &approved).await;
    assert_eq!(right.code, 200, "{}", right.text());
    assert!(right.json()["status"]["conditions"][0]["lastUpdateTime"].is_string());
    let chosen = admin.get(&format!("{}?fieldSelector=spec.signerName%3Dexample.com/s", request.path)).await.json();
    assert_eq!(names(&chosen), ["ann"]);
    let patch = json!({ "status": { "certificate": "eA==" } });
    let broken = admin.patch(&format!("{one}/status"), "application/merge-patch+json", &patch).await;
    assert_eq!(broken.code, 422, "{}", broken.text());
    assert!(broken.text().contains("must contain at least one CERTIFICATE PEM block"), "{}", broken.text());
}

async fn autoscalers_are_the_same_in_both_versions(cluster: Cluster) {
    let admin = cluster.admin();
    let path = |version: &str| format!("/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers");
    let body = json!({
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "web" },
        "spec": { "maxReplicas": 5, "targetCPUUtilizationPercentage": 60, "scaleTargetRef": { "kind": "Deployment", "name": "web" } },
    });
    let made = admin.post(&path("v1"), &body).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let second = admin.get(&format!("{}/web", path("v2"))).await.json();
    assert_eq!(
        second["spec"]["metrics"],
        json!([{ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 60 } } }])
    );
    let pods = json!({ "type": "Pods", "pods": { "metric": { "name": "hits" }, "target": { "type": "AverageValue", "averageValue": "7" } } });
    let more = json!([{ "op": "add", "path": "/spec/metrics/-", "value": pods }]);
    let patched = admin.patch(&format!("{}/web", path("v2")), "application/json-patch+json", &more).await;
    assert_eq!(patched.code, 200, "{}", patched.text());
    let first = admin.get(&path("v1")).await.json()["items"][0].clone();
    assert_eq!(first["apiVersion"], "autoscaling/v1");
    assert_eq!(first["spec"]["targetCPUUtilizationPercentage"], 60);
    let kept = first["metadata"]["annotations"]["autoscaling.alpha.kubernetes.io/metrics"].as_str().unwrap();
    assert!(kept.contains("\"targetAverageValue\":\"7\""), "{kept}");
    let mut changed = first.clone();
    changed["spec"]["targetCPUUtilizationPercentage"] = json!(70);
    assert_eq!(admin.put(&format!("{}/web", path("v1")), &changed).await.code, 200);
    let second = admin.get(&format!("{}/web", path("v2"))).await.json();
    assert_eq!(
        (&second["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], &second["spec"]["metrics"][1]),
        (&json!(70), &pods)
    );
    assert_eq!(second["metadata"].get("annotations"), None);
}

async fn parts_tokens_and_bindings_are_answered(cluster: Cluster) {
    let admin = cluster.admin();
    let parts = admin.get("/api/v1/componentstatuses").await;
    assert!(
        parts.header("warning").contains("v1 ComponentStatus is deprecated in v1.19+"),
        "{}",
        parts.header("warning")
    );
    let parts = parts.json();
    assert_eq!(names(&parts), ["controller-manager", "etcd-0", "scheduler"]);
    assert_eq!(parts["items"][1]["conditions"], json!([{ "type": "Healthy", "status": "True", "message": "ok" }]));
    let scheduler = &parts["items"][2]["conditions"][0];
    let refused = "Get \"https://127.0.0.1:10259/healthz\": dial tcp 127.0.0.1:10259: connect: connection refused";
    // Somebody else's scheduler may be on this machine.
    assert!(scheduler["status"] == "True" || scheduler["message"] == refused, "{scheduler}");
    assert_eq!(admin.get("/api/v1/componentstatuses/etcd-0").await.code, 200);
    assert_eq!(admin.get("/api/v1/componentstatuses/other").await.code, 404);
    assert_eq!(admin.delete("/api/v1/componentstatuses/etcd-0").await.code, 405);

    let review =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": { "token": "nobody-knows" } });
    let answered = admin.post("/apis/authentication.k8s.io/v1/tokenreviews", &review).await;
    assert_eq!(
        (answered.code, answered.json()["status"]["authenticated"].as_bool()),
        (201, None),
        "{}",
        answered.text()
    );

    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(admin.post(pods, &tests_api::pod("web")).await.code, 201);
    let binding = |pod: &str| json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod }, "target": { "kind": "Node", "name": "n" } });
    let bindings = "/api/v1/namespaces/default/bindings";
    let bound = admin.post(bindings, &binding("web")).await;
    assert_eq!((bound.code, bound.json()["status"].clone()), (201, json!("Success")), "{}", bound.text());
    assert_eq!(admin.get(&format!("{pods}/web")).await.json()["spec"]["nodeName"], "n");
    assert_eq!(admin.post(bindings, &binding("web")).await.code, 409);
    assert_eq!(admin.post(bindings, &binding("absent")).await.code, 404);
}
