//! The forms objects travel in: protobuf, YAML, metadata alone, gzip, and what is refused.

use std::io::Read as _;

use futures::{SinkExt as _, StreamExt as _};
use k8s_pb::api::apidiscovery::v2::APIGroupDiscoveryList;
use k8s_pb::api::core::v1::{ConfigMap, ConfigMapList};
use k8s_pb::apimachinery::pkg::apis::meta::v1 as meta;
use serde_json::{Value, json};
use tests_api::protobuf::{MEDIA_TYPE, event, frames, open, read, through_their_types};
use tests_api::rig::Cluster;
use tests_api::samples::samples;
use tests_api::{CONFIG_MAPS, config_map, names, on_every_store, pod, settled, version};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

on_every_store!(
    every_kind_survives_protobuf_there_and_back,
    lists_and_pages_come_in_protobuf,
    metadata_comes_alone,
    failures_and_successes_come_in_protobuf,
    a_watch_comes_in_frames,
    a_watch_goes_over_a_websocket,
    discovery_and_schemas_come_in_protobuf,
    what_cannot_be_made_or_read_is_refused,
    yaml_and_indentation_are_for_people,
    protobuf_is_compressed_too,
    kubectl_reads_it,
);

const WITH_TYPES: &str = "application/vnd.kubernetes.protobuf,application/json";
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Objects of the kinds that have no sample.
fn core_objects() -> Vec<(String, Value)> {
    let at = |plural: &str| format!("/api/v1/namespaces/default/{plural}");
    let named = |mut object: Value| {
        object["apiVersion"] = "v1".into();
        object["metadata"]["name"] = "one".into();
        object
    };
    vec![
        (at("configmaps"), named(json!({ "kind": "ConfigMap", "data": { "k": "v" }, "binaryData": { "b": "/wA=" } }))),
        (at("secrets"), named(json!({ "kind": "Secret", "data": { "k": "/wA=" } }))),
        (
            at("services"),
            named(json!({ "kind": "Service", "spec": { "ports": [{ "port": 80, "targetPort": "web" }] } })),
        ),
        (at("serviceaccounts"), named(json!({ "kind": "ServiceAccount", "automountServiceAccountToken": false }))),
        (at("endpoints"), named(json!({ "kind": "Endpoints", "subsets": [{ "addresses": [{ "ip": "10.1.1.1" }] }] }))),
        (at("pods"), {
            let mut pod = pod("one");
            pod["spec"]["volumes"] =
                json!([{ "name": "v", "emptyDir": {} }, { "name": "m", "configMap": { "name": "x" } }]);
            pod["spec"]["containers"][0]["resources"] = json!({ "limits": { "cpu": "500m", "memory": "1Gi" } });
            pod["spec"]["containers"][0]["livenessProbe"] = json!({ "httpGet": { "port": 8080 } });
            pod
        }),
        (
            "/api/v1/nodes".into(),
            named(json!({ "kind": "Node", "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] } })),
        ),
        ("/api/v1/namespaces".into(), named(json!({ "kind": "Namespace" }))),
        (
            at("events"),
            named(json!({
                "kind": "Event", "involvedObject": { "kind": "Pod", "namespace": "default", "name": "p" }, "reason": "R",
                "message": "m", "type": "Normal", "count": 2, "firstTimestamp": "2026-01-02T03:04:05Z", "source": { "component": "c" },
            })),
        ),
        (
            "/apis/coordination.k8s.io/v1/namespaces/default/leases".into(),
            json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "one" },
                "spec": { "renewTime": "2026-01-02T03:04:05.000006Z", "leaseTransitions": 0 },
            }),
        ),
    ]
}

