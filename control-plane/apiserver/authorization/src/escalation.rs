//! Nobody hands on rights that they do not have: whoever writes a role must have all that is in it, and whoever writes a binding
//! all that is in its role, unless they are allowed to `escalate` the one or to `bind` the other.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use apiserver_core::Object;
use apiserver_core::user::User;

use crate::rule::Rule;
use crate::verdict::quoted;

/// What a write of one of the four kinds asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `roles`, `clusterroles`
    Role,
    /// `rolebindings`, `clusterrolebindings`
    Binding,
}

/// Which of them a resource is.
pub fn kind(group: &str, plural: &str) -> Option<Kind> {
    match plural {
        _ if group != crate::GROUP => None,
        "roles" | "clusterroles" => Some(Kind::Role),
        "rolebindings" | "clusterrolebindings" => Some(Kind::Binding),
        _ => None,
    }
}

/// Whether a change is of no interest: it only moves an object towards its end, or changes who owns it.
pub fn is_upkeep(old: &Object, new: &Object) -> bool {
    let stripped = |object: &Object| {
        let mut object = object.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation"] {
            object.remove(&["metadata", field]);
        }
        object
    };
    stripped(old) == stripped(new)
}

/// The rule that stands for everything: what it takes to say that a role gathers the rules of others.
pub fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { groups: all(), resources: all(), verbs: all(), ..Rule::default() },
        Rule { paths: all(), verbs: all(), ..Rule::default() },
    ]
}

/// Why one may not say that a role gathers the rules of others.
pub const AGGREGATION: &str = "must have cluster-admin privileges to use an aggregationRule";

/// What of `wanted` is not in `own`, in small pieces.
pub fn missing(own: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let pieces = wanted.iter().flat_map(Rule::pieces);
    pieces.filter(|piece| !own.iter().any(|rule| rule.gives(piece))).collect()
}

/// Why a user who has `own` may not hand on `wanted`; nothing if all of it is there. `errors` are what of the user's own rights
/// could not be found.
pub fn refusal(user: &User, own: &[Rule], errors: &[String], wanted: &[Rule]) -> Option<String> {
    let missing = missing(own, wanted);
    if missing.is_empty() {
        return None;
    }
    let described: BTreeSet<String> = compact(missing).iter().map(describe).collect();
    let mut text = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(&user.groups),
        described.into_iter().collect::<Vec<_>>().join("\n")
    );
    if !errors.is_empty() {
        let _ = write!(text, "; resolution errors: [{}]", crate::verdict::joined(errors));
    }
    Some(text)
}

/// Joins pieces that differ only in their verb.
fn compact(pieces: Vec<Rule>) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for piece in pieces {
        let same = |rule: &&mut Rule| {
            rule.paths.is_empty()
                && (&rule.groups, &rule.resources, &rule.names) == (&piece.groups, &piece.resources, &piece.names)
        };
        match rules.iter_mut().find(same).filter(|_| piece.paths.is_empty()) {
            Some(rule) => {
                for verb in piece.verbs {
                    if !rule.verbs.contains(&verb) {
                        rule.verbs.push(verb);
                    }
                }
            }
            None => rules.push(piece),
        }
    }
    rules
}

/// `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`
fn describe(rule: &Rule) -> String {
    let parts = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.paths),
        ("ResourceNames", &rule.names),
        ("Verbs", &rule.verbs),
    ];
    let parts =
        parts.iter().filter(|(_, list)| !list.is_empty()).map(|(name, list)| format!("{name}:{}", quoted(list)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(groups: &[&str], resources: &[&str], names: &[&str], verbs: &[&str]) -> Rule {
        Rule::read(&json!({ "apiGroups": groups, "resources": resources, "resourceNames": names, "verbs": verbs }))
    }

    #[test]
    fn what_one_has_covers_what_is_in_it() {
        let wanted = rule(&["", "apps"], &["pods", "pods/log"], &[], &["get", "list"]);
        for (own, covered) in [
            (rule(&["*"], &["*"], &[], &["*"]), true),
            (rule(&["", "apps"], &["pods", "*/log"], &[], &["get", "list", "watch"]), true),
            (rule(&[""], &["pods", "pods/log"], &[], &["get", "list"]), false),
            (rule(&["", "apps"], &["pods"], &[], &["*"]), false),
            (rule(&["*"], &["*"], &["one"], &["*"]), false),
        ] {
            assert_eq!(
                missing(std::slice::from_ref(&own), std::slice::from_ref(&wanted)).is_empty(),
                covered,
                "{own:?}"
            );
        }
        let named = rule(&[""], &["pods"], &["one"], &["get"]);
        assert!(missing(&[rule(&[""], &["pods"], &["one", "two"], &["get"])], std::slice::from_ref(&named)).is_empty());
        assert!(!missing(&[rule(&[""], &["pods"], &["two"], &["get"])], &[named]).is_empty());
        let path = |path: &str| Rule::read(&json!({ "nonResourceURLs": [path], "verbs": ["get"] }));
        assert!(missing(&[path("/api/*")], &[path("/api/v1")]).is_empty());
        assert!(!missing(&[path("/api")], &[path("/api/*")]).is_empty());
        assert!(!missing(&everything()[..1], &everything()).is_empty());
    }

    #[test]
    fn the_refusal_names_what_is_missing() {
        let user = User { name: "ann".into(), groups: vec!["dev".into(), "ops".into()], ..User::default() };
        let wanted = [
            rule(&[""], &["secrets"], &[], &["get", "list"]),
            rule(&["apps"], &["deployments"], &["web"], &["update"]),
            Rule::read(&json!({ "nonResourceURLs": ["/metrics"], "verbs": ["get"] })),
        ];
        let own = [rule(&[""], &["secrets"], &[], &["list"])];
        assert_eq!(
            refusal(&user, &own, &["lost".into()], &wanted).as_deref(),
            Some(
                "user \"ann\" (groups=[\"dev\" \"ops\"]) is attempting to grant RBAC permissions not currently held:\n\
                 {APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}\n\
                 {APIGroups:[\"apps\"], Resources:[\"deployments\"], ResourceNames:[\"web\"], Verbs:[\"update\"]}\n\
                 {NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}; resolution errors: [lost]"
            )
        );
        assert_eq!(refusal(&user, &everything(), &[], &wanted), None);
    }

    #[test]
    fn changes_of_owners_and_finalizers_are_upkeep() {
        let object = |value| Object::from_value(value).unwrap();
        let old = object(json!({ "metadata": { "name": "a", "resourceVersion": "7" }, "rules": [] }));
        let ended = object(json!({ "metadata": { "name": "a", "finalizers": ["x"] }, "rules": [] }));
        let changed = object(json!({ "metadata": { "name": "a" }, "rules": [{}] }));
        assert!(is_upkeep(&old, &ended) && !is_upkeep(&old, &changed));
    }
}
