//! Leases: who leads, and until when.

use serde_json::Value;

use super::columns;
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::resource::{Resource, Scope};
use crate::strategy::Strategy;
use crate::table;

/// The row.
pub(super) fn row() -> Resource {
    let mut row = super::row("io.k8s.api.coordination.v1.Lease", "leases", Scope::Namespaced, Lease);
    row.create_on_update = true;
    row.unconditional_update = false;
    row.columns = vec![
        columns::name(),
        columns::text("Holder", "holderIdentity contains the identity of the holder of a current lease."),
        columns::age(),
    ];
    row
}

#[derive(Debug)]
struct Lease;

impl Strategy for Lease {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let path = Path::new("spec");
        if let Some(seconds) = object.integer(&["spec", "leaseDurationSeconds"])
            && seconds <= 0
        {
            errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
        }
        if let Some(transitions) = object.integer(&["spec", "leaseTransitions"])
            && transitions < 0
        {
            errors.invalid(&path.child("leaseTransitions"), transitions, "must be greater than or equal to 0");
        }
        if let Some(strategy) = object.text(&["spec", "strategy"]) {
            for message in crate::names::qualified_name(strategy) {
                errors.invalid(&path.child("strategy"), strategy, &message);
            }
        }
        if object.text(&["spec", "preferredHolder"]).is_some() && object.text(&["spec", "strategy"]).is_none() {
            let holder = object.text(&["spec", "preferredHolder"]).unwrap_or_default();
            errors.invalid(&path.child("preferredHolder"), holder, "may only be specified if `strategy` is defined");
        }
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["spec", "holderIdentity"]).unwrap_or_default().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kinds::testing::create_errors;

    #[test]
    fn durations_are_checked() {
        assert_eq!(
            create_errors(&row(), json!({ "spec": { "leaseDurationSeconds": 0, "leaseTransitions": -1 } })),
            [
                "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
    }
}