async fn every_kind_survives_protobuf_there_and_back(cluster: Cluster) {
    let admin = cluster.admin();
    let samples = samples().into_iter().map(|sample| (sample.path.clone(), sample.object(sample.name)));
    for (path, object) in samples.chain(core_objects()) {
        let kind = &object["kind"];
        let made = admin.post(&path, &object).await;
        assert_eq!(made.code, 201, "{kind}: {}", made.text());
        let one = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        // An update may default what a creation did not; another one changes nothing more.
        let made = admin.put(&one, &settled(&admin, &one).await).await;
        let answer = admin.get_as(&one, WITH_TYPES).await;
        assert_eq!((answer.code, answer.header("content-type")), (200, MEDIA_TYPE), "{kind}");
        let (version_of, kind_of, _) = open(&answer.body);
        assert_eq!((&json!(version_of), &json!(kind_of)), (&object["apiVersion"], kind));
        // Their types read it and write it anew; sent back it changes nothing, so nothing was lost on either way.
        let again = through_their_types(&answer.body);
        let put = admin.send("PUT", &one, &[("content-type", MEDIA_TYPE)], &again).await;
        assert_eq!(put.code, 200, "{kind}: {}", put.text());
        let now = admin.get(&one).await.json();
        assert_eq!(put.json(), now, "{kind}");
        assert_eq!(now, made.json(), "{kind}");
        // The same object is there in another version of its group, too.
        assert_eq!(admin.delete(&one).await.code, 200, "{kind}");
    }
}

