//! Server-side apply and the owners of fields, as clients see them: raw HTTP, kube-rs and kubectl.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::{Value, json};
use tests_api::rig::Answer;
use tests_api::rig::Cluster;
use tests_api::samples::samples;
use tests_api::{CONFIG_MAPS, config_map, on_every_store, settled, version};

on_every_store!(
    every_kind_is_created_changed_and_left_by_apply,
    owners_follow_every_kind_of_write,
    conflicts_name_the_owner_and_the_field,
    options_are_checked,
    bodies_are_checked,
    dry_runs_write_nothing,
    applies_that_change_nothing_write_nothing,
    scales_and_statuses_have_owners_of_their_own,
    versions_guard_applies_too,
    a_client_library_applies,
    kubectl_applies_on_the_server,
    kubectl_moves_from_one_apply_to_the_other,
    schemas_name_the_form_and_the_rules,
);

const APPLY: &str = "application/apply-patch+yaml";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn apply(cluster: &Cluster, path: &str, manager: &str, body: &Value) -> Answer {
    let separator = if path.contains('?') { '&' } else { '?' };
    cluster.admin().patch(&format!("{path}{separator}fieldManager={manager}"), APPLY, body).await
}

fn data(name: &str, data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": data })
}

fn deployment(name: &str, replicas: Option<u32>) -> Value {
    let mut body = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "c", "image": "example.test/c:1", "ports": [{ "containerPort": 80 }] }] },
            },
        },
    });
    if let Some(replicas) = replicas {
        body["spec"]["replicas"] = replicas.into();
    }
    body
}

/// `manager operation` of every entry, with the subresource if there is one.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let line = |entry: &Value| {
        let words = ["manager", "operation", "subresource"].map(|word| entry[word].as_str().unwrap_or_default());
        words.join(" ").trim_end().to_owned()
    };
    entries.iter().map(line).collect()
}

/// What a manager owns.
fn owned(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries
        .into_iter()
        .find(|entry| entry["manager"] == manager)
        .map(|mut entry| entry["fieldsV1"].take())
        .unwrap_or_default()
}

async fn every_kind_is_created_changed_and_left_by_apply(cluster: Cluster) {
    let admin = cluster.admin();
    for sample in samples() {
        let (kind, name) = (sample.kind, sample.name);
        let one = format!("{}/{name}", sample.path);
        let made = apply(&cluster, &one, "first", &sample.object(name)).await;
        assert_eq!(made.code, 201, "{kind}: {}", made.text());
        let read = settled(&admin, &one).await;
        if kind != "FlowSchema" {
            assert_eq!(read, made.json(), "{kind}");
        }
        let same = apply(&cluster, &one, "first", &sample.object(name)).await;
        assert_eq!((same.code, version(&same.json())), (200, version(&read)), "{kind}: {}", same.text());
        let label = json!({
            "apiVersion": sample.api_version, "kind": kind,
            "metadata": { "name": name, "labels": { "color": "red" } },
        });
        let labelled = apply(&cluster, &one, "second", &label).await;
        assert_eq!(labelled.code, 200, "{kind}: {}", labelled.text());
        let labelled = labelled.json();
        assert_eq!(labelled["metadata"]["labels"]["color"], "red", "{kind}");
        // Labels of a slice count as work for those who read it.
        if kind != "EndpointSlice" {
            assert_eq!(labelled["metadata"]["generation"], read["metadata"]["generation"], "{kind}");
        }
        assert_eq!(owned(&labelled, "second"), json!({ "f:metadata": { "f:labels": { "f:color": {} } } }), "{kind}");
        let bare = json!({ "apiVersion": sample.api_version, "kind": kind, "metadata": { "name": name } });
        let bare = apply(&cluster, &one, "second", &bare).await;
        assert_eq!(bare.code, 200, "{kind}: {}", bare.text());
        assert_eq!(bare.json()["metadata"]["labels"]["color"], Value::Null, "{kind}");
        assert_eq!(owned(&bare.json(), "second"), Value::Null, "{kind}");
        assert_eq!(admin.delete(&one).await.code, 200, "{kind}");
    }
}

