//! What a server makes, says and keeps right by itself, alone and beside others, and what it does about a store that somebody else
//! wrote to.

use std::fs;
use std::time::{Duration, Instant};

use proto::etcdserverpb::PutRequest;
use serde_json::{Value, json};
use tests_api::rig::{Client, Cluster};
use tests_api::{CONFIG_MAPS, config_map, names, on_every_store};
use tests_store::Client as StoreClient;

on_every_store!(
    what_a_fresh_server_makes_is_there,
    what_is_wrong_is_put_right,
    the_addresses_of_all_servers_are_endpoints,
    a_server_tells_of_itself,
    checks_have_names_and_are_counted,
    a_value_that_cannot_be_read_harms_no_other,
    a_list_by_watch_is_compressed,
    both_forms_of_the_schema_are_entities_of_their_own,
);

const SYSTEM: &str = "/api/v1/namespaces/kube-system/configmaps";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const LIMIT: Duration = Duration::from_secs(40);

/// Asks until the answer is as it should be.
async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < LIMIT, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn store(cluster: &Cluster) -> StoreClient {
    fs::copy(cluster.credentials.path("etcd-ca.crt"), cluster.folder().join("ca.crt")).unwrap();
    StoreClient::connect_to(cluster.folder(), cluster.store.url(), "etcd-client").await.unwrap()
}

async fn put(client: &mut StoreClient, key: &str, value: &[u8]) {
    let request = PutRequest { key: key.to_owned().into(), value: value.to_vec().into(), ..PutRequest::default() };
    client.put_request(request).await.unwrap();
}

async fn own_lease(admin: &Client) -> Value {
    let leases = admin.get(&format!("{LEASES}?labelSelector=apiserver.kubernetes.io/identity=kube-apiserver")).await;
    leases.json()["items"][0].clone()
}

async fn what_a_fresh_server_makes_is_there(cluster: Cluster) {
    let admin = cluster.admin();
    let lease = own_lease(&admin).await;
    let name = lease["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("apiserver-") && name.len() == 36, "{name}");
    assert!(lease["spec"]["holderIdentity"].as_str().unwrap().starts_with(&format!("{name}_")));
    assert_eq!(lease["spec"]["leaseDurationSeconds"], 3600);
    assert!(!lease["metadata"]["labels"]["kubernetes.io/hostname"].as_str().unwrap().is_empty());
    let authentication = admin.get(&format!("{SYSTEM}/extension-apiserver-authentication")).await.json();
    let authority = fs::read_to_string(cluster.credentials.path("client-ca.crt")).unwrap();
    assert_eq!(authentication["data"]["client-ca-file"].as_str().unwrap().trim(), authority.trim());
    let tracking = admin.get(&format!("{SYSTEM}/kube-apiserver-legacy-service-account-token-tracking")).await.json();
    assert_eq!(tracking["data"]["since"].as_str().unwrap().len(), "2026-08-01".len());
}

async fn what_is_wrong_is_put_right(cluster: Cluster) {
    let admin = cluster.admin();
    let before = own_lease(&admin).await["spec"]["renewTime"].clone();
    // The lease of a server that is long gone, and one that only looks like it.
    let lease = |name: &str, label: &str| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": { "name": name, "labels": { "apiserver.kubernetes.io/identity": label } },
            "spec": { "renewTime": "2020-01-01T00:00:00.000000Z", "leaseDurationSeconds": 3600, "holderIdentity": "x" },
        })
    };
    admin.post(LEASES, &lease("apiserver-gone", "kube-apiserver")).await;
    admin.post(LEASES, &lease("other", "other")).await;
    // The row of a version that nobody serves any more, and one that somebody made.
    let rows = "/apis/apiregistration.k8s.io/v1/apiservices";
    let row = |version: &str, managed: &str| {
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {
                "name": format!("{version}.gone.example.com"), "labels": { "kube-aggregator.kubernetes.io/automanaged": managed },
            },
            "spec": { "group": "gone.example.com", "version": version, "groupPriorityMinimum": 10, "versionPriority": 10 },
        })
    };
    assert_eq!(admin.post(rows, &row("v1", "onstart")).await.code, 201);
    assert_eq!(admin.post(rows, &row("v2", "false")).await.code, 201);
    admin.delete(&format!("{SYSTEM}/extension-apiserver-authentication")).await;
    until("the lease of a server that is gone stays", async || {
        admin.get(&format!("{LEASES}/apiserver-gone")).await.code == 404
    })
    .await;
    until("the row of nothing stays", async || admin.get(&format!("{rows}/v1.gone.example.com")).await.code == 404)
        .await;
    until("what was deleted is not made anew", async || {
        admin.get(&format!("{SYSTEM}/extension-apiserver-authentication")).await.code == 200
    })
    .await;
    until("the lease is not renewed", async || own_lease(&admin).await["spec"]["renewTime"] != before).await;
    assert_eq!(admin.get(&format!("{LEASES}/other")).await.code, 200);
    assert_eq!(admin.get(&format!("{rows}/v2.gone.example.com")).await.code, 200);
}