async fn lists_and_pages_come_in_protobuf(cluster: Cluster) {
    let admin = cluster.admin();
    for name in ["a", "b", "c"] {
        admin.post(CONFIG_MAPS, &config_map(name, name)).await;
    }
    let plain = admin.get(CONFIG_MAPS).await.json();
    let answer = admin.get_as(CONFIG_MAPS, WITH_TYPES).await;
    assert_eq!(answer.header("content-type"), MEDIA_TYPE);
    let list: ConfigMapList = read(&answer.body, "v1", "ConfigMapList");
    let listed: Vec<_> = list.items.iter().map(|one| one.metadata.as_ref().unwrap().name().to_owned()).collect();
    assert_eq!(listed, names(&plain));
    assert_eq!(list.items[1].data, [("k".to_owned(), "b".to_owned())].into());
    let of_item = list.items[1].metadata.as_ref().unwrap();
    assert_eq!(of_item.resource_version(), plain["items"][1]["metadata"]["resourceVersion"]);
    let seconds = of_item.creation_timestamp.as_ref().unwrap().seconds();
    assert!(seconds > 1_700_000_000, "{seconds}");

    let page: ConfigMapList =
        read(&admin.get_as(&format!("{CONFIG_MAPS}?limit=2"), WITH_TYPES).await.body, "v1", "ConfigMapList");
    let of_list = page.metadata.unwrap();
    assert_eq!(
        (page.items.len(), of_list.remaining_item_count()),
        (2, plain["items"].as_array().unwrap().len() as i64 - 2)
    );
    let path = format!("{CONFIG_MAPS}?limit=2&continue={}", of_list.r#continue());
    let rest: ConfigMapList = read(&admin.get_as(&path, WITH_TYPES).await.body, "v1", "ConfigMapList");
    assert!(!rest.items.is_empty() && rest.metadata.unwrap().resource_version() == of_list.resource_version());
    let none = admin.get_as(&format!("{CONFIG_MAPS}?labelSelector=no%3Dsuch"), WITH_TYPES).await;
    assert_eq!(read::<ConfigMapList>(&none.body, "v1", "ConfigMapList").items.len(), 0);
    // Large enough to come in pieces.
    let large = "x".repeat(60_000);
    for number in 0..8 {
        admin.post(CONFIG_MAPS, &config_map(&format!("large{number}"), &large)).await;
    }
    for _ in 0..2 {
        let answer = admin.get_as(CONFIG_MAPS, WITH_TYPES).await;
        let list: ConfigMapList = read(&answer.body, "v1", "ConfigMapList");
        assert_eq!(list.items.iter().filter(|one| one.data.get("k").is_some_and(|value| *value == large)).count(), 8);
    }
}

async fn metadata_comes_alone(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let answer = admin.get_as(CONFIG_MAPS, METADATA_LIST).await;
    let list: meta::PartialObjectMetadataList = read(&answer.body, "meta.k8s.io/v1", "PartialObjectMetadataList");
    let one = list.items.iter().filter_map(|one| one.metadata.as_ref()).find(|one| one.name() == "a").unwrap();
    assert_eq!(
        (one.uid(), one.resource_version()),
        (made["metadata"]["uid"].as_str().unwrap(), version(&made).as_str())
    );
    let accept = METADATA_LIST.replace("PartialObjectMetadataList", "PartialObjectMetadata");
    let answer = admin.get_as(&format!("{CONFIG_MAPS}/a"), &accept).await;
    let one: meta::PartialObjectMetadata = read(&answer.body, "meta.k8s.io/v1", "PartialObjectMetadata");
    assert_eq!(one.metadata.unwrap().name(), "a");
    // The same in JSON, and by a watch.
    let json =
        admin.get_as(&format!("{CONFIG_MAPS}/a"), "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1").await;
    assert_eq!(json.json()["metadata"], made["metadata"]);
    let path = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0&fieldSelector=metadata.name%3Da");
    let seen = frames(&admin.get_as(&path, &accept).await.body);
    let one: meta::PartialObjectMetadata = read(&seen[0].1, "meta.k8s.io/v1", "PartialObjectMetadata");
    assert_eq!((seen[0].0.as_str(), one.metadata.unwrap().name()), ("ADDED", "a"));
}

async fn failures_and_successes_come_in_protobuf(cluster: Cluster) {
    let admin = cluster.admin();
    let answer = admin.get_as(&format!("{CONFIG_MAPS}/missing"), WITH_TYPES).await;
    assert_eq!((answer.code, answer.header("content-type")), (404, MEDIA_TYPE));
    let status: meta::Status = read(&answer.body, "v1", "Status");
    assert_eq!((status.code(), status.reason()), (404, "NotFound"));
    assert_eq!(status.details.unwrap().name(), "missing");
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let answer = admin.send("DELETE", &format!("{CONFIG_MAPS}/a"), &[("accept", WITH_TYPES)], "").await;
    let status: meta::Status = read(&answer.body, "v1", "Status");
    assert_eq!(status.status(), "Success");
    // Sent and answered in protobuf, as a typed client does.
    let headers = [("accept", WITH_TYPES), ("content-type", MEDIA_TYPE)];
    let body = admin.get_as("/api/v1/namespaces/kube-system", WITH_TYPES).await.body;
    let answer = admin.send("PUT", "/api/v1/namespaces/kube-system", &headers, &through_their_types(&body)).await;
    assert_eq!((answer.code, open(&answer.body).1.as_str()), (200, "Namespace"));
    let deleted = admin.send("DELETE", CONFIG_MAPS, &[("accept", WITH_TYPES)], "").await;
    assert_eq!(open(&deleted.body).1, "ConfigMapList");
}

async fn a_watch_comes_in_frames(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    admin.patch(&format!("{CONFIG_MAPS}/a"), "application/merge-patch+json", &json!({ "data": { "k": "2" } })).await;
    admin.delete(&format!("{CONFIG_MAPS}/a")).await;
    let from: u64 = version(&made).parse::<u64>().unwrap() - 1;
    let path = format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion={from}");
    let stream = "application/vnd.kubernetes.protobuf;stream=watch";
    for accept in [WITH_TYPES, stream] {
        let answer = admin.get_as(&path, accept).await;
        assert_eq!(answer.header("content-type"), stream);
        let seen = frames(&answer.body);
        let kinds: Vec<&str> = seen.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]);
        let maps: Vec<ConfigMap> = seen.iter().map(|(_, object)| read(object, "v1", "ConfigMap")).collect();
        assert_eq!((maps[0].data["k"].as_str(), maps[2].data["k"].as_str()), ("1", "2"));
        let versions: Vec<u64> =
            maps.iter().map(|one| one.metadata.as_ref().unwrap().resource_version().parse().unwrap()).collect();
        assert!(versions.is_sorted() && versions[1] < versions[2], "{versions:?}");
        assert!(maps[3].metadata.as_ref().unwrap().name().is_empty());
    }
    let path = format!(
        "{CONFIG_MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion={from}"
    );
    let seen = frames(&admin.get_as(&path, WITH_TYPES).await.body);
    let mark = seen.iter().find(|(kind, _)| kind == "BOOKMARK").unwrap();
    let mark: ConfigMap = read(&mark.1, "v1", "ConfigMap");
    assert_eq!(mark.metadata.unwrap().annotations["k8s.io/initial-events-end"], "true");
}

const SOCKET: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

