//! Failures: code, reason, message and details as upstream gives them.

use serde_json::{Value, json};
use tests_api::rig::{Answer, Cluster};
use tests_api::{CONFIG_MAPS, config_map, on_every_store};

on_every_store!(
    who_you_are_decides,
    what_is_not_there,
    what_is_in_the_way,
    what_cannot_be_understood,
    what_is_wrong_in_a_field,
    garbage_on_the_port_hurts_nobody,
);

#[track_caller]
fn expect(answer: &Answer, code: u16, reason: &str, message: &str) -> Value {
    assert_eq!(answer.code, code, "{}", answer.text());
    let status = answer.json();
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["apiVersion"], "v1");
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["code"], code);
    assert_eq!(status["reason"], reason);
    assert_eq!(status["message"], message);
    status
}

async fn who_you_are_decides(cluster: Cluster) {
    let nobody = cluster.client(None);
    expect(&nobody.get("/api/v1/namespaces").await, 401, "Unauthorized", "Unauthorized");
    expect(&nobody.get("/readyz").await, 401, "Unauthorized", "Unauthorized");
    for login in [cluster.credentials.stranger("root"), cluster.credentials.expired("root")] {
        let refused = cluster.client(Some(&login)).get("/api/v1/namespaces").await;
        expect(&refused, 401, "Unauthorized", "Unauthorized");
    }
    let ann = cluster.client(Some(&cluster.credentials.user("ann", Some("dev"))));
    let status = expect(
        &ann.get("/api/v1/namespaces").await,
        403,
        "Forbidden",
        "namespaces is forbidden: User \"ann\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
    );
    assert_eq!(status["details"], json!({ "kind": "namespaces" }));
    expect(
        &ann.delete(&format!("{CONFIG_MAPS}/x")).await,
        403,
        "Forbidden",
        "configmaps \"x\" is forbidden: User \"ann\" cannot delete resource \"configmaps\" in API group \"\" in the namespace \"default\"",
    );
    expect(&ann.get("/metrics").await, 403, "Forbidden", "forbidden: User \"ann\" cannot get path \"/metrics\"");
    let as_ann = cluster.admin().send("GET", "/api/v1/nodes", &[("impersonate-user", "ann")], "").await;
    assert_eq!(as_ann.code, 403);
}

async fn what_is_not_there(cluster: Cluster) {
    let admin = cluster.admin();
    let status =
        expect(&admin.get(&format!("{CONFIG_MAPS}/nope")).await, 404, "NotFound", "configmaps \"nope\" not found");
    assert_eq!(status["details"], json!({ "name": "nope", "kind": "configmaps" }));
    expect(
        &admin.post("/api/v1/namespaces/missing/configmaps", &config_map("a", "1")).await,
        404,
        "NotFound",
        "namespaces \"missing\" not found",
    );
    for path in ["/api/v1/nonsense", "/apis/nonsense/v1/things", "/api/v9"] {
        expect(&admin.get(path).await, 404, "NotFound", "the server could not find the requested resource");
    }
    let unknown = admin.get("/nonsense").await;
    assert_eq!((unknown.code, unknown.text().trim()), (404, "404 page not found"));
    expect(
        &admin
            .put("/api/v1/namespaces/default/configmaps/a", &{
                let mut object = config_map("a", "1");
                object["metadata"]["resourceVersion"] = json!("1");
                object
            })
            .await,
        404,
        "NotFound",
        "configmaps \"a\" not found",
    );
    expect(&admin.delete(&format!("{CONFIG_MAPS}/a")).await, 404, "NotFound", "configmaps \"a\" not found");
}

async fn what_is_in_the_way(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let status = expect(
        &admin.post(CONFIG_MAPS, &config_map("a", "2")).await,
        409,
        "AlreadyExists",
        "configmaps \"a\" already exists",
    );
    assert_eq!(status["details"], json!({ "name": "a", "kind": "configmaps" }));
    let first = made.json();
    let mut second = first.clone();
    second["data"]["k"] = json!("2");
    assert_eq!(admin.put(&format!("{CONFIG_MAPS}/a"), &second).await.code, 200);
    expect(
        &admin.put(&format!("{CONFIG_MAPS}/a"), &first).await,
        409,
        "Conflict",
        "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again",
    );
    let options = json!({ "preconditions": { "uid": "00000000-0000-4000-8000-000000000000" } }).to_string();
    let refused =
        admin.send("DELETE", &format!("{CONFIG_MAPS}/a"), &[("content-type", "application/json")], &options).await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (409, json!("Conflict")));
    for name in ["default", "kube-system", "kube-public"] {
        expect(
            &admin.delete(&format!("/api/v1/namespaces/{name}")).await,
            403,
            "Forbidden",
            &format!("namespaces \"{name}\" is forbidden: this namespace may not be deleted"),
        );
    }
    // A namespace that goes lets nothing new in.
    let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "going" } });
    assert_eq!(admin.post("/api/v1/namespaces", &namespace).await.code, 201);
    let going = admin.delete("/api/v1/namespaces/going").await;
    assert_eq!((going.code, going.json()["status"]["phase"].clone()), (200, json!("Terminating")), "{}", going.text());
    let status = expect(
        &admin.post("/api/v1/namespaces/going/configmaps", &config_map("a", "1")).await,
        403,
        "Forbidden",
        "configmaps \"a\" is forbidden: unable to create new content in namespace going because it is being terminated",
    );
    assert_eq!(status["details"]["causes"][0]["reason"], "NamespaceTerminating");
    // Emptied, it is let go by the last finalizer of its spec.
    let mut namespace = admin.get("/api/v1/namespaces/going").await.json();
    namespace["spec"]["finalizers"] = json!([]);
    let finalized = admin.put("/api/v1/namespaces/going/finalize", &namespace).await;
    assert_eq!(finalized.code, 200, "{}", finalized.text());
    assert_eq!(admin.get("/api/v1/namespaces/going").await.code, 404);
}

