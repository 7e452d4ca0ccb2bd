//! Who may do what: roles, questions about them, what may be handed on, acting as others, nodes, and what no trick gets past.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests_api::rig::{Answer, Client, Cluster, Login, Options, StoreKind};
use tests_api::{CONFIG_MAPS, config_map, on_every_store, pod};

on_every_store!(
    roles_give_rights,
    nobody_hands_on_what_they_do_not_have,
    one_acts_as_others_as_far_as_one_may,
    nodes_reach_what_their_pods_use,
    the_systems_roles_are_there_and_stay_right,
);

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";
/// Within this time, what was written is what is judged by.
const SOON: Duration = Duration::from_secs(20);

fn rbac(kind: &str, name: &str, more: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name },
    });
    tests_api::stage::overlay(&mut object, more);
    object
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    rbac(kind, name, &json!({ "rules": rules }))
}

fn binding(kind: &str, name: &str, role: [&str; 2], user: &str) -> Value {
    let subject = json!({ "kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": role[0], "name": role[1] });
    rbac(kind, name, &json!({ "roleRef": role, "subjects": [subject] }))
}

async fn make(client: &Client, path: &str, object: &Value) {
    let answer = client.post(&format!("{GROUP}/{path}"), object).await;
    assert_eq!(answer.code, 201, "{}", answer.text());
}

