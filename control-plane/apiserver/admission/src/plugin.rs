//! What a plugin is.

use std::fmt::Debug;

use apiserver_core::{Object, Status};

use crate::attributes::Attributes;
use crate::facts::{Facts, View};

/// One rule of admission.
pub trait Plugin: Debug + Send + Sync {
    /// The name on the command line, in messages and in metrics.
    fn name(&self) -> &'static str;

    /// Whether it has anything to do with a request. Cheap: it is asked for every write.
    fn concerns(&self, attributes: &Attributes<'_>) -> bool;

    /// What it looks at: the server waits until its caches have seen its own writes to these.
    fn reads(&self) -> &'static [View] {
        &[]
    }

    /// Changes or refuses an object before it is validated. Deletions bring none, and are asked about in
    /// [`validate`](Plugin::validate) only.
    ///
    /// # Errors
    ///
    /// The refusal.
    fn mutate(&self, _: &Attributes<'_>, _: &mut Object, _: &dyn Facts) -> Result<(), Status> {
        Ok(())
    }

    /// Refuses an object after it was validated, or a deletion.
    ///
    /// # Errors
    ///
    /// The refusal.
    fn validate(&self, _: &Attributes<'_>, _: Option<&Object>, _: &dyn Facts) -> Result<(), Status> {
        Ok(())
    }
}
