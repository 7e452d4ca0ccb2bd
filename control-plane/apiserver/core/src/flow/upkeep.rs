//! What the server does about its own levels and schemas: they are there, and as it has them until somebody else takes them over.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{CATCH_ALL, EXEMPT, KEPT};
use crate::object::Object;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Upkeep {
    /// An object of the server is missing.
    Create(Value),
    /// An object is to be as given. Only the spec and the annotation differ.
    Replace(Object),
    /// An object that was kept by a server is not one of this one's.
    Remove(String),
}

/// What to do, so that the objects that are there become those the server `wants`.
///
/// The specs of mandatory objects are the server's, but for the shares of the exempt level. Those of the others are the
/// server's while they are annotated so or, without a word on that, nobody has changed them; the annotation always tells
/// which it is. What nobody wants any more goes, if it is the server's.
pub fn upkeep<'a>(wants: &[Value], objects: impl IntoIterator<Item = &'a Object>) -> Vec<Upkeep> {
    let mut there: BTreeMap<&str, &Object> =
        objects.into_iter().filter_map(|object| Some((object.name()?, object))).collect();
    let mut todo = Vec::new();
    for wanted in wants {
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        match there.remove(name) {
            None => todo.push(Upkeep::Create(wanted.clone())),
            Some(object) => todo.extend(kept(wanted, object).map(Upkeep::Replace)),
        }
    }
    let left = there.into_iter().filter(|(_, object)| annotated(object) == Some(true));
    todo.extend(left.map(|(name, _)| Upkeep::Remove(name.to_owned())));
    todo
}

fn annotated(object: &Object) -> Option<bool> {
    let (_, value) = object.annotations().find(|(key, _)| *key == KEPT)?;
    value.parse().ok()
}

/// The object as it should be, if it is not.
fn kept(wanted: &Value, object: &Object) -> Option<Object> {
    let name = object.name().unwrap_or_default();
    let mandatory = name == EXEMPT || name == CATCH_ALL;
    let ours = mandatory || annotated(object).unwrap_or(object.generation() == Some(1));
    let mut new = object.clone();
    new.set(&["metadata", "annotations", KEPT], if ours { "true" } else { "false" });
    if ours {
        let mut spec = wanted["spec"].clone();
        if mandatory && let Some(exempt) = object.at(&["spec", "exempt"]) {
            spec["exempt"] = exempt.clone();
        }
        new.set(&["spec"], spec);
    }
    (new != *object).then_some(new)
}
