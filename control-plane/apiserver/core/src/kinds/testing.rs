//! What the tests of kinds share: a fixed context, and the engine called in one line.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::engine::{Context, Updated, prepare_create, prepare_update};
use crate::kinds::service::{Cidr, ClusterIps};
use crate::object::Object;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::status::Status;
use crate::user::User;

static USER: LazyLock<User> = LazyLock::new(|| User { name: "ann".into(), ..User::default() });
static ADDRESSES: LazyLock<ClusterIps> =
    LazyLock::new(|| ClusterIps::new(vec![Cidr::parse("10.96.0.0/24").expect("a range")], (30000, 32767)));

static REGISTRY: LazyLock<Registry> = LazyLock::new(Registry::built_in);

/// The row of a group (in its preferred version) and a plural.
pub(crate) fn row(group: &str, plural: &str) -> Arc<Resource> {
    let found = REGISTRY.iter().find(|row| row.group == group && row.plural == plural);
    Arc::clone(found.unwrap_or_else(|| panic!("{plural} of {group:?} are not served")))
}

/// A context at a fixed time.
pub(crate) fn context() -> Context<'static> {
    Context {
        now: "2026-08-01T10:00:00Z".parse().expect("a time"),
        uid: "11111111-1111-1111-1111-111111111111",
        name_suffix: "bcdfg",
        seed: 7,
        user: &USER,
        addresses: Some(&ADDRESSES),
        manager: None,
        refused: &[],
    }
}

/// The object as it is when read back.
pub(crate) fn stored(mut object: Object) -> Object {
    object.set_resource_version(5);
    object
}

/// An object of a resource, with a name (and the namespace `default`) unless it has one.
pub(crate) fn object(resource: &Resource, body: Value) -> Object {
    let mut object = Object::from_value(body).expect("an object");
    object.set(&["apiVersion"], resource.api_version());
    object.set(&["kind"], resource.kind.as_str());
    if object.name().is_none() && object.generate_name().is_none() {
        object.set(&["metadata", "name"], "a");
    }
    object
}

/// Creates; the outcome of the engine.
pub(crate) fn try_create(resource: &Resource, body: Value) -> Result<Object, Status> {
    let namespace = resource.is_namespaced().then_some("default");
    prepare_create(resource, namespace, None, object(resource, body), &context()).map(|prepared| prepared.object)
}

/// Creates something valid.
pub(crate) fn create(resource: &Resource, body: Value) -> Object {
    try_create(resource, body).expect("a valid object")
}

/// The errors of a creation, as texts.
pub(crate) fn create_errors(resource: &Resource, body: Value) -> Vec<String> {
    try_create(resource, body).err().map(|status| causes(&status)).unwrap_or_default()
}

/// Updates; `old` is created first without validation of the server's own fields.
pub(crate) fn try_update(
    resource: &Resource,
    subresource: Option<&str>,
    old: Value,
    new: Value,
) -> Result<Updated, Status> {
    let mut old = create(resource, old);
    old.set(&["metadata", "uid"], context().uid);
    prepare_update(resource, subresource, &stored(old), stored(object(resource, new)), &context())
}

/// The errors of an update, as texts.
pub(crate) fn update_errors(resource: &Resource, subresource: Option<&str>, old: Value, new: Value) -> Vec<String> {
    try_update(resource, subresource, old, new).err().map(|status| causes(&status)).unwrap_or_default()
}

fn causes(status: &Status) -> Vec<String> {
    assert_eq!(status.code, 422, "{status:?}");
    let details = status.details.as_deref().expect("details");
    details.causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
}
