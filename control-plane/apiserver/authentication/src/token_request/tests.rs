use serde_json::Value;

use super::*;

fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

fn account() -> Object {
    object(json!({ "metadata": { "name": "sa", "namespace": "ns", "uid": "sa-uid" } }))
}

fn policy() -> Policy {
    Policy { audiences: vec!["api".into()], max_expiration: None, extend: true }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000).expect("a time")
}

fn checked(request: Value) -> Result<Checked, String> {
    check(object(request), &account(), &policy(), now()).map_err(|status| format!("{} {}", status.code, status.message))
}

#[test]
fn blanks_are_filled_in() {
    let mut checked = checked(json!({ "status": { "token": "x" } })).expect("a request");
    let (wish, warning) = checked.wish(&policy());
    assert_eq!((wish.expires_after, wish.warn_after, warning), (3600, None, None));
    let answered = checked.answered("signed", now());
    assert_eq!(
        answered.into_value(),
        json!({
            "metadata": { "name": "sa", "namespace": "ns", "uid": "sa-uid", "creationTimestamp": "2027-01-15T08:00:00Z" },
            "spec": { "audiences": ["api"], "expirationSeconds": 3600 },
            "status": { "token": "signed", "expirationTimestamp": "2027-01-15T09:00:00Z" },
        })
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (request, why) in [
        (json!({ "spec": { "expirationSeconds": 599 } }), "may not specify a duration less than 10 minutes"),
        (json!({ "spec": { "expirationSeconds": 0 } }), "may not specify a duration less than 10 minutes"),
        (json!({ "spec": { "expirationSeconds": 4_294_967_297_i64 } }), "may not specify a duration larger than 2^32"),
        (
            json!({ "metadata": { "name": "other" } }),
            "422 TokenRequest.authentication.k8s.io \"sa\" is invalid: metadata.name",
        ),
        (json!({ "metadata": { "namespace": "x" } }), "must match the service account namespace if specified"),
        (
            json!({ "metadata": { "uid": "x" } }),
            "409 Operation cannot be fulfilled on TokenRequest.authentication.k8s.io \"sa\"",
        ),
        (
            json!({ "spec": { "boundObjectRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" } } }),
            "400 cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
    ] {
        let refused = checked(request).expect_err(why);
        assert!(refused.contains(why), "{refused}");
    }
}

#[test]
fn a_long_token_is_shortened_and_one_for_a_volume_extended() {
    let short = Policy { max_expiration: Some(7200), ..policy() };
    let mut long = checked(json!({ "spec": { "expirationSeconds": 9000 } })).expect("a request");
    let (wish, warning) = long.wish(&short);
    assert_eq!(wish.expires_after, 7200);
    assert_eq!(warning.as_deref(), Some("requested expiration of 9000 seconds shortened to 7200 seconds"));
    let volume = |audience: &str| {
        let reference = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p" });
        checked(json!({ "spec": { "audiences": [audience], "expirationSeconds": 3607, "boundObjectRef": reference } }))
            .expect("a request")
            .wish(&policy())
            .0
    };
    assert_eq!((volume("api").expires_after, volume("api").warn_after), (31_536_000, Some(3607)));
    assert_eq!((volume("vault").expires_after, volume("vault").warn_after), (3607, None));
}

#[test]
fn a_token_is_bound_to_the_object_that_is_meant() {
    let pod = |account: &str| {
        object(
            json!({ "metadata": { "name": "p", "uid": "p-uid" }, "spec": { "serviceAccountName": account, "nodeName": "n" } }),
        )
    };
    let bound = |uid: &str| {
        let reference = json!({ "apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid });
        checked(json!({ "spec": { "boundObjectRef": reference } })).expect("a request")
    };
    let request = bound("p-uid");
    assert_eq!(request.node_of(&pod("sa")).as_deref(), Some("n"));
    let node = object(json!({ "metadata": { "name": "n", "uid": "n-uid" } }));
    let relic = request.relic(&account(), Some(&pod("sa")), Some(&node)).expect("a relic");
    assert_eq!(relic.node, Some(Reference { name: "n".into(), uid: "n-uid".into() }));
    assert_eq!(relic.pod, Some(Reference { name: "p".into(), uid: "p-uid".into() }));
    let relic = request.relic(&account(), Some(&pod("sa")), None).expect("a relic");
    assert_eq!(relic.node, Some(Reference { name: "n".into(), uid: String::new() }));
    let message = |refused: Status| refused.message;
    assert_eq!(
        request.relic(&account(), Some(&pod("other")), None).map_err(message),
        Err("cannot bind token for serviceaccount \"sa\" to pod running with different serviceaccount name.".into())
    );
    let other =
        bound("old").relic(&account(), Some(&pod("sa")), None).map_err(|refused| (refused.code, refused.message));
    let (code, why) = other.expect_err("another pod");
    assert_eq!(code, 409);
    assert!(
        why.starts_with("Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (old)"),
        "{why}"
    );
}
