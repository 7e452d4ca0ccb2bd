//! A resource as a row of data: everything the generic engine needs to know, and a [`Strategy`] for the rest.
//!
//! Rows are owned values, so that rows made at run time (custom resources) are no different from built-in ones.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use crate::object::Object;
use crate::outline::Outline;
use crate::status::Details;
use crate::strategy::Strategy;

/// Where everything lives in the store.
pub const STORE_ROOT: &str = "/registry/";

/// Whether objects live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One set for the cluster.
    Cluster,
    /// One set per namespace.
    Namespaced,
}

/// What can be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// POST on the collection
    Create,
    /// DELETE on one
    Delete,
    /// DELETE on the collection
    DeleteCollection,
    /// GET of one
    Get,
    /// GET of the collection
    List,
    /// PATCH
    Patch,
    /// PUT
    Update,
    /// GET with `watch`
    Watch,
}

impl Verb {
    /// Every verb, as most resources have them, in the order discovery lists them.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Delete,
        Self::DeleteCollection,
        Self::Get,
        Self::List,
        Self::Patch,
        Self::Update,
        Self::Watch,
    ];

    /// As in discovery and in authorization rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Get => "get",
            Self::List => "list",
            Self::Patch => "patch",
            Self::Update => "update",
            Self::Watch => "watch",
        }
    }
}

/// A path below an object, with verbs and possibly a kind of its own.
#[derive(Debug, Clone)]
pub struct Subresource {
    /// `status`, `finalize`, `binding`, …
    pub name: String,
    /// Group of the body's kind.
    pub group: String,
    /// Version of the body's kind.
    pub version: String,
    /// Kind of the body: the resource's own, or for example `Binding`.
    pub kind: String,
    /// Name of the body's schema definition; empty for connections.
    pub schema: String,
    /// What can be done.
    pub verbs: Vec<Verb>,
    /// Whether it connects to what the object stands for: its kind is that of the options in the query.
    pub connects: bool,
}

/// A printer column of the Table form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Heading, as `kubectl` upper-cases it.
    pub name: String,
    /// `string`, `integer`, …
    pub kind: String,
    /// `name` for the first column, else empty.
    pub format: String,
    /// 0: always shown. 1: with `-o wide`.
    pub priority: u8,
    /// For people.
    pub description: String,
}

/// A field that field selectors may name, besides `metadata.name` and `metadata.namespace`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectableField {
    /// As written in the selector: `spec.nodeName`.
    pub label: String,
    /// Where the value is; the first of these paths that holds something not empty wins.
    pub paths: Vec<Vec<String>>,
    /// The value when no path holds one: usually empty, `false` for flags.
    pub absent: String,
}

/// What selectors look at in objects with these selectable fields.
pub(crate) fn outline(selectable: &[SelectableField]) -> Outline {
    let fields = selectable.iter().flat_map(|field| &field.paths).map(|path| path.join("."));
    Outline::of(["metadata.name", "metadata.namespace", "metadata.labels"].map(str::to_owned).into_iter().chain(fields))
}

/// What the cells of a Table row look at.
pub(crate) fn cells_outline(strategy: &dyn Strategy) -> Outline {
    let always = ["metadata.name", "metadata.creationTimestamp", "metadata.deletionTimestamp"];
    Outline::of(always.iter().chain(strategy.cells_read()))
}

impl SelectableField {
    /// The value an object has for this field, in the form selectors compare.
    pub fn value(&self, object: &Object) -> String {
        self.paths
            .iter()
            .find_map(|path| {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                match object.at(&path)? {
                    Value::String(text) if text.is_empty() => None,
                    Value::String(text) => Some(text.clone()),
                    Value::Bool(flag) => Some(flag.to_string()),
                    Value::Number(number) => Some(number.to_string()),
                    Value::Null | Value::Array(_) | Value::Object(_) => None,
                }
            })
            .unwrap_or_else(|| self.absent.clone())
    }
}

/// Another version in which the objects of a resource are served.
#[derive(Debug, Clone)]
pub struct Twin {
    /// `v1` or `apps/v1`.
    pub api_version: String,
    /// Name of the schema definition of one object.
    pub schema: String,
    /// The rules of that version.
    pub strategy: Arc<dyn Strategy>,
}