/// Asks until the answer has this code.
async fn becomes(code: u16, ask: impl AsyncFn() -> Answer) -> Answer {
    let start = Instant::now();
    loop {
        let answer = ask().await;
        if answer.code == code {
            return answer;
        }
        assert!(start.elapsed() < SOON, "still {}: {}", answer.code, answer.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[track_caller]
fn refused(answer: &Answer, message: &str) {
    assert_eq!(answer.code, 403, "{}", answer.text());
    let status = answer.json();
    assert_eq!((&status["reason"], &status["message"]), (&json!("Forbidden"), &json!(message)));
}

fn named(cluster: &Cluster, name: &str) -> (Login, Client) {
    let login = cluster.credentials.user(name, None);
    let client = cluster.client(Some(&login));
    (login, client)
}

async fn roles_give_rights(cluster: Cluster) {
    let (admin, (_, ann)) = (cluster.admin(), named(&cluster, "ann"));
    assert_eq!(admin.post(CONFIG_MAPS, &config_map("one", "1")).await.code, 201);
    // Everybody who is known may look around.
    for path in ["/readyz", "/version", "/api", "/apis", "/apis/apps/v1", "/openapi/v2"] {
        assert_eq!(ann.get(path).await.code, 200, "{path}");
    }
    let sentence = |verb: &str, name: &str| {
        let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        format!(
            "configmaps{name} is forbidden: User \"ann\" cannot {verb} resource \"configmaps\" in API group \"\" in the namespace \"default\""
        )
    };
    refused(&ann.get(CONFIG_MAPS).await, &sentence("list", ""));
    // A binding of a role that is not there is said so.
    make(&admin, "namespaces/default/rolebindings", &binding("RoleBinding", "b", ["Role", "reader"], "ann")).await;
    let missing = "RBAC: role.rbac.authorization.k8s.io \"reader\" not found";
    let start = Instant::now();
    while !ann.get(CONFIG_MAPS).await.json()["message"].as_str().is_some_and(|message| message.contains(missing)) {
        assert!(start.elapsed() < SOON, "{}", ann.get(CONFIG_MAPS).await.text());
    }
    refused(&ann.get(CONFIG_MAPS).await, &format!("{}: {missing}", sentence("list", "")));
    // Names of objects bound what may be read, listed and watched.
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get", "list", "watch"] }]);
    make(&admin, "namespaces/default/roles", &role("Role", "reader", &rules)).await;
    let one = format!("{CONFIG_MAPS}/one");
    becomes(200, async || ann.get(&one).await).await;
    refused(&ann.get(&format!("{CONFIG_MAPS}/two")).await, &sentence("get", "two"));
    refused(&ann.get(CONFIG_MAPS).await, &sentence("list", ""));
    assert_eq!(ann.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Done")).await.code, 200);
    refused(&ann.get(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Dtwo")).await, &sentence("list", "two"));
    refused(
        &ann.delete(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Done")).await,
        &sentence("deletecollection", ""),
    );
    refused(&ann.delete(&one).await, &sentence("delete", "one"));
    // Tricks with the path reach nothing else.
    for (path, code) in [
        ("/api/v1/namespaces/default/configmaps/%6fne", 200),
        ("/api/v1//namespaces/default/configmaps/one", 200),
        ("/api/v1/namespaces/default/configmaps/./one", 403),
        ("/api/v1/namespaces/default/configmaps/%2e%2e/secrets", 403),
        ("/api/v1/namespaces/default/configmaps/one/../two", 403),
        ("/api/v1/namespaces/Default/configmaps/one", 403),
        ("/api/v1/namespaces/default/ConfigMaps/one", 403),
        ("/api/v1/proxy/namespaces/default/configmaps/one", 403),
        ("/healthz/../metrics", 403),
        ("/apis/../metrics", 404),
        ("//metrics", 403),
        ("/METRICS", 403),
        ("/metrics", 403),
    ] {
        let answer = ann.get(path).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text());
    }
    // Whoever may only change makes nothing by changing it.
    let (_, pat) = named(&cluster, "pat");
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"] }]);
    make(&admin, "clusterroles", &role("ClusterRole", "patcher", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "patcher", ["ClusterRole", "patcher"], "pat"))
        .await;
    let apply = async |name: &str| {
        let path = format!("{CONFIG_MAPS}/{name}?fieldManager=pat&force=true");
        pat.patch(&path, "application/apply-patch+yaml", &config_map(name, "2")).await
    };
    becomes(200, async || apply("one").await).await;
    refused(&apply("new").await, &sentence("create", "new").replace("\"ann\"", "\"pat\""));
    // Going into a container takes more than reading.
    let rules = json!([{ "apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"] }]);
    make(&admin, "clusterroles", &role("ClusterRole", "peep", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "peep", ["ClusterRole", "peep"], "ann")).await;
    let exec = "/api/v1/namespaces/default/pods/p/exec?command=sh";
    let start = Instant::now();
    while !ann.get(exec).await.text().contains("cannot create resource") {
        assert!(start.elapsed() < SOON, "{}", ann.get(exec).await.text());
    }
    // What is taken away is gone.
    assert_eq!(admin.delete(&format!("{GROUP}/namespaces/default/rolebindings/b")).await.code, 200);
    becomes(403, async || ann.get(&one).await).await;
    let page = admin.get("/metrics").await.text();
    for line in [
        "apiserver_authorization_decisions_total{decision=\"allowed\",name=\"rbac\",type=\"RBAC\"} ",
        "authorization_attempts_total{result=\"no-opinion\"} ",
        "authorization_duration_seconds_count{result=\"allowed\"} ",
    ] {
        assert!(page.contains(line), "{line} is not there");
    }
}

async fn nobody_hands_on_what_they_do_not_have(cluster: Cluster) {
    let (admin, (_, eve)) = (cluster.admin(), named(&cluster, "eve"));
    let rules = json!([
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "get", "update", "patch", "delete"] },
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] },
    ]);
    make(&admin, "clusterroles", &role("ClusterRole", "keeper", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "keeper", ["ClusterRole", "keeper"], "eve"))
        .await;
    let path = |rest: &str| format!("{GROUP}/{rest}");
    becomes(200, async || eve.get(&path("clusterroles/keeper")).await).await;
    let held = |name: &str| {
        role("ClusterRole", name, &json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] }]))
    };
    let wide = |name: &str| {
        role("ClusterRole", name, &json!([{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"] }]))
    };
    let why = |what: &str| {
        format!(
            "{what} is forbidden: user \"eve\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}}"
        )
    };
    let of_role = |name: &str| why(&format!("clusterroles.rbac.authorization.k8s.io {name:?}"));
    // What one has, one may give; what not, not, whichever way it is written.
    make(&eve, "clusterroles", &held("mine")).await;
    refused(&eve.post(&path("clusterroles"), &wide("more")).await, &of_role("more"));
    let dry = eve.post(&path("clusterroles?dryRun=All"), &wide("more")).await;
    refused(&dry, &of_role("more"));
    refused(&eve.put(&path("clusterroles/mine"), &wide("mine")).await, &of_role("mine"));
    refused(&eve.put(&path("clusterroles/new"), &wide("new")).await, &of_role("new"));
    for media in
        ["application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"]
    {
        let manager = if media.contains("apply") { "?fieldManager=eve&force=true" } else { "" };
        let patched = eve.patch(&path(&format!("clusterroles/mine{manager}")), media, &wide("mine")).await;
        refused(&patched, &of_role("mine"));
    }
    let gathering = rbac(
        "ClusterRole",
        "all",
        &json!({ "aggregationRule": { "clusterRoleSelectors": [{ "matchLabels": { "a": "b" } }] } }),
    );
    refused(
        &eve.post(&path("clusterroles"), &gathering).await,
        "clusterroles.rbac.authorization.k8s.io \"all\" is forbidden: must have cluster-admin privileges to use an aggregationRule",
    );
    // Owners and finalizers are no rights.
    make(&admin, "clusterroles", &wide("wide")).await;
    let finalizers = json!({ "metadata": { "finalizers": ["example.com/x"] } });
    let upkeep = eve.patch(&path("clusterroles/wide"), "application/merge-patch+json", &finalizers).await;
    assert_eq!(upkeep.code, 200, "{}", upkeep.text());
    // Bindings.
    let bind = |name: &str, role: &str| binding("ClusterRoleBinding", name, ["ClusterRole", role], "eve");
    make(&eve, "clusterrolebindings", &bind("own", "mine")).await;
    let more = eve.post(&path("clusterrolebindings"), &bind("more", "wide")).await;
    refused(&more, &why("clusterrolebindings.rbac.authorization.k8s.io \"more\""));
    let nothing = eve.post(&path("clusterrolebindings"), &bind("none", "nowhere")).await;
    assert_eq!(
        (nothing.code, nothing.json()["message"].as_str()),
        (404, Some("clusterroles.rbac.authorization.k8s.io \"nowhere\" not found"))
    );
    // A role just made may be bound at once.
    for number in 0..10 {
        let name = format!("swift-{number}");
        make(&eve, "clusterroles", &held(&name)).await;
        make(&eve, "clusterrolebindings", &bind(&name, &name)).await;
    }
    // Who may bind or escalate may, just there.
    let rules = json!([
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["wide"], "verbs": ["bind"] },
        { "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"], "resourceNames": ["mine"], "verbs": ["escalate"] },
    ]);
    make(&admin, "clusterroles", &role("ClusterRole", "trusted", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "trusted", ["ClusterRole", "trusted"], "eve"))
        .await;
    becomes(201, async || eve.post(&path("clusterrolebindings?dryRun=All"), &bind("more", "wide")).await).await;
    let escalated = eve.put(&path("clusterroles/mine"), &wide("mine")).await;
    assert_eq!(escalated.code, 200, "{}", escalated.text());
    refused(
        &eve.post(
            &path("clusterroles"),
            &role("ClusterRole", "other", &json!([{ "nonResourceURLs": ["*"], "verbs": ["*"] }])),
        )
        .await,
        "clusterroles.rbac.authorization.k8s.io \"other\" is forbidden: user \"eve\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{NonResourceURLs:[\"*\"], Verbs:[\"*\"]}",
    );
}

async fn one_acts_as_others_as_far_as_one_may(cluster: Cluster) {
    let (admin, (_, ann)) = (cluster.admin(), named(&cluster, "ann"));
    let who = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let question = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" }).to_string();
    let ask = async |client: &Client, headers: &[(&str, &str)]| {
        let all: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
        client.send("POST", who, &all, &question).await
    };
    let info = |answer: &Answer| {
        assert_eq!(answer.code, 201, "{}", answer.text());
        answer.json()["status"]["userInfo"].clone()
    };
    let bob = ask(
        &admin,
        &[
            ("Impersonate-User", "bob"),
            ("impersonate-group", "dev"),
            ("IMPERSONATE-GROUP", "ops"),
            ("impersonate-uid", "7"),
            ("impersonate-extra-Acme.io%2fScope", "a"),
        ],
    )
    .await;
    assert_eq!(
        info(&bob),
        json!({
            "username": "bob", "uid": "7", "groups": ["dev", "ops", "system:authenticated"],
            "extra": { "acme.io/scope": ["a"] },
        })
    );
    let robot = info(&ask(&admin, &[("impersonate-user", "system:serviceaccount:n:robot")]).await);
    assert_eq!(robot["groups"], json!(["system:serviceaccounts", "system:serviceaccounts:n", "system:authenticated"]));
    // Smuggling: what is not whole is refused, whoever asks; what is not allowed is refused whatever it comes with.
    for headers in [
        &[("impersonate-group", "system:masters")][..],
        &[("impersonate-uid", "7")],
        &[("impersonate-extra-a", "b")],
        &[("impersonate-user", ""), ("impersonate-group", "system:masters")],
    ] {
        for client in [&admin, &ann] {
            let answer = ask(client, headers).await;
            assert_eq!(answer.code, 400, "{headers:?}: {}", answer.text());
            assert!(answer.json()["message"].as_str().unwrap().ends_with("without impersonating a user name"));
        }
    }
    let on = |verb: &str| {
        format!(
            "selfsubjectreviews.authentication.k8s.io is forbidden: User \"ann\" cannot impersonate-on:user-info:{verb} resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope"
        )
    };
    for headers in [
        &[("impersonate-user", "bob")][..],
        &[("impersonate-user", "ann"), ("impersonate-group", "system:masters")],
        &[("impersonate-user", "ann"), ("impersonate-user", "root")],
        &[("impersonate-user", "system:admin"), ("x-remote-user", "root"), ("x-remote-group", "system:masters")],
    ] {
        refused(&ask(&ann, headers).await, &on("create"));
    }
    // Headers of a front proxy say nothing to whoever is none.
    let proxied = info(&ask(&ann, &[("x-remote-user", "root"), ("x-remote-group", "system:masters")]).await);
    assert_eq!(proxied["username"], "ann");
    // The old way: all that the other one may, part by part.
    let rules = json!([
        { "apiGroups": [""], "resources": ["users"], "resourceNames": ["bob"], "verbs": ["impersonate"] },
        { "apiGroups": [""], "resources": ["groups"], "resourceNames": ["dev"], "verbs": ["impersonate"] },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["userextras/scope"], "verbs": ["impersonate"] },
    ]);
    make(&admin, "clusterroles", &role("ClusterRole", "actor", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "actor", ["ClusterRole", "actor"], "ann")).await;
    becomes(201, async || ask(&ann, &[("impersonate-user", "bob")]).await).await;
    assert_eq!(
        info(
            &ask(&ann, &[("impersonate-user", "bob"), ("impersonate-group", "dev"), ("impersonate-extra-scope", "x")])
                .await
        )["username"],
        "bob"
    );
    for more in [
        ("impersonate-group", "system:masters"),
        ("impersonate-group", "DEV"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-other", "x"),
    ] {
        assert_eq!(ask(&ann, &[("impersonate-user", "bob"), more]).await.code, 403, "{more:?}");
    }
    // The narrow way: only for what is named, and never to the masters.
    let (_, carl) = named(&cluster, "carl");
    let rules = json!([
        { "apiGroups": ["authentication.k8s.io"], "resources": ["users", "groups"], "verbs": ["impersonate:user-info"] },
        { "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"], "verbs": ["impersonate-on:user-info:create"] },
    ]);
    make(&admin, "clusterroles", &role("ClusterRole", "narrow", &rules)).await;
    make(&admin, "clusterrolebindings", &binding("ClusterRoleBinding", "narrow", ["ClusterRole", "narrow"], "carl"))
        .await;
    becomes(201, async || ask(&carl, &[("impersonate-user", "bob"), ("impersonate-group", "dev")]).await).await;
    let masters = ask(&carl, &[("impersonate-user", "bob"), ("impersonate-group", "system:masters")]).await;
    refused(
        &masters,
        "groups.authentication.k8s.io \"system:masters\" is forbidden: User \"carl\" cannot impersonate:user-info resource \"groups\" in API group \"authentication.k8s.io\" at the cluster scope: impersonating the system:masters group is not allowed",
    );
    let elsewhere = carl.send("GET", "/version", &[("impersonate-user", "bob")], "").await;
    refused(&elsewhere, "forbidden: User \"carl\" cannot impersonate-on:user-info:get path \"/version\"");
}

