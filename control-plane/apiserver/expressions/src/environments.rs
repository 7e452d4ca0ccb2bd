//! Which variables, types and functions there are where an expression stands.

mod schema;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use cel::{Environment, ObjectTypes, Type};

use crate::libraries;

pub use schema::{declare, escaped};

static BASE: LazyLock<Environment> = LazyLock::new(libraries::base);

/// Every function of Kubernetes, and no variable.
pub fn base() -> Environment {
    BASE.clone()
}

/// Messages, by name and field.
#[derive(Debug, Clone, Default)]
pub struct Types {
    objects: HashMap<String, BTreeMap<String, Type>>,
    /// Whether `Object`, all that is in it and `JSONPatch` can be made.
    patches: bool,
}

impl ObjectTypes for Types {
    fn exists(&self, object: &str) -> bool {
        self.objects.contains_key(object)
            || self.patches && (object == "JSONPatch" || object == "Object" || object.starts_with("Object."))
    }

    fn field(&self, object: &str, field: &str) -> Option<Type> {
        if let Some(fields) = self.objects.get(object) {
            return fields.get(field).cloned();
        }
        match (self.exists(object), object, field) {
            (true, "JSONPatch", "op" | "path" | "from") => Some(Type::String),
            (true, "JSONPatch", "value") => Some(Type::Dyn),
            (true, "JSONPatch", _) | (false, ..) => None,
            (true, ..) => Some(Type::Dyn),
        }
    }
}

impl Types {
    /// Adds a message.
    #[must_use]
    pub fn with<'f>(mut self, name: &str, fields: impl IntoIterator<Item = (&'f str, Type)>) -> Self {
        let fields = fields.into_iter().map(|(field, of)| (field.to_owned(), of)).collect();
        self.objects.insert(name.to_owned(), fields);
        self
    }
}

fn strings() -> Type {
    Type::list(Type::String)
}

/// The messages of a request to admit and of a namespace.
fn admission_types() -> Types {
    use Type::{Bool, Dyn, Int, String, Timestamp};
    let object = Type::object;
    let labels = || Type::map(String, String);
    Types::default()
        .with("kubernetes.GroupVersionKind", [("group", String), ("version", String), ("kind", String)])
        .with("kubernetes.GroupVersionResource", [("group", String), ("version", String), ("resource", String)])
        .with(
            "kubernetes.UserInfo",
            [("username", String), ("uid", String), ("groups", strings()), ("extra", Type::map(String, strings()))],
        )
        .with(
            "kubernetes.AdmissionRequest",
            [
                ("kind", object("kubernetes.GroupVersionKind")),
                ("resource", object("kubernetes.GroupVersionResource")),
                ("subResource", String),
                ("requestKind", object("kubernetes.GroupVersionKind")),
                ("requestResource", object("kubernetes.GroupVersionResource")),
                ("requestSubResource", String),
                ("name", String),
                ("namespace", String),
                ("operation", String),
                ("userInfo", object("kubernetes.UserInfo")),
                ("dryRun", Bool),
                ("options", Dyn),
            ],
        )
        .with("kubernetes.NamespaceSpec", [("finalizers", strings())])
        .with(
            "kubernetes.NamespaceCondition",
            [
                ("status", String),
                ("type", String),
                ("lastTransitionTime", Timestamp),
                ("message", String),
                ("reason", String),
            ],
        )
        .with(
            "kubernetes.NamespaceStatus",
            [("conditions", Type::list(object("kubernetes.NamespaceCondition"))), ("phase", String)],
        )
        .with(
            "kubernetes.NamespaceMetadata",
            [
                ("name", String),
                ("generateName", String),
                ("namespace", String),
                ("labels", labels()),
                ("annotations", labels()),
                ("UID", String),
                ("creationTimestamp", Timestamp),
                ("deletionGracePeriodSeconds", Int),
                ("deletionTimestamp", Timestamp),
                ("generation", Int),
                ("resourceVersion", String),
                ("finalizers", strings()),
            ],
        )
        .with(
            "kubernetes.Namespace",
            [
                ("metadata", object("kubernetes.NamespaceMetadata")),
                ("spec", object("kubernetes.NamespaceSpec")),
                ("status", object("kubernetes.NamespaceStatus")),
            ],
        )
}

