//! Options of delete and deletecollection.

use serde_json::Value;

use super::write::{check_dry_run, dry_run};
use super::{flag, integer, last};
use crate::decode::read_untyped;
use crate::field::{Errors, Path};
use crate::resource::Resource;
use crate::status::Status;

/// What happens to dependents of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// They stay.
    Orphan,
    /// They go afterwards.
    Background,
    /// They go first.
    Foreground,
}

/// Options of delete and deletecollection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteOptions {
    /// `None`: the kind's own.
    pub grace_period_seconds: Option<i64>,
    /// Only if the object has this uid.
    pub precondition_uid: Option<String>,
    /// Only if the object has this version.
    pub precondition_resource_version: Option<String>,
    /// The old form of propagation.
    pub orphan_dependents: Option<bool>,
    /// What happens to dependents.
    pub propagation: Option<Propagation>,
    /// Everything but the write.
    pub dry_run: bool,
    /// Only what cannot be read, without any of the steps of a deletion.
    pub unreadable_only: bool,
}

/// The name of [`DeleteOptions::unreadable_only`].
const UNREADABLE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";

impl DeleteOptions {
    /// Reads the body (empty for none; a `DeleteOptions` in JSON) or, without one, decoded query parameters.
    ///
    /// # Errors
    ///
    /// 400 and 422 as upstream.
    pub fn parse(body: &[u8], query: &[(String, String)]) -> Result<Self, Status> {
        let mut errors = Errors::new();
        let (mut options, policy) =
            if body.is_empty() { Self::from_query(query, &mut errors)? } else { Self::from_body(body, &mut errors)? };
        if options.unreadable_only {
            let others = [
                (options.dry_run, ".dryRun"),
                (policy.is_some(), ".propagationPolicy"),
                (options.orphan_dependents.is_some(), ".orphanDependents"),
                (options.grace_period_seconds.is_some(), ".gracePeriodSeconds"),
                (
                    options.precondition_uid.is_some() || options.precondition_resource_version.is_some(),
                    ".preconditions",
                ),
            ];
            for (_, other) in others.into_iter().filter(|(given, _)| *given) {
                errors.invalid(&Path::new(UNREADABLE), true, &format!("cannot be set together with {other}"));
            }
        }
        if let Some(policy) = policy.filter(|policy| !policy.is_empty()) {
            let path = Path::new("propagationPolicy");
            if options.orphan_dependents.is_some() {
                errors.invalid(&path, policy.as_str(), "orphanDependents and deletionPropagation cannot be both set");
            }
            options.propagation = match policy.as_str() {
                "Orphan" => Some(Propagation::Orphan),
                "Background" => Some(Propagation::Background),
                "Foreground" => Some(Propagation::Foreground),
                other => {
                    errors.not_supported(&path, other, &["Foreground", "Background", "Orphan", "nil"]);
                    None
                }
            };
        }
        if !errors.is_empty() {
            return Err(Status::invalid("meta.k8s.io", "DeleteOptions", "", &errors));
        }
        // A negative period means the shortest.
        options.grace_period_seconds =
            options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
        Ok(options)
    }

    /// Refuses to delete, without any of the steps of a deletion, what can be read.
    #[must_use]
    pub fn refuse_readable(resource: &Resource, name: &str) -> Status {
        let mut errors = Errors::new();
        let why = "is exclusively used to delete corrupt object(s), try again by removing this option";
        errors.invalid(&Path::new(UNREADABLE), true, why);
        Status::invalid(&resource.group, &resource.plural, name, &errors)
    }

    fn from_query(query: &[(String, String)], errors: &mut Errors) -> Result<(Self, Option<String>), Status> {
        let options = Self {
            grace_period_seconds: integer(query, "gracePeriodSeconds")?,
            orphan_dependents: flag(query, "orphanDependents"),
            dry_run: dry_run(query, errors),
            unreadable_only: flag(query, UNREADABLE).unwrap_or(false),
            ..Self::default()
        };
        Ok((options, last(query, "propagationPolicy").map(str::to_owned)))
    }

