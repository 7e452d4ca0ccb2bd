//! The built-in kinds, one file each: a row, and a strategy where the kind has rules of its own.

pub mod service;

use crate::resource::Resource;

/// Every built-in row, in the order of discovery.
pub(crate) fn rows() -> Vec<Resource> {
    vec![]
}