async fn nodes_reach_what_their_pods_use(cluster: Cluster) {
    let admin = cluster.admin();
    let node = |name: &str| {
        cluster.client(Some(&cluster.credentials.user(&format!("system:node:{name}"), Some("system:nodes"))))
    };
    let (one, two) = (node("one"), node("two"));
    for name in ["used", "other"] {
        assert_eq!(admin.post(CONFIG_MAPS, &config_map(name, "1")).await.code, 201);
    }
    let mut web = pod("web");
    web["spec"]["nodeName"] = "one".into();
    web["spec"]["containers"][0]["envFrom"] = json!([{ "configMapRef": { "name": "used" } }]);
    assert_eq!(admin.post("/api/v1/namespaces/default/pods", &web).await.code, 201);
    let used = format!("{CONFIG_MAPS}/used");
    becomes(200, async || one.get(&used).await).await;
    let unrelated = |node: &str, name: &str| {
        format!(
            "configmaps {name:?} is forbidden: User \"system:node:{node}\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"default\": no relationship found between node '{node}' and this object"
        )
    };
    refused(&two.get(&used).await, &unrelated("two", "used"));
    refused(&one.get(&format!("{CONFIG_MAPS}/other")).await, &unrelated("one", "other"));
    for (path, code) in [
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Done", 200),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dtwo", 403),
        ("/api/v1/pods", 403),
        ("/api/v1/namespaces/default/pods/web", 200),
        ("/api/v1/nodes/one", 404),
        ("/api/v1/nodes/two", 403),
        ("/api/v1/services", 200),
        ("/api/v1/secrets", 403),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/one", 404),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/two", 403),
    ] {
        let answer = one.get(path).await;
        assert_eq!(answer.code, code, "{path}: {}", answer.text());
    }
    // A name alone makes no node.
    let impostor = cluster.client(Some(&cluster.credentials.user("system:node:one", None)));
    assert_eq!(impostor.get(&used).await.code, 403);
    // With the pod goes the right.
    assert_eq!(admin.delete("/api/v1/namespaces/default/pods/web?gracePeriodSeconds=0").await.code, 200);
    becomes(403, async || one.get(&used).await).await;
}

