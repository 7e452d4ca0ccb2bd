//! A valid object of every kind, and what its table shows.

mod system;

use serde_json::{Value, json};

pub use system::{AUTHORITY, SIGNING_REQUEST};

fn template() -> Value {
    json!({ "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "example.test/c:1" }] } })
}

fn set() -> Value {
    json!({ "selector": { "matchLabels": { "app": "web" } }, "template": template() })
}

fn job() -> Value {
    json!({ "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "c", "image": "example.test/c:1" }] } } })
}

/// A kind: where it is, what it is, a body for it, and the columns of its table that are always shown.
pub struct Sample {
    /// The collection.
    pub path: String,
    /// Group and version.
    pub api_version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// A valid name.
    pub name: &'static str,
    /// A valid body, without type and name.
    pub body: Value,
    /// Columns of its table that are always shown.
    pub columns: &'static [&'static str],
}

impl Sample {
    /// The body with a name.
    pub fn object(&self, name: &str) -> Value {
        let mut object = self.body.clone();
        object["apiVersion"] = self.api_version.into();
        object["kind"] = self.kind.into();
        object["metadata"]["name"] = name.into();
        object
    }
}

fn sample(
    api_version: &'static str,
    plural: &str,
    kind: &'static str,
    namespaced: bool,
    body: Value,
    columns: &'static [&'static str],
) -> Sample {
    let root = if api_version == "v1" { "/api/v1".to_owned() } else { format!("/apis/{api_version}") };
    let path = if namespaced { format!("{root}/namespaces/default/{plural}") } else { format!("{root}/{plural}") };
    Sample { path, api_version, kind, name: "one", body, columns }
}

/// One of every kind but the core ones, which have tests of their own.
pub fn samples() -> Vec<Sample> {
    let mut all = workloads();
    all.extend(others());
    all.extend(system::samples());
    all
}

/// The sample of a kind.
pub fn of(kind: &str) -> Sample {
    samples().into_iter().find(|sample| sample.kind == kind).unwrap_or_else(|| panic!("no sample of {kind}"))
}

fn workloads() -> Vec<Sample> {
    let volume = json!({ "spec": {
        "accessModes": ["ReadWriteOnce"], "capacity": { "storage": "1Gi" }, "hostPath": { "path": "/data" },
    } });
    let claim =
        json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } } });
    let counts = &["Name", "Desired", "Current", "Ready", "Age"];
    vec![
        sample(
            "v1",
            "podtemplates",
            "PodTemplate",
            true,
            json!({ "template": template() }),
            &["Name", "Containers", "Images", "Pod Labels"],
        ),
        sample(
            "v1",
            "replicationcontrollers",
            "ReplicationController",
            true,
            json!({ "spec": { "template": template() } }),
            counts,
        ),
        sample(
            "v1",
            "limitranges",
            "LimitRange",
            true,
            json!({ "spec": { "limits": [{ "type": "Pod", "max": { "cpu": "1" } }] } }),
            &["Name", "Created At"],
        ),
        sample(
            "v1",
            "resourcequotas",
            "ResourceQuota",
            true,
            json!({ "spec": { "hard": { "pods": "1" } } }),
            &["Name", "Request", "Limit", "Age"],
        ),
        sample(
            "v1",
            "persistentvolumes",
            "PersistentVolume",
            false,
            volume,
            &[
                "Name",
                "Capacity",
                "Access Modes",
                "Reclaim Policy",
                "Status",
                "Claim",
                "StorageClass",
                "VolumeAttributesClass",
                "Reason",
                "Age",
            ],
        ),
        sample(
            "v1",
            "persistentvolumeclaims",
            "PersistentVolumeClaim",
            true,
            claim,
            &["Name", "Status", "Volume", "Capacity", "Access Modes", "StorageClass", "VolumeAttributesClass", "Age"],
        ),
        sample(
            "apps/v1",
            "deployments",
            "Deployment",
            true,
            json!({ "spec": set() }),
            &["Name", "Ready", "Up-to-date", "Available", "Age"],
        ),
        sample("apps/v1", "replicasets", "ReplicaSet", true, json!({ "spec": set() }), counts),
        sample("apps/v1", "statefulsets", "StatefulSet", true, json!({ "spec": set() }), &["Name", "Ready", "Age"]),
        sample(
            "apps/v1",
            "daemonsets",
            "DaemonSet",
            true,
            json!({ "spec": set() }),
            &["Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age"],
        ),
        sample(
            "apps/v1",
            "controllerrevisions",
            "ControllerRevision",
            true,
            json!({ "data": { "a": 1 }, "revision": 1 }),
            &["Name", "Controller", "Revision", "Age"],
        ),
        sample(
            "batch/v1",
            "jobs",
            "Job",
            true,
            json!({ "spec": job() }),
            &["Name", "Status", "Completions", "Duration", "Age"],
        ),
        sample(
            "batch/v1",
            "cronjobs",
            "CronJob",
            true,
            json!({ "spec": { "schedule": "@hourly", "jobTemplate": { "spec": job() } } }),
            &["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age"],
        ),
        sample(
            "autoscaling/v2",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            true,
            json!({ "spec": { "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" } } }),
            &["Name", "Reference", "Targets", "MinPods", "MaxPods", "Replicas", "Age"],
        ),
        sample(
            "policy/v1",
            "poddisruptionbudgets",
            "PodDisruptionBudget",
            true,
            json!({ "spec": { "minAvailable": 1 } }),
            &["Name", "Min Available", "Max Unavailable", "Allowed Disruptions", "Age"],
        ),
    ]
}