    fn from_body(body: &[u8], errors: &mut Errors) -> Result<(Self, Option<String>), Status> {
        let wrong = |why: &str| {
            Status::bad_request(format!("DeleteOptions in version \"v1\" cannot be handled as a DeleteOptions: {why}"))
        };
        let (value, _) = read_untyped(body).map_err(|error| wrong(&error))?;
        let Value::Object(map) = value else { return Err(wrong("the document is not an object")) };
        if let Some(kind) =
            map.get("kind").and_then(Value::as_str).filter(|kind| !kind.is_empty() && *kind != "DeleteOptions")
        {
            return Err(Status::bad_request(format!("decoded object cannot be converted to DeleteOptions: {kind}")));
        }
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let typed = |name: &str, fits: fn(&Value) -> bool, what: &str| match map.get(name) {
            Some(value) if !value.is_null() && !fits(value) => Err(wrong(&format!(
                "json: cannot unmarshal {} into Go struct field DeleteOptions.{name} of type {what}",
                type_of(value)
            ))),
            _ => Ok(()),
        };
        typed("gracePeriodSeconds", Value::is_i64, "int64")?;
        typed("orphanDependents", Value::is_boolean, "bool")?;
        typed(UNREADABLE, Value::is_boolean, "bool")?;
        typed("propagationPolicy", Value::is_string, "v1.DeletionPropagation")?;
        typed("preconditions", Value::is_object, "v1.Preconditions")?;
        typed("dryRun", Value::is_array, "[]string")?;
        let preconditions = map.get("preconditions");
        let dry: Vec<&str> =
            map.get("dryRun").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let options = Self {
            grace_period_seconds: map.get("gracePeriodSeconds").and_then(Value::as_i64),
            precondition_uid: text(preconditions.and_then(|one| one.get("uid"))),
            precondition_resource_version: text(preconditions.and_then(|one| one.get("resourceVersion"))),
            orphan_dependents: map.get("orphanDependents").and_then(Value::as_bool),
            propagation: None,
            dry_run: check_dry_run(&dry, errors),
            unreadable_only: map.get(UNREADABLE).and_then(Value::as_bool).unwrap_or(false),
        };
        Ok((options, text(map.get("propagationPolicy"))))
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str, pairs: &[(&str, &str)]) -> Result<DeleteOptions, (u16, String)> {
        let query: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        DeleteOptions::parse(body.as_bytes(), &query).map_err(|status| (status.code, status.message))
    }

    #[test]
    fn body_and_query_say_the_same() {
        let body = parse(
            r#"{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Background","gracePeriodSeconds":5,"dryRun":["All"],"preconditions":{"uid":"u"}}"#,
            &[("gracePeriodSeconds", "9")],
        )
        .expect("a good body");
        assert_eq!(body.grace_period_seconds, Some(5));
        assert_eq!(body.propagation, Some(Propagation::Background));
        assert_eq!(body.precondition_uid.as_deref(), Some("u"));
        assert!(body.dry_run);
        let query = parse("", &[("propagationPolicy", "Orphan"), ("gracePeriodSeconds", "-3")]).expect("a good query");
        assert_eq!((query.propagation, query.grace_period_seconds), (Some(Propagation::Orphan), Some(1)));
    }

    #[test]
    fn what_cannot_be_read_is_deleted_without_further_wishes() {
        let option = r#"{"ignoreStoreReadErrorWithClusterBreakingPotential":true"#;
        assert!(parse(&format!("{option}}}"), &[]).unwrap().unreadable_only);
        assert!(parse("", &[(UNREADABLE, "true")]).unwrap().unreadable_only);
        let refused = parse(&format!("{option},\"dryRun\":[\"All\"],\"preconditions\":{{\"uid\":\"u\"}}}}"), &[]);
        let told = |other: &str| format!("{UNREADABLE}: Invalid value: true: cannot be set together with {other}");
        let (code, message) = refused.unwrap_err();
        assert_eq!(code, 422);
        assert!(message.contains(&told(".dryRun")) && message.contains(&told(".preconditions")), "{message}");
    }

    #[test]
    fn wrong_ones_are_named() {
        assert_eq!(
            parse("", &[("propagationPolicy", "Sideways")]),
            Err((
                422,
                "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Sideways\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"".into()
            ))
        );
        assert_eq!(parse(r#"{"gracePeriodSeconds":"1"}"#, &[]).err().map(|(code, _)| code), Some(400));
        assert_eq!(parse("{", &[]).err().map(|(code, _)| code), Some(400));
    }
}
