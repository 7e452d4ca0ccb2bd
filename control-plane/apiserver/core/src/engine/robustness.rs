//! Whatever passes decoding goes through every hook of every kind without a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kinds::Schema;
use serde_json::{Map, Value, json};

use super::*;
use crate::decode::{FieldValidation, Format, decode_object};
use crate::kinds::testing::{context, stored};
use crate::patch::{Patch, PatchType};
use crate::registry::Registry;

/// Runs per kind. Enough to reach deep members with odd values; a run takes well under a millisecond.
const RUNS: u64 = 400;

/// A small generator of repeatable noise.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        // Numerical Recipes' constants; the high bits are the good ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn text(&mut self) -> String {
        self.pick(&[
            "",
            "a",
            "b",
            "None",
            "Always",
            "ClusterIP",
            "NodePort",
            "LoadBalancer",
            "ExternalName",
            "Node",
            "10.96.0.9",
            "::1",
            "fd00::1",
            "10.0.0.0/24",
            "TCP",
            "Local",
            "IPv4",
            "IPv6",
            "RequireDualStack",
            "Exists",
            "-",
            "ünï",
            "a/b",
            "../x",
            "Running",
            "Succeeded",
            "kubernetes",
            "kubernetes.io/tls",
            "x.y/z",
            "9999999999999999999",
            "True",
            "Ready",
            "PodScheduled",
        ])
        .to_owned()
    }

    /// A value of a type.
    fn value(&mut self, schema: &Schema, depth: usize) -> Value {
        match schema {
            Schema::Text => self.text().into(),
            Schema::Int32 => self.pick(&[0, 1, -1, 80, 10250, 30001, i32::MAX, i32::MIN]).into(),
            Schema::Int64 => self.pick(&[0, 1, -1, 600, i64::MAX, i64::MIN]).into(),
            Schema::Float => json!(0.5),
            Schema::Flag => (self.below(2) == 0).into(),
            Schema::Bytes => self.pick(&["", "AAAA", "e30="]).into(),
            Schema::Time | Schema::MicroTime => {
                self.pick(&["2026-08-01T09:00:00Z", "0001-01-01T00:00:00Z", "9999-12-30T00:00:00Z"]).into()
            }
            Schema::Quantity => self.pick(&["0", "100m", "-1", "1Gi", "9223372036854775807E"]).into(),
            Schema::IntOrString => self.pick(&[json!(0), json!(80), json!("http"), json!("")]),
            Schema::Any => self.pick(&[json!({}), json!({ "a": 1 })]),
            Schema::List(items) => (0..self.below(3)).map(|_| self.value(items, depth)).collect(),
            Schema::Map(values) => {
                let count = self.below(3);
                Value::Object((0..count).map(|_| (self.text(), self.value(values, depth))).collect())
            }
            Schema::Struct(name) => self.fields(name, depth),
            Schema::Either(either) if self.below(2) == 0 => self.fields(&either.definition, depth),
            Schema::Either(either) => self.value(&either.other, depth),
        }
    }

    pub(crate) fn fields(&mut self, name: &str, depth: usize) -> Value {
        let mut map = Map::new();
        let fields = kinds::schemas().get(name).into_iter().flat_map(|one| &one.fields);
        for (field, info) in fields {
            // Deep members get rarer, or objects would have no end.
            if depth < 9 && self.below(1 + depth) < 2 && self.below(3) > 0 {
                map.insert(field.clone(), self.value(&info.schema, depth + 1));
            }
        }
        Value::Object(map)
    }
}

#[test]
fn no_object_that_decodes_can_panic_a_hook() {
    let mut reached = 0;
    for resource in Registry::built_in().iter() {
        for seed in 0..RUNS {
            let run = AssertUnwindSafe(|| exercise(resource, seed));
            match catch_unwind(run) {
                Ok(prepared) => reached += usize::from(prepared),
                Err(cause) => panic!("{} panics at seed {seed}: {:?}", resource.plural, cause.downcast_ref::<String>()),
            }
        }
    }
    assert!(reached > 100, "noise that is never valid tests nothing: {reached}");
}

/// One life: created, changed by a patch and by a subresource, shown, deleted. Whether the creation was valid.
fn exercise(resource: &Resource, seed: u64) -> bool {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut make = || {
        let mut body = noise.fields(&resource.schema, 0);
        body["apiVersion"] = resource.api_version().into();
        body["kind"] = resource.kind.as_str().into();
        body["metadata"] = json!({ "name": "a", "labels": { "a": "b" } });
        let text = body.to_string();
        decode_object(resource, None, Format::Json, text.as_bytes(), FieldValidation::Strict)
            .unwrap_or_else(|status| panic!("noise follows the schema: {status}: {text}"))
            .object
    };
    let (first, second) = (make(), make());
    let namespace = resource.is_namespaced().then_some("default");
    let prepared = prepare_create(resource, namespace, None, first.clone(), &context());
    let valid = prepared.is_ok();
    // Hooks must bear what an older release may have stored, too.
    let mut old = prepared.map_or(first, |prepared| prepared.object);
    old.set(&["metadata", "uid"], context().uid);
    if let Some(namespace) = namespace {
        old.set(&["metadata", "namespace"], namespace);
    }
    let old = stored(old);
    assert_eq!(resource.strategy.cells(&old, context().now).len(), resource.columns.len());
    let seen = resource.outline.read(&old.to_bytes()).expect("an object is JSON");
    assert!(
        resource.selectable_values(&seen).eq(resource.selectable_values(&old)),
        "an outline holds what selectors look at"
    );
    assert!(seen.labels().eq(old.labels()));
    for subresource in [None, Some("status"), Some("finalize"), Some("binding"), Some("scale")] {
        let _ = prepare_update(resource, subresource, &old, second.clone(), &context());
    }
    for patch_type in [PatchType::Merge, PatchType::Strategic] {
        let patch = Patch::parse(patch_type, &second.to_bytes()).expect("an object is a patch");
        let _ = patch.apply(resource, None, &old, FieldValidation::Ignore);
    }
    for grace_period_seconds in [None, Some(0), Some(i64::MAX)] {
        let options = DeleteOptions { grace_period_seconds, ..DeleteOptions::default() };
        if let Ok(Deletion::Wait(waiting)) = decide_delete(resource, &old, &options, &context()) {
            let _ = decide_delete(resource, &stored(waiting), &DeleteOptions::default(), &context());
        }
    }
    valid
}