async fn owners_follow_every_kind_of_write(cluster: Cluster) {
    let admin = cluster.admin();
    let agent = [("content-type", "application/json"), ("user-agent", "tester/1.0 (x)")];
    let made = admin.send("POST", CONFIG_MAPS, &agent, &config_map("a", "1").to_string()).await.json();
    let entry = &made["metadata"]["managedFields"][0];
    assert_eq!(
        (&entry["manager"], &entry["operation"], &entry["apiVersion"], &entry["fieldsType"], &entry["fieldsV1"]),
        (
            &json!("tester"),
            &json!("Update"),
            &json!("v1"),
            &json!("FieldsV1"),
            &json!({ "f:data": { ".": {}, "f:k": {} } })
        )
    );
    let one = format!("{CONFIG_MAPS}/a");
    for (media_type, manager, body) in [
        ("application/merge-patch+json", "merging", json!({ "data": { "m": "1" } })),
        ("application/strategic-merge-patch+json", "strategist", json!({ "data": { "s": "1" } })),
        ("application/json-patch+json", "stepper", json!([{ "op": "add", "path": "/data/j", "value": "1" }])),
    ] {
        let path = format!("{one}?fieldManager={manager}");
        let patched = admin.patch(&path, media_type, &body).await;
        assert_eq!(patched.code, 200, "{}", patched.text());
        assert!(owners(&patched.json()).contains(&format!("{manager} Update")), "{}", patched.text());
    }
    let mut whole = admin.get(&one).await.json();
    whole["data"]["m"] = "2".into();
    whole["metadata"].as_object_mut().unwrap().remove("managedFields");
    let put = admin.put(&format!("{one}?fieldManager=putter"), &whole).await.json();
    assert_eq!(owned(&put, "putter"), json!({ "f:data": { "f:m": {} } }));
    assert_eq!(owned(&put, "merging"), Value::Null);
    assert_eq!(owned(&put, "strategist"), json!({ "f:data": { "f:s": {} } }));
    // Nothing changes: neither version nor times.
    let again = admin.put(&format!("{one}?fieldManager=other"), &put).await.json();
    assert_eq!(again, put);
    let forget = json!({ "metadata": { "managedFields": [{}] } });
    let forgotten = admin.patch(&one, "application/merge-patch+json", &forget).await.json();
    assert_eq!(owners(&forgotten), Vec::<String>::new());
    let later = apply(&cluster, &one, "mine", &data("a", &json!({ "x": "1" }))).await.json();
    assert_eq!(owners(&later), ["mine Apply", "before-first-apply Update"]);
    let bound = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "default" } });
    let namespace = admin.get("/api/v1/namespaces/default").await.json();
    assert_eq!(bound["metadata"]["name"], namespace["metadata"]["name"]);
    assert_eq!(owners(&namespace), ["kube-apiserver Update"]);
}

async fn conflicts_name_the_owner_and_the_field(cluster: Cluster) {
    let one = format!("{DEPLOYMENTS}/web");
    assert_eq!(apply(&cluster, &one, "first", &deployment("web", Some(1))).await.code, 201);
    let mut other = deployment("web", Some(2));
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "example.test/c:2".into();
    let refused = apply(&cluster, &one, "second", &other).await;
    assert_eq!(
        refused.json(),
        json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 409, "reason": "Conflict",
            "message": "Apply failed with 2 conflicts: conflicts with \"first\":\n- .spec.replicas\n- .spec.template.spec.containers[name=\"c\"].image",
            "details": { "causes": [
                { "reason": "FieldManagerConflict", "message": "conflict with \"first\"", "field": ".spec.replicas" },
                {
                    "reason": "FieldManagerConflict", "message": "conflict with \"first\"",
                    "field": ".spec.template.spec.containers[name=\"c\"].image",
                },
            ] },
        })
    );
    let forced = apply(&cluster, &format!("{one}?force=true"), "second", &other).await.json();
    assert_eq!((&forced["spec"]["replicas"], &forced["metadata"]["generation"]), (&json!(2), &json!(2)));
    assert_eq!(owned(&forced, "first")["f:spec"]["f:replicas"], Value::Null);
    // Shared: the same value is no conflict, and the field stays until nobody names it.
    let shared = apply(&cluster, &one, "first", &{
        let mut same = deployment("web", Some(2));
        same["spec"]["template"]["spec"]["containers"][0]["image"] = "example.test/c:2".into();
        same
    })
    .await;
    assert_eq!(shared.code, 200, "{}", shared.text());
    assert_eq!(owned(&shared.json(), "first")["f:spec"]["f:replicas"], json!({}));
    assert_eq!(owned(&shared.json(), "second")["f:spec"]["f:replicas"], json!({}));
}

