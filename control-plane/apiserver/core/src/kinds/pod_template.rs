//! Pod templates that stand alone.

use serde_json::{Value, json};

use super::tree::{self, at, member};
use super::{selectors, template};
use crate::field::{Errors, Path};
use crate::object::Object;
use crate::strategy::Strategy;

/// The strategy.
#[derive(Debug)]
pub(super) struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Object) {
        object.map_mut().entry("template").or_insert_with(|| json!({}));
        template::fill(object.map_mut());
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        template::validate(at(object, &["template"]), &Path::new("template"), errors);
    }

    fn generation_changes(&self, new: &Object, old: &Object) -> Option<bool> {
        Some(tree::changed(new, old, &["template"]))
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["template.metadata.labels", "template.spec.containers.name", "template.spec.containers.image"]
    }

    fn cells(&self, object: &Object, _: jiff::Timestamp) -> Vec<Value> {
        let mut cells = vec![object.name().unwrap_or_default().into()];
        cells.extend(template::cells(object, &["template"]));
        cells.push(selectors::labels_shown(member(at(object, &["template"]), "metadata"), "labels").into());
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::testing::{context, create, create_errors, row};

    #[test]
    fn a_template_is_filled_in_and_checked_like_a_pod() {
        let made = create(
            &row("", "podtemplates"),
            json!({ "template": {
                "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [{ "name": "c", "image": "i" }] },
            } }),
        );
        assert_eq!(made.text(&["template", "spec", "restartPolicy"]), Some("Always"));
        assert_eq!(made.at(&["template", "spec", "enableServiceLinks"]), None, "that is a default of pods only");
        assert_eq!(made.generation(), Some(1));
        assert_eq!(row("", "podtemplates").strategy.cells(&made, context().now), ["a", "c", "i", "a=b"]);
        assert_eq!(create_errors(&row("", "podtemplates"), json!({})), ["template.spec.containers: Required value"]);
    }
}
