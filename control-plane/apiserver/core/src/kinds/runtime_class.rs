//! Runtime classes: names for how the runtime runs containers.

use serde_json::Value;

use super::tree::{self, at, entries, pairs};
use super::{amounts, pod};
use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct RuntimeClass;

impl Strategy for RuntimeClass {
    fn validate(&self, object: &Object, errors: &mut Errors) {
        let handler = object.text(&["handler"]).unwrap_or_default();
        tree::all(names::dns_label(handler), handler, &Path::new("handler"), errors);
        for (resource, amount) in entries(at(object, &["overhead"]), "podFixed") {
            let path = Path::new("overhead.podFixed").key(resource);
            tree::all(names::qualified_name(resource), resource, &path, errors);
            amounts::validate(resource, amount, &path, errors);
        }
        let (scheduling, path) = (at(object, &["scheduling"]), Path::new("scheduling"));
        names::check_labels(pairs(scheduling, "nodeSelector"), &path.child("nodeSelector"), errors);
        pod::validate_tolerations(scheduling, &path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        let (now, before) = (at(new, &["handler"]), at(replacing.old, &["handler"]));
        tree::immutable(now, before, &Path::new("handler"), errors);
        self.validate(new, errors);
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["handler"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["handler"]).unwrap_or_default().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{context, create, create_errors, row, update_errors};

    #[test]
    fn a_handler_is_a_label_and_stays() {
        let row = row("node.k8s.io", "runtimeclasses");
        let errors = create_errors(
            &row,
            json!({
                "handler": "a.b", "overhead": { "podFixed": { "cpu": "-1" } },
                "scheduling": { "tolerations": [{ "key": "a", "operator": "Is" }] },
            }),
        );
        assert!(errors[0].starts_with("handler: Invalid value: \"a.b\": a lowercase RFC 1123 label"), "{errors:?}");
        assert_eq!(
            errors[1..],
            [
                "overhead.podFixed[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
                "scheduling.tolerations[0].operator: Unsupported value: \"Is\": supported values: \"Equal\", \"Exists\"",
            ]
        );
        let made = create(&row, json!({ "handler": "kata" }));
        assert_eq!(row.strategy.cells(&made, context().now), ["a", "kata", "0s"]);
        assert_eq!(
            update_errors(&row, None, json!({ "handler": "kata" }), json!({ "handler": "gvisor" })),
            ["handler: Invalid value: \"gvisor\": field is immutable"]
        );
    }
}
