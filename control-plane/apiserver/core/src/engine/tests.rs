use serde_json::json;

use super::*;
use crate::kinds::testing::{context, create, create_errors, object, stored, try_create, try_update};
use crate::registry::Registry;

fn row(plural: &str) -> std::sync::Arc<Resource> {
    Registry::built_in().lookup("", "v1", plural).expect("a built-in resource").clone()
}

fn message<T>(outcome: Result<T, Status>) -> (u16, String) {
    match outcome {
        Ok(_) => (200, String::new()),
        Err(status) => (status.code, status.message),
    }
}

#[test]
fn metadata_of_a_new_object_is_the_servers() {
    let made = create(
        &row("configmaps"),
        json!({ "metadata": {
            "generateName": "web-", "uid": "x", "generation": 7, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "creationTimestamp": "2020-01-01T00:00:00Z",
        } }),
    );
    assert_eq!(
        made.at(&["metadata"]),
        Some(&json!({
            "generateName": "web-", "name": "web-bcdfg", "namespace": "default", "uid": context().uid,
            "creationTimestamp": "2026-08-01T10:00:00Z",
        }))
    );
}

#[test]
fn long_prefixes_are_cut_for_their_suffix() {
    let made = create(&row("configmaps"), json!({ "metadata": { "generateName": "a".repeat(80) } }));
    assert_eq!(made.name(), Some(format!("{}bcdfg", "a".repeat(58)).as_str()));
}

