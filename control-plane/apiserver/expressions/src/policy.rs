//! Admission policies as decisions: compiled once, evaluated for each request.

mod check;
mod mutating;
mod scope;
mod validating;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cel::{Environment, Program, Type};
use serde_json::Value as Json;

use crate::environments::Admission;
use crate::{Authorizer, Target};
use scope::Scope;

pub use check::{Invalid, Warning, invalid, type_check};
pub use mutating::{MutatingPolicy, Patch};
pub use validating::{AuditAnnotation, Decision, Evaluation, ValidatingPolicy};

/// What a policy is asked about.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// The object as it is to be; nothing on a delete.
    pub object: Option<&'a Json>,
    /// The object as it was; nothing on a create.
    pub old_object: Option<&'a Json>,
    /// The namespace of the object, if it has one.
    pub namespace: Option<&'a Json>,
    /// The request, as an `AdmissionReview` has it, without the objects.
    pub request: &'a Json,
    /// What the binding's parameters are.
    pub params: Option<&'a Json>,
    /// Who answers what may be done.
    pub authorizer: Arc<dyn Authorizer>,
    /// What the request is about, for `authorizer.requestResource`.
    pub request_resource: Target,
    /// Set to stop.
    pub interrupt: Option<&'a AtomicBool>,
}

/// An expression with its program, or why there is none.
#[derive(Debug, Clone)]
pub(crate) struct Expression {
    pub text: String,
    pub program: Result<Program, String>,
}

/// What an expression must be worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Anything,
    Bool,
    String,
    StringOrNull,
    Object,
    JsonPatch,
}

impl Wanted {
    fn is(self, of: &Type) -> bool {
        match self {
            Self::Anything => true,
            Self::Bool => *of == Type::Bool,
            Self::String => *of == Type::String,
            Self::StringOrNull => matches!(of, Type::String | Type::Null),
            Self::Object => *of == Type::object("Object"),
            Self::JsonPatch => *of == Type::list(Type::object("JSONPatch")),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Anything => "any",
            Self::Bool => "bool",
            Self::String => "string",
            Self::StringOrNull => "one of [string null_type]",
            Self::Object => "Object",
            Self::JsonPatch => "list(JSONPatch)",
        }
    }
}

impl Expression {
    /// Compiles; the error is as upstream tells it.
    pub(crate) fn compile(environment: &Environment, text: &str, wanted: Wanted) -> Self {
        let program = environment.compile(text).map_err(|issues| format!("compilation failed: {issues}"));
        let program = program.and_then(|program| {
            if wanted.is(program.output()) {
                return Ok(program);
            }
            let found = match program.output() {
                Type::Null => "null_type".to_owned(),
                other => other.to_string(),
            };
            Err(format!("must evaluate to {} but got {found}", wanted.words()))
        });
        Self { text: text.to_owned(), program }
    }
}

/// The text of a field, or nothing.
pub(crate) fn text<'j>(of: &'j Json, field: &str) -> &'j str {
    of.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// The elements of a field that is a list.
pub(crate) fn list<'j>(of: &'j Json, field: &str) -> &'j [Json] {
    of.get(field).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// What policies of both kinds have.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    /// Names and expressions.
    pub conditions: Vec<(String, Expression)>,
    /// Names and expressions, each of which may use those before it.
    pub variables: Vec<(String, Expression)>,
    /// What the other expressions stand in.
    pub environment: Environment,
    /// Whether what fails denies.
    pub fails: bool,
}

impl Common {
    pub(crate) fn compile(spec: &Json, patches: bool) -> Self {
        let params = spec.get("paramKind").is_some_and(|kind| !kind.is_null());
        let mut admission = Admission { params, patches, ..Admission::default() };
        let conditions = admission.environment();
        let conditions = list(spec, "matchConditions")
            .iter()
            .map(|condition| {
                let expression = Expression::compile(&conditions, text(condition, "expression"), Wanted::Bool);
                (text(condition, "name").to_owned(), expression)
            })
            .collect();
        let variables = declare(spec, &mut admission);
        let fails = text(spec, "failurePolicy") != "Ignore";
        Self { conditions, variables, environment: admission.environment(), fails }
    }

    /// Whether the request is one for this policy; the error where that cannot be said.
    pub(crate) fn matches(&self, inputs: &Inputs<'_>) -> Result<bool, String> {
        let scope = Scope::new(inputs, &[]);
        let mut budget = crate::PER_MATCH_CONDITIONS;
        let mut errors = Vec::new();
        for (_, condition) in &self.conditions {
            match scope.evaluate(condition, &mut budget)? {
                Ok(cel::Value::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(error) => errors.push(error),
            }
        }
        match errors.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}

/// Compiles the variables of a policy, one after the other; those that are right can be used by the next.
pub(crate) fn declare(spec: &Json, admission: &mut Admission) -> Vec<(String, Expression)> {
    let mut variables = Vec::new();
    for variable in list(spec, "variables") {
        let name = text(variable, "name");
        let expression = Expression::compile(&admission.environment(), text(variable, "expression"), Wanted::Anything);
        let of = expression.program.as_ref().map_or(Type::Dyn, |program| program.output().clone());
        admission.variables.push((name.to_owned(), of));
        variables.push((name.to_owned(), expression));
    }
    variables
}
