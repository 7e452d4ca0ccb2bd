//! Strategic merge: a merge that knows which lists are keyed, and that takes directives.
//!
//! | directive | where | what |
//! |---|---|---|
//! | `$patch: replace` | in an object | the patch's object takes the place of the old one |
//! | `$patch: delete` | in an object | the object becomes empty; in an element of a keyed list: the element goes |
//! | `$patch: replace` | in an element of a keyed list | the rest of the patch's list takes the place of the old list |
//! | `$retainKeys: [..]` | in an object | members that are not named go |
//! | `$deleteFromPrimitiveList/x: [..]` | beside `x` | these scalars leave the set `x` |
//! | `$setElementOrder/x: [..]` | beside `x` | the order of `x` afterwards, as far as named |

mod order;

use std::fmt;

use kinds::{Field, Schema, Struct};
use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";
const ELEMENT_ORDER: &str = "$setElementOrder/";

/// Why a patch makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StrategicError {
    UnknownDirective { directive: Value, patch: Value },
    MergeInList,
    NoMergeKey { element: Value, key: String },
    RetainKeys,
    ScalarList,
    Order { list: Value, order: Value },
    ListOfLists,
}

impl fmt::Display for StrategicError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDirective { directive, patch } => {
                let name = directive.as_str().map_or_else(|| directive.to_string(), str::to_owned);
                write!(out, "unknown patch type: {name} in map: {patch}")
            }
            Self::MergeInList => out.write_str("merging lists cannot yet be specified in the patch"),
            Self::NoMergeKey { element, key } => {
                write!(out, "map: {element} does not contain declared merge key: {key}")
            }
            Self::RetainKeys => out.write_str("invalid patch format of retainKeys"),
            Self::ScalarList => out.write_str("invalid patch format of primitive list"),
            Self::Order { list, order } => {
                write!(out, "The order in patch list:\n{list}\n doesn't match $setElementOrder list:\n{order}\n")
            }
            Self::ListOfLists => out.write_str("lists of lists are not supported"),
        }
    }
}

impl std::error::Error for StrategicError {}

/// Merges a patch into an object of a definition.
pub(super) fn merge(
    schema: &str,
    original: Map<String, Value>,
    patch: Map<String, Value>,
) -> Result<Map<String, Value>, StrategicError> {
    merge_maps(original, patch, kinds::schemas().get(schema))
}

/// What is known of a member.
fn field_of<'a>(owner: Option<&'a Struct>, name: &str) -> Option<&'a Field> {
    owner?.fields.get(name)
}

/// The struct that a value of this type is; for lists, that its elements are.
fn struct_of(schema: &Schema) -> Option<&'static Struct> {
    match schema {
        Schema::Struct(name) => kinds::schemas().get(name),
        Schema::List(items) | Schema::Map(items) => struct_of(items),
        Schema::Either(either) => kinds::schemas().get(&either.definition),
        Schema::Text
        | Schema::Int32
        | Schema::Int64
        | Schema::Float
        | Schema::Flag
        | Schema::Bytes
        | Schema::Time
        | Schema::MicroTime
        | Schema::Quantity
        | Schema::IntOrString
        | Schema::Any => None,
    }
}

fn merge_maps(
    mut original: Map<String, Value>,
    mut patch: Map<String, Value>,
    owner: Option<&Struct>,
) -> Result<Map<String, Value>, StrategicError> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(without_directives(patch)),
            Some("delete") => Ok(Map::new()),
            _ => Err(StrategicError::UnknownDirective { directive, patch: Value::Object(patch) }),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    apply_orders(&mut original, &mut patch, owner)?;
    for (name, value) in patch {
        if let Some(target) = name.strip_prefix(DELETE_SCALARS) {
            delete_scalars(&mut original, target, value)?;
            continue;
        }
        let merged = match (original.remove(&name), value) {
            (_, Value::Null) => continue,
            (Some(Value::Object(old)), Value::Object(new)) => {
                let inner = field_of(owner, &name).and_then(|field| struct_of(&field.schema));
                Value::Object(merge_maps(old, new, inner)?)
            }
            (Some(Value::Array(old)), Value::Array(new)) => {
                Value::Array(merge_lists(&old, new, field_of(owner, &name))?)
            }
            (_, new) => clean(new),
        };
        original.insert(name, merged);
    }
    Ok(original)
}

/// `$retainKeys`: what it does not name goes; what the patch sets it must name.
fn retain_keys(original: &mut Map<String, Value>, patch: &mut Map<String, Value>) -> Result<(), StrategicError> {
    let Some(list) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(list) = list else { return Err(StrategicError::RetainKeys) };
    let named = |key: &str| list.iter().any(|one| one.as_str() == Some(key));
    let unnamed = patch.iter().any(|(key, value)| !key.starts_with('$') && !value.is_null() && !named(key));
    if unnamed || list.iter().any(|one| !one.is_string()) {
        return Err(StrategicError::RetainKeys);
    }
    original.retain(|key, _| named(key));
    Ok(())
}