async fn a_watch_goes_over_a_websocket(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let path = format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da");
    let (answer, stream) =
        admin.upgrade(&path, &[&SOCKET[..], &[("sec-websocket-protocol", "chat")]].concat()).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "type": "ADDED", "object": made }));
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    admin.delete(&format!("{CONFIG_MAPS}/a")).await;
    let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("no text") };
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["type"], "DELETED");
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(matches!(message, Ok(Message::Close(_)) | Err(_)), "{message:?}");
    }

    // In protobuf, to its end.
    let made = admin.post(CONFIG_MAPS, &config_map("b", "1")).await.json();
    let path = format!(
        "{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion={}",
        version(&made).parse::<u64>().unwrap() - 1
    );
    let (_, stream) = admin.upgrade(&path, &[&SOCKET[..], &[("accept", WITH_TYPES)]].concat()).await.unwrap();
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
    let Message::Binary(frame) = socket.next().await.unwrap().unwrap() else { panic!("no bytes") };
    let (kind, object) = event(&frame);
    assert_eq!((kind.as_str(), read::<ConfigMap>(&object, "v1", "ConfigMap").metadata.unwrap().name()), ("ADDED", "b"));
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    let refused = admin.upgrade(&path, &[&SOCKET[..2], &[("sec-websocket-version", "8")]].concat()).await.unwrap_err();
    assert!(refused.to_string().contains("WebSocket Version"), "{refused}");
}

