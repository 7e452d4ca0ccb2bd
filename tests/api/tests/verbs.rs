//! What can be done with some kinds besides: scaling, evicting, asking, and speaking in other forms.

use serde_json::json;
use tests_api::rig::Cluster;
use tests_api::samples::of;
use tests_api::{names, on_every_store};

on_every_store!(
    sets_are_scaled,
    events_are_one_store_in_two_groups,
    typed_clients_may_send_protobuf,
    evictions_ask_the_budget,
    questions_are_answered_and_forgotten,
);

async fn sets_are_scaled(cluster: Cluster) {
    let admin = cluster.admin();
    for sample in ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController"].map(of) {
        let kind = sample.kind;
        assert_eq!(admin.post(&sample.path, &sample.object("web")).await.code, 201, "{kind}");
        let path = format!("{}/web/scale", sample.path);
        let scale = admin.get(&path).await.json();
        assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")), "{kind}");
        assert_eq!(
            (&scale["spec"]["replicas"], &scale["status"]["selector"]),
            (&json!(1), &json!("app=web")),
            "{kind}"
        );
        let mut more = scale.clone();
        more["spec"]["replicas"] = json!(3);
        let scaled = admin.put(&path, &more).await;
        assert_eq!(
            (scaled.code, scaled.json()["spec"]["replicas"].clone()),
            (200, json!(3)),
            "{kind}: {}",
            scaled.text()
        );
        assert_eq!(admin.put(&path, &more).await.code, 409, "{kind}: the version is old now");
        let patch = json!({ "spec": { "replicas": 5 } });
        let patched = admin.patch(&path, "application/merge-patch+json", &patch).await;
        assert_eq!(
            (patched.code, patched.json()["spec"]["replicas"].clone()),
            (200, json!(5)),
            "{kind}: {}",
            patched.text()
        );
        let set = admin.get(&format!("{}/web", sample.path)).await.json();
        assert_eq!((&set["spec"]["replicas"], &set["metadata"]["generation"]), (&json!(5), &json!(3)), "{kind}");
        let refused = admin.patch(&path, "application/merge-patch+json", &json!({ "spec": { "replicas": -1 } })).await;
        assert_eq!(refused.code, 422, "{kind}: {}", refused.text());
    }
}

async fn events_are_one_store_in_two_groups(cluster: Cluster) {
    let admin = cluster.admin();
    let (new, old) = ("/apis/events.k8s.io/v1/namespaces/default/events", "/api/v1/namespaces/default/events");
    let made = admin
        .post(
            new,
            &json!({
                "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "e" }, "type": "Normal", "reason": "Why",
                "regarding": { "kind": "Pod", "name": "p", "namespace": "default" }, "note": "hello", "action": "Did",
                "reportingController": "a.test/b", "reportingInstance": "i", "eventTime": "2026-08-01T09:59:00.000000Z",
            }),
        )
        .await;
    assert_eq!((made.code, made.json()["note"].clone()), (201, json!("hello")), "{}", made.text());
    let core = admin.get(&format!("{old}/e")).await.json();
    assert_eq!(
        (&core["apiVersion"], &core["message"], &core["involvedObject"]["name"]),
        (&json!("v1"), &json!("hello"), &json!("p"))
    );
    assert_eq!(admin.get(&format!("{new}/e")).await.json(), made.json());
    let listed =
        admin.get(&format!("{new}?fieldSelector=regarding.name%3Dp,reportingController%3Da.test/b")).await.json();
    assert_eq!((names(&listed), &listed["items"][0]["regarding"]["kind"]), (vec!["e".to_owned()], &json!("Pod")));
    let none = admin.get(&format!("{new}?fieldSelector=regarding.name%3Dq")).await.json();
    assert_eq!(names(&none), Vec::<String>::new());
    let core_list = admin.get(&format!("{old}?fieldSelector=involvedObject.name%3Dp")).await.json();
    assert_eq!((names(&core_list), &core_list["items"][0]["message"]), (vec!["e".to_owned()], &json!("hello")));
    let patch = json!({ "metadata": { "labels": { "a": "b" } } });
    let patched = admin.patch(&format!("{new}/e"), "application/merge-patch+json", &patch).await;
    assert_eq!((patched.code, patched.json()["note"].clone()), (200, json!("hello")), "{}", patched.text());
    assert_eq!(admin.get(&format!("{old}/e")).await.json()["metadata"]["labels"], json!({ "a": "b" }));
    let watched = admin.get(&format!("{new}?watch=true&resourceVersion=0&timeoutSeconds=1")).await.text();
    assert!(watched.contains("\"note\":\"hello\"") && !watched.contains("\"message\""), "{watched}");
    assert_eq!(admin.delete(&format!("{new}/e")).await.code, 200);
    assert_eq!(admin.get(&format!("{old}/e")).await.code, 404);
}

