//! What a user of Kubernetes does first, with the `kubectl` of the host.

use tests_boot::{Kubectl, eventually};

use std::time::Duration;

/// Looks, creates, changes, watches and deletes. Leaves the namespace `demo` with the config map `kept`.
pub(crate) fn everyday_work(kubectl: &Kubectl) {
    let namespaces = kubectl.ok(&["get", "ns"]);
    for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        assert!(
            namespaces.lines().any(|line| line.starts_with(&format!("{name} ")) && line.contains("Active")),
            "{namespaces}"
        );
    }
    assert_eq!(kubectl.ok(&["create", "ns", "demo"]), "namespace/demo created\n");
    assert_eq!(
        kubectl.refused(&["create", "ns", "demo"]),
        "Error from server (AlreadyExists): namespaces \"demo\" already exists\n"
    );
    let created = kubectl.ok(&["-n", "demo", "create", "configmap", "kept", "--from-literal=color=blue"]);
    assert_eq!(created, "configmap/kept created\n");
    let wide = kubectl.ok(&["-n", "demo", "get", "configmap", "kept", "-o", "wide"]);
    assert!(wide.starts_with("NAME") && wide.contains("DATA") && wide.contains("AGE"), "{wide}");
    assert_eq!(value(kubectl, "{.data.color}"), "blue");

    labels_and_a_watch(kubectl);
    patches(kubectl);
    apply(kubectl);

    assert_eq!(
        kubectl.refused(&["-n", "demo", "get", "configmap", "absent"]),
        "Error from server (NotFound): configmaps \"absent\" not found\n"
    );
    let invalid = kubectl.refused(&["create", "ns", "Not_A_Name"]);
    assert!(invalid.contains("is invalid: metadata.name: Invalid value"), "{invalid}");
    let secret = kubectl.ok(&["-n", "demo", "create", "secret", "generic", "hidden", "--from-literal=key=value"]);
    assert_eq!(secret, "secret/hidden created\n");
    assert_eq!(kubectl.ok(&["-n", "demo", "delete", "secret", "hidden"]), "secret \"hidden\" deleted\n");
}

fn value(kubectl: &Kubectl, path: &str) -> String {
    kubectl.ok(&["-n", "demo", "get", "configmap", "kept", "-o", &format!("jsonpath={path}")])
}

fn labels_and_a_watch(kubectl: &Kubectl) {
    let watch = kubectl.watch(&["-n", "demo", "get", "configmaps", "-w", "--show-labels"]);
    watch.wait_for("the watch's first line", |said| said.contains("kept"));
    assert_eq!(kubectl.ok(&["-n", "demo", "label", "configmap", "kept", "tier=front"]), "configmap/kept labeled\n");
    watch.wait_for("the label in the watch", |said| said.contains("tier=front"));
    drop(watch);
    let selected = kubectl.ok(&["-n", "demo", "get", "configmaps", "-l", "tier=front", "-o", "name"]);
    assert_eq!(selected, "configmap/kept\n");
    assert_eq!(kubectl.ok(&["-n", "demo", "get", "configmaps", "-l", "tier=back", "-o", "name"]), "");
    let found =
        kubectl.ok(&["-n", "demo", "get", "configmaps", "--field-selector", "metadata.name=kept", "-o", "name"]);
    assert_eq!(found, "configmap/kept\n");
}

fn patches(kubectl: &Kubectl) {
    let patched = "configmap/kept patched\n";
    let patch =
        |kind: &str, text: &str| kubectl.ok(&["-n", "demo", "patch", "configmap", "kept", "--type", kind, "-p", text]);
    assert_eq!(patch("merge", r#"{"data":{"color":"green"}}"#), patched);
    assert_eq!(value(kubectl, "{.data.color}"), "green");
    assert_eq!(patch("json", r#"[{"op":"replace","path":"/data/color","value":"red"}]"#), patched);
    assert_eq!(value(kubectl, "{.data.color}"), "red");
    assert_eq!(patch("strategic", r#"{"metadata":{"annotations":{"note":"seen"}}}"#), patched);
    assert_eq!(value(kubectl, "{.metadata.annotations.note}"), "seen");
}

fn apply(kubectl: &Kubectl) {
    let manifest = |value: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: applied\n  namespace: demo\ndata:\n  size: {value}\n"
        )
    };
    assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], &manifest("small")), "configmap/applied created\n");
    assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], &manifest("small")), "configmap/applied unchanged\n");
    assert_eq!(kubectl.ok_with(&["apply", "-f", "-"], &manifest("large")), "configmap/applied configured\n");
    let size = kubectl.ok(&["-n", "demo", "get", "configmap", "applied", "-o", "jsonpath={.data.size}"]);
    assert_eq!(size, "large");
    assert_eq!(kubectl.ok(&["-n", "demo", "delete", "configmap", "applied"]), "configmap \"applied\" deleted\n");
}

/// A namespace goes with everything in it.
pub(crate) fn a_namespace_is_emptied_and_goes(kubectl: &Kubectl) {
    kubectl.ok(&["create", "ns", "short"]);
    kubectl.ok(&["-n", "short", "create", "configmap", "inside", "--from-literal=a=b"]);
    kubectl.ok(&["delete", "ns", "short", "--wait=false"]);
    eventually("the namespace's end", Duration::from_mins(1), || {
        let said = kubectl.run(&["get", "ns", "short"]);
        (!said.success && said.err.contains("NotFound")).then_some(())
    });
}
