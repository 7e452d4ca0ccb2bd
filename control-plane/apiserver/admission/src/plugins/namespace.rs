//! Namespaces: what is put in one needs one that is there and stays.

use apiserver_core::{Object, Status};

use crate::attributes::{Attributes, Operation};
use crate::facts::{Facts, Phase, View, views};
use crate::plugin::Plugin;

/// Namespaces that no cluster can be without.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

fn is_namespace(attributes: &Attributes<'_>) -> bool {
    attributes.resource.group.is_empty() && attributes.resource.plural == "namespaces"
}

fn is_question(attributes: &Attributes<'_>) -> bool {
    attributes.is_on("authorization.k8s.io", "localsubjectaccessreviews", None)
}

fn missing(namespace: &str) -> Status {
    Status::not_found_named("", "namespaces", namespace)
}

/// Keeps new objects out of namespaces that are missing or going, and the system's namespaces alive.
#[derive(Debug)]
pub(super) struct Lifecycle;

impl Plugin for Lifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        match attributes.operation {
            Operation::Create | Operation::Update => {
                attributes.namespace.is_some() && !is_namespace(attributes) && !is_question(attributes)
            }
            Operation::Delete => is_namespace(attributes),
            Operation::Connect => false,
        }
    }

    fn reads(&self) -> &'static [View] {
        &[views::NAMESPACES]
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let Some(namespace) = attributes.namespace else { return Ok(()) };
        let phase = facts.namespace(namespace).ok_or_else(|| missing(namespace))?;
        if attributes.operation == Operation::Create && phase == Phase::Terminating {
            return Err(Status::namespace_terminating(
                attributes.resource,
                attributes.shown_name(Some(object)),
                namespace,
            ));
        }
        Ok(())
    }

    fn validate(&self, attributes: &Attributes<'_>, _: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        if attributes.operation == Operation::Delete && attributes.name.is_some_and(|name| IMMORTAL.contains(&name)) {
            return Err(attributes.forbidden(None, "this namespace may not be deleted"));
        }
        Ok(())
    }
}

/// Asks for the namespace alone.
#[derive(Debug)]
pub(super) struct Exists;

impl Plugin for Exists {
    fn name(&self) -> &'static str {
        "NamespaceExists"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.operation != Operation::Connect && attributes.namespace.is_some() && !is_namespace(attributes)
    }

    fn reads(&self) -> &'static [View] {
        &[views::NAMESPACES]
    }

    fn validate(&self, attributes: &Attributes<'_>, _: Option<&Object>, facts: &dyn Facts) -> Result<(), Status> {
        let namespace = attributes.namespace.unwrap_or_default();
        facts.namespace(namespace).map(drop).ok_or_else(|| missing(namespace))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Request, World, create, update};

    fn world(phase: &str) -> World {
        World::default()
            .with(views::NAMESPACES, json!({ "metadata": { "name": "default" }, "status": { "phase": phase } }))
    }

    #[test]
    fn new_objects_need_a_namespace_that_stays() {
        let pod = || json!({ "metadata": { "name": "p" } });
        let refused = |world: &World| {
            let refused = create("", "pods").mutate(&Lifecycle, pod(), world).unwrap_err();
            (refused.code, refused.message)
        };
        assert!(create("", "pods").mutate(&Lifecycle, pod(), &world("Active")).is_ok());
        assert_eq!(refused(&World::default()), (404, "namespaces \"default\" not found".into()));
        assert_eq!(
            refused(&world("Terminating")),
            (
                403,
                "pods \"p\" is forbidden: unable to create new content in namespace default because it is being terminated"
                    .into()
            )
        );
        assert!(update("", "pods", None, pod()).mutate(&Lifecycle, pod(), &world("Terminating")).is_ok());
        let question = create("authorization.k8s.io", "localsubjectaccessreviews");
        assert!(question.mutate(&Lifecycle, json!({}), &World::default()).is_ok());
    }

    #[test]
    fn the_systems_namespaces_stay() {
        let delete = |name| Request { operation: Operation::Delete, name: Some(name), ..create("", "namespaces") };
        let refused = delete("kube-system").validate(&Lifecycle, json!({}), &World::default());
        assert_eq!(
            refused,
            Err("namespaces \"kube-system\" is forbidden: this namespace may not be deleted".to_owned())
        );
        assert_eq!(delete("kube-node-lease").validate(&Lifecycle, json!({}), &World::default()), Ok(()));
    }

    #[test]
    fn a_namespace_may_be_all_that_is_asked_for() {
        assert!(create("", "pods").validate(&Exists, json!({}), &World::default()).is_err());
        assert!(create("", "pods").validate(&Exists, json!({}), &world("Terminating")).is_ok());
    }
}
