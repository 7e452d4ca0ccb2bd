//! The way from kubectl's client-side apply, which keeps what it applied in an annotation, to server-side apply.
//!
//! For the manager `kubectl`, fields that the annotation names with the value they have are kubectl's own, whoever the list of
//! managers names; and the annotation follows what is applied, so that the way back stays open.

use serde_json::Value;

use super::collect;
use super::compare::compare;
use super::conflict::Conflict;
use super::managers::Manager;
use super::set::FieldSet;
use super::target::Target;
use crate::object::Object;

const ANNOTATION: [&str; 3] = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];
/// All annotations of an object together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
const KUBECTL: &str = "kubectl";

/// Tries an apply; when that conflicts and the annotation makes fields the manager's own, once more with these allowed.
pub(super) fn allowing<T>(
    target: &Target<'_>,
    live: &Object,
    manager: &Manager,
    attempt: impl Fn(Option<&FieldSet>) -> Result<T, Vec<Conflict>>,
) -> Result<T, Vec<Conflict>> {
    match attempt(None) {
        Err(conflicts) if manager.name == KUBECTL => match own_fields(target, live) {
            Some(own) => attempt(Some(&own)),
            None => Err(conflicts),
        },
        outcome => outcome,
    }
}

/// The fields the annotation names with the value they have.
fn own_fields(target: &Target<'_>, live: &Object) -> Option<FieldSet> {
    let last: Value = serde_json::from_str(live.text(&ANNOTATION)?).ok()?;
    if last.get("apiVersion").and_then(Value::as_str) != Some(&target.api_version)
        || !collect::check(&last, target.shape).is_empty()
    {
        return None;
    }
    let changes = compare(last.as_object()?, live.map(), target.shape);
    Some(collect::fields(&last, target.shape).difference(&changes.taken).difference(&changes.removed))
}

/// Makes the annotation, if there is one, what was applied just now.
pub(super) fn renew(object: &mut Object, applied: &Object, manager: &Manager) {
    if manager.name != KUBECTL || object.text(&ANNOTATION).is_none() {
        return;
    }
    let mut applied = applied.clone();
    applied.remove(&ANNOTATION);
    let mut text = applied.into_value().to_string();
    text.push('\n');
    object.set(&ANNOTATION, text);
    let size: usize = object.annotations().map(|(key, value)| key.len() + value.len()).sum();
    if size > ANNOTATIONS_LIMIT {
        object.remove(&ANNOTATION);
    }
}
