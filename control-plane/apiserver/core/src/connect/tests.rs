use serde_json::json;

use super::*;

fn object(value: Value) -> Object {
    Object::from_value(value).unwrap()
}

fn pod(spec: Value) -> Object {
    object(json!({ "metadata": { "name": "p" }, "spec": spec }))
}

fn query(text: &str) -> Vec<(String, String)> {
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

#[test]
fn the_only_container_is_meant_and_others_are_named() {
    let one = pod(json!({ "nodeName": "n", "containers": [{ "name": "c" }] }));
    let there = Destination::Container { node: "n".into(), container: "c".into() };
    assert_eq!(to_container(&one, "log", &query("")), Ok(there.clone()));
    assert_eq!(to_container(&one, "exec", &query("container=c")), Ok(there));
    let two = pod(json!({ "containers": [{ "name": "a" }, { "name": "b" }], "initContainers": [{ "name": "i" }] }));
    let message = |text: &str| to_container(&two, "log", &query(text)).unwrap_err().message;
    assert_eq!(
        message(""),
        "a container name must be specified for pod p, choose one of: [a b] or one of the init containers: [i]"
    );
    assert_eq!(message("container=x"), "container x is not valid for pod p");
}

#[test]
fn without_a_node_there_is_an_empty_log_and_nothing_else() {
    let pod = pod(json!({ "containers": [{ "name": "c" }] }));
    assert_eq!(to_container(&pod, "log", &[]), Ok(Destination::Nothing));
    for subresource in ["exec", "attach", "portforward"] {
        let refused = to_container(&pod, subresource, &[]).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (400, "pod p does not have a host assigned"));
    }
}

#[test]
fn options_of_a_log_are_checked() {
    let pod = pod(json!({ "containers": [{ "name": "c" }] }));
    for (text, code, part) in [
        ("tailLines=-1", 422, "tailLines: Invalid value: -1: must be greater than or equal to 0"),
        ("limitBytes=0", 422, "limitBytes: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=0", 422, "sinceSeconds: Invalid value: 0: must be greater than 0"),
        ("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z", 422, "at most one of `sinceTime` or `sinceSeconds`"),
        ("stream=Both", 422, "stream: Unsupported value: \"Both\": supported values: \"All\", \"Stderr\", \"Stdout\""),
        ("stream=Stdout&tailLines=3", 422, "mutually exclusive"),
        ("tailLines=x", 400, "invalid syntax"),
    ] {
        let refused = to_container(&pod, "log", &query(text)).unwrap_err();
        assert_eq!(refused.code, code, "{text}");
        assert!(refused.message.contains(part), "{text}: {}", refused.message);
    }
}

#[test]
fn names_in_paths_of_proxies_are_taken_apart() {
    let parsed = |id: &'static str| Proxied::parse("pod", id).map(|one| (one.scheme, one.name, one.port));
    assert_eq!(parsed("p"), Ok(("", "p", "")));
    assert_eq!(parsed("p:80"), Ok(("", "p", "80")));
    assert_eq!(parsed("https:p:web"), Ok(("https", "p", "web")));
    for wrong in ["", ":80", "ftp:p:80", "a:b:c:d"] {
        assert_eq!(parsed(wrong).unwrap_err().message, format!("invalid pod request {wrong:?}"));
    }
}

#[test]
fn services_are_reached_at_an_endpoint_of_the_port() {
    let service =
        object(json!({ "spec": { "ports": [{ "name": "web", "port": 80 }, { "name": "tls", "port": 443 }] } }));
    let endpoints = object(json!({ "subsets": [
        { "notReadyAddresses": [{ "ip": "10.0.0.1" }], "ports": [{ "name": "web", "port": 8080 }] },
        { "addresses": [{ "ip": "10.0.0.2" }], "ports": [{ "name": "web", "port": 8080 }] },
    ] }));
    let ask = |id| to_service(&service, Some(&endpoints), &Proxied::parse("service", id).unwrap());
    let there = Destination::Address { ip: [10, 0, 0, 2].into(), port: "8080".into() };
    assert_eq!((ask("s:web"), ask("s:80")), (Ok(there.clone()), Ok(there)));
    assert_eq!(ask("s:443").unwrap_err().message, "no endpoints available for service \"s\"");
    assert_eq!(ask("s").unwrap_err().message, "no service port \"\" found for service \"s\"");
    let none = to_service(&service, None, &Proxied::parse("service", "s:web").unwrap()).unwrap_err();
    assert_eq!(none.code, 503);
}

#[test]
fn nobody_is_proxied_to_the_server_itself() {
    for ip in ["", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0"] {
        let pod = object(json!({ "spec": {}, "status": { "podIP": ip } }));
        let refused = to_pod(&pod, &Proxied::parse("pod", "p").unwrap()).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (400, "address not allowed"), "{ip}");
    }
    let pod = object(json!({
        "spec": { "containers": [{ "ports": [{ "containerPort": 8080 }] }] }, "status": { "podIP": "10.0.0.3" },
    }));
    let there = Destination::Address { ip: [10, 0, 0, 3].into(), port: "8080".into() };
    assert_eq!(to_pod(&pod, &Proxied::parse("pod", "p").unwrap()), Ok(there));
    let node = object(json!({ "status": { "addresses": [
        { "type": "Hostname", "address": "n" }, { "type": "InternalIP", "address": "10.0.0.4" },
    ] } }));
    let there = Destination::Address { ip: [10, 0, 0, 4].into(), port: "10250".into() };
    assert_eq!(to_node(&node, &Proxied::parse("node", "n:10250").unwrap()), Ok(there));
}
