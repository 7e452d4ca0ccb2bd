//! Lists: which state they show, in which pieces and forms.

use serde_json::json;
use tests_api::rig::Cluster;
use tests_api::{CONFIG_MAPS, colored, config_map, names, on_every_store, version};

on_every_store!(
    a_list_shows_every_acknowledged_write,
    pages_show_one_state,
    contradictions_are_refused,
    versions_say_how_old_a_list_may_be,
    selectors_select,
    tables_and_metadata,
    large_lists_are_compressed_when_asked_for,
);

async fn a_list_shows_every_acknowledged_write(cluster: Cluster) {
    let admin = cluster.admin();
    for number in 0..20 {
        let name = format!("m{number:02}");
        assert_eq!(admin.post(CONFIG_MAPS, &config_map(&name, "1")).await.code, 201);
        assert!(names(&admin.get(CONFIG_MAPS).await.json()).contains(&name), "{name} is not listed");
    }
    let list = admin.get(CONFIG_MAPS).await.json();
    assert_eq!((list["kind"].clone(), list["apiVersion"].clone()), (json!("ConfigMapList"), json!("v1")));
    let listed = names(&list);
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(listed, sorted);
    // A write elsewhere moves the version of a list that did not change.
    let before: u64 = version(&list).parse().unwrap();
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" } });
    let written: u64 =
        version(&admin.post("/api/v1/namespaces/default/secrets", &secret).await.json()).parse().unwrap();
    let after: u64 = version(&admin.get(CONFIG_MAPS).await.json()).parse().unwrap();
    assert!(before < written && written <= after, "{before} {written} {after}");
}

async fn pages_show_one_state(cluster: Cluster) {
    let admin = cluster.admin();
    for number in 0..10 {
        admin.post(CONFIG_MAPS, &config_map(&format!("m{number}"), "1")).await;
    }
    let path = format!("{CONFIG_MAPS}?limit=4");
    let first = admin.get(&path).await.json();
    assert_eq!(names(&first), ["m0", "m1", "m2", "m3"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 6);
    // Changes between the pages are not seen.
    admin.delete(&format!("{CONFIG_MAPS}/m5")).await;
    admin.post(CONFIG_MAPS, &config_map("m55", "1")).await;
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = admin.get(&format!("{path}&continue={token}")).await.json();
    assert_eq!(names(&second), ["m4", "m5", "m6", "m7"]);
    assert_eq!(version(&second), version(&first));
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = admin.get(&format!("{path}&continue={token}")).await.json();
    assert_eq!(names(&third), ["m8", "m9"]);
    assert!(third["metadata"].get("continue").is_none(), "{}", third["metadata"]);
    let broken = admin.get(&format!("{path}&continue=%25%25")).await;
    assert_eq!(broken.code, 400, "{}", broken.text());
    // Exactly that state is still there to be had.
    let exact = admin
        .get(&format!("{CONFIG_MAPS}?resourceVersion={}&resourceVersionMatch=Exact", version(&first)))
        .await
        .json();
    assert_eq!(names(&exact).len(), 10);
    assert!(names(&exact).contains(&"m5".to_owned()));
}

async fn versions_say_how_old_a_list_may_be(cluster: Cluster) {
    let admin = cluster.admin();
    let made = admin.post(CONFIG_MAPS, &config_map("a", "1")).await.json();
    let at_least = admin.get(&format!("{CONFIG_MAPS}?resourceVersion={}", version(&made))).await.json();
    assert_eq!(names(&at_least), ["a"]);
    assert_eq!(admin.get(&format!("{CONFIG_MAPS}?resourceVersion=0")).await.code, 200);
    let future = admin.get(&format!("{CONFIG_MAPS}?resourceVersion=999999999")).await;
    assert_eq!(future.code, 504, "{}", future.text());
    let status = future.json();
    assert_eq!(status["reason"], "Timeout");
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(future.header("retry-after"), "1");
    let unmatched = admin.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).await;
    assert_eq!((unmatched.code, unmatched.json()["reason"].clone()), (422, json!("Invalid")), "{}", unmatched.text());
    let object = admin.get(&format!("{CONFIG_MAPS}/a?resourceVersion={}", version(&made))).await;
    assert_eq!(object.code, 200);
}

