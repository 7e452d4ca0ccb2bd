//! Leases: who leads, and until when.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::Strategy;
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct Lease;

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

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.holderIdentity"]
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

    use crate::kinds::testing::{self, create_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("coordination.k8s.io", "leases")
    }

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
