//! What is wrong with the expressions of a policy when it is written, and what looks wrong by the types it is for.

use cel::{Environment, Type};
use serde_json::Value as Json;

use super::{Expression, Wanted, declare, list, text};
use crate::environments::{Admission, Types};

/// An expression that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Where, such as `spec.validations[0].expression`.
    pub field: String,
    /// The expression.
    pub value: String,
    /// What is wrong.
    pub detail: String,
}

/// An expression that does not fit the types it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where, such as `spec.validations[0].expression`.
    pub field_ref: String,
    /// What is wrong, for each kind.
    pub warning: String,
}

/// What is wrong with the expressions in the spec of a policy, of either kind. Empty ones are left to who validates.
pub fn invalid(spec: &Json) -> Vec<Invalid> {
    let params = spec.get("paramKind").is_some_and(|kind| !kind.is_null());
    let mut found = Vec::new();
    let mut admission = Admission { params, patches: spec.get("mutations").is_some(), ..Admission::default() };
    let conditions = admission.environment();
    let mut check = |environment: &Environment, field: String, value: &str, wanted| {
        if value.trim().is_empty() {
            return;
        }
        if let Err(detail) = Expression::compile(environment, value, wanted).program {
            found.push(Invalid { field, value: value.to_owned(), detail });
        }
    };
    for (index, condition) in list(spec, "matchConditions").iter().enumerate() {
        let field = format!("spec.matchConditions[{index}].expression");
        check(&conditions, field, text(condition, "expression"), Wanted::Bool);
    }
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let before = admission.environment();
        let value = text(variable, "expression");
        check(&before, format!("spec.variables[{index}].expression"), value, Wanted::Anything);
        if let Ok(program) = before.compile(value) {
            admission.variables.push((text(variable, "name").to_owned(), program.output().clone()));
        }
    }
    let environment = admission.environment();
    for (index, validation) in list(spec, "validations").iter().enumerate() {
        let field = |name| format!("spec.validations[{index}].{name}");
        check(&environment, field("expression"), text(validation, "expression"), Wanted::Bool);
        check(&environment, field("messageExpression"), text(validation, "messageExpression"), Wanted::String);
    }
    for (index, annotation) in list(spec, "auditAnnotations").iter().enumerate() {
        let field = format!("spec.auditAnnotations[{index}].valueExpression");
        check(&environment, field, text(annotation, "valueExpression"), Wanted::StringOrNull);
    }
    for (index, mutation) in list(spec, "mutations").iter().enumerate() {
        for (part, wanted) in [("applyConfiguration", Wanted::Object), ("jsonPatch", Wanted::JsonPatch)] {
            if let Some(body) = mutation.get(part) {
                let field = format!("spec.mutations[{index}].{part}.expression");
                check(&environment, field, text(body, "expression"), wanted);
            }
        }
    }
    found
}

/// Checks the validations of a policy with the type of each kind it is for, given as `group/version, Kind=name`, in order.
pub fn type_check(spec: &Json, kinds: &[(String, Type, Types)]) -> Vec<Warning> {
    let params = spec.get("paramKind").is_some_and(|kind| !kind.is_null());
    let environments: Vec<_> = kinds
        .iter()
        .map(|(name, of, types)| {
            let (object, types) = (Some(of.clone()), types.clone());
            let mut admission = Admission { params, object, types, ..Admission::default() };
            declare(spec, &mut admission);
            (name, admission.environment())
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in list(spec, "validations").iter().enumerate() {
        for name in ["expression", "messageExpression"] {
            let value = text(validation, name);
            if value.is_empty() {
                continue;
            }
            let wrong: Vec<_> = environments
                .iter()
                .filter_map(|(kind, environment)| Some(format!("{kind}: {}\n", environment.check(value).err()?)))
                .collect();
            if !wrong.is_empty() {
                let field_ref = format!("spec.validations[{index}].{name}");
                warnings.push(Warning { field_ref, warning: wrong.join("\n") });
            }
        }
    }
    warnings
}
