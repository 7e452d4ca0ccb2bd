//! Every kind that can be stored goes through every command of kubectl that takes any kind: all of them in one manifest,
//! so that each command is started once.

use serde_json::{Value, json};
use tests_api::rig::Cluster;
use tests_api::{config_map, pod, samples, with_every_kubectl};

with_every_kubectl!(
    every_kind_is_made_shown_changed_and_deleted,
    every_kind_is_applied,
    every_kind_is_applied_by_the_server,
    every_kind_is_explained,
);

/// A manifest with one object of every kind: a YAML stream of documents that are JSON. Owners come before what needs them.
fn manifest() -> (String, usize) {
    let objects = objects();
    (stream(&objects), objects.len())
}

fn stream(objects: &[Value]) -> String {
    objects.iter().map(|object| format!("---\n{object}\n")).collect()
}

fn objects() -> Vec<Value> {
    let object = |api_version: &str, kind: &str, rest: Value| {
        let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": "one" } });
        let (Value::Object(object_members), Value::Object(rest)) = (&mut object, rest) else { unreachable!() };
        object_members.extend(rest);
        object
    };
    let event = json!({ "involvedObject": { "kind": "Pod", "name": "one", "namespace": "default" }, "reason": "Seen" });
    let mut objects = vec![
        object("v1", "Namespace", json!({})),
        object("v1", "Node", json!({})),
        object("v1", "Secret", json!({ "stringData": { "a": "b" } })),
        object("v1", "Service", json!({ "spec": { "selector": { "app": "web" }, "ports": [{ "port": 80 }] } })),
        object("v1", "ServiceAccount", json!({})),
        object(
            "v1",
            "Endpoints",
            json!({ "subsets": [{ "addresses": [{ "ip": "192.0.2.1" }], "ports": [{ "port": 80 }] }] }),
        ),
        object("v1", "Event", event),
        object("coordination.k8s.io/v1", "Lease", json!({ "spec": { "holderIdentity": "me" } })),
        config_map("one", "v"),
        pod("one"),
    ];
    // The two versions of autoscalers show the same objects.
    let stored = samples::samples().into_iter().filter(|sample| sample.api_version != "autoscaling/v1");
    objects.extend(stored.map(|sample| sample.object(sample.name)));
    objects
}

