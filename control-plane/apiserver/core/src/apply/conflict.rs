//! Fields that another manager owns with another value.

use super::element::{PathElement, display};
use super::managers::Manager;
use crate::status::{Cause, Details, Reason, Status};

/// One field and who owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    manager: Manager,
    pub(super) path: Vec<PathElement>,
    field: String,
}

impl Conflict {
    pub(super) fn new(manager: &Manager, path: &[&PathElement]) -> Self {
        Self {
            manager: manager.clone(),
            path: path.iter().map(|element| (*element).clone()).collect(),
            field: display(path),
        }
    }
}

/// 409, with a cause for each field.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let causes = conflicts.iter().map(|conflict| Cause {
        reason: "FieldManagerConflict".to_owned(),
        message: format!("conflict with {}", conflict.manager),
        field: conflict.field.clone(),
    });
    let message = match conflicts {
        [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.field),
        many => {
            let mut lines: Vec<String> = Vec::new();
            let mut last: Option<&Manager> = None;
            for conflict in many {
                if last != Some(&conflict.manager) {
                    lines.push(format!("conflicts with {}:", conflict.manager));
                    last = Some(&conflict.manager);
                }
                lines.push(format!("- {}", conflict.field));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    Status {
        code: 409,
        reason: Reason::Conflict,
        message,
        details: Some(Box::new(Details { causes: causes.collect(), ..Details::default() })),
        continue_token: None,
    }
}