async fn addresses(admin: &Client) -> Vec<String> {
    let endpoints = admin.get("/api/v1/namespaces/default/endpoints/kubernetes").await.json();
    let addresses = endpoints["subsets"][0]["addresses"].as_array().cloned().unwrap_or_default();
    let slice = admin.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown: Vec<String> = addresses.iter().map(|one| text(&one["ip"])).collect();
    let sliced = slice["endpoints"].as_array().cloned().unwrap_or_default();
    let sliced: Vec<String> = sliced.iter().map(|one| text(&one["addresses"][0])).collect();
    // Both are written one after the other.
    if shown == sliced { shown } else { Vec::new() }
}

async fn the_addresses_of_all_servers_are_endpoints(cluster: Cluster) {
    let admin = cluster.admin();
    let mut second = cluster.another_server_with("second", &["--advertise-address=192.0.2.20"]).await;
    let mut third = cluster.another_server_with("third", &["--advertise-address=192.0.2.30"]).await;
    until("not all servers are endpoints", async || {
        addresses(&admin).await == ["192.0.2.10", "192.0.2.20", "192.0.2.30"]
    })
    .await;
    // One that goes in good order is gone at once, one that is killed when its record ends.
    let status = tokio::task::block_in_place(|| second.process.terminate());
    assert_eq!(status.code(), Some(0));
    let left = addresses(&admin).await;
    assert!(!left.contains(&"192.0.2.20".to_owned()), "{left:?}");
    third.process.kill();
    until("a killed server stays an endpoint", async || addresses(&admin).await == ["192.0.2.10"]).await;
}

async fn a_server_tells_of_itself(cluster: Cluster) {
    let admin = cluster.admin();
    let text = admin.get("/statusz").await;
    assert_eq!((text.code, text.header("content-type")), (200, "text/plain; charset=utf-8"));
    assert!(text.text().starts_with("\nkube-apiserver statusz\nWarning: This endpoint is not meant to be"));
    let object = |kind: &str, version: &str| format!("application/json;v={version};g=config.k8s.io;as={kind}");
    let status = admin.get_as("/statusz", &object("Statusz", "v1beta1")).await;
    let told = status.json();
    assert_eq!((&told["kind"], &told["apiVersion"]), (&json!("Statusz"), &json!("config.k8s.io/v1beta1")));
    assert_eq!(told["metadata"]["name"], "kube-apiserver");
    assert_eq!(told["emulationVersion"], "1.37");
    let paths: Vec<&str> = told["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    for path in ["/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"] {
        assert!(paths.contains(&path), "{path} is not in {paths:?}");
    }
    assert_eq!(status.header("warning"), "");
    let flags = admin.get_as("/flagz", &object("Flagz", "v1alpha1")).await;
    assert_eq!(flags.json()["flags"]["advertise-address"], "192.0.2.10");
    assert!(flags.header("warning").contains("This version of the flagz endpoint is deprecated."));
    assert!(admin.get("/flagz").await.text().contains("\nsecure-port=0\n"));
    for accept in ["application/json", "application/xml", object("Flagz", "v1beta1").as_str()] {
        assert_eq!(admin.get_as("/statusz", accept).await.code, 406, "{accept}");
    }
    // Nothing here profiles, and logs are nobody's to read.
    for path in ["/debug/pprof", "/debug/pprof/profile", "/logs"] {
        assert_eq!(admin.get(path).await.code, 404, "{path}");
    }
}

