//! The built-in kinds, one file each: a row, and a strategy where the kind has rules of its own.

mod columns;
pub mod config_map;
pub mod endpoints;
pub mod event;
pub mod lease;
pub mod namespace;
pub mod node;
pub mod pod;
pub mod secret;
pub mod service;
pub mod service_account;

#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use crate::resource::{Resource, Scope, Subresource, Verb};
use crate::strategy::Strategy;

/// Every built-in row, in the order of discovery.
pub(crate) fn rows() -> Vec<Resource> {
    vec![
        config_map::row(),
        endpoints::row(),
        event::row(),
        namespace::row(),
        node::row(),
        pod::row(),
        secret::row(),
        service_account::row(),
        service::row(),
        lease::row(),
    ]
}

/// A row with everything as most kinds have it; the kind's file changes what differs.
fn row(schema: &str, plural: &str, scope: Scope, strategy: impl Strategy + 'static) -> Resource {
    let (group, version, kind) = split_schema(schema);
    Resource {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        plural: plural.into(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        verbs: Verb::ALL.to_vec(),
        subresources: Vec::new(),
        columns: columns::name_and_age(),
        selectable: Vec::new(),
        storage: plural.into(),
        schema: schema.into(),
        returns_deleted: false,
        create_on_update: false,
        unconditional_update: true,
        deprecation: None,
        strategy: Arc::new(strategy),
    }
}

/// A subresource whose body is the object itself.
fn subresource(row: &Resource, name: &str, verbs: &[Verb]) -> Subresource {
    Subresource {
        name: name.into(),
        group: row.group.clone(),
        version: row.version.clone(),
        kind: row.kind.clone(),
        schema: row.schema.clone(),
        verbs: verbs.to_vec(),
    }
}

/// The `status` subresource.
fn status(row: &Resource) -> Subresource {
    subresource(row, "status", &[Verb::Get, Verb::Patch, Verb::Update])
}

/// Group, version and kind of a definition name: `io.k8s.api.coordination.v1.Lease` is of `coordination.k8s.io`.
fn split_schema(schema: &str) -> (&'static str, &str, &str) {
    let mut parts = schema.rsplit('.');
    let kind = parts.next().unwrap_or_default();
    let version = parts.next().unwrap_or_default();
    let group = match parts.next().unwrap_or_default() {
        "coordination" => "coordination.k8s.io",
        "events" => "events.k8s.io",
        _ => "",
    };
    (group, version, kind)
}
