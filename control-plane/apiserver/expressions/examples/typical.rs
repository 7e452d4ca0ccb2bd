//! Prints what evaluating a typical expression of a policy takes: `cargo run --release -p expressions --example typical`.

use std::time::Instant;

use cel::{Limits, Value};
use expressions::PER_EXPRESSION;
use expressions::environments::Admission;
use serde_json::json;

const ROUNDS: u32 = 200_000;

fn main() {
    let object = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "a", "image": "registry.example/a:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
        {"name": "b", "image": "registry.example/b:1", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}},
    ]}}}});
    let environment = Admission::default().environment();
    for text in [
        "object.spec.template.spec.containers.all(c, has(c.resources.limits) && has(c.resources.limits.memory))",
        "object.spec.template.spec.containers.all(c, c.image.startsWith('registry.example/'))",
        "object.spec.template.spec.containers.exists(c, c.name == 'b')",
    ] {
        let begun = Instant::now();
        let program = environment.compile(text).expect("the expression is right");
        let compiled = begun.elapsed();
        let values = [Value::from(&object)];
        let begun = Instant::now();
        for _ in 0..ROUNDS {
            let outcome = program.evaluate(values.as_slice(), Limits { cost: PER_EXPRESSION, interrupt: None });
            assert!(matches!(outcome.value, Ok(Value::Bool(true))));
        }
        println!("{:>6} ns, compiled in {compiled:?}: {text}", (begun.elapsed() / ROUNDS).as_nanos());
    }
}