async fn options_are_checked(cluster: Cluster) {
    let admin = cluster.admin();
    let one = format!("{CONFIG_MAPS}/a");
    let body = data("a", &json!({ "k": "1" }));
    let nameless = admin.patch(&one, APPLY, &body).await;
    assert_eq!(
        (nameless.code, nameless.json()["message"].clone()),
        (
            422,
            json!(
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
            )
        )
    );
    let long = apply(&cluster, &one, &"x".repeat(129), &body).await;
    assert_eq!(long.code, 422);
    assert!(long.text().contains("fieldManager: Too long"), "{}", long.text());
    let odd = apply(&cluster, &one, "a%0Ab", &body).await;
    assert!(odd.text().contains("invalid character U+000A (at position 1)"), "{}", odd.text());
    let binary = admin.patch(&format!("{one}?fieldManager=x"), "application/apply-patch+cbor", &body).await;
    assert_eq!(binary.code, 415);
    assert!(binary.text().contains("application/apply-patch+yaml"), "{}", binary.text());
    let forced = admin.patch(&format!("{one}?force=true"), "application/merge-patch+json", &body).await;
    assert_eq!(forced.code, 422);
}

async fn bodies_are_checked(cluster: Cluster) {
    let admin = cluster.admin();
    let one = format!("{CONFIG_MAPS}/a");
    let send = async |path: &str, body: &str| admin.send("PATCH", path, &[("content-type", APPLY)], body).await;
    let path = format!("{one}?fieldManager=me");
    for (body, code, says) in [
        ("[]", 400, "error decoding YAML"),
        ("{", 400, "error decoding YAML"),
        ("kind: ConfigMap\nmetadata: {name: a}\n", 400, "invalid object type: /, Kind=ConfigMap"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", 400, "invalid object type: /v1, Kind=Secret"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n",
            400,
            "the name of the object (b) does not match the name on the URL (a)",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: other}\n",
            400,
            "does not match the namespace",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, managedFields: []}\n",
            400,
            "metadata.managedFields must be nil",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, uid: x}\n",
            409,
            "uid mismatch: the provided object specified uid x, and no existing object was found",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndota: {}\n",
            500,
            ".dota: field not declared in schema",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: 1}\n", 500, ".data.k: expected string"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\nbinaryData: {k: '*'}\n", 500, "illegal base64"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {'?': x}\n", 422, "data[?]: Invalid value"),
    ] {
        let answer = send(&path, body).await;
        assert_eq!(answer.code, code, "{body}: {}", answer.text());
        let said = answer.json()["message"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(says), "{body}: {said}");
    }
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '1', k: '2'}\n";
    let strict = send(&format!("{path}&fieldValidation=Strict"), twice).await;
    assert_eq!(strict.code, 400, "{}", strict.text());
    assert!(strict.text().contains("error strict decoding YAML"), "{}", strict.text());
    let warned = send(&path, twice).await;
    assert_eq!((warned.code, warned.json()["data"]["k"].clone()), (201, json!("2")), "{}", warned.text());
    assert!(!warned.header("warning").is_empty());
    let ignored = send(&format!("{path}&fieldValidation=Ignore"), twice).await;
    assert_eq!((ignored.code, ignored.header("warning")), (200, ""));
    let fixed = admin.patch(&one, "application/merge-patch+json", &json!({ "immutable": true })).await;
    assert_eq!(fixed.code, 200);
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: '3'}\n";
    let refused = send(&path, body).await;
    assert_eq!(refused.code, 422, "{}", refused.text());
    let missing = apply(&cluster, "/api/v1/namespaces/nowhere/configmaps/a", "me", &data("a", &json!({}))).await;
    assert_eq!((missing.code, missing.json()["message"].clone()), (404, json!("namespaces \"nowhere\" not found")));
    let status = apply(&cluster, &format!("{DEPLOYMENTS}/none/status"), "me", &deployment("none", None)).await;
    assert_eq!(status.code, 404, "{}", status.text());
}

