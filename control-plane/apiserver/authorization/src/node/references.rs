//! What pods and volumes name.

use std::collections::BTreeSet;

use apiserver_core::Object;
use serde_json::Value;

use super::graph::Kind;

/// A pod that stands for one the node runs by itself: it must not give the node anything.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Volume sources whose `secretRef` names a secret.
const SECRET_REFS: [&str; 7] = ["cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos"];

/// Something a pod uses, in its own namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Referenced {
    pub(super) kind: Kind,
    pub(super) name: String,
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

/// All that a pod uses, each once.
pub(super) fn of_pod(pod: &Object) -> Vec<Referenced> {
    let mut found = BTreeSet::new();
    if pod.annotations().any(|(key, _)| key == MIRROR) {
        return Vec::new();
    }
    let mut add = |kind: Kind, name: &Value| {
        if let Some(name) = name.as_str().filter(|name| !name.is_empty()) {
            found.insert(Referenced { kind, name: name.to_owned() });
        }
    };
    let none = Value::Null;
    let spec = pod.at(&["spec"]).unwrap_or(&none);
    add(Kind::Account, &spec["serviceAccountName"]);
    for secret in list(spec, "imagePullSecrets") {
        add(Kind::Secret, &secret["name"]);
    }
    for container in ["containers", "initContainers", "ephemeralContainers"].iter().flat_map(|all| list(spec, all)) {
        for source in list(container, "envFrom") {
            add(Kind::Secret, &source["secretRef"]["name"]);
            add(Kind::ConfigMap, &source["configMapRef"]["name"]);
        }
        for variable in list(container, "env") {
            add(Kind::Secret, &variable["valueFrom"]["secretKeyRef"]["name"]);
            add(Kind::ConfigMap, &variable["valueFrom"]["configMapKeyRef"]["name"]);
        }
    }
    for volume in list(spec, "volumes") {
        add(Kind::Secret, &volume["secret"]["secretName"]);
        add(Kind::Secret, &volume["azureFile"]["secretName"]);
        add(Kind::Secret, &volume["csi"]["nodePublishSecretRef"]["name"]);
        for source in SECRET_REFS {
            add(Kind::Secret, &volume[source]["secretRef"]["name"]);
        }
        add(Kind::ConfigMap, &volume["configMap"]["name"]);
        for source in list(&volume["projected"], "sources") {
            add(Kind::Secret, &source["secret"]["name"]);
            add(Kind::ConfigMap, &source["configMap"]["name"]);
        }
        add(Kind::Claim, &volume["persistentVolumeClaim"]["claimName"]);
        if let (true, Some(own), Some(name)) = (volume["ephemeral"].is_object(), pod.name(), volume["name"].as_str()) {
            add(Kind::Claim, &format!("{own}-{name}").into());
        }
    }
    let status = pod.at(&["status"]).unwrap_or(&none);
    for claim in list(spec, "resourceClaims") {
        add(Kind::ResourceClaim, &claim["resourceClaimName"]);
        if claim["resourceClaimTemplateName"].is_string() {
            let made = list(status, "resourceClaimStatuses").find(|one| one["name"] == claim["name"]);
            add(Kind::ResourceClaim, made.map_or(&none, |one| &one["resourceClaimName"]));
        }
    }
    add(Kind::ResourceClaim, &status["extendedResourceClaimStatus"]["resourceClaimName"]);
    found.into_iter().collect()
}

/// Namespace and name of each secret a node needs for a volume that is bound in `namespace`.
pub(super) fn of_volume(volume: &Object, namespace: &str) -> Vec<(String, String)> {
    let none = Value::Null;
    let spec = volume.at(&["spec"]).unwrap_or(&none);
    let csi = ["nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"].map(|name| &spec["csi"][name]);
    let references = SECRET_REFS.iter().map(|source| &spec[*source]["secretRef"]).chain(csi);
    let named = references.map(|reference| (&reference["namespace"], &reference["name"]));
    let azure = &spec["azureFile"];
    named
        .chain([(&azure["secretNamespace"], &azure["secretName"])])
        .filter_map(|(space, name)| {
            let space = space.as_str().filter(|space| !space.is_empty()).unwrap_or(namespace);
            Some((space.to_owned(), name.as_str()?.to_owned()))
        })
        .collect()
}