/// The objects of the manifest, as they are now.
async fn items(cluster: &Cluster, args: &[&str], manifest: &str) -> Vec<Value> {
    let read = cluster.kubectl_with(&[&["get", "-o", "json", "-f", "-"], args].concat(), manifest).await;
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let list: Value = serde_json::from_slice(&read.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

/// What kubectl printed besides warnings, line by line.
fn lines(said: &str) -> Vec<&str> {
    said.lines().filter(|line| !line.starts_with("Warning: ") && !line.is_empty()).collect()
}

/// Every line ends with `end`, one for each of `count` objects.
#[track_caller]
fn all_end(said: &str, end: &str, count: usize) {
    let lines = lines(said);
    let odd: Vec<&&str> = lines.iter().filter(|line| !line.ends_with(end)).collect();
    assert!(odd.is_empty(), "not {end}: {odd:#?}");
    assert_eq!(lines.len(), count, "{said}");
}

async fn every_kind_is_made_shown_changed_and_deleted(cluster: Cluster) {
    let (manifest, count) = manifest();
    let on_all = async |args: &[&str]| {
        let output = cluster.kubectl_with(&[args, &["-f", "-"]].concat(), &manifest).await;
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    all_end(&on_all(&["create"]).await, " created", count);

    let yaml = on_all(&["get", "-o", "yaml"]).await;
    assert_eq!(yaml.matches("\n    uid: ").count(), count, "{yaml}");
    assert_eq!(items(&cluster, &[], &manifest).await.len(), count);
    let names = on_all(&["get", "-o", "name"]).await;
    assert_eq!(names.lines().count(), count, "{names}");
    let picked = on_all(&["get", "-o", "jsonpath={range .items[*]}{.kind}{\"\\n\"}{end}"]).await;
    assert_eq!(picked.lines().count(), count, "{picked}");
    let template = on_all(&["get", "-o", "go-template={{range .items}}{{.metadata.uid}}{{\"\\n\"}}{{end}}"]).await;
    assert!(template.lines().all(|uid| uid.len() == 36), "{template}");
    let columns = on_all(&["get", "-o", "custom-columns=KIND:.kind,NAME:.metadata.name", "--no-headers"]).await;
    assert_eq!(columns.lines().count(), count, "{columns}");
    for form in [&["get"][..], &["get", "-o", "wide"], &["get", "--show-labels"], &["get", "--show-kind", "-L", "app"]]
    {
        let shown = on_all(form).await;
        let tables = shown.split("\n\n").filter(|table| table.lines().count() >= 2).count();
        assert_eq!(tables, count, "{shown}");
    }

    all_end(&on_all(&["label", "color=red"]).await, " labeled", count);
    all_end(&on_all(&["annotate", "note=hello"]).await, " annotated", count);
    let patch = r#"{"metadata":{"labels":{"color":"blue"}}}"#;
    for kind in ["merge", "strategic"] {
        let color = patch.replace("blue", kind);
        all_end(&on_all(&["patch", "--type", kind, "-p", &color]).await, " patched", count);
    }
    let operations = r#"[{"op":"replace","path":"/metadata/labels/color","value":"green"}]"#;
    all_end(&on_all(&["patch", "--type", "json", "-p", operations]).await, " patched", count);
    let labels = on_all(&["get", "-l", "color=green", "-o", "name"]).await;
    assert_eq!(labels.lines().count(), count, "{labels}");
    let read = stream(&items(&cluster, &[], &manifest).await);
    let said = cluster.kubectl_input(&["replace", "-f", "-"], &read.replace("green", "yellow")).await;
    all_end(&said, " replaced", count);
    let edited = {
        let file = cluster.folder().join("all.json");
        std::fs::write(&file, &manifest).unwrap();
        let mut command = cluster.kubectl_command(&["edit", "-f", file.to_str().unwrap()]);
        let output = command.env("KUBE_EDITOR", "sed -i s/yellow/white/").output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    all_end(&edited, " edited", count);

    // An older kubectl describes these in a version that was not final.
    let describable = |object: &Value| {
        !["ServiceCIDR", "IPAddress", "VolumeAttributesClass"].contains(&object["kind"].as_str().unwrap())
    };
    let some: Vec<Value> = objects().into_iter().filter(describable).collect();
    let described = cluster.kubectl_with(&["describe", "-f", "-"], &stream(&some)).await;
    assert!(described.status.success(), "{}", String::from_utf8_lossy(&described.stderr));
    let described = String::from_utf8(described.stdout).unwrap();
    assert!(described.matches("color=white").count() >= some.len() - 6, "{described}");
    let exists = cluster.kubectl(&["wait", "--for=create", "configmap/one", "role/one", "--timeout=20s"]).await;
    all_end(&exists, " condition met", 2);
    let white = on_all(&["wait", "--for=jsonpath={.metadata.labels.color}=white", "--timeout=20s"]).await;
    all_end(&white, " condition met", count);
    let deleted = on_all(&["delete", "--force", "--grace-period=0", "--wait=false", "--now=false"]).await;
    assert_eq!(lines(&deleted).iter().filter(|line| line.contains(" deleted")).count(), count, "{deleted}");
}

async fn every_kind_is_applied(cluster: Cluster) {
    let (manifest, count) = manifest();
    let apply =
        async |args: &[&str], text: &str| cluster.kubectl_input(&[&["apply", "-f", "-"], args].concat(), text).await;
    let dry = apply(&["--dry-run=server"], &manifest).await;
    all_end(&dry, " created (server dry run)", count);
    all_end(&apply(&[], &manifest).await, " created", count);
    let made = items(&cluster, &[], &manifest).await;
    // Where a list is replaced as a whole and has defaults in it, kubectl sends a patch that changes nothing.
    let again = apply(&[], &manifest).await;
    let unchanged = lines(&again).iter().filter(|line| line.ends_with(" unchanged")).count();
    assert!(unchanged > count / 2, "{again}");
    assert_eq!(items(&cluster, &[], &manifest).await, made);
    let same = cluster.kubectl_with(&["diff", "-f", "-"], &manifest).await;
    assert_eq!(
        same.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&same.stdout),
        String::from_utf8_lossy(&same.stderr)
    );
    let changed = manifest.replace(r#""name":"one""#, r#""labels":{"color":"red"},"name":"one""#);
    let named = changed.matches(r#""color":"red""#).count();
    let diff = cluster.kubectl_with(&["diff", "-f", "-"], &changed).await;
    assert_eq!(diff.status.code(), Some(1), "{}", String::from_utf8_lossy(&diff.stderr));
    let said = apply(&["--validate=ignore"], &changed).await;
    let configured = lines(&said).iter().filter(|line| line.ends_with(" configured")).count();
    assert!(configured > count - 6 && configured <= named, "{said}");
    let viewed = cluster.kubectl_input(&["apply", "view-last-applied", "-f", "-", "-o", "json"], &changed).await;
    assert!(viewed.contains(r#""color": "red""#), "{viewed}");
}

async fn every_kind_is_applied_by_the_server(cluster: Cluster) {
    let (manifest, count) = manifest();
    let apply = async |args: &[&str], text: &str| {
        cluster.kubectl_with(&[&["apply", "--server-side", "-f", "-"], args].concat(), text).await
    };
    for _ in 0..2 {
        let output = apply(&[], &manifest).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        all_end(&said, " serverside-applied", count);
    }
    let labels = |object: Value| {
        let name = &object["metadata"]["name"];
        let metadata = json!({ "name": name, "labels": { "color": "red" } });
        json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata })
    };
    let labels: Vec<Value> = objects().into_iter().map(labels).collect();
    let output = apply(&["--field-manager=other"], &stream(&labels)).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = items(&cluster, &["--show-managed-fields"], &manifest).await;
    for (object, item) in objects().iter().zip(&read) {
        let managers: Vec<&str> = item["metadata"]["managedFields"]
            .as_array()
            .unwrap_or_else(|| panic!("nobody manages {item}"))
            .iter()
            .map(|entry| entry["manager"].as_str().unwrap())
            .collect();
        // Who applies nothing but a name manages nothing.
        let first = managers.contains(&"kubectl") || object.as_object().unwrap().len() == 3;
        assert!(first && managers.contains(&"other"), "{}: {managers:?}", item["kind"]);
    }
    let diff = cluster.kubectl_with(&["diff", "--server-side", "-f", "-"], &manifest).await;
    assert_eq!(
        diff.status.code(),
        Some(0),
        "{}{}",
        String::from_utf8_lossy(&diff.stdout),
        String::from_utf8_lossy(&diff.stderr)
    );
}

async fn every_kind_is_explained(cluster: Cluster) {
    let resources = cluster.kubectl(&["api-resources", "-o", "name"]).await;
    let groups = cluster.kubectl(&["get", "--raw", "/apis"]).await;
    assert!(resources.lines().count() > 60, "{resources}");
    for resource in resources.lines() {
        // A full name such as `events.events.k8s.io` is a path of fields to `explain`.
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let version = if group.is_empty() { "v1".to_owned() } else { preferred(&groups, group) };
        let text = cluster.kubectl(&["explain", plural, "--recursive", "--api-version", &version]).await;
        for part in ["KIND:", "DESCRIPTION:", "FIELDS:"] {
            assert!(text.contains(part), "{resource}: {text}");
        }
    }
}

/// The preferred version of a group, as `group/version`.
fn preferred(groups: &str, group: &str) -> String {
    let groups: Value = serde_json::from_str(groups).unwrap();
    let mut all = groups["groups"].as_array().unwrap().iter();
    let found = all.find(|one| one["name"] == group).unwrap_or_else(|| panic!("{group} is missing in {groups}"));
    found["preferredVersion"]["groupVersion"].as_str().unwrap().to_owned()
}
