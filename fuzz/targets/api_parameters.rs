//! Paths, query strings, and what is in them: options, selectors, tokens to continue with.

#![no_main]

use std::sync::LazyLock;

use apiserver_core::continuation::Continuation;
use apiserver_core::options::{DeleteOptions, GetOptions, IncludeObject, ListOptions, Write, WriteOptions};
use apiserver_core::selector::{FieldSelector, LabelSelector};
use apiserver_core::{Registry, query};
use libfuzzer_sys::fuzz_target;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);

fuzz_target!(|text: &str| {
    let row = REGISTRY.lookup("", "v1", "pods").expect("there are pods");
    drop(query::path(text));
    let parameters = query::parameters(text);
    drop(ListOptions::parse(row, &parameters));
    drop(GetOptions::parse(&parameters));
    drop(IncludeObject::parse(&parameters));
    drop(WriteOptions::parse(Write::Patch, &parameters));
    drop(DeleteOptions::parse(text.as_bytes(), &parameters));
    drop(FieldSelector::parse(text, row));
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches(|key| (key == "x").then_some("y"));
    }
    let prefix = "/registry/pods/default/";
    if let Ok(continuation) = Continuation::decode(text, prefix) {
        assert!(continuation.start.starts_with(prefix), "a token leads out of its list");
        assert_eq!(Continuation::decode(&continuation.encode(prefix), prefix).ok(), Some(continuation));
    }
});