/// `$setElementOrder/x`: merges `x` and puts it in order, and takes both out of the patch.
fn apply_orders(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    owner: Option<&Struct>,
) -> Result<(), StrategicError> {
    let directives: Vec<String> = patch.keys().filter(|key| key.starts_with(ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let target = directive[ELEMENT_ORDER.len()..].to_owned();
        let order = match patch.remove(&directive) {
            Some(Value::Array(order)) => order,
            other => return Err(StrategicError::Order { list: Value::Null, order: other.unwrap_or_default() }),
        };
        let field = field_of(owner, &target);
        let key = field.and_then(|field| field.list.merge_key.as_deref());
        let old = match original.get(&target) {
            Some(Value::Array(old)) => old.clone(),
            Some(_) | None => Vec::new(),
        };
        // Scalars may leave by a directive of their own, before the order counts.
        let deletions = patch.remove(&format!("{DELETE_SCALARS}{target}"));
        let new = match patch.get(&target) {
            Some(Value::Array(_)) => match patch.remove(&target) {
                Some(Value::Array(new)) => new,
                Some(_) | None => Vec::new(),
            },
            // The list goes, or becomes something else: order means nothing.
            Some(_) => continue,
            None => Vec::new(),
        };
        if old.is_empty() && new.is_empty() {
            continue;
        }
        order::check(&new, &order, key)?;
        let mut merged = if old.is_empty() { strip_deleted(new) } else { merge_lists(&old, new, field)? };
        if let Some(Value::Array(deletions)) = deletions {
            merged.retain(|one| !deletions.contains(one));
        }
        original.insert(target, Value::Array(order::arrange(merged, &order, &old, key)));
    }
    Ok(())
}

/// Elements of a list that is all new: orders to delete have nothing to delete.
fn strip_deleted(list: Vec<Value>) -> Vec<Value> {
    list.into_iter().filter(|one| one.get(DIRECTIVE).is_none()).map(clean).collect()
}

fn delete_scalars(original: &mut Map<String, Value>, target: &str, values: Value) -> Result<(), StrategicError> {
    let Value::Array(values) = values else { return Err(StrategicError::ScalarList) };
    if let Some(Value::Array(list)) = original.get_mut(target) {
        list.retain(|one| !values.contains(one));
    }
    Ok(())
}

fn merge_lists(original: &[Value], patch: Vec<Value>, field: Option<&Field>) -> Result<Vec<Value>, StrategicError> {
    let Some(field) = field.filter(|field| field.list.merge) else { return Ok(patch.into_iter().map(clean).collect()) };
    if original.iter().chain(&patch).any(Value::is_array) {
        return Err(StrategicError::ListOfLists);
    }
    let key = field.list.merge_key.as_deref();
    let merged = if let Some(key) = key {
        match merge_keyed(original.to_vec(), &patch, key, struct_of(&field.schema))? {
            Keyed::Replaced(list) => return Ok(list),
            Keyed::Merged(list) => list,
        }
    } else {
        let mut all = original.to_vec();
        for one in &patch {
            if !all.contains(one) {
                all.push(one.clone());
            }
        }
        all
    };
    Ok(order::arrange(merged, &patch, original, key))
}

enum Keyed {
    Replaced(Vec<Value>),
    Merged(Vec<Value>),
}

fn merge_keyed(
    mut original: Vec<Value>,
    patch: &[Value],
    key: &str,
    owner: Option<&Struct>,
) -> Result<Keyed, StrategicError> {
    let mut plain: Vec<Value> = Vec::new();
    let mut replace = false;
    for element in patch {
        let missing = || StrategicError::NoMergeKey { element: element.clone(), key: key.to_owned() };
        match element.get(DIRECTIVE).map(Value::as_str) {
            None => plain.push(element.clone()),
            Some(Some("delete")) => {
                let value = element.get(key).ok_or_else(missing)?;
                original.retain(|one| one.get(key) != Some(value));
            }
            Some(Some("replace")) => replace = true,
            Some(Some("merge")) => return Err(StrategicError::MergeInList),
            Some(_) => {
                return Err(StrategicError::UnknownDirective {
                    directive: element.get(DIRECTIVE).cloned().unwrap_or_default(),
                    patch: element.clone(),
                });
            }
        }
    }
    if replace {
        return Ok(Keyed::Replaced(plain.into_iter().map(clean).collect()));
    }
    for element in plain {
        let value = element
            .get(key)
            .ok_or_else(|| StrategicError::NoMergeKey { element: element.clone(), key: key.to_owned() })?;
        let found = original.iter_mut().find(|one| one.get(key) == Some(value));
        match (found, element) {
            (Some(slot), Value::Object(new)) => {
                let old = match slot.take() {
                    Value::Object(old) => old,
                    _ => Map::new(),
                };
                *slot = Value::Object(merge_maps(old, new, owner)?);
            }
            (_, element) => original.push(clean(element)),
        }
    }
    Ok(Keyed::Merged(original))
}

/// A value that is all new: its directives have done their work, its nulls delete nothing.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(list) => Value::Array(list.into_iter().map(clean).collect()),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}

fn without_directives(map: Map<String, Value>) -> Map<String, Value> {
    let directive = |key: &str| {
        key == DIRECTIVE || key == RETAIN_KEYS || key.starts_with(DELETE_SCALARS) || key.starts_with(ELEMENT_ORDER)
    };
    map.into_iter()
        .filter(|(key, value)| !directive(key) && !value.is_null())
        .map(|(key, value)| (key, clean(value)))
        .collect()
}
