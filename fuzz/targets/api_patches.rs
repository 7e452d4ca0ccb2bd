//! Patches of all forms, applied to an object with lists and maps in it. The first byte chooses the form.

#![no_main]

use std::sync::LazyLock;

use apiserver_core::decode::FieldValidation;
use apiserver_core::patch::{Patch, PatchType};
use apiserver_core::{Object, Registry};
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);

const POD: &[u8] = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"d","labels":{"x":"y"},"finalizers":["f/g"]},
"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}],"env":[{"name":"E","value":"1"}]}],
"tolerations":[{"key":"k","operator":"Exists"}],"volumes":[{"name":"v","emptyDir":{}}]}}"#;

fuzz_target!(|data: &[u8]| {
    let [form, body @ ..] = data else { return };
    let form = [PatchType::Json, PatchType::Merge, PatchType::Strategic][usize::from(*form) % 3];
    let Ok(patch) = Patch::parse(form, body) else { return };
    let row = REGISTRY.lookup("", "v1", "pods").expect("there are pods");
    let pod = Object::from_stored(POD).expect("a pod");
    if let Ok(patched) = patch.apply(row, None, &pod, FieldValidation::Strict) {
        // It is a tree that can be written and read.
        assert!(Object::from_stored(&patched.object.to_bytes()).is_ok());
    }
});
