//! The language by its areas: what expressions are worth, what is wrong with them, and what they cost.

mod costs;
mod errors;
mod values;

use serde_json::{Value as Json, json};

use crate::{Environment, Error, Limits, Macros, Type, Value};

pub(crate) fn environment() -> Environment {
    let macros = Macros { optional: true, two_variables: true, bindings: true };
    let mut environment = Environment::new(macros);
    for library in crate::all_known() {
        environment = environment.with(library);
    }
    environment
        .variable("object", Type::Dyn)
        .variable("count", Type::Int)
        .variable("names", Type::list(Type::String))
        .variable("labels", Type::map(Type::String, Type::String))
}

pub(crate) fn object() -> Json {
    json!({
        "metadata": {"name": "web", "labels": {"app": "web", "tier": "front"}},
        "spec": {
            "replicas": 3,
            "ratio": 0.5,
            "paused": false,
            "nothing": null,
            "containers": [
                {"name": "a", "image": "nginx:1", "resources": {"limits": {"cpu": "1"}}},
                {"name": "b", "image": "redis:2"},
            ],
        },
    })
}

/// The value or the error of an expression as text, and what it cost.
pub(crate) fn run(text: &str, limit: u64) -> (Result<String, String>, u64) {
    let object = object();
    let data = json!([["x", "yy", "zzz"], {"app": "web"}]);
    let program = match environment().compile(text) {
        Ok(program) => program,
        Err(issues) => return (Err(issues.to_string()), 0),
    };
    let values = [Value::from(&object), Value::Int(7), Value::from(&data[0]), Value::from(&data[1])];
    let outcome = program.evaluate(values.as_slice(), Limits { cost: limit, interrupt: None });
    let value = outcome.value.map(|value| match &value {
        Value::Type(name) => name.to_string(),
        Value::Uint(number) => format!("{number}u"),
        Value::Double(number) => format!("{number:?}"),
        Value::Optional(None) => "none".to_owned(),
        Value::Optional(Some(inner)) => format!("some {}", inner.to_json().unwrap_or_default()),
        other => other.to_json().unwrap_or_default().to_string(),
    });
    (value.map_err(|error| error.to_string()), outcome.cost)
}

#[track_caller]
pub(crate) fn is(text: &str, wanted: &str) {
    assert_eq!(run(text, 10_000_000).0.as_deref(), Ok(wanted), "{text}");
}

#[track_caller]
pub(crate) fn holds(text: &str) {
    is(text, "true");
}

#[track_caller]
pub(crate) fn fails(text: &str, wanted: &str) {
    assert_eq!(run(text, 10_000_000).0.as_ref().map_err(String::as_str), Err(wanted), "{text}");
}

#[test]
fn a_value_outlives_the_program() {
    let object = object();
    let values = [Value::from(&object)];
    let value = {
        let program = environment().compile("object.metadata.name").expect("it is right");
        program.evaluate(values.as_slice(), Limits { cost: 10, interrupt: None }).value
    };
    assert_eq!(value.expect("there is a name").as_str(), Some("web"));
}

#[test]
fn it_stops_when_told() {
    let program = environment().compile("names.all(a, names.all(b, names.all(c, names.all(d, names.all(e, true)))))");
    let data = json!(["a", "b", "c", "d", "e"]);
    let values = [Value::Null, Value::Int(0), Value::from(&data)];
    let interrupt = std::sync::atomic::AtomicBool::new(true);
    let limits = Limits { cost: u64::MAX, interrupt: Some(&interrupt) };
    let outcome = program.expect("it is right").evaluate(values.as_slice(), limits);
    assert_eq!(outcome.value.err(), Some(Error::Interrupted));
}
