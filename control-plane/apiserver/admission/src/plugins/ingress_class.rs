//! Who serves an Ingress that does not say.

use apiserver_core::{Object, Status};
use serde_json::Value;

use super::storage::newest_marked;
use crate::attributes::Attributes;
use crate::facts::{Facts, View, views};
use crate::plugin::Plugin;

const DEFAULT: &str = "ingressclass.kubernetes.io/is-default-class";
const OLD_CLASS: &str = "kubernetes.io/ingress.class";

/// Gives Ingresses the default class.
#[derive(Debug)]
pub(super) struct DefaultIngressClass;

impl Plugin for DefaultIngressClass {
    fn name(&self) -> &'static str {
        "DefaultIngressClass"
    }

    fn concerns(&self, attributes: &Attributes<'_>) -> bool {
        attributes.creates("networking.k8s.io", "ingresses")
    }

    fn reads(&self) -> &'static [View] {
        &[views::INGRESS_CLASSES]
    }

    fn mutate(&self, _: &Attributes<'_>, ingress: &mut Object, facts: &dyn Facts) -> Result<(), Status> {
        let says = ingress.at(&["spec", "ingressClassName"]).is_some_and(|class| !class.is_null())
            || ingress.at(&["metadata", "annotations", OLD_CLASS]).and_then(Value::as_str).is_some();
        if says {
            return Ok(());
        }
        if let Some(class) = newest_marked(facts.list(views::INGRESS_CLASSES, None), &[DEFAULT])
            && let Some(name) = class.name()
        {
            ingress.set(&["spec", "ingressClassName"], name);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{World, create};

    #[test]
    fn an_ingress_gets_the_default_class_unless_it_says() {
        let world = World::default()
            .with(views::INGRESS_CLASSES, json!({ "metadata": { "name": "web", "annotations": { DEFAULT: "true" } } }));
        let given = |ingress: Value| {
            let ingress = create("networking.k8s.io", "ingresses").mutate(&DefaultIngressClass, ingress, &world);
            ingress.unwrap()["spec"].get("ingressClassName").cloned()
        };
        assert_eq!(given(json!({ "spec": {} })), Some("web".into()));
        assert_eq!(given(json!({ "spec": { "ingressClassName": "own" } })), Some("own".into()));
        assert_eq!(given(json!({ "metadata": { "annotations": { OLD_CLASS: "x" } }, "spec": {} })), None);
    }
}