async fn checks_have_names_and_are_counted(cluster: Cluster) {
    let admin = cluster.admin();
    let verbose = admin.get("/readyz?verbose").await.text();
    for name in [
        "ping",
        "etcd",
        "etcd-readiness",
        "informer-sync",
        "poststarthook/start-system-namespaces-controller",
        "poststarthook/start-kube-apiserver-identity-lease-controller",
        "poststarthook/start-kubernetes-service-cidr-controller",
        "autoregister-completion",
        "shutdown",
    ] {
        assert!(verbose.contains(&format!("[+]{name} ok\n")), "{name} is not in {verbose}");
        assert_eq!(admin.get(&format!("/readyz/{name}")).await.text(), "ok");
    }
    let excluded = admin.get("/readyz?verbose&exclude=etcd&exclude=mail").await.text();
    assert!(excluded.contains("[+]etcd excluded: ok\n"), "{excluded}");
    let warned = "warn: some health checks cannot be excluded: no matches for \"mail\"\nreadyz check passed\n";
    assert!(excluded.ends_with(warned), "{excluded}");
    let page = admin.get("/metrics/slis").await.text();
    assert!(page.contains("kubernetes_healthcheck{name=\"etcd\",type=\"readyz\"} 1\n"), "{page}");
    assert!(
        page.contains("kubernetes_healthchecks_total{name=\"ping\",status=\"success\",type=\"readyz\"} "),
        "{page}"
    );
}

async fn a_value_that_cannot_be_read_harms_no_other(cluster: Cluster) {
    let admin = cluster.admin();
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("sound", "1")).await.code, 201);
    let mut store = store(&cluster).await;
    let whole = br#"{"apiVersion":"v1","data":{"k":"?"},"kind":"ConfigMap","metadata":{"name":"broken","namespace":"default"}}"#;
    let invalid: Vec<u8> = whole.iter().map(|byte| if *byte == b'?' { 0xff } else { *byte }).collect();
    let half = String::from_utf8_lossy(whole).replace('?', r"\ud800").into_bytes();
    for broken in [&invalid[..], &half, &whole[..50], b"k8s\0", b"[]"] {
        put(&mut store, "/registry/configmaps/default/broken", broken).await;
        let one = format!("{CONFIG_MAPS}/broken");
        until("the cache does not see the value", async || {
            admin.get(&format!("{CONFIG_MAPS}?resourceVersion=0")).await.header("warning").contains("cannot be read")
        })
        .await;
        for accept in
            ["application/json", "application/vnd.kubernetes.protobuf", "application/json;as=Table;g=meta.k8s.io;v=v1"]
        {
            let list = admin.get_as(CONFIG_MAPS, accept).await;
            assert_eq!(list.code, 200, "{accept}");
            assert!(list.header("warning").contains("1 stored objects of configmaps cannot be read"), "{accept}");
        }
        assert_eq!(names(&admin.get(CONFIG_MAPS).await.json()), ["sound"]);
        for query in ["", "?resourceVersion=0"] {
            let answer = admin.get(&format!("{one}{query}")).await;
            assert_eq!((answer.code, answer.json()["reason"].as_str()), (500, Some("InternalError")), "{query}");
        }
        assert_eq!(admin.delete(&one).await.code, 500);
        let anyway = "ignoreStoreReadErrorWithClusterBreakingPotential=true";
        let both = admin.delete(&format!("{one}?{anyway}&gracePeriodSeconds=0")).await;
        assert_eq!(both.code, 422, "{}", both.text());
        let deleted = admin.delete(&format!("{one}?{anyway}")).await;
        assert_eq!((deleted.code, deleted.json()["status"].as_str()), (200, Some("Success")), "{}", deleted.text());
        assert_eq!(admin.get(&one).await.code, 404);
        until("the cache still warns", async || {
            admin.get(&format!("{CONFIG_MAPS}?resourceVersion=0")).await.header("warning").is_empty()
        })
        .await;
        let refused = admin.delete(&format!("{CONFIG_MAPS}/sound?{anyway}")).await;
        assert_eq!(refused.code, 422);
        assert!(refused.text().contains("is exclusively used to delete corrupt object(s)"), "{}", refused.text());
    }
    // A server that finds the value when it starts serves the others, too.
    put(&mut store, "/registry/configmaps/default/broken", &invalid).await;
    let late = cluster.another_server("late").await;
    assert_eq!(names(&late.client.get(CONFIG_MAPS).await.json()), ["sound"]);
    assert_eq!(late.client.get(&format!("{CONFIG_MAPS}/broken?resourceVersion=0")).await.code, 500);
}

