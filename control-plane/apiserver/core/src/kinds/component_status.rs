//! Component statuses: the old way to ask whether the parts of a control plane are well.

use serde_json::{Value, json};

use super::tree::text;
use crate::object::Object;
use crate::strategy::Strategy;

/// The strategy: nothing is stored.
#[derive(Debug)]
pub(super) struct ComponentStatus;

impl Strategy for ComponentStatus {
    fn cells_read(&self) -> &'static [&'static str] {
        &["conditions"]
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        let healthy = object.list(&["conditions"]).iter().find(|one| text(one, "type") == "Healthy");
        let status =
            healthy.map_or("Unknown", |one| if text(one, "status") == "True" { "Healthy" } else { "Unhealthy" });
        let of = |name: &str| healthy.map_or("", |one| text(one, name));
        vec![object.name().unwrap_or_default().into(), status.into(), of("message").into(), of("error").into()]
    }
}

/// The status of a part: whether it is well, what it says, and what kept it from saying anything.
pub(crate) fn of(name: &str, well: bool, message: &str, error: &str) -> Object {
    let mut object = Object::new("v1", "ComponentStatus");
    object.set(&["metadata", "name"], name);
    let mut condition = json!({ "type": "Healthy", "status": if well { "True" } else { "False" } });
    for (member, value) in [("message", message), ("error", error)] {
        if !value.is_empty() {
            condition[member] = value.into();
        }
    }
    object.set(&["conditions"], vec![condition]);
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::context;

    #[test]
    fn a_table_tells_the_well_from_the_unwell() {
        let cells = |well, message, error| ComponentStatus.cells(&of("etcd-0", well, message, error), context().now);
        assert_eq!(cells(true, "ok", ""), ["etcd-0", "Healthy", "ok", ""]);
        assert_eq!(cells(false, "", "away"), ["etcd-0", "Unhealthy", "", "away"]);
    }
}