async fn the_systems_roles_are_there_and_stay_right(mut cluster: Cluster) {
    let admin = cluster.admin();
    let view = admin.get(&format!("{GROUP}/clusterroles/system:aggregate-to-view")).await.json();
    assert_eq!(view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"], "true");
    assert_eq!(view["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"], "true");
    let ready = admin.get("/readyz?verbose").await.text();
    assert!(ready.contains("[+]poststarthook/rbac/bootstrap-roles ok"), "{ready}");
    // What is taken away comes back with the next start, what is added stays, and what is left alone stays as it is.
    let path = |name: &str| format!("{GROUP}/clusterroles/{name}");
    let merge = "application/merge-patch+json";
    let own = json!({ "rules": [{ "apiGroups": [""], "resources": ["widgets"], "verbs": ["get"] }] });
    let alone = json!({ "metadata": { "annotations": { "rbac.authorization.kubernetes.io/autoupdate": "false" } }, "rules": [] });
    assert_eq!(admin.patch(&path("system:heapster"), merge, &own).await.code, 200);
    assert_eq!(admin.patch(&path("system:kube-dns"), merge, &alone).await.code, 200);
    assert_eq!(admin.delete(&format!("{GROUP}/clusterrolebindings/system:discovery")).await.code, 200);
    let bindings = format!("{GROUP}/clusterrolebindings");
    assert_eq!(admin.delete(&format!("{bindings}/system:kube-dns")).await.code, 200);
    make(
        &admin,
        "clusterrolebindings",
        &binding("ClusterRoleBinding", "system:kube-dns", ["ClusterRole", "view"], "x"),
    )
    .await;
    cluster.restart_server().await;
    let admin = cluster.admin();
    assert_eq!(admin.get(&format!("{bindings}/system:kube-dns")).await.json()["roleRef"]["name"], "system:kube-dns");
    let rules = admin.get(&path("system:heapster")).await.json()["rules"].clone();
    assert_eq!(rules[0]["resources"], json!(["widgets"]));
    assert!(rules.as_array().unwrap().len() > 10, "{rules}");
    assert!(admin.get(&path("system:kube-dns")).await.json()["rules"].as_array().is_none_or(Vec::is_empty));
    assert_eq!(admin.get(&format!("{GROUP}/clusterrolebindings/system:discovery")).await.code, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_by_what_decides() {
    let cluster = Cluster::start(StoreKind::Orlop).await;
    let (admin, (login, ann)) = (cluster.admin(), named(&cluster, "ann"));
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }]);
    make(&admin, "namespaces/default/roles", &role("Role", "reader", &rules)).await;
    make(&admin, "namespaces/default/rolebindings", &binding("RoleBinding", "b", ["Role", "reader"], "ann")).await;
    becomes(200, async || ann.get(CONFIG_MAPS).await).await;
    let ask = async |kind: &str, spec: Value| {
        let body = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec });
        let client = if kind.starts_with("Self") { &ann } else { &admin };
        let answer = client.post(&format!("{REVIEWS}/{}s", kind.to_lowercase()), &body).await;
        assert_eq!(answer.code, 201, "{}", answer.text());
        answer.json()["status"].clone()
    };
    let maps = |verb: &str| json!({ "namespace": "default", "verb": verb, "resource": "configmaps" });
    let reason = "RBAC: allowed by RoleBinding \"b/default\" of Role \"reader\" to User \"ann\"";
    let allowed = json!({ "allowed": true, "reason": reason });
    assert_eq!(ask("SelfSubjectAccessReview", json!({ "resourceAttributes": maps("get") })).await, allowed);
    assert_eq!(
        ask("SelfSubjectAccessReview", json!({ "resourceAttributes": maps("delete") })).await,
        json!({ "allowed": false })
    );
    assert_eq!(ask("SubjectAccessReview", json!({ "user": "ann", "resourceAttributes": maps("list") })).await, allowed);
    let node = json!({ "user": "system:node:n", "groups": ["system:nodes"], "resourceAttributes": {
        "verb": "list", "resource": "pods", "fieldSelector": { "rawSelector": "spec.nodeName=n" },
    } });
    assert_eq!(ask("SubjectAccessReview", node).await, json!({ "allowed": true }));
    let broken = json!({ "user": "bob", "resourceAttributes": { "labelSelector": { "rawSelector": "a in" } } });
    assert_eq!(
        ask("SubjectAccessReview", broken).await,
        json!({ "allowed": false, "evaluationError": "spec.resourceAttributes.labelSelector ignored due to parse error" })
    );
    let rules = ask("SelfSubjectRulesReview", json!({ "namespace": "default" })).await;
    let own = json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] });
    assert!(rules["resourceRules"].as_array().unwrap().contains(&own), "{rules}");
    assert_eq!(rules["incomplete"], false);

    // The same through kubectl.
    let kubeconfig = cluster.folder().join("ann.kubeconfig");
    std::fs::write(&kubeconfig, login.kubeconfig(&cluster.url())).unwrap();
    let kubeconfig = kubeconfig.display().to_string();
    let as_ann = async |args: &[&str]| {
        let all: Vec<&str> = args.iter().copied().chain(["--kubeconfig", &kubeconfig]).collect();
        let output = cluster.kubectl_with(&all, "").await;
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    assert_eq!(as_ann(&["auth", "can-i", "list", "configmaps"]).await, "yes\n");
    assert_eq!(as_ann(&["auth", "can-i", "delete", "configmaps"]).await, "no\n");
    assert_eq!(as_ann(&["auth", "can-i", "get", "/metrics"]).await, "no\n");
    let listed = as_ann(&["auth", "can-i", "--list"]).await;
    for line in ["selfsubjectaccessreviews.authorization.k8s.io", "[/readyz]", "configmaps "] {
        assert!(listed.contains(line), "{line} is not in {listed}");
    }
    let acting = cluster.kubectl(&["auth", "can-i", "list", "configmaps", "--as", "ann"]).await;
    assert_eq!(acting, "yes\n");
    let acting = cluster.kubectl_with(&["get", "secrets", "--as", "ann", "--as-group", "dev"], "").await;
    assert!(String::from_utf8_lossy(&acting.stderr).contains("User \"ann\" cannot list resource \"secrets\""));
    let wanted = role("ClusterRole", "made", &json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }]));
    let made = cluster.kubectl_input(&["auth", "reconcile", "-f", "-"], &wanted.to_string()).await;
    assert!(made.contains("clusterrole.rbac.authorization.k8s.io/made reconciled"), "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_who_decides() {
    let start = async |modes: &str| {
        let flags = vec![format!("--authorization-mode={modes}"), "--anonymous-auth=true".to_owned()];
        Cluster::start(Options { store: StoreKind::Orlop, flags }).await
    };
    let open = start("AlwaysAllow").await;
    assert_eq!(open.client(None).get("/api/v1/secrets").await.code, 200);
    let closed = start("RBAC,AlwaysDeny").await;
    let nobody = closed.client(None);
    assert_eq!(nobody.get("/version").await.code, 200);
    refused(
        &nobody.get("/api/v1/secrets").await,
        "secrets is forbidden: User \"system:anonymous\" cannot list resource \"secrets\" in API group \"\" at the cluster scope: Everything is forbidden.",
    );
    assert_eq!(nobody.get("/api").await.code, 403);
    assert_eq!(closed.admin().get("/api/v1/secrets").await.code, 200);
}