/// A field of a protobuf message that holds bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).expect("short");
    assert!(length < 0x80, "one byte of length");
    [&[number << 3 | 2, length], bytes].concat()
}

async fn typed_clients_may_send_protobuf(cluster: Cluster) {
    let admin = cluster.admin();
    let meta = [field(1, b"rbac.authorization.k8s.io/v1"), field(2, b"Role")].concat();
    let rule = [field(1, b"get"), field(2, b"apps"), field(3, b"deployments")].concat();
    let raw = [field(1, &field(1, b"reader")), field(2, &rule)].concat();
    let body = [b"k8s\0".to_vec(), field(1, &meta), field(2, &raw)].concat();
    let roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
    let kind = [("content-type", "application/vnd.kubernetes.protobuf")];
    let body = String::from_utf8(body).expect("small numbers and letters are UTF-8");
    let made = admin.send("POST", roles, &kind, &body).await;
    assert_eq!(made.code, 201, "{}", made.text());
    assert_eq!(
        made.json()["rules"],
        json!([{ "verbs": ["get"], "apiGroups": ["apps"], "resources": ["deployments"] }])
    );
}

async fn evictions_ask_the_budget(cluster: Cluster) {
    let admin = cluster.admin();
    let (pods, budgets) =
        ("/api/v1/namespaces/default/pods", "/apis/policy/v1/namespaces/default/poddisruptionbudgets");
    for name in ["p", "q"] {
        let mut pod = tests_api::pod(name);
        pod["metadata"]["labels"] = json!({ "app": "web" });
        assert_eq!(admin.post(pods, &pod).await.code, 201);
        let running =
            json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
        let patched = admin.patch(&format!("{pods}/{name}/status"), "application/merge-patch+json", &running).await;
        assert_eq!(patched.code, 200, "{}", patched.text());
    }
    let budget = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "web" },
        "spec": { "maxUnavailable": 1, "selector": { "matchLabels": { "app": "web" } } },
    });
    assert_eq!(admin.post(budgets, &budget).await.code, 201);
    let evict = |name: &'static str| {
        let admin = admin.clone();
        async move {
            let eviction = json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
            admin.post(&format!("{pods}/{name}/eviction"), &eviction).await
        }
    };
    // The cache of budgets may be behind the write that was just answered.
    let start = std::time::Instant::now();
    while names(&admin.get(&format!("{budgets}?resourceVersion=0")).await.json()).is_empty() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "the budget is not seen");
    }
    let refused = evict("p").await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (429, json!("TooManyRequests")), "{}", refused.text());
    assert!(refused.text().contains("still being processed"), "{}", refused.text());
    let allowed = json!({ "status": {
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
    } });
    let patched = admin.patch(&format!("{budgets}/web/status"), "application/merge-patch+json", &allowed).await;
    assert_eq!(patched.code, 200, "{}", patched.text());
    let done = evict("p").await;
    assert_eq!((done.code, done.json()["status"].clone()), (201, json!("Success")), "{}", done.text());
    let spent = admin.get(&format!("{budgets}/web")).await.json();
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["p"].is_string(), "{spent}");
    let refused = evict("q").await;
    assert_eq!(refused.code, 429);
    assert!(refused.text().contains("needs 1 healthy pods and has 2 currently"), "{}", refused.text());
    assert_eq!(admin.get(&format!("{pods}/q")).await.code, 200);
}

async fn questions_are_answered_and_forgotten(cluster: Cluster) {
    let admin = cluster.admin();
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let question = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": { "verb": "get", "resource": "pods" } },
    });
    let answer = admin.post(path, &question).await;
    assert_eq!((answer.code, answer.json()["status"]["allowed"].clone()), (201, json!(true)), "{}", answer.text());
    assert_eq!(admin.get(path).await.code, 405);
    let me = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let me = admin.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &me).await.json();
    let groups = me["status"]["userInfo"]["groups"].as_array().unwrap();
    assert!(groups.contains(&json!("system:masters")) && groups.contains(&json!("system:authenticated")), "{me}");
}