/// Where expressions about a request to admit stand, and what they may use there.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    /// Whether there are parameters.
    pub params: bool,
    /// Whether patches can be made.
    pub patches: bool,
    /// The types of the variables that the policy itself declares, in order.
    pub variables: Vec<(String, Type)>,
    /// The type of `object` and `oldObject`, where it is known: for warnings only.
    pub object: Option<Type>,
    /// Messages besides those that there always are.
    pub types: Types,
}

impl Admission {
    /// The environment. Its variables are numbered: `object`, `oldObject`, `namespaceObject`, `request`, `authorizer`,
    /// `authorizer.requestResource`, `params`, then those of the policy; [`ADMISSION_VARIABLES`] come before those.
    pub fn environment(&self) -> Environment {
        let mut types = admission_types();
        types.patches = self.patches;
        types.objects.extend(self.types.objects.clone());
        let declared = self.variables.iter().map(|(name, of)| (name.as_str(), of.clone()));
        let types = types.with("kubernetes.variables", declared);
        let object = self.object.clone().unwrap_or(Type::Dyn);
        // What is not there has a place, and a name that no expression can say.
        let params = if self.params { "params" } else { "#params" };
        let mut environment = base()
            .objects(Arc::new(types))
            .variable("object", object.clone())
            .variable("oldObject", object)
            .variable("namespaceObject", Type::object("kubernetes.Namespace"))
            .variable("request", Type::object("kubernetes.AdmissionRequest"))
            .variable("authorizer", Type::opaque("kubernetes.authorization.Authorizer"))
            .variable("authorizer.requestResource", Type::opaque("kubernetes.authorization.ResourceCheck"))
            .variable(params, Type::Dyn);
        for (name, of) in &self.variables {
            environment = environment.variable(&format!("variables.{name}"), of.clone());
        }
        if self.patches {
            environment = environment.with(libraries::patches());
        }
        environment.variable("variables", Type::object("kubernetes.variables"))
    }
}

/// How many variables come before those of a policy.
pub const ADMISSION_VARIABLES: usize = 7;

/// Match conditions of authorization webhooks: `request`, as the spec of a `SubjectAccessReview`.
pub fn authorization() -> Environment {
    use Type::String;
    let object = Type::object;
    let requirement = Type::object("kubernetes.SelectorRequirement");
    let selector = [("rawSelector", String), ("requirements", Type::list(requirement))];
    let types = Types::default()
        .with("kubernetes.SelectorRequirement", [("key", String), ("operator", String), ("values", strings())])
        .with("kubernetes.FieldSelectorAttributes", selector.clone())
        .with("kubernetes.LabelSelectorAttributes", selector)
        .with(
            "kubernetes.ResourceAttributes",
            [
                ("namespace", String),
                ("verb", String),
                ("group", String),
                ("version", String),
                ("resource", String),
                ("subresource", String),
                ("name", String),
                ("fieldSelector", object("kubernetes.FieldSelectorAttributes")),
                ("labelSelector", object("kubernetes.LabelSelectorAttributes")),
            ],
        )
        .with("kubernetes.NonResourceAttributes", [("path", String), ("verb", String)])
        .with(
            "kubernetes.SubjectAccessReviewSpec",
            [
                ("resourceAttributes", object("kubernetes.ResourceAttributes")),
                ("nonResourceAttributes", object("kubernetes.NonResourceAttributes")),
                ("user", String),
                ("groups", strings()),
                ("extra", Type::map(String, strings())),
                ("uid", String),
            ],
        );
    base().objects(Arc::new(types)).variable("request", object("kubernetes.SubjectAccessReviewSpec"))
}

/// Mappings and rules on the claims of a token: `claims`.
pub fn claims() -> Environment {
    base().variable("claims", Type::map(Type::String, Type::Dyn))
}

/// Rules on the user that a token makes: `user`.
pub fn user() -> Environment {
    let fields = [
        ("username", Type::String),
        ("uid", Type::String),
        ("groups", strings()),
        ("extra", Type::map(Type::String, strings())),
    ];
    let types = Types::default().with("kubernetes.UserInfo", fields);
    base().objects(Arc::new(types)).variable("user", Type::object("kubernetes.UserInfo"))
}

/// Rules in schemas: `self` and `oldSelf`, of the types that the schema says.
pub fn schema(of: &Type, types: Types, old_is_optional: bool) -> Environment {
    let old = if old_is_optional { Type::optional(of.clone()) } else { of.clone() };
    base().objects(Arc::new(types)).variable("self", of.clone()).variable("oldSelf", old)
}
