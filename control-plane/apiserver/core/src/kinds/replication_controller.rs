//! Replication controllers: replica sets before there were any.

use serde_json::{Value, json};

use super::apps::{count_cells, validate_replica_status};
use super::tree::{at, has, member, not_negative, pairs};
use super::{selectors, template, tree};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};

const LABELS: [&str; 4] = ["spec", "template", "metadata", "labels"];

/// The strategy.
#[derive(Debug)]
pub(super) struct ReplicationController;

impl Strategy for ReplicationController {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        template::fill(spec);
        tree::or_set(spec, "replicas", 1);
        // What its pods are called is what it selects, and what it is called itself.
        let Some(labels) = object.at(&LABELS).filter(|labels| labels.is_object()).cloned() else { return };
        for path in [&["spec", "selector"][..], &["metadata", "labels"]] {
            if object.at(path).and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
                object.set(path, labels.clone());
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), &Path::new("spec"));
        not_negative(spec, &["minReadySeconds"], path, errors);
        if pairs(spec, "selector").next().is_none() {
            errors.required(&path.child("selector"), "");
        }
        not_negative(spec, &["replicas"], path, errors);
        let (template, path) = (member(spec, "template"), path.child("template"));
        if !has(spec, "template") {
            return errors.required(&path, "");
        }
        let selected =
            selectors::matches(&json!({ "matchLabels": member(spec, "selector") }), template::labels(template));
        template::validate_selected(selected, template, &path, errors);
        template::validate(template, &path, errors);
        template::validate_lasting(template, "ReplicationController", &path, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => validate_replica_status(at(new, &["status"]), errors),
            Part::Main | Part::Other(_) => self.validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "spec.replicas",
            "spec.selector",
            "spec.template.spec.containers.name",
            "spec.template.spec.containers.image",
            "status.replicas",
            "status.readyReplicas",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let mut cells = count_cells(object, now);
        cells.extend(template::cells(object, &["spec", "template"]));
        cells.push(selectors::labels_shown(at(object, &["spec"]), "selector").into());
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{context, create, create_errors, row};

    fn body() -> Value {
        json!({ "spec": { "template": {
            "metadata": { "labels": { "app": "web" } }, "spec": { "containers": [{ "name": "c", "image": "i:1" }] },
        } } })
    }

    #[test]
    fn labels_of_the_template_are_the_default() {
        let made = create(&row("", "replicationcontrollers"), body());
        assert_eq!(made.at(&["spec", "selector"]), Some(&json!({ "app": "web" })));
        assert_eq!(made.label("app"), Some("web"));
        assert_eq!((made.integer(&["spec", "replicas"]), made.generation()), (Some(1), Some(1)));
        assert_eq!(
            row("", "replicationcontrollers").strategy.cells(&made, context().now),
            [json!("a"), json!(1), json!(0), json!(0), json!("0s"), json!("c"), json!("i:1"), json!("app=web")]
        );
    }

    #[test]
    fn a_selector_that_finds_nothing_is_refused() {
        let mut body = body();
        body["spec"]["selector"] = json!({ "app": "db" });
        assert_eq!(
            create_errors(&row("", "replicationcontrollers"), body),
            [
                "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"
            ]
        );
        assert_eq!(
            create_errors(&row("", "replicationcontrollers"), json!({ "spec": {} })),
            ["spec.selector: Required value", "spec.template: Required value"]
        );
    }
}
