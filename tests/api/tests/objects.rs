//! Creating, reading, changing and deleting objects.

use serde_json::{Value, json};
use tests_api::rig::Cluster;
use tests_api::{CONFIG_MAPS, config_map, names, on_every_store, pod, version};

on_every_store!(
    an_object_lives_from_create_to_delete,
    patches_of_three_kinds,
    concurrent_changes_lose_nothing,
    a_dry_run_stores_nothing,
    names_are_made_up_when_asked_for,
    yaml_goes_in_and_out,
    finalizers_hold_an_object,
    a_collection_is_deleted_by_selection,
    services_get_addresses_of_their_own,
    a_pod_is_bound_to_a_node,
    status_and_spec_are_written_apart,
    a_fresh_server_has_what_every_cluster_has,
);

async fn an_object_lives_from_create_to_delete(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let made = made.json();
    let metadata = &made["metadata"];
    assert_eq!(metadata["namespace"], "default");
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    assert!(metadata["creationTimestamp"].as_str().unwrap().ends_with('Z'));
    let read = admin.get(&format!("{CONFIG_MAPS}/a")).await.json();
    assert_eq!(read, made);
    let mut new = read.clone();
    new["data"]["k"] = json!("2");
    let changed = admin.put(&format!("{CONFIG_MAPS}/a"), &new).await.json();
    assert_eq!(changed["data"]["k"], "2");
    assert_ne!(version(&changed), version(&made));
    assert_eq!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    // The same again changes nothing, not even the version.
    let same = admin.put(&format!("{CONFIG_MAPS}/a"), &changed).await.json();
    assert_eq!(version(&same), version(&changed));
    let gone = admin.delete(&format!("{CONFIG_MAPS}/a")).await;
    let status = gone.json();
    assert_eq!((gone.code, &status["kind"], &status["status"]), (200, &json!("Status"), &json!("Success")));
    assert_eq!(status["details"], json!({ "name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"] }));
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
}

async fn patches_of_three_kinds(cluster: Cluster) {
    let admin = cluster.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let made = admin.post(pods, &pod("p")).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let path = format!("{pods}/p");
    let merged = admin
        .patch(&path, "application/merge-patch+json", &json!({ "metadata": { "labels": { "a": "1", "b": "2" } } }))
        .await;
    assert_eq!((merged.code, merged.json()["metadata"]["labels"]["b"].clone()), (200, json!("2")), "{}", merged.text());
    let merged = admin
        .patch(&path, "application/merge-patch+json", &json!({ "metadata": { "labels": { "a": null } } }))
        .await
        .json();
    assert_eq!(merged["metadata"]["labels"], json!({ "b": "2" }));
    let patched = admin
        .patch(
            &path,
            "application/json-patch+json",
            &json!([
                { "op": "test", "path": "/metadata/labels/b", "value": "2" },
                { "op": "add", "path": "/metadata/labels/c", "value": "3" },
            ]),
        )
        .await;
    assert_eq!(
        (patched.code, patched.json()["metadata"]["labels"]["c"].clone()),
        (200, json!("3")),
        "{}",
        patched.text()
    );
    let refused = admin
        .patch(
            &path,
            "application/json-patch+json",
            &json!([{ "op": "test", "path": "/metadata/labels/b", "value": "9" }]),
        )
        .await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (422, json!("Invalid")), "{}", refused.text());
    // Strategic: the container is found by its name, not replaced as a list.
    let strategic = admin
        .patch(
            &path,
            "application/strategic-merge-patch+json",
            &json!({ "spec": { "containers": [{ "name": "main", "image": "example.test/main:2" }] } }),
        )
        .await;
    let strategic_pod = strategic.json();
    let containers = strategic_pod["spec"]["containers"].as_array().unwrap();
    assert_eq!((strategic.code, containers.len()), (200, 1), "{}", strategic.text());
    assert_eq!(containers[0]["image"], "example.test/main:2");
    assert!(containers[0]["imagePullPolicy"].is_string(), "the rest of the container stays");
}

