//! Questions: may somebody do something, and what may I do.

use apiserver_core::Object;
use apiserver_core::user::User;
use serde_json::{Map, Value, json};

use crate::attributes::{Attributes, Objects, Target};
use crate::rule::Rule;
use crate::selectors::Selectors;
use crate::verdict::{Decision, Verdict};

/// A `SubjectAccessReview` or one of its relatives, read.
#[derive(Debug, Clone)]
pub struct Question {
    user: User,
    spec: Value,
    selectors: Selectors,
}

impl Question {
    /// Reads a question about the user it names, or about `own`.
    pub fn read(question: &Object, own: Option<&User>) -> Self {
        let spec = question.at(&["spec"]).cloned().unwrap_or_default();
        let user = own.cloned().unwrap_or_else(|| subject(&spec));
        Self { user, selectors: Selectors::read(&spec["resourceAttributes"]), spec }
    }

    /// What is asked.
    pub fn attributes(&self) -> Attributes<'_> {
        let resource = &self.spec["resourceAttributes"];
        let (from, is_path) =
            if resource.is_object() { (resource, false) } else { (&self.spec["nonResourceAttributes"], true) };
        let text = |name: &str| from[name].as_str().unwrap_or_default();
        let target = if is_path {
            Target::Path(text("path"))
        } else {
            Target::Resource(Objects {
                group: text("group"),
                version: Some(text("version")).filter(|version| !version.is_empty()).unwrap_or("*"),
                resource: text("resource"),
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
                selectors: Some(&self.selectors).filter(|selectors| !selectors.is_empty()),
            })
        };
        Attributes { user: &self.user, verb: text("verb"), target }
    }

    /// The `status` that tells a verdict.
    pub fn status(&self, verdict: &Verdict) -> Value {
        let mut status = Map::new();
        status.insert("allowed".into(), verdict.is_allowed().into());
        if verdict.decision == Decision::Deny {
            status.insert("denied".into(), true.into());
        }
        if !verdict.reason.is_empty() {
            status.insert("reason".into(), verdict.reason.clone().into());
        }
        let mut errors: Vec<String> = verdict.error.iter().cloned().collect();
        errors.extend(self.selectors.complaints());
        if !errors.is_empty() {
            status.insert("evaluationError".into(), errors.join("; ").into());
        }
        Value::Object(status)
    }
}

fn subject(spec: &Value) -> User {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: texts(&spec["groups"]),
        uid: spec["uid"].as_str().unwrap_or_default().to_owned(),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    }
}

/// The question a webhook is asked.
pub fn ask(attributes: &Attributes<'_>) -> Value {
    let User { name, groups, uid, extra } = attributes.user;
    let mut spec = Map::new();
    let mut about = json!({});
    let mut set = |name: &str, text: &str| {
        if !text.is_empty() {
            about[name] = text.into();
        }
    };
    set("verb", attributes.verb);
    let member = match attributes.target {
        Target::Resource(objects) => {
            for (name, text) in [
                ("group", objects.group),
                ("version", objects.version),
                ("resource", objects.resource),
                ("subresource", objects.subresource),
                ("namespace", objects.namespace),
                ("name", objects.name),
            ] {
                set(name, text);
            }
            if let Some(selectors) = objects.selectors {
                selectors.write(&mut about);
            }
            "resourceAttributes"
        }
        Target::Path(path) => {
            set("path", path);
            "nonResourceAttributes"
        }
    };
    spec.insert(member.to_owned(), about);
    spec.insert("user".to_owned(), name.clone().into());
    if !groups.is_empty() {
        spec.insert("groups".to_owned(), groups.clone().into());
    }
    if !uid.is_empty() {
        spec.insert("uid".to_owned(), uid.clone().into());
    }
    if !extra.is_empty() {
        spec.insert("extra".to_owned(), json!(extra));
    }
    Value::Object(spec)
}

/// What a user may do, as far as it can be listed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rights {
    /// The rules.
    pub rules: Vec<Rule>,
    /// Whether there may be more.
    pub incomplete: bool,
    /// What could not be found.
    pub errors: Vec<String>,
}

impl Rights {
    /// The `status` of a `SelfSubjectRulesReview`.
    pub fn status(&self) -> Value {
        let list = |of_paths: bool| -> Value {
            let chosen =
                self.rules.iter().filter(|rule| !if of_paths { &rule.paths } else { &rule.resources }.is_empty());
            chosen.map(|rule| part(rule, of_paths)).collect()
        };
        let mut status = json!({
            "resourceRules": list(false), "nonResourceRules": list(true), "incomplete": self.incomplete,
        });
        if !self.errors.is_empty() {
            status["evaluationError"] = crate::verdict::joined(&self.errors).into();
        }
        status
    }
}

fn part(rule: &Rule, of_paths: bool) -> Value {
    let whole = rule.clone();
    let part = if of_paths {
        Rule { groups: Vec::new(), resources: Vec::new(), names: Vec::new(), ..whole }
    } else {
        Rule { paths: Vec::new(), ..whole }
    };
    part.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(spec: &Value) -> Question {
        Question::read(&Object::from_value(json!({ "spec": spec })).unwrap(), None)
    }

    #[test]
    fn what_is_asked_is_read_and_asked_on() {
        let spec = json!({
            "user": "bob", "groups": ["dev"], "uid": "7", "extra": { "scope": ["a", "b"] },
            "resourceAttributes": {
                "verb": "list", "group": "apps", "version": "*", "resource": "deployments", "subresource": "scale",
                "namespace": "n", "name": "web",
                "fieldSelector": { "requirements": [{ "key": "metadata.name", "operator": "In", "values": ["web"] }] },
            },
        });
        assert_eq!(ask(&question(&spec).attributes()), spec);
        let spec = json!({ "user": "bob", "nonResourceAttributes": { "verb": "get", "path": "/x" } });
        assert_eq!(ask(&question(&spec).attributes()), spec);
    }

    #[test]
    fn one_asks_about_oneself_as_what_one_is() {
        let me = User { name: "ann".into(), ..User::default() };
        let object = json!({ "spec": { "user": "root", "nonResourceAttributes": { "path": "/x", "verb": "get" } } });
        let question = Question::read(&Object::from_value(object).unwrap(), Some(&me));
        assert_eq!(question.attributes().user, &me);
    }

    #[test]
    fn verdicts_are_told_with_reason_and_error() {
        let asked = question(&json!({ "resourceAttributes": { "fieldSelector": { "rawSelector": "a=b=c" } } }));
        let verdict = Verdict { decision: Decision::Deny, reason: "no".into(), error: Some("late".into()) };
        assert_eq!(
            asked.status(&verdict),
            json!({
                "allowed": false, "denied": true, "reason": "no",
                "evaluationError": "late; spec.resourceAttributes.fieldSelector ignored due to parse error",
            })
        );
    }

    #[test]
    fn rights_are_listed_by_what_they_are_on() {
        let rule = |value| Rule::read(&value);
        let rights = Rights {
            rules: vec![
                rule(json!({ "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"] })),
                rule(json!({ "nonResourceURLs": ["/x"], "verbs": ["get"] })),
            ],
            incomplete: true,
            errors: vec!["lost".into()],
        };
        assert_eq!(
            rights.status(),
            json!({
                "resourceRules": [
                    { "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"] },
                ],
                "nonResourceRules": [{ "nonResourceURLs": ["/x"], "verbs": ["get"] }],
                "incomplete": true, "evaluationError": "lost",
            })
        );
    }
}
