//! Owners of objects: who says that one thing goes with another must be allowed to let it go.

use apiserver_core::{Object, Status};
use serde_json::Value;

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, Question};
use crate::plugin::Plugin;
use crate::pods::text;

/// Asks for the right to delete what is given an owner, and to hold up the deletion of that owner.
#[derive(Debug)]
pub(super) struct OwnerReferencesPermissionEnforcement;

impl Plugin for OwnerReferencesPermissionEnforcement {
    fn name(&self) -> &'static str {
        "OwnerReferencesPermissionEnforcement"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        matches!(attributes.operation, Operation::Create | Operation::Update)
            && !attributes.is_on("", "pods", Some("status"))
    }

    fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let Some(object) = object else { return Ok(()) };
        let owners = |object: &Object| object.list(&["metadata", "ownerReferences"]).to_vec();
        let (new, old) = (owners(object), attributes.old.map(owners).unwrap_or_default());
        if new == old {
            return Ok(());
        }
        let resource = attributes.resource;
        let namespace = attributes.namespace.unwrap_or_default();
        if attributes.operation == Operation::Update {
            let delete = Question {
                verb: "delete",
                group: resource.group.clone(),
                version: resource.version.clone(),
                plural: resource.plural.clone(),
                subresource: "",
                namespace: namespace.to_owned(),
                name: attributes.name.unwrap_or_default().to_owned(),
            };
            if !facts.may(delete) {
                let why = "cannot set an ownerRef on a resource you can't delete: , <nil>";
                return Err(attributes.forbidden(Some(object), why));
            }
        }
        let blocks = |owner: &Value| owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true);
        let blocked = |owner: &Value| old.iter().any(|had| had.get("uid") == owner.get("uid") && blocks(had));
        for owner in new.iter().filter(|owner| blocks(owner) && !blocked(owner)) {
            let (version, kind) = (text(owner, "apiVersion"), text(owner, "kind"));
            let Some(row) = facts.resource(version, kind) else {
                let why = format!(
                    "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} Kind {kind}: no matches for kind {kind:?} in version {version:?}"
                );
                return Err(attributes.forbidden(Some(object), &why));
            };
            let hold = Question {
                verb: "update",
                group: row.group.clone(),
                version: row.version.clone(),
                plural: row.plural.clone(),
                subresource: "finalizers",
                namespace: if row.is_namespaced() { namespace.to_owned() } else { String::new() },
                name: text(owner, "name").to_owned(),
            };
            if !facts.may(hold) {
                let why = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
                return Err(attributes.forbidden(Some(object), why));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create, update};

    fn pod(owners: Value) -> Value {
        json!({ "metadata": { "name": "a", "ownerReferences": owners } })
    }

    fn owner(kind: &str, blocks: bool) -> Value {
        json!([{ "apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "u", "blockOwnerDeletion": blocks }])
    }

    fn may(rights: &[(&'static str, &str)]) -> World {
        World { rights: rights.iter().map(|(verb, name)| (*verb, (*name).to_owned())).collect(), ..World::default() }
    }

    #[test]
    fn an_owner_is_named_by_who_may_delete() {
        let name = |new: Value, world: &World| {
            update("", "pods", None, pod(json!([]))).validate(&OwnerReferencesPermissionEnforcement, pod(new), world)
        };
        assert_eq!(name(owner("ReplicaSet", false), &may(&[("delete", "a")])), Ok(()));
        assert_eq!(
            name(owner("ReplicaSet", false), &may(&[])),
            Err("pods \"a\" is forbidden: cannot set an ownerRef on a resource you can't delete: , <nil>".into())
        );
        assert!(name(owner("ReplicaSet", true), &may(&[("delete", "a")])).is_err());
        assert_eq!(name(owner("ReplicaSet", true), &may(&[("delete", "a"), ("update", "o")])), Ok(()));
        assert!(name(owner("Nonsense", true), &may(&[("delete", "a"), ("update", "o")])).is_err());
        let made = create("", "pods").validate(
            &OwnerReferencesPermissionEnforcement,
            pod(owner("ReplicaSet", false)),
            &may(&[]),
        );
        assert_eq!(made, Ok(()));
    }
}