async fn dry_runs_write_nothing(cluster: Cluster) {
    let one = format!("{CONFIG_MAPS}/a");
    let dry = format!("{one}?dryRun=All");
    let made = apply(&cluster, &dry, "me", &data("a", &json!({ "k": "1" }))).await;
    assert_eq!(made.code, 201, "{}", made.text());
    assert_eq!(cluster.admin().get(&one).await.code, 404);
    let made = apply(&cluster, &one, "me", &data("a", &json!({ "k": "1" }))).await.json();
    let shown = apply(&cluster, &dry, "me", &data("a", &json!({ "k": "2" }))).await.json();
    assert_eq!((&shown["data"]["k"], version(&shown)), (&json!("2"), version(&made)));
    assert_eq!(cluster.admin().get(&one).await.json(), made);
}

async fn applies_that_change_nothing_write_nothing(cluster: Cluster) {
    let one = format!("{DEPLOYMENTS}/web");
    let made = apply(&cluster, &one, "me", &deployment("web", Some(1))).await.json();
    for _ in 0..3 {
        assert_eq!(apply(&cluster, &one, "me", &deployment("web", Some(1))).await.json(), made);
    }
    // What nobody owns any more but the server gives a default goes back to it.
    let less = apply(&cluster, &one, "me", &deployment("web", None)).await.json();
    assert_eq!((&less["spec"]["replicas"], &less["metadata"]["generation"]), (&json!(1), &json!(1)));
    assert_ne!(version(&less), version(&made));
    let table = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let partial = cluster.admin().get_as(&one, table).await.json();
    assert_eq!(partial["metadata"]["managedFields"], less["metadata"]["managedFields"]);
}

async fn scales_and_statuses_have_owners_of_their_own(cluster: Cluster) {
    let admin = cluster.admin();
    let one = format!("{DEPLOYMENTS}/web");
    apply(&cluster, &one, "me", &deployment("web", Some(1))).await;
    let scale = json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "web" }, "spec": { "replicas": 3 } });
    let refused = apply(&cluster, &format!("{one}/scale"), "scaler", &scale).await;
    assert_eq!(
        (refused.code, refused.json()["message"].clone()),
        (409, json!("Apply failed with 1 conflict: conflict with \"me\": .spec.replicas"))
    );
    let scaled = apply(&cluster, &format!("{one}/scale?force=true"), "scaler", &scale).await;
    assert_eq!((scaled.code, scaled.json()["spec"]["replicas"].clone()), (200, json!(3)), "{}", scaled.text());
    let read = admin.get(&one).await.json();
    assert_eq!(
        (&read["spec"]["replicas"], owners(&read)),
        (&json!(3), vec!["me Apply".into(), "scaler Apply scale".into()])
    );
    assert_eq!(owned(&read, "scaler"), json!({ "f:spec": { "f:replicas": {} } }));
    assert_eq!(owned(&read, "me")["f:spec"]["f:replicas"], Value::Null);
    let same = apply(&cluster, &one, "me", &deployment("web", None)).await;
    assert_eq!((same.code, same.json()["spec"]["replicas"].clone()), (200, json!(3)), "{}", same.text());
    let status = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "paused": true }, "status": { "observedGeneration": 1, "conditions": [{ "type": "Odd", "status": "True" }] },
    });
    let known = apply(&cluster, &format!("{one}/status"), "controller", &status).await;
    assert_eq!(known.code, 200, "{}", known.text());
    let known = known.json();
    assert_eq!(known["spec"]["paused"], Value::Null);
    assert_eq!(known["status"]["conditions"][0]["type"], "Odd");
    assert!(owners(&known).contains(&"controller Apply status".to_owned()), "{:?}", owners(&known));
    assert!(owned(&known, "controller").get("f:spec").is_none());
    // Whoever writes the object leaves the status and its owner alone.
    let later = apply(&cluster, &one, "me", &deployment("web", None)).await.json();
    assert_eq!(later["status"]["conditions"][0]["type"], "Odd");
    let body = json!({ "spec": { "replicas": 5 } });
    let patched = admin.patch(&format!("{one}/scale?fieldManager=hand"), "application/merge-patch+json", &body).await;
    assert_eq!(patched.code, 200, "{}", patched.text());
    assert_eq!(patched.json()["metadata"].get("managedFields"), None);
    let read = admin.get(&one).await.json();
    assert!(owners(&read).contains(&"hand Update scale".to_owned()), "{:?}", owners(&read));
    assert!(!owners(&read).contains(&"scaler Apply scale".to_owned()), "{:?}", owners(&read));
}

