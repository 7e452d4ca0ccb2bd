//! The two that do not look.

use apiserver_core::{Object, Status};

use crate::attributes::Attributes;
use crate::facts::Facts;
use crate::plugin::Plugin;

/// Lets everything in.
#[derive(Debug)]
pub(super) struct AlwaysAdmit;

impl Plugin for AlwaysAdmit {
    fn name(&self) -> &'static str {
        "AlwaysAdmit"
    }

    fn concerns(&self, _: &Attributes<'_>) -> bool {
        false
    }
}

/// Lets nothing in.
#[derive(Debug)]
pub(super) struct AlwaysDeny;

impl Plugin for AlwaysDeny {
    fn name(&self) -> &'static str {
        "AlwaysDeny"
    }

    fn concerns(&self, _: &Attributes<'_>) -> bool {
        true
    }

    fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        Err(attributes.forbidden(Some(object), "admission control is denying all modifications"))
    }

    fn validate(&self, attributes: &Attributes<'_>, object: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        Err(attributes.forbidden(object, "admission control is denying all modifications"))
    }
}
