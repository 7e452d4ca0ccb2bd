//! The table of all served resources. A value: serving one more resource means making a new table.

use std::sync::Arc;

use crate::kinds;
use crate::resource::Resource;

/// Which resources are served, in the order of discovery.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    rows: Vec<Arc<Resource>>,
}

impl Registry {
    /// The built-in kinds.
    pub fn built_in() -> Self {
        Self { rows: kinds::rows().into_iter().map(Arc::new).collect() }
    }

    /// This table with one more row; a row for the same group, version and plural is replaced.
    #[must_use]
    pub fn with(&self, row: Resource) -> Self {
        let mut rows: Vec<Arc<Resource>> = self
            .rows
            .iter()
            .filter(|one| (&one.group, &one.version, &one.plural) != (&row.group, &row.version, &row.plural))
            .cloned()
            .collect();
        rows.push(Arc::new(row));
        Self { rows }
    }

    /// All rows.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.rows.iter()
    }

    /// The row that serves a path.
    pub fn lookup(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.rows.iter().find(|row| row.group == group && row.version == version && row.plural == plural)
    }

    /// The row of a kind.
    pub fn by_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.rows.iter().find(|row| row.group == group && row.version == version && row.kind == kind)
    }

    /// Group names with their versions, preferred first, the core group (empty name) included, in the order of discovery.
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|(group, _)| *group == row.group) {
                Some((_, versions)) if versions.contains(&row.version) => {}
                Some((_, versions)) => versions.push(row.version.clone()),
                None => groups.push((row.group.clone(), vec![row.version.clone()])),
            }
        }
        groups
    }

    /// Rows of one group-version.
    pub fn of_group_version<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> + 'a {
        self.rows.iter().filter(move |row| row.group == group && row.version == version)
    }
}
