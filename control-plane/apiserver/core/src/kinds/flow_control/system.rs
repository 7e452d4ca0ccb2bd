//! The levels and schemas every server makes: two of each that it cannot do without, and those that suit most clusters.

use serde_json::{Value, json};

use crate::flow::KEPT;

const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
const SCHEDULER: &str = "system:kube-scheduler";
const NODES: &str = "system:nodes";

/// The priority levels, those that cannot be missing first.
pub fn priority_levels() -> Vec<Value> {
    let exempt = json!({ "type": "Exempt", "exempt": { "nominalConcurrencyShares": 0, "lendablePercent": 0 } });
    let reject = json!({
        "type": "Limited",
        "limited": { "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": { "type": "Reject" } },
    });
    let mut levels = vec![object("catch-all", &reject), object("exempt", &exempt)];
    levels.extend(
        [
            ("system", 30, 33, 64, 6),
            ("node-high", 40, 25, 64, 6),
            ("leader-election", 10, 0, 16, 4),
            ("workload-high", 40, 50, 128, 6),
            ("workload-low", 100, 90, 128, 6),
            ("global-default", 20, 50, 128, 6),
        ]
        .map(|(name, shares, lendable, queues, hand)| {
            let queuing = json!({ "queues": queues, "handSize": hand, "queueLengthLimit": 50 });
            object(
                name,
                &json!({
                    "type": "Limited",
                    "limited": {
                        "nominalConcurrencyShares": shares, "lendablePercent": lendable,
                        "limitResponse": { "type": "Queue", "queuing": queuing },
                    },
                }),
            )
        }),
    );
    levels
}

/// The flow schemas, those that cannot be missing first.
pub fn flow_schemas() -> Vec<Value> {
    let elect = ["get", "create", "update"];
    vec![
        schema("exempt", "exempt", 1, "", &everything(&[group("system:masters")])),
        schema("catch-all", "catch-all", 10000, "ByUser", &everything(&[group(UNAUTHENTICATED), group(AUTHENTICATED)])),
        schema("system-nodes", "system", 500, "ByUser", &everything(&[group(NODES)])),
        schema(
            "system-node-high",
            "node-high",
            400,
            "ByUser",
            &json!({
                "subjects": [group(NODES)],
                "resourceRules": [
                    resources(&["*"], "", &["nodes", "nodes/status"], true),
                    resources(&["*"], "coordination.k8s.io", &["leases"], false),
                ],
            }),
        ),
        schema(
            "probes",
            "exempt",
            2,
            "",
            &json!({
                "subjects": [group(UNAUTHENTICATED), group(AUTHENTICATED)],
                "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"] }],
            }),
        ),
        schema(
            "system-leader-election",
            "leader-election",
            100,
            "ByUser",
            &json!({
                "subjects": [user(CONTROLLER_MANAGER), user(SCHEDULER), account("*")],
                "resourceRules": [resources(&elect, "coordination.k8s.io", &["leases"], false)],
            }),
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            "ByUser",
            &json!({
                "subjects": [account("*")],
                "resourceRules": [
                    resources(&elect, "", &["endpoints", "configmaps"], false),
                    resources(&elect, "coordination.k8s.io", &["leases"], false),
                ],
            }),
        ),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            "ByUser",
            &json!({
                "subjects": [
                    user(CONTROLLER_MANAGER), account("endpoint-controller"), account("endpointslicemirroring-controller"),
                ],
                "resourceRules": [resources(&elect, "", &["endpoints"], false)],
            }),
        ),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            "ByNamespace",
            &everything(&[user(CONTROLLER_MANAGER)]),
        ),
        schema("kube-scheduler", "workload-high", 800, "ByNamespace", &everything(&[user(SCHEDULER)])),
        schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", &everything(&[account("*")])),
        schema("service-accounts", "workload-low", 9000, "ByUser", &everything(&[group("system:serviceaccounts")])),
        schema(
            "global-default",
            "global-default",
            9900,
            "ByUser",
            &everything(&[group(UNAUTHENTICATED), group(AUTHENTICATED)]),
        ),
    ]
}

fn object(name: &str, spec: &Value) -> Value {
    json!({ "metadata": { "name": name, "annotations": { (KEPT): "true" } }, "spec": spec })
}

fn schema(name: &str, level: &str, precedence: i64, method: &str, rule: &Value) -> Value {
    let mut spec = json!({
        "priorityLevelConfiguration": { "name": level }, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !method.is_empty() {
        spec["distinguisherMethod"] = json!({ "type": method });
    }
    object(name, &spec)
}

fn everything(subjects: &[Value]) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [{
            "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"],
        }],
        "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }],
    })
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster: bool) -> Value {
    let mut rule = json!({ "verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"] });
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

fn group(name: &str) -> Value {
    json!({ "kind": "Group", "group": { "name": name } })
}

fn user(name: &str) -> Value {
    json!({ "kind": "User", "user": { "name": name } })
}

/// An account of the system's own namespace.
fn account(name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "serviceAccount": { "name": name, "namespace": "kube-system" } })
}
