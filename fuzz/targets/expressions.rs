//! Expressions: read, checked and evaluated on an object. Whatever they say, they end within their cost.

#![no_main]

use std::sync::LazyLock;

use cel::{Environment, Limits, Value};
use expressions::environments::Admission;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Admission { params: true, patches: true, ..Admission::default() }.environment());
static OBJECT: LazyLock<serde_json::Value> = LazyLock::new(
    || json!({"metadata": {"name": "a", "labels": {"a": "b"}}, "spec": {"replicas": 1, "list": [1, 2.5, "x", null, true]}}),
);

const COST: u64 = 50_000;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(program) = ENVIRONMENT.compile(text) else { return };
    let values = [Value::from(&*OBJECT), Value::Null, Value::Null, Value::from(&*OBJECT)];
    let outcome = program.evaluate(values.as_slice(), Limits { cost: COST, interrupt: None });
    if let Ok(value) = outcome.value {
        assert!(outcome.cost <= COST);
        drop(value.to_json());
    }
});