async fn versions_guard_applies_too(cluster: Cluster) {
    let one = format!("{CONFIG_MAPS}/a");
    let made = apply(&cluster, &one, "me", &data("a", &json!({ "k": "1" }))).await.json();
    let next = apply(&cluster, &one, "me", &data("a", &json!({ "k": "2" }))).await.json();
    let mut stale = data("a", &json!({ "k": "3" }));
    stale["metadata"]["resourceVersion"] = version(&made).into();
    let refused = apply(&cluster, &one, "me", &stale).await;
    assert_eq!((refused.code, refused.json()["reason"].clone()), (409, json!("Conflict")), "{}", refused.text());
    stale["metadata"]["resourceVersion"] = version(&next).into();
    assert_eq!(apply(&cluster, &one, "me", &stale).await.code, 200);
    let mut foreign = data("a", &json!({ "k": "4" }));
    foreign["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555".into();
    let refused = apply(&cluster, &one, "me", &foreign).await;
    assert_eq!(refused.code, 409, "{}", refused.text());
    assert!(refused.text().contains("Precondition failed: UID in precondition"), "{}", refused.text());
    // Many at once, each a field of its own: all get in.
    let writers = (0..16).map(|n| {
        let (cluster, one) = (&cluster, &one);
        async move { apply(cluster, one, &format!("m{n}"), &data("a", &json!({ format!("k{n}"): "x" }))).await.code }
    });
    let codes = futures::future::join_all(writers).await;
    assert_eq!(codes, vec![200; 16]);
    let read = cluster.admin().get(&one).await.json();
    assert_eq!(read["data"].as_object().unwrap().len(), 17);
    // Several make the same object at once: one makes it, the others find it.
    let fresh = format!("{CONFIG_MAPS}/fresh");
    let writers =
        (0..8).map(|n| {
            let (cluster, fresh) = (&cluster, &fresh);
            async move {
                apply(cluster, fresh, &format!("m{n}"), &data("fresh", &json!({ format!("k{n}"): "x" }))).await.code
            }
        });
    let mut codes = futures::future::join_all(writers).await;
    codes.sort_unstable();
    assert_eq!(codes, [vec![200; 7], vec![201]].concat());
}

async fn a_client_library_applies(cluster: Cluster) {
    let kubeconfig = Kubeconfig::read_from(cluster.kubeconfig()).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let api: Api<ConfigMap> = Api::default_namespaced(Client::try_from(config).unwrap());
    let params = PatchParams::apply("a-controller");
    let made = api.patch("a", &params, &Patch::Apply(data("a", &json!({ "k": "1" })))).await.unwrap();
    assert_eq!(made.metadata.managed_fields.unwrap()[0].manager.as_deref(), Some("a-controller"));
    let other = PatchParams::apply("another");
    let refused = api.patch("a", &other, &Patch::Apply(data("a", &json!({ "k": "2" })))).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    let forced = api.patch("a", &other.force(), &Patch::Apply(data("a", &json!({ "k": "2" })))).await.unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");
}

fn manifest(image: &str, replicas: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n{replicas}  selector:\n    matchLabels: {{app: web}}\n  template:\n    metadata:\n      labels: {{app: web}}\n    spec:\n      containers:\n      - name: c\n        image: {image}\n"
    )
}

