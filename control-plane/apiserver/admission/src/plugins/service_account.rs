//! The account a pod runs as: that there is one, what it may mount, and the token to be it.

use std::sync::Arc;

use apiserver_core::{Object, Status};
use serde_json::{Map, Value, json};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;
use crate::pods::{is_mirror, items, list, list_mut, text};

/// The account of pods that name none.
const DEFAULT: &str = "default";
/// Where containers look for their token.
const MOUNT_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the names of token volumes begin.
const VOLUME: &str = "kube-api-access-";
/// How long a token lives: an hour, and seven seconds by which to know it.
const TOKEN_SECONDS: i64 = 60 * 60 + 7;
/// Makes an account hold its pods to the secrets it names.
const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// Gives pods their account and its token.
#[derive(Debug)]
pub(super) struct ServiceAccount;

impl Plugin for ServiceAccount {
    fn name(&self) -> &'static str {
        "ServiceAccount"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("", "pods")
            || attributes.operation == Operation::Update && attributes.is_on("", "pods", Some("ephemeralcontainers"))
    }

    fn reads(&self) -> &'static [View] {
        &[views::SERVICE_ACCOUNTS]
    }

    fn mutate(&self, attributes: &Attributes<'_>, pod: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        if attributes.operation != Operation::Create {
            return Ok(());
        }
        if is_mirror(pod) {
            return self.validate(attributes, Some(pod), facts);
        }
        let name = pod.text(&["spec", "serviceAccountName"]).unwrap_or(DEFAULT).to_owned();
        let account = account(attributes, pod, &name, facts)?;
        pod.set(&["spec", "serviceAccountName"], name.as_str());
        // Its old name, which programs still read.
        pod.set(&["spec", "serviceAccount"], name.as_str());
        if wants_token(&account, pod) {
            mount_token(pod, facts);
        }
        if list(pod, "imagePullSecrets").is_empty() {
            let secrets: Vec<Value> =
                account.list(&["imagePullSecrets"]).iter().map(|one| json!({ "name": text(one, "name") })).collect();
            if !secrets.is_empty() {
                pod.set(&["spec", "imagePullSecrets"], secrets);
            }
        }
        self.validate(attributes, Some(pod), facts)
    }

    fn validate(&self, attributes: &Attributes<'_>, pod: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(pod) = pod else { return Ok(()) };
        let refuse = |why: &str| Err(attributes.forbidden(Some(pod), why));
        if attributes.operation == Operation::Create && is_mirror(pod) {
            return match of_mirror(pod) {
                Some(what) => refuse(&format!("a mirror pod may not {what}")),
                None => Ok(()),
            };
        }
        let Some(name) = pod.text(&["spec", "serviceAccountName"]) else {
            let (namespace, pod) = (attributes.namespace.unwrap_or_default(), pod.name().unwrap_or_default());
            return refuse(&format!("no service account specified for pod {namespace}/{pod}"));
        };
        if attributes.operation == Operation::Update && list(pod, "ephemeralContainers").is_empty() {
            return Ok(());
        }
        let account = account(attributes, pod, name, facts)?;
        if !enforces(&account) {
            return Ok(());
        }
        let unmountable = if attributes.operation == Operation::Create {
            unmountable(&account, pod)
        } else {
            unmountable_late(&account, pod)
        };
        unmountable.map_or(Ok(()), |why| {
            refuse(&format!("{why} because service account {name} does not reference that secret"))
        })?;
        if attributes.operation == Operation::Create {
            let known = |name: &str| account.list(&["imagePullSecrets"]).iter().any(|one| text(one, "name") == name);
            for (index, secret) in list(pod, "imagePullSecrets").iter().enumerate() {
                let secret = text(secret, "name");
                if !known(secret) {
                    return refuse(&format!(
                        "imagePullSecrets[{index}].name=\"{secret}\" is not allowed because service account {name} does not reference that imagePullSecret"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn account(attributes: &Attributes<'_>, pod: &Object, name: &str, facts: &dyn Facts) -> Result<Arc<Object>, Status> {
    let namespace = attributes.namespace;
    let found = if name == DEFAULT {
        // A controller makes it in every namespace.
        facts.get_soon(views::SERVICE_ACCOUNTS, namespace, name)
    } else {
        facts.get(views::SERVICE_ACCOUNTS, namespace, name)
    };
    found.ok_or_else(|| {
        let namespace = namespace.unwrap_or_default();
        let why = format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found");
        attributes.forbidden(Some(pod), &why)
    })
}

/// What a pod that a node made by itself has, and may not have.
fn of_mirror(pod: &Object) -> Option<&'static str> {
    let containers =
        || ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|name| list(pod, name));
    let from_env = |source: &str, key: &str| {
        containers().any(|container| {
            items(container, "envFrom").iter().any(|one| one.get(source).is_some())
                || items(container, "env")
                    .iter()
                    .any(|one| one.get("valueFrom").is_some_and(|from| from.get(key).is_some()))
        })
    };
    let volume = |source: &str| list(pod, "volumes").iter().any(|one| one.get(source).is_some());
    let projects = |source: &str| {
        let projected = list(pod, "volumes").iter().filter_map(|one| one.get("projected"));
        projected.flat_map(|one| items(one, "sources")).any(|one| one.get(source).is_some())
    };
    let driver_secrets = ["cephfs", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos", "csi"].iter().any(|source| {
        list(pod, "volumes")
            .iter()
            .filter_map(|one| one.get(source))
            .any(|one| one.get("secretRef").or_else(|| one.get("nodePublishSecretRef")).is_some_and(Value::is_object))
    });
    if pod.text(&["spec", "serviceAccountName"]).is_some() {
        return Some("reference service accounts");
    }
    let pulls = !list(pod, "imagePullSecrets").is_empty();
    if pulls
        || volume("secret")
        || volume("azureFile")
        || driver_secrets
        || projects("secret")
        || from_env("secretRef", "secretKeyRef")
    {
        return Some("reference secrets");
    }
    if volume("configMap") || projects("configMap") || from_env("configMapRef", "configMapKeyRef") {
        return Some("reference configmaps");
    }
    if volume("persistentVolumeClaim") {
        return Some("reference persistentvolumeclaims");
    }
    if projects("serviceAccountToken") {
        return Some("use ServiceAccountToken volume projections");
    }
    (!list(pod, "resourceClaims").is_empty()).then_some("reference resourceclaims")
}

fn enforces(account: &Object) -> bool {
    let value = account.text(&["metadata", "annotations", ENFORCE]).unwrap_or_default();
    matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// The first use of a secret the account does not name.
fn unmountable(account: &Object, pod: &Object) -> Option<String> {
    let known = |name: &str| account.list(&["secrets"]).iter().any(|one| text(one, "name") == name);
    let volumes = list(pod, "volumes").iter().filter_map(|one| one.get("secret"));
    if let Some(secret) = volumes.map(|one| text(one, "secretName")).find(|name| !known(name)) {
        return Some(format!("volume with secret.secretName=\"{secret}\" is not allowed"));
    }
    in_containers(list(pod, "initContainers"), "init container", known)
        .or_else(|| in_containers(list(pod, "containers"), "container", known))
}

/// The same for containers that come later.
fn unmountable_late(account: &Object, pod: &Object) -> Option<String> {
    let known = |name: &str| account.list(&["secrets"]).iter().any(|one| text(one, "name") == name);
    in_containers(list(pod, "ephemeralContainers"), "ephemeral container", known)
}

fn in_containers(containers: &[Value], word: &str, known: impl Fn(&str) -> bool) -> Option<String> {
    for container in containers {
        let name = text(container, "name");
        for variable in items(container, "env") {
            let secret = variable.get("valueFrom").and_then(|from| from.get("secretKeyRef"));
            if let Some(secret) = secret.map(|one| text(one, "name")).filter(|name| !known(name)) {
                let variable = text(variable, "name");
                return Some(format!(
                    "{word} {name} with envVar {variable} referencing secret.secretName=\"{secret}\" is not allowed"
                ));
            }
        }
        for source in items(container, "envFrom") {
            let secret = source.get("secretRef").map(|one| text(one, "name")).filter(|name| !known(name));
            if let Some(secret) = secret {
                return Some(format!(
                    "{word} {name} with envFrom referencing secret.secretName=\"{secret}\" is not allowed"
                ));
            }
        }
    }
    None
}

/// The pod's word counts, then the account's; who says nothing wants one.
fn wants_token(account: &Object, pod: &Object) -> bool {
    let said =
        pod.at(&["spec", "automountServiceAccountToken"]).or_else(|| account.at(&["automountServiceAccountToken"]));
    said.and_then(Value::as_bool).unwrap_or(true)
}

/// Mounts a token in every container that has nothing at its place.
fn mount_token(pod: &mut Object, facts: &dyn Facts) {
    let had = list(pod, "volumes")
        .iter()
        .map(|one| text(one, "name"))
        .find(|name| name.starts_with(VOLUME))
        .map(str::to_owned);
    let volume = had.clone().unwrap_or_else(|| format!("{VOLUME}{}", facts.suffix()));
    let mut needed = false;
    for containers in ["initContainers", "containers"] {
        if list(pod, containers).is_empty() {
            continue;
        }
        for container in list_mut(pod, "spec", containers).into_iter().flatten() {
            needed |= mount(container, &volume);
        }
    }
    if needed && had.is_none() {
        let sources = json!([
            { "serviceAccountToken": { "expirationSeconds": TOKEN_SECONDS, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [
                { "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" } },
            ] } },
        ]);
        if let Some(volumes) = list_mut(pod, "spec", "volumes") {
            volumes.push(json!({ "name": volume, "projected": { "defaultMode": 0o644, "sources": sources } }));
        }
    }
}

/// Whether the volume is now mounted in the container, and was not before.
fn mount(container: &mut Value, volume: &str) -> bool {
    if items(container, "volumeMounts").iter().any(|one| text(one, "mountPath") == MOUNT_PATH) {
        return false;
    }
    let Some(container) = container.as_object_mut() else { return false };
    let mut mounts = container
        .remove("volumeMounts")
        .and_then(|mounts| match mounts {
            Value::Array(mounts) => Some(mounts),
            _ => None,
        })
        .unwrap_or_default();
    let mut mount = Map::new();
    mount.insert("name".into(), volume.into());
    mount.insert("readOnly".into(), true.into());
    mount.insert("mountPath".into(), MOUNT_PATH.into());
    mounts.push(Value::Object(mount));
    container.insert("volumeMounts".into(), Value::Array(mounts));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{World, create};

    fn account(more: &Value) -> World {
        let mut account = json!({ "metadata": { "name": "default", "namespace": "default" } });
        for (member, value) in more.as_object().unwrap() {
            account[member] = value.clone();
        }
        World::default().with(views::SERVICE_ACCOUNTS, account)
    }

    fn pod(more: &Value) -> Value {
        let mut spec = json!({ "containers": [{ "name": "c" }] });
        for (member, value) in more.as_object().unwrap() {
            spec[member] = value.clone();
        }
        json!({ "metadata": { "name": "p" }, "spec": spec })
    }

    fn made(pod: Value, world: &World) -> Value {
        create("", "pods").mutate(&ServiceAccount, pod, world).unwrap()
    }

    fn refused(pod: Value, world: &World) -> String {
        create("", "pods").mutate(&ServiceAccount, pod, world).unwrap_err().message
    }

    #[test]
    fn a_pod_gets_the_default_account_and_its_token() {
        let made = made(pod(&json!({})), &account(&json!({ "imagePullSecrets": [{ "name": "registry" }] })));
        let spec = &made["spec"];
        assert_eq!((&spec["serviceAccountName"], &spec["serviceAccount"]), (&json!("default"), &json!("default")));
        assert_eq!(spec["imagePullSecrets"], json!([{ "name": "registry" }]));
        assert_eq!(
            spec["containers"][0]["volumeMounts"],
            json!([{ "name": "kube-api-access-bcdfg", "readOnly": true, "mountPath": MOUNT_PATH }])
        );
        let volume = &spec["volumes"][0];
        assert_eq!(
            (&volume["name"], &volume["projected"]["defaultMode"]),
            (&json!("kube-api-access-bcdfg"), &json!(420))
        );
        assert_eq!(
            volume["projected"]["sources"][0],
            json!({ "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } })
        );
    }

    #[test]
    fn the_token_can_be_declined() {
        let mounts = |pod: &Value, account: &Value| {
            let made = made(self::pod(pod), &self::account(account));
            made["spec"]["volumes"].as_array().is_some_and(|volumes| !volumes.is_empty())
        };
        let said = |yes: bool| json!({ "automountServiceAccountToken": yes });
        let nothing = json!({});
        assert!(mounts(&nothing, &nothing) && mounts(&said(true), &said(false)) && mounts(&nothing, &said(true)));
        assert!(
            !mounts(&said(false), &nothing) && !mounts(&nothing, &said(false)) && !mounts(&said(false), &said(true))
        );
        let own =
            json!({ "containers": [{ "name": "c", "volumeMounts": [{ "name": "v", "mountPath": MOUNT_PATH }] }] });
        assert!(!mounts(&own, &nothing));
    }

    #[test]
    fn a_pod_needs_an_account_that_is_there() {
        assert_eq!(
            refused(pod(&json!({})), &World::default()),
            "pods \"p\" is forbidden: error looking up service account default/default: serviceaccount \"default\" not found"
        );
    }

    #[test]
    fn an_account_may_hold_its_pods_to_its_secrets() {
        let strict = account(&json!({
            "metadata": { "name": "default", "namespace": "default", "annotations": { ENFORCE: "true" } },
            "secrets": [{ "name": "known" }],
        }));
        let volume = |name: &str| pod(&json!({ "volumes": [{ "name": "v", "secret": { "secretName": name } }] }));
        assert!(create("", "pods").mutate(&ServiceAccount, volume("known"), &strict).is_ok());
        assert_eq!(
            refused(volume("other"), &strict),
            "pods \"p\" is forbidden: volume with secret.secretName=\"other\" is not allowed because service account default does not reference that secret"
        );
        assert_eq!(
            refused(pod(&json!({ "imagePullSecrets": [{ "name": "x" }] })), &strict),
            "pods \"p\" is forbidden: imagePullSecrets[0].name=\"x\" is not allowed because service account default does not reference that imagePullSecret"
        );
    }

    #[test]
    fn mirror_pods_have_no_account_and_nothing_of_the_cluster() {
        let mirror = |more: &Value| {
            let mut pod = pod(more);
            pod["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
            pod
        };
        let plain = made(mirror(&json!({})), &World::default());
        assert_eq!(plain["spec"].get("serviceAccountName"), None);
        for (more, what) in [
            (json!({ "serviceAccountName": "a" }), "reference service accounts"),
            (json!({ "volumes": [{ "name": "v", "secret": {} }] }), "reference secrets"),
            (json!({ "volumes": [{ "name": "v", "configMap": {} }] }), "reference configmaps"),
            (json!({ "volumes": [{ "name": "v", "persistentVolumeClaim": {} }] }), "reference persistentvolumeclaims"),
        ] {
            assert_eq!(
                refused(mirror(&more), &World::default()),
                format!("pods \"p\" is forbidden: a mirror pod may not {what}")
            );
        }
    }
}