/// One served resource in one version.
#[expect(clippy::struct_excessive_bools, reason = "each is a word a row of the table may say")]
#[derive(Debug, Clone)]
pub struct Resource {
    /// API group; empty for the core group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind of one object.
    pub kind: String,
    /// Name in paths.
    pub plural: String,
    /// Name of one, lower case.
    pub singular: String,
    /// Names for lazy typists.
    pub short_names: Vec<String>,
    /// Groups of resources, such as `all`.
    pub categories: Vec<String>,
    /// Cluster or namespace.
    pub scope: Scope,
    /// What can be done.
    pub verbs: Vec<Verb>,
    /// Paths below an object.
    pub subresources: Vec<Subresource>,
    /// Columns of the Table form.
    pub columns: Vec<Column>,
    /// Fields for field selectors, besides name and namespace.
    pub selectable: Vec<SelectableField>,
    /// What [`Resource::selectable_values`] and label selectors look at.
    pub outline: Outline,
    /// What the cells of a Table row look at.
    pub cells_outline: Outline,
    /// Whether objects are kept. Those of other resources are questions: answered, and forgotten.
    pub stored: bool,
    /// Where objects live in the store, below [`STORE_ROOT`], without slashes at its ends: `services/specs`.
    pub storage: String,
    /// Name of the schema definition of one object.
    pub schema: String,
    /// Whether a complete deletion answers with the object instead of a Status.
    pub returns_deleted: bool,
    /// Whether PUT of an absent object creates it.
    pub create_on_update: bool,
    /// Whether PUT without a resource version overwrites whatever is there.
    pub unconditional_update: bool,
    /// A warning sent with every request to this resource, for deprecated ones.
    pub deprecation: Option<String>,
    /// What differs from other kinds.
    pub strategy: Arc<dyn Strategy>,
    /// The same objects in other versions.
    pub twins: Vec<Twin>,
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `PodList`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Whether objects live in namespaces.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the verb is served.
    pub fn allows(&self, verb: Verb) -> bool {
        self.verbs.contains(&verb)
    }

    /// Whether that path below an object is a connection.
    pub fn connects(&self, subresource: &str) -> bool {
        self.subresource(subresource).is_some_and(|one| one.connects)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|one| one.name == name)
    }

    /// Key of an object in the store.
    pub fn key(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}{name}", self.key_prefix(namespace))
    }

    /// Prefix of all keys of the resource, or of those in one namespace. Ends in a slash.
    pub fn key_prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.is_namespaced() => format!("{STORE_ROOT}{}/{namespace}/", self.storage),
            Some(_) | None => format!("{STORE_ROOT}{}/", self.storage),
        }
    }

    /// Namespace and name out of a key; `None` if the key is not one of this resource's.
    pub fn parse_key<'a>(&self, key: &'a str) -> Option<(Option<&'a str>, &'a str)> {
        let rest = key.strip_prefix(STORE_ROOT)?.strip_prefix(self.storage.as_str())?.strip_prefix('/')?;
        match (self.scope, rest.split_once('/')) {
            (Scope::Cluster, None) if !rest.is_empty() => Some((None, rest)),
            (Scope::Namespaced, Some((namespace, name)))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Some((Some(namespace), name))
            }
            (Scope::Cluster | Scope::Namespaced, _) => None,
        }
    }

    /// Where among [`Resource::selectable_values`] the field of that name is. Rows that share a place in the store name their
    /// fields differently, and have them in the same order.
    pub fn selectable_position(&self, label: &str) -> Option<usize> {
        let own = 1 + usize::from(self.is_namespaced());
        match label {
            "metadata.name" => Some(0),
            "metadata.namespace" if self.is_namespaced() => Some(1),
            _ => self.selectable.iter().position(|field| field.label == label).map(|at| at + own),
        }
    }

    /// Name, namespace (if namespaced) and every selectable field of an object, as field selectors see them; in the order of
    /// [`Resource::selectable_position`].
    pub fn selectable_values<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = Cow<'a, str>> {
        let namespace = self.is_namespaced().then(|| object.namespace().unwrap_or_default());
        let own = [Some(object.name().unwrap_or_default()), namespace].into_iter().flatten().map(Cow::Borrowed);
        own.chain(self.selectable.iter().map(|field| Cow::Owned(field.value(object))))
    }

    /// Status details that name an object of this resource.
    pub(crate) fn details(&self, name: &str) -> Details {
        Details { name: name.into(), group: self.group.clone(), kind: self.plural.clone(), ..Details::default() }
    }
}