async fn discovery_and_schemas_come_in_protobuf(cluster: Cluster) {
    let admin = cluster.admin();
    let groups: meta::APIGroupList = read(&admin.get_as("/apis", MEDIA_TYPE).await.body, "v1", "APIGroupList");
    assert!(groups.groups.iter().any(|group| group.name() == "apps"));
    let plain = admin.get("/api/v1").await.json();
    let answer = admin.get_as("/api/v1", MEDIA_TYPE).await;
    let (_, kind, raw) = open(&answer.body);
    assert_eq!(kind, "APIResourceList");
    let resources = <meta::APIResourceList as prost::Message>::decode(raw.as_slice()).unwrap();
    assert_eq!(resources.resources.len(), plain["resources"].as_array().unwrap().len());
    let pods = resources.resources.iter().find(|one| one.name() == "pods").unwrap();
    assert!(pods.namespaced() && pods.verbs.as_ref().unwrap().items.iter().any(|verb| verb == "watch"));
    assert_eq!(open(&admin.get_as("/api", MEDIA_TYPE).await.body).1, "APIVersions");
    assert_eq!(open(&admin.get_as("/apis/apps", MEDIA_TYPE).await.body).1, "APIGroup");

    let aggregated = format!("{MEDIA_TYPE};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let answer = admin.get_as("/apis", &aggregated).await;
    assert_eq!(answer.header("content-type"), aggregated);
    let list: APIGroupDiscoveryList = read(&answer.body, "apidiscovery.k8s.io/v2", "APIGroupDiscoveryList");
    let apps = list.items.iter().find(|one| one.metadata.as_ref().unwrap().name() == "apps").unwrap();
    let deployments = apps.versions[0].resources.iter().find(|one| one.resource() == "deployments").unwrap();
    assert_eq!((deployments.scope(), deployments.singular_resource()), ("Namespaced", "deployment"));
    assert_eq!(deployments.response_kind.as_ref().unwrap().kind(), "Deployment");
    assert!(deployments.subresources.iter().any(|one| one.subresource() == "scale"));

    for spelling in ["v2@v1.0", "v2.v1.0"] {
        let accept = format!("application/com.github.proto-openapi.spec.{spelling}+protobuf");
        let answer = admin.get_as("/openapi/v2", &accept).await;
        assert_eq!(answer.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
        // Field 1, the version of the language.
        assert!(answer.body.starts_with(b"\x0a\x032.0"), "{:?}", &answer.body[..8]);
    }
    let json = admin.get_as("/openapi/v2", "application/json").await;
    assert_eq!(json.json()["swagger"], "2.0");
    assert_eq!(admin.get_as("/openapi/v2", "text/html").await.code, 406);
}

async fn what_cannot_be_made_or_read_is_refused(cluster: Cluster) {
    let admin = cluster.admin();
    let objects = "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf";
    for (path, accept, message) in [
        (CONFIG_MAPS, "application/cbor", objects),
        (CONFIG_MAPS, "text/plain", objects),
        (CONFIG_MAPS, "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", objects),
        ("/apis", "application/cbor", objects),
    ] {
        let answer = admin.get_as(path, accept).await;
        let status = answer.json();
        assert_eq!((answer.code, status["reason"].as_str()), (406, Some("NotAcceptable")), "{accept}");
        assert_eq!(status["message"], message, "{accept}");
    }
    // The failure itself has a form in YAML.
    let streamed = admin.get_as(&format!("{CONFIG_MAPS}?watch=1"), "application/yaml").await;
    assert_eq!((streamed.code, streamed.header("content-type")), (406, "application/yaml"));
    let streams = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    assert!(streamed.text().contains(streams), "{}", streamed.text());
    let accept =
        "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json;as=Table;g=meta.k8s.io;v=v1";
    assert_eq!(admin.get_as(CONFIG_MAPS, accept).await.json()["kind"], "Table");
    for media_type in ["application/cbor", "text/plain", "application/xml"] {
        let answer = admin.send("POST", CONFIG_MAPS, &[("content-type", media_type)], "x").await;
        assert_eq!(
            (answer.code, answer.json()["reason"].clone()),
            (415, json!("UnsupportedMediaType")),
            "{media_type}"
        );
        assert_eq!(
            answer.json()["message"],
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
        );
    }
    let answer = admin.send("POST", CONFIG_MAPS, &[("content-type", MEDIA_TYPE)], b"k8s\0\xff\xff").await;
    assert_eq!(answer.code, 400, "{}", answer.text());
}

async fn yaml_and_indentation_are_for_people(cluster: Cluster) {
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let one = format!("{CONFIG_MAPS}/a");
    for (path, line) in [
        (one.as_str(), "kind: ConfigMap\n"),
        (CONFIG_MAPS, "kind: ConfigMapList\n"),
        ("/api/v1/namespaces/default/configmaps/none", "reason: NotFound\n"),
        ("/apis", "kind: APIGroupList\n"),
    ] {
        let answer = admin.get_as(path, "application/yaml").await;
        assert_eq!(answer.header("content-type"), "application/yaml", "{path}");
        assert!(answer.text().contains(line), "{path}: {}", answer.text());
    }
    let plain = admin.get(&one).await.text();
    assert!(!plain.trim_end().contains('\n'));
    let pretty = admin.get(&format!("{one}?pretty=true")).await.text();
    assert!(pretty.contains("\n  \"kind\": \"ConfigMap\""), "{pretty}");
    let curl = admin.send("GET", &one, &[("user-agent", "curl/8.0")], "").await.text();
    assert_eq!(curl, pretty);
    assert!(!admin.get(&format!("{one}?pretty=0")).await.text().trim_end().contains('\n'));
}

async fn protobuf_is_compressed_too(cluster: Cluster) {
    let admin = cluster.admin();
    for number in 0..40 {
        assert_eq!(admin.post(CONFIG_MAPS, &config_map(&format!("m{number}"), &"x".repeat(8000))).await.code, 201);
    }
    let headers = [("accept", WITH_TYPES), ("accept-encoding", "gzip")];
    let packed = admin.send("GET", CONFIG_MAPS, &headers, "").await;
    assert_eq!((packed.header("content-encoding"), packed.header("vary")), ("gzip", "Accept-Encoding"));
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut body).unwrap();
    assert!(packed.body.len() * 10 < body.len());
    assert!(read::<ConfigMapList>(&body, "v1", "ConfigMapList").items.len() >= 40);
    // What is small is not worth it, and a watch is never kept back.
    let small = admin.send("GET", &format!("{CONFIG_MAPS}/m0"), &headers, "").await;
    assert_eq!(small.header("content-encoding"), "");
    let watch = admin.send("GET", &format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1"), &headers, "").await;
    assert_eq!((watch.header("content-encoding"), frames(&watch.body).len() >= 40), ("", true));
}

async fn kubectl_reads_it(cluster: Cluster) {
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings", "labels": { "a": "b" } },
        "data": { "color": "red" },
    });
    cluster.admin().post(CONFIG_MAPS, &settings).await;
    // Its typed client, which is upstream's own decoder.
    let output = cluster.kubectl_with(&["describe", "configmap", "settings", "-v=8"], "").await;
    let (shown, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{log}");
    assert!(log.contains("Content-Type: application/vnd.kubernetes.protobuf"), "{log}");
    assert!(shown.contains("Labels:       a=b\n") && shown.contains("color:\n----\nred\n"), "{shown}");
}
