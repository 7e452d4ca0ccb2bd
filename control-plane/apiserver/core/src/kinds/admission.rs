//! Admission: who is asked, and which rules hold, before an object is stored.

mod policy;
mod rules;
mod webhook;

pub(super) use policy::{Binding, MutatingAdmissionPolicy, ValidatingAdmissionPolicy};
pub(super) use webhook::{MUTATING, VALIDATING, validate_service, validate_url};

#[cfg(test)]
mod tests;
