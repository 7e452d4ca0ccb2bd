//! What the tests of plugins share: a small cluster of facts, and a request in one line.

use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

use apiserver_core::user::User;
use apiserver_core::{Object, Registry, Resource, Status};
use serde_json::Value;

use crate::attributes::{Attributes, Notes, Operation};
use crate::facts::{Facts, Phase, Question, View, views};
use crate::plugin::Plugin;

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);
static OPTIONS: Value = Value::Null;

/// Objects by the view they are seen in; rights by verb and name.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) objects: Vec<(View, Arc<Object>)>,
    pub(crate) rights: Vec<(&'static str, String)>,
    pub(crate) asked: RefCell<Vec<Question>>,
}

impl World {
    /// The same with one more object.
    pub(crate) fn with(mut self, view: View, object: Value) -> Self {
        self.objects.push((view, Arc::new(self::object(object))));
        self
    }
}

impl Facts for World {
    fn get(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>> {
        let is = |object: &Object| object.name() == Some(name) && object.namespace() == namespace;
        self.objects.iter().find(|(seen, object)| *seen == view && is(object)).map(|(_, object)| Arc::clone(object))
    }

    fn get_soon(&self, view: View, namespace: Option<&str>, name: &str) -> Option<Arc<Object>> {
        self.get(view, namespace, name)
    }

    fn list(&self, view: View, namespace: Option<&str>) -> Vec<Arc<Object>> {
        let is = |object: &Object| namespace.is_none() || object.namespace() == namespace;
        let found = self.objects.iter().filter(|(seen, object)| *seen == view && is(object));
        found.map(|(_, object)| Arc::clone(object)).collect()
    }

    fn namespace(&self, name: &str) -> Option<Phase> {
        let found = self.get(views::NAMESPACES, None, name)?;
        Some(if found.text(&["status", "phase"]) == Some("Terminating") { Phase::Terminating } else { Phase::Active })
    }

    fn resource(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        REGISTRY.by_kind(group, version, kind).cloned()
    }

    fn may(&self, question: Question) -> bool {
        let may = self.rights.iter().any(|(verb, name)| *verb == question.verb && *name == question.name);
        self.asked.borrow_mut().push(question);
        may
    }

    fn suffix(&self) -> String {
        "bcdfg".to_owned()
    }

    fn now(&self) -> jiff::Timestamp {
        "2026-08-01T10:00:00Z".parse().unwrap()
    }
}

/// A request of a plugin's tests.
pub(crate) struct Request {
    pub(crate) operation: Operation,
    pub(crate) row: Arc<Resource>,
    pub(crate) subresource: Option<&'static str>,
    pub(crate) namespace: Option<&'static str>,
    pub(crate) name: Option<&'static str>,
    pub(crate) old: Option<Object>,
    pub(crate) user: User,
    pub(crate) notes: Notes,
}

/// An object of a tree.
pub(crate) fn object(value: Value) -> Object {
    Object::from_value(value).expect("an object")
}

/// The row of a plural.
pub(crate) fn row(group: &str, plural: &str) -> Arc<Resource> {
    let found = REGISTRY.iter().find(|row| row.group == group && row.plural == plural);
    Arc::clone(found.unwrap_or_else(|| panic!("{plural} of {group:?} are not served")))
}

/// A POST.
pub(crate) fn create(group: &str, plural: &str) -> Request {
    let row = row(group, plural);
    let namespace = row.is_namespaced().then_some("default");
    let user = User { name: "ann".into(), ..User::default() };
    Request {
        operation: Operation::Create,
        row,
        subresource: None,
        namespace,
        name: None,
        old: None,
        user,
        notes: Notes::default(),
    }
}

/// A PUT.
pub(crate) fn update(group: &str, plural: &str, subresource: Option<&'static str>, old: Value) -> Request {
    let old = Some(object(old));
    Request { operation: Operation::Update, subresource, name: Some("a"), old, ..create(group, plural) }
}

impl Request {
    pub(crate) fn attributes(&self) -> Attributes<'_> {
        Attributes {
            operation: self.operation,
            resource: &self.row,
            subresource: self.subresource,
            namespace: self.namespace,
            name: self.name,
            old: self.old.as_ref(),
            options: &OPTIONS,
            user: &self.user,
            dry_run: false,
            notes: &self.notes,
        }
    }

    /// What a plugin makes of an object.
    pub(crate) fn mutate(&self, plugin: &dyn Plugin, value: Value, world: &World) -> Result<Value, Status> {
        let (attributes, mut object) = (self.attributes(), object(value));
        if plugin.concerns(&attributes) {
            plugin.mutate(&attributes, &mut object, world)?;
        }
        Ok(object.into_value())
    }

    /// What a plugin says to an object.
    pub(crate) fn validate(&self, plugin: &dyn Plugin, value: Value, world: &World) -> Result<(), String> {
        let (attributes, object) = (self.attributes(), object(value));
        let object = (self.operation != Operation::Delete).then_some(&object);
        let outcome = if plugin.concerns(&attributes) { plugin.validate(&attributes, object, world) } else { Ok(()) };
        outcome.map_err(|status| status.message)
    }
}
