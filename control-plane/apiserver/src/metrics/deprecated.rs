//! Who still asks for what is deprecated.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{escape, head};

/// Group, version, plural and subresource.
type Name = (String, String, String, String);

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Deprecated(BTreeSet<Name>);

impl Deprecated {
    pub(super) fn asked(&mut self, group: &str, version: &str, resource: &str, subresource: &str) {
        self.0.insert((group.to_owned(), version.to_owned(), resource.to_owned(), subresource.to_owned()));
    }

    pub(super) fn write(&self, out: &mut String) {
        const NAME: &str = "apiserver_requested_deprecated_apis";
        head(out, NAME, "gauge", "Deprecated resources that were asked for.");
        for (group, version, resource, subresource) in &self.0 {
            let labels = [
                ("group", group.as_str()),
                ("removed_release", ""),
                ("resource", resource),
                ("subresource", subresource),
                ("version", version),
            ];
            let labels = labels.map(|(label, value)| format!("{label}=\"{}\"", escape(value)));
            let _ = writeln!(out, "{NAME}{{{}}} 1", labels.join(","));
        }
    }
}
