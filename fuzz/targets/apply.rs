//! Server-side apply: the owners of fields as an object names them, and a configuration laid over it.

#![no_main]

use std::sync::{Arc, LazyLock};

use apiserver_core::apply::{Configuration, FieldSet, apply};
use apiserver_core::{Object, Registry, Resource};
use fuzz::pieces;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);

/// Kinds with keyed lists, sets, atomic values, two versions and a scale among them.
fn resource(choice: u8) -> &'static Arc<Resource> {
    let names = [("", "v1", "pods"), ("", "v1", "services"), ("apps", "v1", "deployments"), ("events.k8s.io", "v1", "events")];
    let (group, version, plural) = names[usize::from(choice) % names.len()];
    REGISTRY.lookup(group, version, plural).expect("a built-in resource")
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else { return };
    let pieces = pieces(data);
    let [live, body, ..] = pieces.as_slice() else { return };
    if let Ok(fields) = serde_json::from_slice::<Value>(live)
        && let Ok(set) = FieldSet::from_value(&fields)
    {
        assert_eq!(FieldSet::from_value(&set.to_value()), Ok(set), "what was read is written so that it reads the same");
    }
    let Ok(configuration) = Configuration::parse(body) else { return };
    let live = serde_json::from_slice(live).ok().and_then(Object::from_value);
    let resource = resource(*choice);
    let subresource = [None, Some("status"), Some("scale")][usize::from(choice >> 4) % 3];
    let subresource = subresource.filter(|name| resource.subresource(name).is_some());
    let now = jiff::Timestamp::UNIX_EPOCH;
    let _ = apply(resource, subresource, live.as_ref(), &configuration, "fuzz", choice & 8 != 0, now);
});
