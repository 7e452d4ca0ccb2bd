//! Policies that refuse objects: `ValidatingAdmissionPolicy`.

use cel::Value;
use serde_json::Value as Json;

use super::{Common, Expression, Inputs, Scope, Wanted, list, text};
use crate::PER_POLICY;

/// A message that an expression makes must not be longer, in bytes.
const LONGEST_MESSAGE: usize = 5 * 1024;
/// The value of an audit annotation is cut there, in bytes.
const LONGEST_ANNOTATION: usize = 10 * 1024;

/// A policy, compiled.
#[derive(Debug, Clone)]
pub struct ValidatingPolicy {
    common: Common,
    validations: Vec<Validation>,
    annotations: Vec<(String, Expression)>,
}

#[derive(Debug, Clone)]
struct Validation {
    expression: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: String,
}

/// What one validation says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing against it.
    Admit,
    /// It does not hold.
    Deny {
        /// The reason of the status, such as `Invalid`.
        reason: String,
        /// Why, in the policy's words.
        message: String,
    },
    /// It could not be evaluated.
    Failed {
        /// Whether that denies, by the policy's failure policy.
        denies: bool,
        /// What went wrong.
        message: String,
    },
}

/// An annotation for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditAnnotation {
    /// Its key, without the policy's name in front.
    pub key: String,
    /// Its value; nothing to leave it out; an error where it could not be evaluated.
    pub value: Result<Option<String>, String>,
}

/// What a policy says about a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evaluation {
    /// One for each validation, in order; one only if something failed before them; none if the request is none for it.
    pub decisions: Vec<Decision>,
    /// In order.
    pub annotations: Vec<AuditAnnotation>,
}

impl Decision {
    /// What the client is told of a policy's denial.
    pub fn denial(policy: &str, binding: Option<&str>, message: &str) -> String {
        match binding {
            Some(binding) => {
                format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
            }
            None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
        }
    }
}

impl ValidatingPolicy {
    /// Compiles the spec of a policy. What is wrong in it fails when it is evaluated.
    pub fn compile(spec: &Json) -> Self {
        let common = Common::compile(spec, false);
        let validations = list(spec, "validations")
            .iter()
            .map(|validation| {
                let message_expression = text(validation, "messageExpression");
                Validation {
                    expression: Expression::compile(&common.environment, text(validation, "expression"), Wanted::Bool),
                    message: text(validation, "message").trim().to_owned(),
                    message_expression: (!message_expression.is_empty())
                        .then(|| Expression::compile(&common.environment, message_expression, Wanted::String)),
                    reason: match text(validation, "reason") {
                        "" => "Invalid".to_owned(),
                        reason => reason.to_owned(),
                    },
                }
            })
            .collect();
        let annotations = list(spec, "auditAnnotations")
            .iter()
            .map(|annotation| {
                let value = text(annotation, "valueExpression");
                let value = Expression::compile(&common.environment, value, Wanted::StringOrNull);
                (text(annotation, "key").to_owned(), value)
            })
            .collect();
        Self { common, validations, annotations }
    }

    /// Decides. Takes no longer than [`PER_POLICY`] allows.
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Evaluation {
        let failed = |message| Decision::Failed { denies: self.common.fails, message };
        match self.common.matches(inputs) {
            Ok(true) => {}
            Ok(false) => return Evaluation::default(),
            Err(message) => return Evaluation { decisions: vec![failed(message)], annotations: Vec::new() },
        }
        let scope = Scope::new(inputs, &self.common.variables);
        let mut budget = PER_POLICY;
        let mut decisions = Vec::with_capacity(self.validations.len());
        for validation in &self.validations {
            decisions.push(match scope.evaluate(&validation.expression, &mut budget) {
                // What ends one ends all.
                Err(message) => return Evaluation { decisions: vec![failed(message)], annotations: Vec::new() },
                Ok(Err(message)) => failed(message),
                Ok(Ok(Value::Bool(true))) => Decision::Admit,
                Ok(Ok(_)) => match validation.words(&scope, &mut budget) {
                    Ok(message) => Decision::Deny { reason: validation.reason.clone(), message },
                    Err(why) => failed(format!("failed messageExpression: {why}")),
                },
            });
        }
        let mut budget = PER_POLICY;
        let annotations = self.annotations.iter().map(|(key, expression)| {
            let value = scope.evaluate(expression, &mut budget).and_then(|value| value).map(|value| annotation(&value));
            AuditAnnotation { key: key.clone(), value }
        });
        Evaluation { decisions, annotations: annotations.collect() }
    }
}

impl Validation {
    /// Why it denies: what its message expression says if that is of use, else its message, else itself.
    fn words(&self, scope: &Scope<'_, '_>, budget: &mut u64) -> Result<String, String> {
        if let Some(expression) = &self.message_expression
            && let Ok(value) = scope.evaluate(expression, budget)?
            && let Some(message) = value.as_str().map(str::trim)
            && !message.is_empty()
            && message.len() <= LONGEST_MESSAGE
            && !message.contains('\n')
        {
            return Ok(message.to_owned());
        }
        if self.message.is_empty() {
            return Ok(format!("failed expression: {}", self.expression.text.trim()));
        }
        Ok(self.message.clone())
    }
}

fn annotation(value: &Value<'_>) -> Option<String> {
    let text = value.as_str()?.trim();
    let mut end = text.len().min(LONGEST_ANNOTATION);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    (!text.is_empty()).then(|| text[..end].to_owned())
}
