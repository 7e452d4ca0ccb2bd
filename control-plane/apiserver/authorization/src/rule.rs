//! One rule of a role, and what it allows.

use serde_json::{Map, Value};

use crate::attributes::{Attributes, Objects, Target};

const ALL: &str = "*";

/// A rule as it is written in a role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// API groups.
    pub groups: Vec<String>,
    /// Resources and `resource/subresource`.
    pub resources: Vec<String>,
    /// Paths; a `*` at the end stands for anything.
    pub paths: Vec<String>,
    /// Names of objects; none for all.
    pub names: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
}

fn has(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == text)
}

/// Whether a list has a text, or all.
fn covers(list: &[String], text: &str) -> bool {
    list.iter().any(|one| one == ALL || one == text)
}

/// Whether a path of a rule stands for another one.
fn path_covers(rule: &str, path: &str) -> bool {
    rule == path || rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*'))
}

impl Rule {
    /// Reads a rule; what is missing is empty.
    pub fn read(value: &Value) -> Self {
        let texts = |name: &str| {
            let list = value.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            groups: texts("apiGroups"),
            resources: texts("resources"),
            paths: texts("nonResourceURLs"),
            names: texts("resourceNames"),
            verbs: texts("verbs"),
        }
    }

    /// Reads the rules of a role.
    pub fn read_all(rules: &[Value]) -> Vec<Self> {
        rules.iter().map(Self::read).collect()
    }

    /// The rule as it is written in a role.
    pub fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (name, list) in [
            ("apiGroups", &self.groups),
            ("nonResourceURLs", &self.paths),
            ("resourceNames", &self.names),
            ("resources", &self.resources),
        ] {
            if !list.is_empty() {
                map.insert(name.to_owned(), list.clone().into());
            }
        }
        map.insert("verbs".to_owned(), self.verbs.clone().into());
        Value::Object(map)
    }

    /// Whether the rule allows a request.
    pub fn allows(&self, attributes: &Attributes<'_>) -> bool {
        covers(&self.verbs, attributes.verb)
            && match &attributes.target {
                Target::Resource(objects) => self.allows_objects(objects),
                Target::Path(path) => self.paths.iter().any(|rule| path_covers(rule, path)),
            }
    }

    fn allows_objects(&self, objects: &Objects<'_>) -> bool {
        covers(&self.groups, objects.group)
            && self.resources.iter().any(|resource| resource_allows(resource, objects))
            && (self.names.is_empty() || has(&self.names, objects.name))
    }

    /// The same in rules of one group, resource, name and verb each, or of one path and verb.
    pub fn pieces(&self) -> Vec<Self> {
        let one = |text: &str| vec![text.to_owned()];
        let mut pieces = Vec::new();
        for group in &self.groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    let piece =
                        Self { groups: one(group), resources: one(resource), verbs: one(verb), ..Self::default() };
                    if self.names.is_empty() {
                        pieces.push(piece);
                    } else {
                        pieces.extend(self.names.iter().map(|name| Self { names: one(name), ..piece.clone() }));
                    }
                }
            }
        }
        for path in &self.paths {
            pieces.extend(self.verbs.iter().map(|verb| Self { paths: one(path), verbs: one(verb), ..Self::default() }));
        }
        pieces
    }

    /// Whether a rule gives all that a [piece](Self::pieces) gives.
    pub fn gives(&self, piece: &Self) -> bool {
        let all = |list: &[String], wanted: &[String]| wanted.iter().all(|one| covers(list, one));
        all(&self.verbs, &piece.verbs)
            && all(&self.groups, &piece.groups)
            && piece.resources.iter().all(|resource| self.gives_resource(resource))
            && piece.paths.iter().all(|path| self.paths.iter().any(|rule| path_covers(rule, path)))
            && (self.names.is_empty()
                || !piece.names.is_empty() && piece.names.iter().all(|name| has(&self.names, name)))
    }

    fn gives_resource(&self, resource: &str) -> bool {
        covers(&self.resources, resource)
            || resource.split_once('/').is_some_and(|(_, sub)| {
                self.resources.iter().any(|one| one.strip_prefix("*/").is_some_and(|one| one == sub))
            })
    }
}

/// Whether `pods`, `pods/log`, `*/scale` or `*` in a rule stands for what is asked for.
fn resource_allows(rule: &str, objects: &Objects<'_>) -> bool {
    if rule == ALL {
        return true;
    }
    if objects.subresource.is_empty() {
        return rule == objects.resource;
    }
    // A subresource may have slashes of its own, as keys of impersonated extras do.
    match rule.split_once('/') {
        Some(("*", sub)) if sub == objects.subresource => true,
        Some(_) => rule
            .strip_prefix(objects.resource)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|sub| sub == objects.subresource),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use apiserver_core::user::User;
    use serde_json::json;

    use super::*;

    fn allows(rule: &Value, verb: &str, target: Target<'_>) -> bool {
        Rule::read(rule).allows(&Attributes { user: &User::default(), verb, target })
    }

    fn objects<'a>(group: &'a str, resource: &'a str, subresource: &'a str, name: &'a str) -> Target<'a> {
        Target::Resource(Objects { group, resource, subresource, name, ..Objects::default() })
    }

    #[test]
    fn resources_are_matched_with_their_subresources() {
        let rule = |resource: &str| json!({ "apiGroups": [""], "resources": [resource], "verbs": ["get"] });
        for (resource, subresource, allowed) in [
            ("pods", "", true),
            ("pods", "log", false),
            ("pods/log", "log", true),
            ("pods/log", "", false),
            ("*/log", "log", true),
            ("*/log", "", false),
            ("pods/*", "log", false),
            ("*", "log", true),
            ("*", "", true),
            ("Pods", "", false),
            ("pods/", "", false),
        ] {
            assert_eq!(
                allows(&rule(resource), "get", objects("", "pods", subresource, "")),
                allowed,
                "{resource} {subresource}"
            );
        }
    }

    #[test]
    fn groups_verbs_and_names_must_fit() {
        let rule =
            json!({ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"], "resourceNames": ["web"] });
        assert!(allows(&rule, "get", objects("apps", "deployments", "", "web")));
        assert!(!allows(&rule, "get", objects("apps", "deployments", "", "")));
        assert!(!allows(&rule, "get", objects("apps", "deployments", "", "db")));
        assert!(!allows(&rule, "GET", objects("apps", "deployments", "", "web")));
        assert!(!allows(&rule, "get", objects("", "deployments", "", "web")));
        assert!(!allows(&json!({}), "get", objects("", "", "", "")));
    }

    #[test]
    fn paths_are_exact_or_end_in_a_star() {
        let rule = json!({ "nonResourceURLs": ["/healthz", "/api/*"], "verbs": ["get"] });
        for (path, allowed) in [
            ("/healthz", true),
            ("/healthz/", false),
            ("/HEALTHZ", false),
            ("//healthz", false),
            ("/api/v1", true),
            ("/api", false),
            ("/apis", false),
            ("", false),
        ] {
            assert_eq!(allows(&rule, "get", Target::Path(path)), allowed, "{path}");
        }
        assert!(allows(&json!({ "nonResourceURLs": ["*"], "verbs": ["*"] }), "put", Target::Path("/x")));
        let everything = json!({ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] });
        assert!(!allows(&everything, "get", Target::Path("/healthz")));
    }
}
