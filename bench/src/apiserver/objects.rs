//! What is put into the server: objects as real ones are.

use bytes::Bytes;
use serde_json::json;

fn bytes(object: &serde_json::Value) -> Bytes {
    object.to_string().into()
}

/// A namespace.
#[must_use]
pub fn namespace(name: &str) -> Bytes {
    bytes(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }))
}

/// A config map of about a kilobyte.
#[must_use]
pub fn config_map(name: &str) -> Bytes {
    bytes(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "labels": { "app": "bench" } },
        "data": { "content": "x".repeat(900) },
    }))
}

/// A pod as a Deployment makes it, about two and a half kilobytes with its defaults.
#[must_use]
pub fn pod(name: &str, app: u64) -> Bytes {
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "initialDelaySeconds": 5, "timeoutSeconds": 2 });
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    bytes(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": { "app": format!("app-{app}"), "pod-template-hash": "7d9c6b8f5d", "tier": "backend", "release": "stable" },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "9090", "checksum/config": "0".repeat(64) },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{app}-7d9c6b8f5d"), "controller": true,
                "blockOwnerDeletion": true, "uid": "6f1ad4f2-5a0e-4c0b-9c0c-3f1c5be0a001",
            }],
        },
        "spec": {
            "containers": [{
                "name": "main", "image": "registry.example.com/team/service:v1.42.0",
                "args": ["--listen=:8080", "--metrics=:9090", "--log-level=info"],
                "ports": [{ "name": "http", "containerPort": 8080 }, { "name": "metrics", "containerPort": 9090 }],
                "env": [
                    variable("GOMAXPROCS", "2"), variable("REGION", "eu-central-1"), variable("TRACING", "enabled"),
                    { "name": "POD_NAME", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } },
                    { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": "service", "key": "password" } } },
                ],
                "resources": { "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "memory": "256Mi" } },
                "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
                "volumeMounts": [{ "name": "config", "mountPath": "/etc/service", "readOnly": true }],
                "securityContext": { "runAsNonRoot": true, "allowPrivilegeEscalation": false },
            }],
            "volumes": [{ "name": "config", "configMap": { "name": "service" } }],
            "tolerations": [{ "key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }],
            "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100, "podAffinityTerm": {
                    "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": format!("app-{app}") } },
                },
            }] } },
        },
    }))
}
