//! A binding as the index keeps it.

use std::fmt;
use std::sync::Arc;

use apiserver_core::Object;
use apiserver_core::user::User;
use serde_json::Value;

/// The role a binding names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

impl RoleRef {
    /// That of a binding.
    pub fn of(binding: &Object) -> Self {
        let text = |name: &str| binding.text(&["roleRef", name]).unwrap_or_default().to_owned();
        Self { kind: text("kind"), name: text("name") }
    }
}

/// Who has a role.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// The name of the user or group.
    pub(super) who: Arc<str>,
    pub(super) is_group: bool,
    /// As people write it.
    shown: String,
}

/// A binding.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Empty for one of the cluster.
    pub(super) namespace: String,
    pub(super) name: String,
    /// Its role.
    pub(super) role: RoleRef,
    pub(super) subjects: Vec<Subject>,
}

impl Binding {
    /// Reads a binding. A subject of no known kind is nobody.
    pub(super) fn read(namespace: &str, name: &str, object: &Object) -> Self {
        let subjects = object.list(&["subjects"]).iter().filter_map(|subject| self::subject(subject, namespace));
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            role: RoleRef::of(object),
            subjects: subjects.collect(),
        }
    }
}

fn subject(value: &Value, namespace: &str) -> Option<Subject> {
    let text = |name: &str| value[name].as_str().unwrap_or_default();
    let (kind, name) = (text("kind"), text("name"));
    let plain = |is_group| Some(Subject { who: name.into(), is_group, shown: format!("{kind} {name:?}") });
    match kind {
        "User" => plain(false),
        "Group" => plain(true),
        "ServiceAccount" => {
            let namespace = Some(text("namespace")).filter(|text| !text.is_empty()).unwrap_or(namespace);
            (!namespace.is_empty()).then(|| Subject {
                who: format!("system:serviceaccount:{namespace}:{name}").into(),
                is_group: false,
                shown: format!("{kind} {:?}", format!("{name}/{namespace}")),
            })
        }
        _ => None,
    }
}

/// A binding and whom it serves, as reasons name them.
pub struct Bound<'a> {
    /// The binding.
    pub binding: &'a Binding,
    /// Whom.
    pub user: &'a User,
}

impl fmt::Display for Bound<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Binding { namespace, name, role, subjects } = self.binding;
        let serves = |subject: &&Subject| {
            let names = |group: &String| **group == *subject.who;
            if subject.is_group { self.user.groups.iter().any(names) } else { *self.user.name == *subject.who }
        };
        let shown = subjects.iter().find(serves).map_or("", |subject| subject.shown.as_str());
        if namespace.is_empty() {
            write!(out, "ClusterRoleBinding {name:?}")?;
        } else {
            write!(out, "RoleBinding {:?}", format!("{name}/{namespace}"))?;
        }
        write!(out, " of {} {:?} to {shown}", role.kind, role.name)
    }
}
