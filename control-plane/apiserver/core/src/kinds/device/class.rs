//! Device classes: kinds of devices by the name that claims call them.

use super::{validate_each, validate_opaque, validate_selectors};
use crate::field::{Errors, Path};
use crate::kinds::tree::{at, list, text};
use crate::names;
use crate::object::Object;
use crate::strategy::{Shape, Strategy};

const MOST_CONFIGS: usize = 32;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct DeviceClass;

impl Strategy for DeviceClass {
    fn shape(&self) -> Shape {
        Shape::Spec
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        validate_selectors(spec, &path, errors);
        validate_each(list(spec, "config"), MOST_CONFIGS, &path.child("config"), errors, validate_opaque);
        if let Some(name) = object.text(&["spec", "extendedResourceName"])
            && !is_extended(name)
        {
            errors.invalid(&path.child("extendedResourceName"), name, "must be a valid extended resource name");
        }
        // A text that is there is not empty.
        if spec.get("extendedResourceName").is_some() && text(spec, "extendedResourceName").is_empty() {
            errors.invalid(&path.child("extendedResourceName"), "", "must be a valid extended resource name");
        }
    }
}

/// Whether a name is one of a resource that is not the system's own, and can be limited by a quota.
fn is_extended(name: &str) -> bool {
    let Some((domain, _)) = name.split_once('/') else { return false };
    let own = domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") || name.starts_with("requests.");
    !own && names::qualified_name(&format!("requests.{name}")).is_empty()
}