fn others() -> Vec<Sample> {
    let role = json!({ "rules": [{ "verbs": ["get"], "apiGroups": [""], "resources": ["pods"] }] });
    let binding = json!({ "roleRef": { "kind": "ClusterRole", "name": "view" }, "subjects": [{ "kind": "User", "name": "ann" }] });
    let ingress = json!({ "spec": { "defaultBackend": { "service": { "name": "web", "port": { "number": 80 } } } } });
    let attachment =
        json!({ "spec": { "attacher": "d.test", "nodeName": "n", "source": { "persistentVolumeName": "v" } } });
    let rbac = "rbac.authorization.k8s.io/v1";
    let storage = "storage.k8s.io/v1";
    let network = "networking.k8s.io/v1";
    vec![
        sample(rbac, "roles", "Role", true, role.clone(), &["Name", "Created At"]),
        sample(rbac, "clusterroles", "ClusterRole", false, role, &["Name", "Created At"]),
        sample(rbac, "rolebindings", "RoleBinding", true, binding.clone(), &["Name", "Role", "Age"]),
        sample(rbac, "clusterrolebindings", "ClusterRoleBinding", false, binding, &["Name", "Role", "Age"]),
        sample(
            "scheduling.k8s.io/v1",
            "priorityclasses",
            "PriorityClass",
            false,
            json!({ "value": 7 }),
            &["Name", "Value", "Global-Default", "Age", "PreemptionPolicy"],
        ),
        sample(
            "discovery.k8s.io/v1",
            "endpointslices",
            "EndpointSlice",
            true,
            json!({ "addressType": "IPv4", "endpoints": [] }),
            &["Name", "AddressType", "Ports", "Endpoints", "Age"],
        ),
        sample(network, "ingresses", "Ingress", true, ingress, &["Name", "Class", "Hosts", "Address", "Ports", "Age"]),
        sample(
            network,
            "ingressclasses",
            "IngressClass",
            false,
            json!({ "spec": { "controller": "a.test/b" } }),
            &["Name", "Controller", "Parameters", "Age"],
        ),
        sample(
            network,
            "networkpolicies",
            "NetworkPolicy",
            true,
            json!({ "spec": { "podSelector": {} } }),
            &["Name", "Pod-Selector", "Age"],
        ),
        sample(
            "node.k8s.io/v1",
            "runtimeclasses",
            "RuntimeClass",
            false,
            json!({ "handler": "kata" }),
            &["Name", "Handler", "Age"],
        ),
        sample(
            storage,
            "storageclasses",
            "StorageClass",
            false,
            json!({ "provisioner": "d.test" }),
            &["Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age"],
        ),
        sample(
            storage,
            "volumeattributesclasses",
            "VolumeAttributesClass",
            false,
            json!({ "driverName": "d.test", "parameters": { "a": "b" } }),
            &["Name", "DriverName", "Age"],
        ),
        sample(
            storage,
            "csidrivers",
            "CSIDriver",
            false,
            json!({ "spec": {} }),
            &[
                "Name",
                "AttachRequired",
                "PodInfoOnMount",
                "StorageCapacity",
                "TokenRequests",
                "RequiresRepublish",
                "Modes",
                "Age",
            ],
        ),
        sample(
            storage,
            "csinodes",
            "CSINode",
            false,
            json!({ "spec": { "drivers": [{ "name": "d.test", "nodeID": "n" }] } }),
            &["Name", "Drivers", "Age"],
        ),
        sample(
            storage,
            "csistoragecapacities",
            "CSIStorageCapacity",
            true,
            json!({ "storageClassName": "fast" }),
            &["Name", "StorageClassName", "Capacity", "Age"],
        ),
        sample(
            storage,
            "volumeattachments",
            "VolumeAttachment",
            false,
            attachment,
            &["Name", "Attacher", "PV", "Node", "Attached", "Age"],
        ),
    ]
}
