//! JSON patches: RFC 6902, with bounds.

use json_patch::PatchOperation;
use serde_json::Value;

use crate::status::Status;

/// Operations in one patch.
const OPERATIONS_LIMIT: usize = 10_000;
/// What all `copy` operations together may add: without a bound a short patch doubles the object with each line.
const COPY_LIMIT: usize = 3 * 1024 * 1024;

/// The operations of a patch.
#[derive(Debug, Clone)]
pub(super) struct Operations(Vec<PatchOperation>);

impl Operations {
    pub(super) fn parse(value: Value) -> Result<Self, Status> {
        if let Some(count) = value.as_array().map(Vec::len).filter(|count| *count > OPERATIONS_LIMIT) {
            return Err(Status::too_large(format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_LIMIT}, got {count}"
            )));
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
    }

    pub(super) fn apply(&self, mut value: Value) -> Result<Value, Status> {
        let mut copied = 0;
        for operation in &self.0 {
            if let PatchOperation::Copy(copy) = operation {
                copied += copy.from.resolve(&value).map_or(0, |source| source.to_string().len());
                if copied > COPY_LIMIT {
                    return Err(Status::rejected_patch());
                }
            }
            json_patch::patch(&mut value, std::slice::from_ref(operation)).map_err(|_| Status::rejected_patch())?;
        }
        Ok(value)
    }
}
