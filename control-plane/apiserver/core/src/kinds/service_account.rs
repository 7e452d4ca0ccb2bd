//! `ServiceAccount`s.

use serde_json::Value;

use super::columns;
use crate::object::Object;
use crate::resource::{Resource, Scope};
use crate::strategy::Strategy;
use crate::table;

/// The row.
pub(super) fn row() -> Resource {
    let mut row = super::row("io.k8s.api.core.v1.ServiceAccount", "serviceaccounts", Scope::Namespaced, ServiceAccount);
    row.short_names = vec!["sa".into()];
    row.returns_deleted = true;
    row.columns = vec![
        columns::name(),
        columns::text(
            "Secrets",
            "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are allowed to use.",
        ),
        columns::age(),
    ];
    row
}

#[derive(Debug)]
struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.list(&["secrets"]).len().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}
