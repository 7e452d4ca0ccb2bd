//! Questions about users: who one is, which is answered here, and what one may do, which is not.

use serde_json::{Map, Value, json};

use super::tree::{at, has, member, text, texts};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::resource::Resource;
use crate::status::Status;
use crate::strategy::Strategy;
use crate::user::User;

/// The strategy: none, because nothing is stored.
#[derive(Debug)]
pub(super) struct Review;

impl Strategy for Review {
    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        vec![object.name().unwrap_or_default().into()]
    }
}

/// The answer to a question about who somebody is.
pub(crate) fn answer(
    resource: &Resource,
    namespace: Option<&str>,
    mut question: Object,
    user: &User,
) -> Result<Object, Status> {
    check(resource, namespace, &question)?;
    let status = json!({ "userInfo": shown(user) });
    question.set(&["status"], status);
    Ok(question)
}

/// Refuses a question that makes no sense.
pub(crate) fn check(resource: &Resource, namespace: Option<&str>, question: &Object) -> Result<(), Status> {
    if resource.kind == "SelfSubjectRulesReview" && question.text(&["spec", "namespace"]).is_none_or(str::is_empty) {
        return Err(Status::bad_request("no namespace on request"));
    }
    let mut errors = Errors::new();
    validate(resource, namespace, question, &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(&resource.group, &resource.kind, question.name().unwrap_or_default(), &errors))
}

fn shown(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".into(), user.name.clone().into());
    if !user.uid.is_empty() {
        info.insert("uid".into(), user.uid.clone().into());
    }
    if !user.groups.is_empty() {
        info.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        info.insert("extra".into(), json!(user.extra));
    }
    Value::Object(info)
}

fn validate(resource: &Resource, namespace: Option<&str>, question: &Object, errors: &mut Errors) {
    let (spec, path) = (at(question, &["spec"]), Path::new("spec"));
    let kind = resource.kind.as_str();
    if ["SelfSubjectReview", "SelfSubjectRulesReview"].contains(&kind) {
        return;
    }
    let (of_resource, of_path) = (has(spec, "resourceAttributes"), has(spec, "nonResourceAttributes"));
    match (of_resource, of_path) {
        (true, true) => errors.invalid(
            &path.child("nonResourceAttributes"),
            member(spec, "nonResourceAttributes").clone(),
            "cannot be specified in combination with resourceAttributes",
        ),
        (false, false) => errors.invalid(
            &path.child("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        (true, false) | (false, true) => {}
    }
    if kind != "SelfSubjectAccessReview" && text(spec, "user").is_empty() && texts(spec, "groups").next().is_none() {
        errors.invalid(&path.child("user"), "", "at least one of user or group must be specified");
    }
    if kind == "LocalSubjectAccessReview" {
        let asked = text(member(spec, "resourceAttributes"), "namespace");
        if of_resource && Some(asked) != namespace {
            let path = path.child("resourceAttributes").child("namespace");
            errors.invalid(&path, asked, "must match metadata.namespace");
        }
        if of_path {
            errors.invalid(
                &path.child("nonResourceAttributes"),
                member(spec, "nonResourceAttributes").clone(),
                "disallowed on this kind of request",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{object, row};
    use crate::user::MASTERS;

    fn user(group: &str) -> User {
        User { name: "ann".into(), groups: vec![group.into()], ..User::default() }
    }

    fn ask(group: &str, plural: &str, body: Value, user: &User) -> Result<Value, Vec<String>> {
        let row = row(group, plural);
        answer(&row, row.is_namespaced().then_some("n"), object(&row, body), user)
            .map(|answered| at(&answered, &["status"]).clone())
            .map_err(|status| {
                status
                    .details
                    .expect("details")
                    .causes
                    .iter()
                    .map(|cause| format!("{}: {}", cause.field, cause.message))
                    .collect()
            })
    }

    #[test]
    fn one_learns_who_one_is() {
        assert_eq!(
            ask("authentication.k8s.io", "selfsubjectreviews", json!({}), &user("ops")),
            Ok(json!({ "userInfo": { "username": "ann", "groups": ["ops"] } }))
        );
    }

    #[test]
    fn questions_must_make_sense() {
        let group = "authorization.k8s.io";
        assert_eq!(
            ask(group, "subjectaccessreviews", json!({ "spec": {} }), &user(MASTERS)),
            Err(vec![
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified".into(),
                "spec.user: Invalid value: \"\": at least one of user or group must be specified".into(),
            ])
        );
        let elsewhere = json!({ "spec": { "user": "bob", "resourceAttributes": { "namespace": "m" } } });
        assert_eq!(
            ask(group, "localsubjectaccessreviews", elsewhere, &user(MASTERS)),
            Err(vec!["spec.resourceAttributes.namespace: Invalid value: \"m\": must match metadata.namespace".into()])
        );
    }
}
