//! Policies that change objects: `MutatingAdmissionPolicy`.

use cel::Value;
use serde_json::{Map, Value as Json};

use super::{Common, Expression, Inputs, Scope, Wanted, list, text};
use crate::PER_POLICY;

/// A policy, compiled.
#[derive(Debug, Clone)]
pub struct MutatingPolicy {
    common: Common,
    mutations: Vec<(Kind, Expression)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Apply,
    JsonPatch,
}

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// Fields to be merged as Server-Side Apply merges them, `apiVersion` and `kind` left out.
    Apply(Json),
    /// Operations of RFC 6902, in order.
    Json(Vec<Json>),
}

impl MutatingPolicy {
    /// Compiles the spec of a policy. What is wrong in it fails when it is evaluated.
    pub fn compile(spec: &Json) -> Self {
        let common = Common::compile(spec, true);
        let mutations = list(spec, "mutations").iter().map(|mutation| {
            let (kind, field, wanted) = match text(mutation, "patchType") {
                "JSONPatch" => (Kind::JsonPatch, "jsonPatch", Wanted::JsonPatch),
                _ => (Kind::Apply, "applyConfiguration", Wanted::Object),
            };
            let expression = mutation.get(field).map(|body| text(body, "expression")).unwrap_or_default();
            (kind, Expression::compile(&common.environment, expression, wanted))
        });
        let mutations = mutations.collect();
        Self { common, mutations }
    }

    /// How many mutations it has. Each is to be evaluated on what the one before made of the object.
    pub fn mutations(&self) -> usize {
        self.mutations.len()
    }

    /// Whether what fails denies.
    pub fn fails(&self) -> bool {
        self.common.fails
    }

    /// Whether the request is one for this policy; the error where that cannot be said.
    pub fn matches(&self, inputs: &Inputs<'_>) -> Result<bool, String> {
        self.common.matches(inputs)
    }

    /// What a mutation changes in the object as it is in the inputs.
    pub fn patch(&self, mutation: usize, inputs: &Inputs<'_>) -> Result<Patch, String> {
        let Some((kind, expression)) = self.mutations.get(mutation) else { return Ok(Patch::Json(Vec::new())) };
        let scope = Scope::new(inputs, &self.common.variables);
        let mut budget = PER_POLICY;
        let value = scope.evaluate(expression, &mut budget)??;
        match (kind, &value) {
            (Kind::Apply, Value::Message(_)) => {
                names_fit(&value, "Object")?;
                let json = value.to_json().ok_or("unsupported value in ApplyConfiguration")?;
                let protected = ["apiVersion", "kind"].into_iter().find(|field| json.get(field).is_some());
                match protected {
                    Some(field) => Err(format!("invalid ApplyConfiguration: may not set {field}")),
                    None => Ok(Patch::Apply(json)),
                }
            }
            (Kind::JsonPatch, Value::List(operations)) => {
                operations.iter().map(|operation| made(&operation)).collect::<Result<_, _>>().map(Patch::Json)
            }
            (_, other) => Err(format!("unexpected return type: {}", other.type_name())),
        }
    }
}

/// Messages must be of the types that their places have.
fn names_fit(value: &Value<'_>, place: &str) -> Result<(), String> {
    match value {
        Value::Message(message) => {
            if *message.type_name != *place {
                return Err(format!(
                    "type mismatch: unexpected type name \"{}\", expected \"{place}\", which matches field name path from root \
                     Object type",
                    message.type_name
                ));
            }
            message.fields.iter().try_for_each(|(name, value)| names_fit(value, &format!("{place}.{name}")))
        }
        Value::List(list) => list.iter().try_for_each(|element| names_fit(&element, place)),
        Value::Map(map) => map.entries().iter().try_for_each(|(_, value)| names_fit(value, place)),
        Value::Optional(Some(value)) => names_fit(value, place),
        _ => Ok(()),
    }
}

fn made(operation: &Value<'_>) -> Result<Json, String> {
    let Value::Message(message) = operation else {
        return Err(format!("type mismatch: JSONPatchType.JSONPatch expected, got {}", operation.type_name()));
    };
    let mut made = Map::new();
    for (name, value) in &message.fields {
        if let Value::Message(inner) = value {
            names_fit(value, &inner.type_name)?;
        }
        let value = value.to_json().ok_or_else(|| format!("unsupported value of {name}"))?;
        made.insert(name.to_string(), value);
    }
    let op = made.get("op").and_then(Json::as_str).unwrap_or_default();
    if !matches!(op, "add" | "remove" | "replace" | "move" | "copy" | "test") {
        return Err(format!("JSON Patch: unexpected op \"{op}\""));
    }
    Ok(Json::Object(made))
}
