//! `ServiceAccount`s.

use serde_json::Value;

use crate::engine::Context;
use crate::object::Object;
use crate::status::Status;
use crate::strategy::{Replacing, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(super) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn prepare_create(&self, object: &mut Object, _: &Context<'_>) -> Result<(), Status> {
        keep_names_only(object);
        Ok(())
    }

    fn prepare_update(&self, new: &mut Object, _: Replacing<'_>, _: &Context<'_>) -> Result<(), Status> {
        keep_names_only(new);
        Ok(())
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["secrets.*"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            object.list(&["secrets"]).len().into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

/// A reference to a secret is its name: the namespace is the account's own.
fn keep_names_only(object: &mut Object) {
    let Some(Value::Array(secrets)) = object.map_mut().get_mut("secrets") else { return };
    for reference in secrets.iter_mut().filter_map(Value::as_object_mut) {
        reference.retain(|member, _| member == "name");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, create};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "serviceaccounts")
    }

    #[test]
    fn references_to_secrets_are_names() {
        let account = create(&row(), json!({ "secrets": [{ "name": "s", "namespace": "other", "uid": "u" }] }));
        assert_eq!(account.list(&["secrets"]), [json!({ "name": "s" })]);
    }
}
