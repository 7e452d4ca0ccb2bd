//! Short ways to write down printer columns.

use crate::resource::Column;

const NAME: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a \
     client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and \
     configuration definition. Cannot be updated. More info: \
     https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be \
     set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in \
     UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: \
     https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

/// The first column.
pub(super) fn name() -> Column {
    Column { name: "Name".into(), kind: "string".into(), format: "name".into(), priority: 0, description: NAME.into() }
}

/// The age.
pub(super) fn age() -> Column {
    text("Age", AGE)
}

/// A column of text, always shown.
pub(super) fn text(name: &str, description: &str) -> Column {
    Column {
        name: name.into(),
        kind: "string".into(),
        format: String::new(),
        priority: 0,
        description: description.into(),
    }
}

/// A column of text, shown with `-o wide`.
pub(super) fn wide(name: &str, description: &str) -> Column {
    Column { priority: 1, ..text(name, description) }
}

/// What kinds without columns of their own have.
pub(super) fn name_and_age() -> Vec<Column> {
    vec![name(), age()]
}
