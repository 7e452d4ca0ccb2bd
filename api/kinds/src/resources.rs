//! The rows of the resources, as the build wrote them.

use serde::Deserialize;

/// A resource: one kind in one version under its name in paths.
#[expect(clippy::struct_excessive_bools, reason = "each is a word a row of the table may say")]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Resource {
    /// Name of the schema definition of one object.
    pub definition: String,
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Name in paths.
    pub plural: String,
    /// Where objects live in the store, below its root.
    pub storage: String,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What can be done, in the words of discovery.
    pub verbs: Vec<String>,
    /// Names for lazy typists.
    pub short_names: Vec<String>,
    /// Groups of resources, such as `all`.
    pub categories: Vec<String>,
    /// Paths below an object.
    pub subresources: Vec<Subresource>,
    /// Fields for field selectors, besides name and namespace.
    pub selectable: Vec<SelectableField>,
    /// Columns of the Table form.
    pub columns: Vec<Column>,
    /// Whether a complete deletion answers with the object instead of a Status.
    pub returns_deleted: bool,
    /// Whether PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether PUT without a resource version overwrites whatever is there.
    pub unconditional_update: bool,
    /// Whether objects are kept. Those of other resources are questions: answered, and forgotten.
    pub stored: bool,
    /// A warning for every request.
    pub deprecation: Option<String>,
}

/// A path below an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subresource {
    /// `status`, `scale`, …
    pub name: String,
    /// Group of the body's kind.
    pub group: String,
    /// Version of the body's kind.
    pub version: String,
    /// Kind of the body.
    pub kind: String,
    /// Name of the body's schema definition; empty for connections.
    pub definition: String,
    /// What can be done.
    pub verbs: Vec<String>,
    /// Whether it connects to what the object stands for.
    #[serde(default)]
    pub connects: bool,
}

/// A field for field selectors.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SelectableField {
    /// As written in the selector.
    pub label: String,
    /// Where the value is; the first of these paths that holds something not empty wins.
    pub paths: Vec<String>,
    /// The value when no path holds one.
    pub absent: String,
}

/// A printer column.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Heading.
    pub name: String,
    /// `string`, `integer`, …
    pub kind: String,
    /// `name` for the name, else empty.
    pub format: String,
    /// 0: always shown. 1: with `-o wide`.
    pub priority: u8,
    /// For people.
    pub description: String,
}

/// All rows, in the order of discovery.
pub fn resources() -> Vec<Resource> {
    let text = include_str!(concat!(env!("OUT_DIR"), "/resources.json"));
    serde_json::from_str(text).expect("a test parses what the build wrote")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_places_are_taken_once() {
        let rows = resources();
        let names: BTreeSet<_> = rows.iter().map(|row| (&row.group, &row.version, &row.plural)).collect();
        assert_eq!(names.len(), rows.len());
        for row in &rows {
            let sharing = rows.iter().filter(|one| one.storage == row.storage);
            assert!(sharing.clone().all(|one| one.kind == row.kind), "{} is used twice", row.storage);
        }
    }

    #[test]
    fn a_row_has_what_the_table_says() {
        let rows = resources();
        let pods = rows.iter().find(|row| row.plural == "pods").expect("pods");
        assert_eq!((pods.kind.as_str(), pods.namespaced, pods.returns_deleted), ("Pod", true, true));
        assert_eq!(pods.columns[0].format, "name");
        let binding = pods.subresources.iter().find(|one| one.name == "binding").expect("a binding");
        assert_eq!((binding.kind.as_str(), binding.verbs.as_slice()), ("Binding", ["create".to_owned()].as_slice()));
        let events = rows.iter().find(|row| row.plural == "events").expect("events");
        let source = events.selectable.iter().find(|one| one.label == "source").expect("the source");
        assert_eq!(source.paths, ["source.component", "reportingComponent"]);
    }
}
