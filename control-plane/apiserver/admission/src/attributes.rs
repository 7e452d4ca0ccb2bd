//! A request as admission sees it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use apiserver_core::status::Cause;
use apiserver_core::user::User;
use apiserver_core::{Object, Resource, Status};
use serde_json::Value;

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or something posted to one.
    Create,
    /// A change, by whatever verb.
    Update,
    /// A deletion, of one or of one of many.
    Delete,
    /// A connection to what the object stands for.
    Connect,
}

impl Operation {
    /// As webhooks and policies name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// A request, all but the object it brings.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// The row of the path.
    pub resource: &'a Resource,
    /// The subresource of the path.
    pub subresource: Option<&'a str>,
    /// The namespace of the path.
    pub namespace: Option<&'a str>,
    /// The name of the path. `None` when it is still to be made, and when a collection is deleted.
    pub name: Option<&'a str>,
    /// The object that is there, for changes and deletions.
    pub old: Option<&'a Object>,
    /// `CreateOptions`, `UpdateOptions`, `PatchOptions` or `DeleteOptions`; null for connections.
    pub options: &'a Value,
    /// Who asks.
    pub user: &'a User,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// What is said besides.
    pub notes: &'a Notes,
}

/// What plugins say besides yes and no. Said twice counts once: a plugin may be asked again.
#[derive(Debug, Default)]
pub struct Notes {
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notes {
    /// Says something to the client.
    pub fn warn(&self, warning: impl Into<String>) {
        let (warning, mut warnings) = (warning.into(), locked(&self.warnings));
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }

    /// Says something to the audit log; `key` begins with the plugin's domain.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        locked(&self.annotations).insert(key.into(), value.into());
    }

    /// Takes what was said.
    pub fn take(&self) -> (Vec<String>, BTreeMap<String, String>) {
        (std::mem::take(&mut *locked(&self.warnings)), std::mem::take(&mut *locked(&self.annotations)))
    }
}

impl Attributes<'_> {
    /// Whether the request is on a resource, whatever its version, and on one of the subresources (none is the object itself).
    pub fn is_on(&self, group: &str, plural: &str, subresource: Option<&str>) -> bool {
        self.resource.plural == plural && self.resource.group == group && self.subresource == subresource
    }

    /// Whether an object is created or changed as such, not by a subresource.
    pub fn writes(&self, group: &str, plural: &str) -> bool {
        matches!(self.operation, Operation::Create | Operation::Update) && self.is_on(group, plural, None)
    }

    /// Whether an object is created.
    pub fn creates(&self, group: &str, plural: &str) -> bool {
        self.operation == Operation::Create && self.is_on(group, plural, None)
    }

    /// The name in refusals: of a new object it may be only what its name will begin with.
    pub fn shown_name<'a>(&'a self, object: Option<&'a Object>) -> &'a str {
        let given = self.name.filter(|name| !name.is_empty());
        let own = || object.and_then(|object| object.name().or_else(|| object.generate_name()));
        given.or_else(own).unwrap_or("Unknown")
    }

    /// 403, with `why` as the end of the sentence.
    pub fn forbidden(&self, object: Option<&Object>, why: &str) -> Status {
        Status::forbidden(self.resource, self.shown_name(object), why)
    }

    /// The same with a cause that programs can tell.
    pub fn forbidden_for(&self, object: Option<&Object>, why: &str, cause: &str) -> Status {
        let mut status = self.forbidden(object, why);
        let details = status.details.get_or_insert_default();
        details.causes.push(Cause { reason: cause.to_owned(), message: String::new(), field: String::new() });
        status
    }
}