async fn a_list_by_watch_is_compressed(cluster: Cluster) {
    let admin = cluster.admin();
    for number in 0..30 {
        admin.post(CONFIG_MAPS, &config_map(&format!("map-{number:02}"), &"x".repeat(10_000))).await;
    }
    let path = |more: &str| format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=2{more}");
    let list = path("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let sent = async |path: &str, encoding: &str| admin.send("GET", path, &[("accept-encoding", encoding)], "").await;
    let (plain, changed) = tokio::join!(sent(&list, ""), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        admin.post(CONFIG_MAPS, &config_map("later", "1")).await
    });
    assert_eq!((plain.code, plain.header("content-encoding"), changed.code), (200, "", 201));
    let (packed, changed) = tokio::join!(sent(&list, "deflate, gzip"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        admin.post(CONFIG_MAPS, &config_map("latest", "1")).await
    });
    assert_eq!((packed.code, packed.header("content-encoding"), changed.code), (200, "gzip", 201));
    assert!(packed.body.len() * 10 < plain.body.len(), "{} of {}", packed.body.len(), plain.body.len());
    // One member, all of it, to the end of the stream.
    let mut decoder = flate2::bufread::GzDecoder::new(&packed.body[..]);
    let mut text = String::new();
    std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
    assert!(decoder.into_inner().is_empty(), "a second member");
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let named = |name: &str| events.iter().any(|event| event["object"]["metadata"]["name"] == name);
    assert!(named("map-29") && named("later") && named("latest"));
    assert_eq!(events[events.len() - 1]["type"], "BOOKMARK");
    // Other watches are never compressed.
    let version = events[events.len() - 1]["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    assert_eq!(sent(&path(&format!("&resourceVersion={version}")), "gzip").await.header("content-encoding"), "");
}

async fn both_forms_of_the_schema_are_entities_of_their_own(cluster: Cluster) {
    let admin = cluster.admin();
    let tag = async |accept: &str| {
        let answer = admin.get_as("/openapi/v2", accept).await;
        assert_eq!(answer.code, 200, "{accept}");
        answer.header("etag").to_owned()
    };
    let json = tag("application/json").await;
    let protobuf = tag("application/com.github.proto-openapi.spec.v2@v1.0+protobuf").await;
    assert_ne!(json, protobuf);
    let ask = async |accept: &str, tag: &str| {
        admin.send("GET", "/openapi/v2", &[("accept", accept), ("if-none-match", tag)], "").await.code
    };
    assert_eq!(ask("application/json", &json).await, 304);
    assert_eq!(ask("application/json", &protobuf).await, 200);
    // The documents of v3 have both forms, too, one hash in the URL, and one spelling of the type in answers.
    let index = admin.get("/openapi/v3").await.json();
    let path = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let whole = admin.get(&path).await;
    let media_type = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
    let packed = admin.get_as(&path, media_type).await;
    assert_eq!((packed.code, packed.header("content-type")), (200, media_type.replace('@', ".").as_str()));
    assert_eq!(packed.header("cache-control"), whole.header("cache-control"));
    assert!(packed.header("cache-control").contains("immutable"));
    assert_ne!(packed.header("etag"), whole.header("etag"));
    assert_eq!(&packed.body[..7], b"\n\x053.0.0");
    assert_eq!(admin.get_as(&path, "application/xml").await.code, 406);
}