async fn selectors_select(cluster: Cluster) {
    let admin = cluster.admin();
    for (name, color) in [("a", "red"), ("b", "green"), ("c", "blue")] {
        admin.post(CONFIG_MAPS, &colored(name, color)).await;
    }
    let select = |selector: &'static str| {
        let admin = admin.clone();
        async move { names(&admin.get(&format!("{CONFIG_MAPS}?{selector}")).await.json()) }
    };
    assert_eq!(select("labelSelector=color%3Dred").await, ["a"]);
    assert_eq!(select("labelSelector=color%20in%20(red,blue)").await, ["a", "c"]);
    assert_eq!(select("labelSelector=color,color!%3Dred").await, ["b", "c"]);
    assert_eq!(select("labelSelector=!color").await, Vec::<String>::new());
    assert_eq!(select("fieldSelector=metadata.name%3Db").await, ["b"]);
    assert_eq!(select("fieldSelector=metadata.name!%3Db&labelSelector=color").await, ["a", "c"]);
    let page = admin.get(&format!("{CONFIG_MAPS}?labelSelector=color&limit=2")).await.json();
    assert_eq!(names(&page), ["a", "b"]);
    assert!(page["metadata"].get("remainingItemCount").is_none());
}

async fn tables_and_metadata(cluster: Cluster) {
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    const METADATA: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let admin = cluster.admin();
    admin.post(CONFIG_MAPS, &config_map("a", "1")).await;
    let table = admin.get_as(CONFIG_MAPS, TABLE).await.json();
    assert_eq!((table["kind"].clone(), table["apiVersion"].clone()), (json!("Table"), json!("meta.k8s.io/v1")));
    let columns: Vec<_> = table["columnDefinitions"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "a");
    assert_eq!(table["rows"][0]["cells"][1], 1);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let whole = admin.get_as(&format!("{CONFIG_MAPS}?includeObject=Object"), TABLE).await.json();
    assert_eq!(whole["rows"][0]["object"]["data"]["k"], "1");
    let one = admin.get_as(&format!("{CONFIG_MAPS}/a"), TABLE).await.json();
    assert_eq!(one["rows"].as_array().unwrap().len(), 1);
    let metadata = admin.get_as(CONFIG_MAPS, METADATA).await.json();
    assert_eq!(metadata["kind"], "PartialObjectMetadataList");
    assert_eq!(metadata["items"][0]["metadata"]["name"], "a");
    assert!(metadata["items"][0].get("data").is_none());
    let unknown = admin.get_as(CONFIG_MAPS, "application/json;as=Chair;v=v1;g=meta.k8s.io").await;
    assert_eq!(unknown.code, 406);
}

async fn large_lists_are_compressed_when_asked_for(cluster: Cluster) {
    let admin = cluster.admin();
    for number in 0..40 {
        let object = config_map(&format!("m{number}"), &"x".repeat(8000));
        assert_eq!(admin.post(CONFIG_MAPS, &object).await.code, 201);
    }
    let plain = admin.get(CONFIG_MAPS).await;
    assert_eq!(plain.header("content-encoding"), "");
    assert_eq!(names(&plain.json()).len(), 40);
    let packed = admin.send("GET", CONFIG_MAPS, &[("accept-encoding", "gzip")], "").await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() * 10 < plain.body.len(), "{} {}", packed.body.len(), plain.body.len());
}

async fn contradictions_are_refused(cluster: Cluster) {
    let admin = cluster.admin();
    for (query, code, reason, message) in [
        ("continue=%25", 400, "BadRequest", "invalid continue token: continue key is not valid"),
        // {"v":"meta.k8s.io/v1","rv":1,"start":"../x"}
        (
            "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0",
            400,
            "BadRequest",
            "invalid continue token: continue key is not valid: ../x",
        ),
        (
            "continue=x&resourceVersion=7",
            400,
            "BadRequest",
            "specifying resource version is not allowed when using continue",
        ),
        (
            "resourceVersionMatch=Exact&resourceVersion=0",
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        ),
        (
            "watch=1&sendInitialEvents=true&resourceVersionMatch=Exact",
            422,
            "Invalid",
            "ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]",
        ),
    ] {
        let answer = admin.get(&format!("{CONFIG_MAPS}?{query}")).await;
        let status = answer.json();
        assert_eq!((answer.code, status["reason"].as_str()), (code, Some(reason)), "{query}: {status}");
        assert!(status["message"].as_str().unwrap().starts_with(message), "{query}: {status}");
    }
}
