//! Which objects a list, watch or deletecollection is about.

mod fields;
mod labels;

pub use fields::FieldSelector;
pub use labels::LabelSelector;

use crate::object::Object;
use crate::resource::Resource;

/// A label selector and a field selector, both of which an object must match.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// On `metadata.labels`.
    pub labels: LabelSelector,
    /// On the resource's selectable fields.
    pub fields: FieldSelector,
}

impl Selection {
    /// Whether everything matches.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    /// Whether a parsed object matches.
    pub fn matches(&self, resource: &Resource, object: &Object) -> bool {
        self.labels.matches(|key| object.label(key))
            && (self.fields.is_everything() || {
                let values: Vec<_> = resource.selectable_values(object).collect();
                let value = |label: &str| values.get(resource.selectable_position(label)?).map(AsRef::as_ref);
                self.fields.matches(|label| value(label).unwrap_or_default())
            })
    }
}
