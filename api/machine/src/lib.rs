//! The machine configuration: one YAML document, as written ([`raw`]) and as checked ([`MachineConfig`]).
//!
//! [`MachineConfig::parse`] is strict: an unknown field, a wrong type, an address that is none are errors. All errors
//! of a document are reported at once, each with the path of its field and its line. Defaults are computed here, when
//! the document is read; they are never stored.

mod address;
mod checked;
mod decode;
pub mod raw;
mod tree;

use std::fmt;

pub use address::{Endpoint, Prefix, is_host_name};
pub use checked::{Cluster, DiskSelector, Interface, LinkName, Mac, Machine, MachineConfig, Network, Route};

/// The only `apiVersion` there is.
pub const API_VERSION: &str = "orlop.dev/v1alpha1";

/// The only `kind` there is.
pub const KIND: &str = "MachineConfig";

/// A document larger than this is not read: a config of a hundred interfaces has about 20 KiB.
pub const MAX_BYTES: usize = 256 * 1024;

/// One thing that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line of the field, from 1; 0 if the field is missing or the document is empty.
    pub line: u64,
    /// Path of the field, for example `machine.network.interfaces[0].mtu`; empty for the document itself.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with a document, in the order of its lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The published JSON Schema of the document, for editors and for checks before a machine sees it.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(raw::Document).to_value()
}