async fn kubectl_applies_on_the_server(cluster: Cluster) {
    let apply = async |more: &[&str], text: &str| {
        let args: Vec<&str> = ["apply", "--server-side", "-f", "-"].iter().chain(more).copied().collect();
        cluster.kubectl_with(&args, text).await
    };
    let said = |output: &std::process::Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let first = manifest("example.test/c:1", "  replicas: 1\n");
    assert_eq!(said(&apply(&[], &first).await), "deployment.apps/web serverside-applied\n");
    assert_eq!(said(&apply(&[], &first).await), "deployment.apps/web serverside-applied\n");
    let fields =
        ["get", "deployment", "web", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"];
    assert_eq!(cluster.kubectl(&fields).await, "kubectl");
    let hidden = cluster.kubectl(&["get", "deployment", "web", "-o", "yaml"]).await;
    assert!(!hidden.contains("managedFields"), "{hidden}");
    let shown = cluster.kubectl(&["get", "deployment", "web", "-o", "yaml", "--show-managed-fields"]).await;
    assert!(
        shown.contains("  managedFields:\n  - apiVersion: apps/v1\n    fieldsType: FieldsV1\n    fieldsV1:\n"),
        "{shown}"
    );
    cluster.kubectl(&["scale", "deployment", "web", "--replicas=4"]).await;
    let conflict = apply(&[], &first).await;
    assert!(!conflict.status.success());
    let complaint = said(&conflict);
    assert!(
        complaint.starts_with("error: Apply failed with 1 conflict: conflict with \"kubectl\" with subresource \"scale\" using apps/v1: .spec.replicas\n"),
        "{complaint}"
    );
    assert!(complaint.contains("Please review the fields above--they currently have other managers."), "{complaint}");
    let diff = cluster.kubectl_with(&["diff", "--server-side", "--force-conflicts", "-f", "-"], &first).await;
    assert_eq!(diff.status.code(), Some(1), "{}", said(&diff));
    assert!(said(&diff).contains("-  replicas: 4\n+  replicas: 1\n"), "{}", said(&diff));
    assert_eq!(said(&apply(&["--force-conflicts"], &first).await), "deployment.apps/web serverside-applied\n");
    assert_eq!(cluster.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"]).await, "1");
    let same = cluster.kubectl_with(&["diff", "--server-side", "-f", "-"], &first).await;
    assert_eq!(same.status.code(), Some(0), "{}", said(&same));
    let dry = apply(&["--dry-run=server"], &manifest("example.test/c:2", "")).await;
    assert_eq!(said(&dry), "deployment.apps/web serverside-applied (server dry run)\n");
    let unknown = apply(&[], &first.replace("image:", "imag:")).await;
    assert!(said(&unknown).contains("field not declared in schema"), "{}", said(&unknown));
    let other = apply(&["--field-manager=other"], &manifest("example.test/c:3", "")).await;
    assert!(
        said(&other).contains("conflict with \"kubectl\": .spec.template.spec.containers[name=\"c\"].image"),
        "{}",
        said(&other)
    );
}

async fn kubectl_moves_from_one_apply_to_the_other(cluster: Cluster) {
    let first = manifest("example.test/c:1", "  replicas: 2\n");
    assert_eq!(cluster.kubectl_input(&["apply", "-f", "-"], &first).await, "deployment.apps/web created\n");
    let managers = [
        "get",
        "deployment",
        "web",
        "--show-managed-fields",
        "-o",
        "jsonpath={range .metadata.managedFields[*]}{.manager} {.operation}{\"\\n\"}{end}",
    ];
    assert_eq!(cluster.kubectl(&managers).await, "kubectl-client-side-apply Update\n");
    let last = cluster.kubectl(&["apply", "view-last-applied", "deployment", "web"]).await;
    assert!(last.contains("replicas: 2"), "{last}");
    // The image changes and the replicas are given up: what the client-side apply owned goes with it.
    let second = manifest("example.test/c:2", "");
    let said = cluster.kubectl_input(&["apply", "--server-side", "-f", "-"], &second).await;
    assert_eq!(said, "deployment.apps/web serverside-applied\n");
    let after = cluster.kubectl(&managers).await;
    assert!(after.starts_with("kubectl Apply\n") && !after.contains("client-side"), "{after}");
    let read = cluster.admin().get(&format!("{DEPLOYMENTS}/web")).await.json();
    assert_eq!(read["spec"]["template"]["spec"]["containers"][0]["image"], "example.test/c:2");
    assert_eq!(read["spec"]["replicas"], 1);
    let last = cluster.kubectl(&["apply", "view-last-applied", "deployment", "web"]).await;
    assert!(last.contains("example.test/c:2") && !last.contains("replicas"), "{last}");
    // And back: the annotation was kept up to date.
    let third = manifest("example.test/c:3", "");
    assert_eq!(cluster.kubectl_input(&["apply", "-f", "-"], &third).await, "deployment.apps/web configured\n");
}

async fn schemas_name_the_form_and_the_rules(cluster: Cluster) {
    let document = cluster.admin().get("/openapi/v3/apis/apps/v1").await.json();
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert!(patch["requestBody"]["content"][APPLY].is_object(), "{patch}");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["io.k8s.api.core.v1.LocalObjectReference"]["x-kubernetes-map-type"], "atomic");
    let template = &schemas["io.k8s.api.core.v1.PodSpec"]["properties"];
    assert_eq!(template["nodeSelector"]["x-kubernetes-map-type"], "atomic");
    assert_eq!(template["containers"]["x-kubernetes-list-map-keys"], json!(["name"]));
    let port = &schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"];
    assert_eq!(port["default"], "TCP");
}