async fn concurrent_changes_lose_nothing(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("shared", "0")).await;
    let path = format!("{CONFIG_MAPS}/shared");
    let writers = (0..20).map(|number| {
        let (admin, path) = (admin.clone(), path.clone());
        tokio::spawn(async move {
            let patch = json!({ "data": { format!("writer-{number}"): "was here" } });
            let answer = admin.patch(&path, "application/merge-patch+json", &patch).await;
            assert_eq!(answer.code, 200, "{}", answer.text());
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let data = admin.get(&path).await.json()["data"].clone();
    assert_eq!(data.as_object().unwrap().len(), 21, "{data}");
}

async fn a_dry_run_stores_nothing(cluster: Cluster) {
    let admin = cluster.admin();
    let dry = admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a", "1")).await;
    assert_eq!(dry.code, 201, "{}", dry.text());
    assert!(dry.json()["metadata"]["uid"].is_string());
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}/a")).await.code, 404);
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    assert_eq!(admin.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a", "1")).await.code, 409);
    let mut new = made.clone();
    new["data"]["k"] = json!("2");
    assert_eq!(admin.put(&format!("{CONFIG_MAPS}/a?dryRun=All"), &new).await.json()["data"]["k"], "2");
    assert_eq!(admin.delete(&format!("{CONFIG_MAPS}/a?dryRun=All")).await.code, 200);
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}/a")).await.json(), made);
    assert_eq!(admin.post(&format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("b", "1")).await.code, 422);
}

async fn names_are_made_up_when_asked_for(cluster: Cluster) {
    let admin = cluster.admin();
    let mut object = config_map("x", "1");
    object["metadata"] = json!({ "generateName": "made-" });
    let first = admin.post(CONFIG_MAPS, &object).await.json();
    let second = admin.post(CONFIG_MAPS, &object).await.json();
    let name = first["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("made-") && name.len() == 10, "{name}");
    assert_ne!(first["metadata"]["name"], second["metadata"]["name"]);
}

async fn yaml_goes_in_and_out(cluster: Cluster) {
    let admin = cluster.admin();
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: in-yaml\ndata:\n  k: \"on\"\n";
    let made = admin.send("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], yaml).await;
    assert_eq!((made.code, made.json()["data"]["k"].clone()), (201, json!("on")), "{}", made.text());
    let read = admin.get_as(&format!("{CONFIG_MAPS}/in-yaml"), "application/yaml").await;
    assert_eq!(read.header("content-type"), "application/yaml");
    assert!(read.text().contains("kind: ConfigMap"), "{}", read.text());
    let pretty = admin.get(&format!("{CONFIG_MAPS}/in-yaml?pretty=true")).await;
    assert!(pretty.text().contains("\n  \"kind\": \"ConfigMap\""), "{}", pretty.text());
}

async fn finalizers_hold_an_object(cluster: Cluster) {
    let admin = cluster.admin();
    let mut object = config_map("held", "1");
    object["metadata"]["finalizers"] = json!(["example.test/hold"]);
    assert_eq!(admin.post(CONFIG_MAPS, &object).await.code, 201);
    let path = format!("{CONFIG_MAPS}/held");
    let going = admin.delete(&path).await;
    assert_eq!(going.code, 200, "{}", going.text());
    assert!(going.json()["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(admin.delete(&path).await.code, 200);
    let mut read = admin.get(&path).await.json();
    assert!(read["metadata"]["deletionTimestamp"].is_string());
    read["metadata"]["finalizers"] = json!([]);
    assert_eq!(admin.put(&path, &read).await.code, 200);
    assert_eq!(admin.get(&path).await.code, 404);
    // Orphaning and foreground deletion wait for the garbage collector.
    admin.post(CONFIG_MAPS, &config_map("owner", "1")).await;
    let answer = admin.delete(&format!("{CONFIG_MAPS}/owner?propagationPolicy=Foreground")).await.json();
    assert_eq!(answer["metadata"]["finalizers"], json!(["foregroundDeletion"]), "{answer}");
}

async fn a_collection_is_deleted_by_selection(cluster: Cluster) {
    let admin = cluster.admin();
    for (name, color) in [("a", "red"), ("b", "red"), ("c", "blue")] {
        assert_eq!(admin.post(CONFIG_MAPS, &tests_api::colored(name, color)).await.code, 201);
    }
    let deleted = admin.delete(&format!("{CONFIG_MAPS}?labelSelector=color%3Dred")).await;
    assert_eq!(deleted.code, 200, "{}", deleted.text());
    let left = names(&admin.get(&format!("{CONFIG_MAPS}?labelSelector=color")).await.json());
    assert_eq!(left, ["c"]);
}

fn service(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

async fn services_get_addresses_of_their_own(cluster: Cluster) {
    let admin = cluster.admin();
    let services = "/api/v1/namespaces/default/services";
    let ports = json!([{ "port": 80 }]);
    let made = (0..30).map(|number| {
        let (admin, ports) = (admin.clone(), ports.clone());
        tokio::spawn(async move {
            let spec = json!({ "type": "NodePort", "ports": ports });
            let answer = admin.post(services, &service(&format!("s{number}"), &spec)).await;
            assert_eq!(answer.code, 201, "{}", answer.text());
            let made = answer.json();
            let port = made["spec"]["ports"][0]["nodePort"].as_u64().unwrap();
            assert!((30000..=32767).contains(&port), "{port}");
            (made["spec"]["clusterIP"].as_str().unwrap().to_owned(), port)
        })
    });
    let (mut addresses, mut node_ports) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for task in made.collect::<Vec<_>>() {
        let (address, port) = task.await.unwrap();
        assert!(address.starts_with("10."), "{address}");
        assert!(addresses.insert(address.clone()), "{address} was given twice");
        assert!(node_ports.insert(port), "{port} was given twice");
    }
    // One that is asked for is given once, and again when it is free.
    let fixed = json!({ "clusterIP": "10.96.0.77", "ports": ports });
    assert_eq!(admin.post(services, &service("first", &fixed)).await.code, 201);
    let refused = admin.post(services, &service("second", &fixed)).await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (422, json!("Invalid")), "{}", refused.text());
    assert_eq!(admin.delete(&format!("{services}/first")).await.code, 200);
    assert_eq!(admin.post(services, &service("second", &fixed)).await.code, 201);
    let headless = admin.post(services, &service("headless", &json!({ "clusterIP": "None", "ports": ports }))).await;
    assert_eq!((headless.code, headless.json()["spec"]["clusterIP"].clone()), (201, json!("None")));
}

async fn a_pod_is_bound_to_a_node(cluster: Cluster) {
    let admin = cluster.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let made = admin.post(pods, &pod("p")).await.json();
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["spec"]["restartPolicy"], "Always");
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" },
        "target": { "apiVersion": "v1", "kind": "Node", "name": "n1" },
    });
    let bound = admin.post(&format!("{pods}/p/binding"), &binding).await;
    assert_eq!((bound.code, bound.json()["status"].clone()), (201, json!("Success")), "{}", bound.text());
    let read = admin.get(&format!("{pods}/p")).await.json();
    assert_eq!(read["spec"]["nodeName"], "n1");
    assert_eq!(read["status"]["conditions"][0]["type"], "PodScheduled");
    let again = admin.post(&format!("{pods}/p/binding"), &binding).await;
    assert_eq!(again.code, 409, "{}", again.text());
    assert!(again.text().contains("is already assigned to node"), "{}", again.text());
    let here = admin.get(&format!("{pods}?fieldSelector=spec.nodeName%3Dn1")).await.json();
    assert_eq!(names(&here), ["p"]);
    let elsewhere = admin.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2").await.json();
    assert_eq!(names(&elsewhere), Vec::<String>::new());
}

async fn status_and_spec_are_written_apart(cluster: Cluster) {
    let admin = cluster.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let made = admin.post(pods, &pod("p")).await.json();
    let mut both = made.clone();
    both["status"]["phase"] = json!("Running");
    both["metadata"]["labels"] = json!({ "a": "1" });
    let main = admin.put(&format!("{pods}/p"), &both).await;
    assert_eq!(main.code, 200, "{}", main.text());
    assert_eq!(main.json()["status"]["phase"], "Pending");
    let mut status = main.json();
    status["status"]["phase"] = json!("Running");
    status["spec"]["containers"][0]["image"] = json!("example.test/other:1");
    let written = admin.put(&format!("{pods}/p/status"), &status).await;
    assert_eq!(written.code, 200, "{}", written.text());
    assert_eq!(written.json()["status"]["phase"], "Running");
    assert_eq!(written.json()["spec"]["containers"][0]["image"], "example.test/main:1");
}

async fn a_fresh_server_has_what_every_cluster_has(cluster: Cluster) {
    let admin = cluster.admin();
    let namespaces = names(&admin.get("/api/v1/namespaces").await.json());
    assert_eq!(namespaces, ["default", "kube-node-lease", "kube-public", "kube-system"]);
    let service = admin.get("/api/v1/namespaces/default/services/kubernetes").await.json();
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    let endpoints = admin.get("/api/v1/namespaces/default/endpoints/kubernetes").await.json();
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], cluster.port(), "{endpoints}");
    assert_eq!(endpoints["subsets"][0]["addresses"][0]["ip"], "192.0.2.10");
}