async fn what_cannot_be_understood(cluster: Cluster) {
    let admin = cluster.admin();
    let post = |media_type: &'static str, body: &'static str| {
        let admin = admin.clone();
        async move { admin.send("POST", CONFIG_MAPS, &[("content-type", media_type)], body).await }
    };
    let cbor = post("application/cbor", "x").await;
    assert_eq!((cbor.code, cbor.json()["reason"].clone()), (415, json!("UnsupportedMediaType")));
    assert!(cbor.json()["message"].as_str().unwrap().contains("application/json"));
    assert_eq!(post("application/vnd.kubernetes.protobuf", "k8s\0\x12\x7f").await.code, 400);
    let broken = post("application/json", "{\"apiVersion\": ").await;
    assert_eq!((broken.code, broken.json()["reason"].clone()), (400, json!("BadRequest")), "{}", broken.text());
    let other = post("application/json", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#).await;
    assert_eq!((other.code, other.json()["reason"].clone()), (400, json!("BadRequest")), "{}", other.text());
    let nested = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = admin.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], &nested).await;
    assert_eq!(deep.code, 400, "{}", deep.text());
    let answer = admin.get_as(CONFIG_MAPS, "application/cbor").await;
    assert_eq!((answer.code, answer.json()["reason"].clone()), (406, json!("NotAcceptable")));
    let both = admin.get_as(CONFIG_MAPS, "application/cbor,application/json").await;
    assert_eq!((both.code, both.header("content-type")), (200, "application/json"));
    let apply = admin.patch(&format!("{CONFIG_MAPS}/a"), "application/unknown-patch", &json!({})).await;
    assert_eq!(apply.code, 415);
    // The type decides, not the options that belong to another.
    let apply = admin.patch(&format!("{CONFIG_MAPS}/a?force=true"), "application/apply-patch+cbor", &json!({})).await;
    assert_eq!((apply.code, apply.json()["reason"].clone()), (415, json!("UnsupportedMediaType")));
    let refused = admin.send("POST", "/api/v1/namespaces/default/configmaps/a", &[], "{}").await;
    expect(&refused, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}?labelSelector=a%20in%20(")).await.code, 400);
    let field = admin.get("/api/v1/pods?fieldSelector=spec.color%3Dred").await;
    assert_eq!(field.code, 400);
    assert!(field.json()["message"].as_str().unwrap().contains("field label not supported"), "{}", field.text());
    let huge = "x".repeat(4 << 20);
    let too_large = admin.send("POST", CONFIG_MAPS, &[("content-type", "application/json")], &huge).await;
    assert_eq!((too_large.code, too_large.json()["reason"].clone()), (413, json!("RequestEntityTooLarge")));
}

async fn what_is_wrong_in_a_field(cluster: Cluster) {
    let admin = cluster.admin();
    let answer = admin.post(CONFIG_MAPS, &config_map("No_Good", "1")).await;
    assert_eq!(answer.code, 422, "{}", answer.text());
    let status = answer.json();
    assert_eq!(status["reason"], "Invalid");
    assert_eq!(status["details"]["kind"], "ConfigMap");
    assert_eq!(status["details"]["causes"][0]["field"], "metadata.name");
    assert_eq!(status["details"]["causes"][0]["reason"], "FieldValueInvalid");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("ConfigMap \"No_Good\" is invalid: metadata.name: Invalid value: \"No_Good\""),
        "{message}"
    );
    // Unknown fields: said by default, refused when asked for, ignored when asked for.
    let mut odd = config_map("odd", "1");
    odd["colour"] = json!("red");
    let warned = admin.post(CONFIG_MAPS, &odd).await;
    assert_eq!((warned.code, warned.header("warning")), (201, "299 - \"unknown field \\\"colour\\\"\""));
    let strict = admin.post(&format!("{CONFIG_MAPS}?fieldValidation=Strict"), &odd).await;
    assert_eq!(strict.code, 400, "{}", strict.text());
    assert!(strict.text().contains("strict decoding error: unknown field"), "{}", strict.text());
    odd["metadata"]["name"] = json!("odd2");
    let ignored = admin.post(&format!("{CONFIG_MAPS}?fieldValidation=Ignore"), &odd).await;
    assert_eq!((ignored.code, ignored.header("warning")), (201, ""));
}

async fn garbage_on_the_port_hurts_nobody(mut cluster: Cluster) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    for garbage in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), &[0x16, 0x03, 0x01, 0xff, 0xff, 0x01], &[0xff; 4096], b""] {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", cluster.port())).await.unwrap();
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(std::time::Duration::from_secs(15), stream.read_to_end(&mut answer)).await;
    }
    let mut one = cluster.admin().connect(true).await.unwrap();
    let long = format!("/{}", "a".repeat(40_000));
    let answer = one.send("GET", &long, &[], "").await.unwrap();
    assert!(matches!(answer.code, 414 | 431), "{}", answer.code);
    assert!(cluster.server().ended().is_none());
    assert_eq!(cluster.admin().get("/livez").await.text(), "ok");
}
