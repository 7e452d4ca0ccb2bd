//! Devices of nodes: what drivers offer, what pods claim, and which of them keep away.

mod claim;
mod class;
mod slice;
mod status;
mod taint;

pub(super) use claim::{ResourceClaim, ResourceClaimTemplate};
pub(super) use class::DeviceClass;
pub(super) use slice::ResourceSlice;
pub(super) use taint::DeviceTaintRule;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::tree::{self, has, list, member, text, texts};
use crate::names;

const DRIVER_LENGTH: usize = 63;
const ID_LENGTH: usize = 32;
const POOL_LENGTH: usize = 253;
const MOST_SELECTORS: usize = 32;
const EXPRESSION_LENGTH: usize = 10 * 1024;
const PARAMETERS_LENGTH: usize = 10 * 1024;
const MOST_BINDING_CONDITIONS: usize = 4;
const IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
     characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";

/// Checks a list: its length, then each element.
fn validate_each(
    list: &[Value],
    most: usize,
    path: &Path,
    errors: &mut Errors,
    mut validate: impl FnMut(&Value, &Path, &mut Errors),
) {
    if list.len() > most {
        return errors.too_many(path, list.len(), most);
    }
    for (index, one) in list.iter().enumerate() {
        validate(one, &path.index(index), errors);
    }
}

/// Refuses elements that have the same key as one before them.
fn validate_unique(list: &[Value], key: impl Fn(&Value) -> Value, path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, one) in list.iter().enumerate() {
        let key = key(one);
        if !seen.insert(key.to_string()) {
            errors.duplicate(&path.index(index), key);
        }
    }
}

fn validate_driver(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > DRIVER_LENGTH {
        errors.too_long(path, DRIVER_LENGTH);
    }
    tree::all(names::dns_subdomain(&name.to_lowercase()), name, path, errors);
}

fn validate_pool(name: &str, path: &Path, errors: &mut Errors) {
    if name.is_empty() {
        return errors.required(path, "");
    }
    if name.len() > POOL_LENGTH {
        errors.too_long(path, POOL_LENGTH);
    }
    for part in name.split('/') {
        tree::all(names::dns_subdomain(part), part, path, errors);
    }
}

fn validate_label(name: &str, path: &Path, errors: &mut Errors) {
    tree::all(names::dns_label(name), name, path, errors);
}

/// Checks the name of an attribute or a capacity: an identifier, in a domain or in that of the driver.
fn validate_qualified(name: &str, path: &Path, errors: &mut Errors) {
    let identifier = |id: &str, errors: &mut Errors| {
        if id.len() > ID_LENGTH {
            errors.too_long(path, ID_LENGTH);
        }
        let mut letters = id.bytes();
        let first = letters.next().is_some_and(|first| first == b'_' || first.is_ascii_alphabetic());
        if !first || !letters.all(|one| one == b'_' || one.is_ascii_alphanumeric()) {
            errors.invalid(path, id, IDENTIFIER);
        }
    };
    match name.split('/').collect::<Vec<_>>()[..] {
        [id] => identifier(id, errors),
        [domain, id] => {
            if domain.is_empty() {
                errors.invalid(path, "", "the domain must not be empty");
            } else {
                validate_driver(domain, path, errors);
            }
            if id.is_empty() {
                errors.invalid(path, "", "the name must not be empty");
            } else {
                identifier(id, errors);
            }
        }
        _ => errors.invalid(path, name, "must not contain more than one slash"),
    }
}

fn validate_fully_qualified(name: &str, path: &Path, errors: &mut Errors) {
    validate_qualified(name, path, errors);
    if !name.contains('/') {
        let why = "a fully qualified name must be a domain and a name separated by a slash";
        errors.invalid(path, name, why);
    }
}

/// Checks selectors. Their expressions are kept as they are, for the scheduler to compile.
fn validate_selectors(owner: &Value, path: &Path, errors: &mut Errors) {
    validate_each(
        list(owner, "selectors"),
        MOST_SELECTORS,
        &path.child("selectors"),
        errors,
        |selector, path, errors| {
            let (cel, path) = (member(selector, "cel"), path.child("cel"));
            if cel.is_null() {
                return errors.required(&path, "");
            }
            let (expression, path) = (text(cel, "expression"), path.child("expression"));
            if expression.is_empty() {
                errors.required(&path, "");
            } else if expression.len() > EXPRESSION_LENGTH {
                errors.too_long(&path, EXPRESSION_LENGTH);
            }
        },
    );
}

/// Checks parameters that only a driver understands.
fn validate_opaque(owner: &Value, path: &Path, errors: &mut Errors) {
    let (opaque, path) = (member(owner, "opaque"), path.child("opaque"));
    if opaque.is_null() {
        return errors.required(&path, "");
    }
    validate_driver(text(opaque, "driver"), &path.child("driver"), errors);
    validate_raw(member(opaque, "parameters"), PARAMETERS_LENGTH, &path.child("parameters"), errors);
}

fn validate_raw(value: &Value, longest: usize, path: &Path, errors: &mut Errors) {
    match value {
        Value::Null => errors.required(path, ""),
        Value::Object(_) if value.to_string().len() > longest => errors.too_long(path, longest),
        Value::Object(_) => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            errors.invalid(path, "<value omitted>", "must be a valid JSON object");
        }
    }
}

/// Checks the conditions that have to come true, or must not, before a pod is bound.
fn validate_binding(owner: &Value, path: &Path, errors: &mut Errors) {
    const NAMES: [&str; 2] = ["bindingConditions", "bindingFailureConditions"];
    for name in NAMES {
        validate_each(list(owner, name), MOST_BINDING_CONDITIONS, &path.child(name), errors, |one, path, errors| {
            let one = one.as_str().unwrap_or_default();
            tree::all(names::qualified_name(one), one, path, errors);
        });
    }
    let good: Vec<&str> = texts(owner, NAMES[0]).collect();
    let bad: Vec<&str> = texts(owner, NAMES[1]).collect();
    for name in NAMES {
        validate_unique(list(owner, name), Value::clone, &path.child(name), errors);
    }
    for (index, condition) in bad.iter().enumerate().filter(|(_, one)| good.contains(one)) {
        let why = "bindingFailureConditions must not overlap with bindingConditions";
        errors.invalid(&path.child(NAMES[1]).index(index), *condition, why);
    }
    if good.is_empty() && !bad.is_empty() {
        let why = "bindingConditions are required to use bindingFailureConditions";
        errors.invalid(&path.child(NAMES[0]), good, why);
    } else if bad.is_empty() && !good.is_empty() {
        let why = "bindingFailureConditions are required to use bindingConditions";
        errors.invalid(&path.child(NAMES[1]), bad, why);
    }
}

/// Whether every name of `names` that is there is there with something in it.
fn set_fields<'a>(owner: &Value, names: &[&'a str]) -> Vec<&'a str> {
    names.iter().filter(|name| has(owner, name)).copied().collect()
}

#[cfg(test)]
mod tests;
