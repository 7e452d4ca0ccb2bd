//! Reads the table of roles and bindings.

use apiserver_core::Object;
use serde_json::{Map, Value, json};

use crate::rule::Rule;

const TABLE: &str = include_str!("policy.txt");
const AGGREGATE: &str = "rbac.authorization.k8s.io/aggregate-to-";
const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];
/// The role whose rules are what every node may do.
const NODE: &str = "system:node";

/// An object of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// `clusterroles`, `rolebindings`, …
    pub plural: &'static str,
    /// Empty for objects of the cluster.
    pub namespace: String,
    /// The object, without `apiVersion` and `kind`.
    pub object: Object,
}

/// The table, read.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Roles, and then who has them.
    pub objects: Vec<Wanted>,
}

impl Policy {
    /// What every node may do.
    pub fn node_rules(&self) -> Vec<Rule> {
        let role = self.objects.iter().find(|one| one.plural == "clusterroles" && one.object.name() == Some(NODE));
        role.map(|role| Rule::read_all(role.object.list(&["rules"]))).unwrap_or_default()
    }
}

/// A role while its rules are read.
struct Role {
    namespace: String,
    map: Value,
    rules: Vec<Value>,
}

/// Reads the table. A test holds every line of it to saying something.
pub fn policy() -> Policy {
    let mut policy = Policy::default();
    let mut role: Option<Role> = None;
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.starts_with(' ') {
            if let Some(role) = &mut role {
                role.rules.push(rule(&words).to_value());
            }
            continue;
        }
        finish(&mut policy, role.take());
        let name = words.get(1).copied().unwrap_or_default();
        let after = |word: &str| words.iter().position(|one| *one == word).and_then(|at| words.get(at + 1)).copied();
        let namespace = after("in").unwrap_or_default().to_owned();
        match words[0] {
            "controller" => {
                let full = format!("system:controller:{name}");
                let account = format!("account:kube-system/{name}");
                role = Some(Role { namespace: String::new(), map: metadata(&full, None), rules: Vec::new() });
                policy.objects.push(binding(&full, &full, "", &[&account]));
            }
            "role" => {
                let mut map = metadata(name, after("gathered-as"));
                if let Some(label) = after("gathers") {
                    let label = format!("{AGGREGATE}{label}");
                    let selector = json!({ "matchLabels": { label: "true" } });
                    map["aggregationRule"] = json!({ "clusterRoleSelectors": [selector] });
                }
                role = Some(Role { namespace, map, rules: Vec::new() });
            }
            _ => {
                let subjects = words.iter().position(|one| *one == "to").map_or(&[][..], |at| &words[at + 1..]);
                policy.objects.push(binding(after("as").unwrap_or(name), name, &namespace, subjects));
            }
        }
    }
    finish(&mut policy, role);
    policy.objects.sort_by_key(|one| one.plural.ends_with("bindings"));
    policy
}

fn finish(policy: &mut Policy, role: Option<Role>) {
    let Some(Role { namespace, mut map, rules }) = role else { return };
    if map.get("aggregationRule").is_none() {
        map["rules"] = rules.into();
    }
    let plural = if namespace.is_empty() { "clusterroles" } else { "roles" };
    push(policy, plural, namespace, map);
}

fn push(policy: &mut Policy, plural: &'static str, namespace: String, map: Value) {
    policy.objects.extend(Object::from_value(map).map(|object| Wanted { plural, namespace, object }));
}

fn metadata(name: &str, gathered_as: Option<&str>) -> Value {
    let mut labels = Map::new();
    labels.insert("kubernetes.io/bootstrapping".into(), "rbac-defaults".into());
    if let Some(label) = gathered_as {
        labels.insert(format!("{AGGREGATE}{label}"), "true".into());
    }
    json!({
        "metadata": {
            "name": name, "labels": labels,
            "annotations": { super::reconcile::AUTOUPDATE: "true" },
        },
    })
}

fn rule(words: &[&str]) -> Rule {
    let list = |text: &str| -> Vec<String> {
        let mut list: Vec<String> =
            text.split(',').map(|one| if one == "core" { String::new() } else { one.to_owned() }).collect();
        list.sort();
        list
    };
    let verbs = |text: &str| {
        let expand = |one: &str| match one {
            "read" => READ.map(str::to_owned).to_vec(),
            "write" => WRITE.map(str::to_owned).to_vec(),
            other => vec![other.to_owned()],
        };
        let mut verbs: Vec<String> = text.split(',').flat_map(expand).collect();
        verbs.sort();
        verbs
    };
    match words {
        ["events"] => rule(&["create,patch,update", "core,events.k8s.io", "events"]),
        [said, "paths", paths] => Rule { verbs: verbs(said), paths: list(paths), ..Rule::default() },
        [said, groups, resources, rest @ ..] => Rule {
            verbs: verbs(said),
            groups: list(groups),
            resources: list(resources),
            names: rest.first().map(|names| list(names)).unwrap_or_default(),
            ..Rule::default()
        },
        _ => Rule::default(),
    }
}

fn binding(name: &str, role: &str, namespace: &str, subjects: &[&str]) -> Wanted {
    let (plural, kind) =
        if namespace.is_empty() { ("clusterrolebindings", "ClusterRole") } else { ("rolebindings", "Role") };
    let mut map = metadata(name, None);
    map["roleRef"] = json!({ "apiGroup": crate::GROUP, "kind": kind, "name": role });
    let subjects: Vec<Value> = subjects.iter().filter_map(|one| subject(one)).collect();
    if !subjects.is_empty() {
        map["subjects"] = subjects.into();
    }
    let object = Object::from_value(map).unwrap_or_else(|| Object::new("", ""));
    Wanted { plural, namespace: namespace.to_owned(), object }
}

fn subject(text: &str) -> Option<Value> {
    let (kind, name) = text.split_once(':')?;
    match kind {
        "user" => Some(json!({ "apiGroup": crate::GROUP, "kind": "User", "name": name })),
        "group" => Some(json!({ "apiGroup": crate::GROUP, "kind": "Group", "name": name })),
        _ => {
            let (namespace, name) = name.split_once('/')?;
            Some(json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace }))
        }
    }
}