#[test]
fn metadata_is_checked_in_upstreams_words() {
    let errors = create_errors(
        &row("configmaps"),
        json!({ "metadata": {
            "name": "A", "labels": { "a b": "-" }, "annotations": { "x/": "" }, "finalizers": ["nope", "orphan", "foregroundDeletion"],
            "ownerReferences": [{ "kind": "K", "name": "n", "uid": "u" }],
        } }),
    );
    let starts = [
        "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain must consist",
        "metadata.labels: Invalid value: \"a b\": name part must consist",
        "metadata.labels: Invalid value: \"-\": a valid label must be",
        "metadata.annotations: Invalid value: \"x/\": name part must be non-empty",
        "metadata.annotations: Invalid value: \"x/\": name part must consist",
        "metadata.ownerReferences[0].apiVersion: Invalid value: \"\": version must not be empty",
        "metadata.finalizers[0]: Invalid value: \"nope\": name is neither a standard finalizer name nor is it fully qualified",
        "metadata.finalizers: Invalid value: [\"nope\",\"orphan\",\"foregroundDeletion\"]: finalizer set foregroundDeletion and orphan cannot be both set",
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(starts) {
        assert!(error.starts_with(start), "{error}");
    }
    assert_eq!(
        message(try_create(&row("configmaps"), json!({ "metadata": { "generateName": "" , "name": "" } })).map(|_| ()))
            .0,
        200,
        "the helper gives a name"
    );
}

#[test]
fn a_name_is_required() {
    let nameless = Object::new("v1", "ConfigMap");
    let outcome = prepare_create(&row("configmaps"), Some("default"), None, nameless, &context());
    assert_eq!(
        message(outcome),
        (422, "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required".into())
    );
}

#[test]
fn the_namespace_of_the_path_holds() {
    let elsewhere = object(&row("configmaps"), json!({ "metadata": { "namespace": "other" } }));
    let outcome = prepare_create(&row("configmaps"), Some("default"), None, elsewhere, &context());
    assert_eq!(
        message(outcome),
        (400, "the namespace of the provided object does not match the namespace sent on the request".into())
    );
    let cluster = create(&row("nodes"), json!({ "metadata": { "name": "n", "namespace": "x" } }));
    assert_eq!(cluster.namespace(), None);
}

#[test]
fn a_new_object_has_no_version() {
    let outcome = try_create(&row("configmaps"), json!({ "metadata": { "name": "a", "resourceVersion": "3" } }));
    assert_eq!(message(outcome), (500, "resourceVersion should not be set on objects to be created".into()));
}

#[test]
fn stale_versions_and_foreign_uids_conflict() {
    let old = stored(create(&row("configmaps"), json!({})));
    let try_with = |metadata: Value| {
        let mut new = object(&row("configmaps"), json!({ "data": { "k": "v" } }));
        for (key, value) in metadata.as_object().into_iter().flatten() {
            new.set(&["metadata", key], value.clone());
        }
        message(prepare_update(&row("configmaps"), None, &old, new, &context()))
    };
    assert_eq!(try_with(json!({})).0, 200);
    assert_eq!(try_with(json!({ "resourceVersion": "5" })).0, 200);
    assert_eq!(
        try_with(json!({ "resourceVersion": "4" })),
        (
            409,
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply your changes to the latest version and try again".into()
        )
    );
    assert_eq!(
        try_with(json!({ "uid": "22222222" })),
        (
            409,
            format!(
                "Operation cannot be fulfilled on configmaps \"a\": StorageError: invalid object, Code: 4, Key: /registry/configmaps/default/a, \
                 ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: 22222222, UID in object meta: {}",
                context().uid
            )
        )
    );
    assert_eq!(
        try_with(json!({ "name": "b" })),
        (400, "the name of the object (b) does not match the name on the URL (a)".into())
    );
}

#[test]
fn where_a_version_is_demanded_its_absence_is_invalid() {
    let leases =
        Registry::built_in().lookup("coordination.k8s.io", "v1", "leases").expect("a built-in resource").clone();
    let old = stored(create(&leases, json!({})));
    let new = object(&leases, json!({}));
    assert_eq!(
        message(prepare_update(&leases, None, &old, new, &context())),
        (
            422,
            "leases.coordination.k8s.io \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update".into()
        )
    );
}

#[test]
fn what_the_server_set_is_kept_and_may_not_be_changed() {
    let same = try_update(&row("configmaps"), None, json!({ "data": { "k": "1" } }), json!({ "data": { "k": "1" } }));
    assert!(matches!(same, Ok(Updated::Unchanged(_))), "{same:?}");
    let moved = json!({ "metadata": { "name": "a", "creationTimestamp": "2020-01-01T00:00:00Z" } });
    assert_eq!(
        message(try_update(&row("configmaps"), None, json!({}), moved)).1,
        "ConfigMap \"a\" is invalid: metadata.creationTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable"
    );
    let dying = json!({ "metadata": { "name": "a", "deletionTimestamp": "2020-01-01T00:00:00Z" } });
    assert_eq!(
        message(try_update(&row("configmaps"), None, json!({}), dying)).1,
        "ConfigMap \"a\" is invalid: metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable; may only be changed via deletion"
    );
}

#[test]
fn finalizers_hold_an_object_until_the_last_is_gone() {
    let held = stored(create(&row("configmaps"), json!({ "metadata": { "name": "a", "finalizers": ["a.b/c"] } })));
    let Ok(Deletion::Wait(going)) = decide_delete(&row("configmaps"), &held, &DeleteOptions::default(), &context())
    else {
        panic!("a wait")
    };
    assert_eq!(going.deletion_timestamp(), Some("2026-08-01T10:00:00Z"));
    assert_eq!(going.integer(&["metadata", "deletionGracePeriodSeconds"]), Some(0));
    let going = stored(going);
    assert_eq!(decide_delete(&row("configmaps"), &going, &DeleteOptions::default(), &context()), Ok(Deletion::Waiting));
    let mut more = going.clone();
    more.set(&["metadata", "finalizers"], json!(["a.b/c", "d.e/f"]));
    assert_eq!(
        message(prepare_update(&row("configmaps"), None, &going, more, &context())).1,
        "ConfigMap \"a\" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{\"d.e/f\"}"
    );
    let mut freed = going.clone();
    freed.remove(&["metadata", "finalizers"]);
    assert!(matches!(prepare_update(&row("configmaps"), None, &going, freed, &context()), Ok(Updated::Remove(_))));
}

#[test]
fn propagation_becomes_finalizers() {
    let plain = stored(create(&row("configmaps"), json!({})));
    let with = |propagation| DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
    let finalizers = |deletion: Result<Deletion, Status>| match deletion {
        Ok(Deletion::Wait(object)) => object.finalizers().map(str::to_owned).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let orphan = decide_delete(&row("configmaps"), &plain, &with(Propagation::Orphan), &context());
    assert_eq!(finalizers(orphan), ["orphan"]);
    let foreground = decide_delete(&row("configmaps"), &plain, &with(Propagation::Foreground), &context());
    assert_eq!(finalizers(foreground), ["foregroundDeletion"]);
    let background = decide_delete(&row("configmaps"), &plain, &with(Propagation::Background), &context());
    assert_eq!(background, Ok(Deletion::Remove));
}

#[test]
fn preconditions_are_conditions() {
    let plain = stored(create(&row("configmaps"), json!({})));
    let uid = DeleteOptions { precondition_uid: Some("x".into()), ..DeleteOptions::default() };
    assert_eq!(
        message(decide_delete(&row("configmaps"), &plain, &uid, &context())),
        (
            409,
            format!(
                "Operation cannot be fulfilled on configmaps \"a\": the UID in the precondition (x) does not match the UID in record ({}). The object might have been deleted and then recreated",
                context().uid
            )
        )
    );
    let version = DeleteOptions { precondition_resource_version: Some("4".into()), ..DeleteOptions::default() };
    assert_eq!(message(decide_delete(&row("configmaps"), &plain, &version, &context())).0, 409);
}
