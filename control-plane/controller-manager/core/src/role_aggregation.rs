//! Roles that are the sum of others: those whose labels they select.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// What is kept of a role of the cluster.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Role {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its rules.
    pub rules: Vec<PolicyRule>,
    /// Which roles it gathers; `None` for roles that stand for themselves.
    pub gathers: Option<Vec<LabelSelector>>,
}

impl Role {
    /// What matters of a role.
    #[must_use]
    pub fn of(role: &ClusterRole) -> Self {
        let gathers = role.aggregation_rule.as_ref();
        Self {
            labels: role.metadata.labels.clone().unwrap_or_default(),
            rules: role.rules.clone().unwrap_or_default(),
            gathers: gathers.map(|rule| rule.cluster_role_selectors.clone().unwrap_or_default()),
        }
    }
}

/// The rules a role must have: those of the roles it selects, selector by selector and in the order of their names, each once.
/// `None` if it has them, or gathers nothing. `all` are all roles by name, itself included.
#[must_use]
pub fn gathered(name: &str, role: &Role, all: &[(&str, &Role)]) -> Option<Vec<PolicyRule>> {
    let selectors = role.gathers.as_ref()?;
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let chosen = all.iter().copied().filter(|(other, role)| *other != name && selects(selector, &role.labels));
        let ordered: BTreeMap<_, _> = chosen.collect();
        for rule in ordered.values().flat_map(|role| &role.rules) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    (rules != role.rules).then_some(rules)
}

/// Whether a selector selects labels. One that says something unknown selects nothing.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let exact = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    exact
        && selector.match_expressions.iter().flatten().all(|one| {
            let value = labels.get(&one.key);
            let listed = || value.is_some_and(|value| one.values.iter().flatten().any(|other| other == value));
            match one.operator.as_str() {
                "In" => listed(),
                "NotIn" => !listed(),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verb: &str) -> PolicyRule {
        PolicyRule { verbs: vec![verb.to_owned()], ..PolicyRule::default() }
    }

    fn labels(key: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), "true".to_owned())])
    }

    fn gathering(keys: &[&str], rules: Vec<PolicyRule>) -> Role {
        let selector = |key: &&str| LabelSelector { match_labels: Some(labels(key)), ..LabelSelector::default() };
        Role { gathers: Some(keys.iter().map(selector).collect()), rules, labels: labels("own") }
    }

    #[test]
    fn a_role_is_the_sum_of_those_it_selects() {
        let part = |key: &str, verbs: &[&str]| Role {
            labels: labels(key),
            rules: verbs.iter().map(|verb| rule(verb)).collect(),
            gathers: None,
        };
        let sum = gathering(&["b", "a"], Vec::new());
        let all = [
            ("z", part("a", &["get", "list"])),
            ("y", part("a", &["watch", "get"])),
            ("x", part("b", &["delete"])),
            ("w", part("other", &["*"])),
            ("sum", sum.clone()),
        ];
        let all: Vec<(&str, &Role)> = all.iter().map(|(name, role)| (*name, role)).collect();
        let rules = gathered("sum", &sum, &all).expect("rules");
        let verbs: Vec<_> = rules.iter().map(|rule| rule.verbs[0].as_str()).collect();
        assert_eq!(verbs, ["delete", "watch", "get", "list"]);
        assert_eq!(gathered("sum", &gathering(&["b", "a"], rules), &all), None);
        assert_eq!(gathered("w", &part("other", &[]), &all), None);
    }

    #[test]
    fn a_role_does_not_gather_itself_and_may_become_empty() {
        let own = gathering(&["own"], vec![rule("get")]);
        assert_eq!(gathered("own", &own, &[("own", &own)]), Some(Vec::new()));
    }
}
