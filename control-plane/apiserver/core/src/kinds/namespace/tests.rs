use super::*;
use crate::engine::{Deletion, Updated, decide_delete, prepare_update};
use crate::kinds::testing::{self, context, create, create_errors, stored, update_errors};
use crate::options::DeleteOptions;

fn row() -> std::sync::Arc<crate::Resource> {
    testing::row("", "namespaces")
}

#[test]
fn a_new_one_is_active_and_carries_its_name() {
    let namespace = create(&row(), json!({ "metadata": { "name": "demo" } }));
    assert_eq!(namespace.label(NAME_LABEL), Some("demo"));
    assert_eq!(namespace.text(&["status", "phase"]), Some("Active"));
    assert_eq!(namespace.at(&["spec", "finalizers"]), Some(&json!(["kubernetes"])));
}

#[test]
fn names_are_labels() {
    assert_eq!(
        create_errors(&row(), json!({ "metadata": { "name": "Demo" } })),
        [
            "metadata.name: Invalid value: \"Demo\": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        ]
    );
}

#[test]
fn deletion_waits_for_the_controller_and_then_removes() {
    let namespace = stored(create(&row(), json!({ "metadata": { "name": "demo" } })));
    let deletion = decide_delete(&row(), &namespace, &DeleteOptions::default(), &context());
    let Ok(Deletion::Wait(terminating)) = deletion else { panic!("{deletion:?}") };
    assert_eq!(terminating.text(&["status", "phase"]), Some("Terminating"));
    assert!(terminating.deletion_timestamp().is_some());

    let terminating = stored(terminating);
    assert_eq!(decide_delete(&row(), &terminating, &DeleteOptions::default(), &context()), Ok(Deletion::Waiting));
    let mut emptied = terminating.clone();
    emptied.set(&["spec", "finalizers"], json!([]));
    let plain = prepare_update(&row(), None, &terminating, emptied.clone(), &context());
    assert!(matches!(plain, Ok(Updated::Unchanged(_))), "spec.finalizers is for the subresource: {plain:?}");
    let finalized = prepare_update(&row(), Some("finalize"), &terminating, emptied, &context());
    assert!(matches!(finalized, Ok(Updated::Remove(_))), "{finalized:?}");
}

#[test]
fn a_finalizer_in_its_metadata_holds_it_too() {
    let mut namespace = create(&row(), json!({ "metadata": { "name": "demo", "finalizers": ["a.b/c"] } }));
    namespace.set(&["metadata", "deletionTimestamp"], "2026-08-01T00:00:00Z");
    namespace.set(&["status", "phase"], "Terminating");
    let namespace = stored(namespace);
    let mut emptied = namespace.clone();
    emptied.remove(&["spec", "finalizers"]);
    let finalized = prepare_update(&row(), Some("finalize"), &namespace, emptied.clone(), &context());
    assert!(matches!(finalized, Ok(Updated::Store(_))), "{finalized:?}");
    let emptied = stored(emptied);
    let mut last = emptied.clone();
    last.remove(&["metadata", "finalizers"]);
    assert!(matches!(prepare_update(&row(), None, &emptied, last, &context()), Ok(Updated::Remove(_))));
}

#[test]
fn system_namespaces_stay() {
    let namespace = stored(create(&row(), json!({ "metadata": { "name": "kube-system" } })));
    let refused = decide_delete(&row(), &namespace, &DeleteOptions::default(), &context())
        .map_err(|status| (status.code, status.message));
    assert_eq!(
        refused,
        Err((403, "namespaces \"kube-system\" is forbidden: this namespace may not be deleted".into()))
    );
}

#[test]
fn the_phase_follows_the_deletion() {
    let old = create(&row(), json!({ "metadata": { "name": "demo" } })).into_value();
    let mut new = old.clone();
    new["status"]["phase"] = "Terminating".into();
    assert_eq!(
        update_errors(&row(), Some("status"), old, new),
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
    );
}
