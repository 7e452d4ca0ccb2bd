//! Short ways into the trees that objects are, and the checks many kinds share.

use serde_json::{Map, Value};

use crate::field::{Errors, Path};
use crate::object::Object;

/// What is absent.
pub(crate) const NOTHING: &Value = &Value::Null;

const NEGATIVE: &str = "must be greater than or equal to 0";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
     regex used for validation is '[0-9]+%')";

/// The member of a value, or nothing.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(NOTHING)
}

/// The member at a path of an object, or nothing.
pub(crate) fn at<'a>(object: &'a Object, path: &[&str]) -> &'a Value {
    object.at(path).unwrap_or(NOTHING)
}

/// The text of a member, empty when absent.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    member(value, name).as_str().unwrap_or_default()
}

/// The list of a member, empty when absent.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    member(value, name).as_array().map_or(&[], Vec::as_slice)
}

/// The texts of a list of texts.
pub(crate) fn texts<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a str> {
    list(value, name).iter().map(|one| one.as_str().unwrap_or_default())
}

/// The entries of a map of texts.
pub(super) fn pairs<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    entries(value, name).map(|(key, value)| (key, value.as_str().unwrap_or_default()))
}

/// The entries of a map.
pub(super) fn entries<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    member(value, name).as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// The number of a member, 0 when absent.
pub(crate) fn number(value: &Value, name: &str) -> i64 {
    member(value, name).as_i64().unwrap_or(0)
}

/// The flag of a member, false when absent.
pub(crate) fn flag(value: &Value, name: &str) -> bool {
    member(value, name).as_bool().unwrap_or(false)
}

/// Whether a member is there, whatever it is.
pub(crate) fn has(value: &Value, name: &str) -> bool {
    !member(value, name).is_null()
}

/// Sets a member that is absent or an empty text.
pub(super) fn or_set(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    if map.get(name).is_none_or(|value| value.is_null() || value.as_str() == Some("")) {
        map.insert(name.to_owned(), value.into());
    }
}

/// The object in a member, made if absent (and put in the place of what is no object).
pub(super) fn section<'a>(map: &'a mut Map<String, Value>, name: &str) -> Option<&'a mut Map<String, Value>> {
    let slot = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut()
}

/// Whether a member of the object changed.
pub(super) fn changed(new: &Object, old: &Object, path: &[&str]) -> bool {
    new.at(path) != old.at(path)
}

/// Refuses a change of what is fixed at creation.
pub(super) fn immutable(new: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    if new != old {
        errors.invalid(path, new.clone(), "field is immutable");
    }
}

/// Refuses numbers below zero in these members.
pub(super) fn not_negative(value: &Value, names: &[&str], path: &Path, errors: &mut Errors) {
    for name in names {
        if number(value, name) < 0 {
            errors.invalid(&path.child(name), number(value, name), NEGATIVE);
        }
    }
}

/// Refuses members that are greater than others: `(smaller, greater, message)`.
pub(super) fn at_most(value: &Value, rules: &[(&str, &str, &str)], path: &Path, errors: &mut Errors) {
    for (small, great, message) in rules {
        if number(value, small) > number(value, great) {
            errors.invalid(&path.child(small), number(value, small), message);
        }
    }
}

/// Checks a text that must be there and be one of a few.
pub(super) fn one_of(value: &Value, name: &str, valid: &[&str], path: &Path, errors: &mut Errors) {
    match text(value, name) {
        "" => errors.required(&path.child(name), ""),
        _ => one_of_if_set(value, name, valid, path, errors),
    }
}

/// Checks a text that must be one of a few if it is there.
pub(super) fn one_of_if_set(value: &Value, name: &str, valid: &[&str], path: &Path, errors: &mut Errors) {
    if let Some(given) = member(value, name).as_str()
        && !valid.contains(&given)
    {
        errors.not_supported(&path.child(name), given, valid);
    }
}

/// Says everything that is wrong with one value.
pub(super) fn all(messages: Vec<String>, value: &str, path: &Path, errors: &mut Errors) {
    for message in messages {
        errors.invalid(path, value, &message);
    }
}

/// Conditions in the form that all kinds of this decade have.
pub(super) mod conditions {
    use super::{Errors, Path, Value, has, number, text};

    const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
         alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or \
         'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
         '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
    const MESSAGE_LENGTH: usize = 32 * 1024;
    const REASON_LENGTH: usize = 1024;

    /// Checks a list of conditions.
    pub(in crate::kinds) fn validate(conditions: &[Value], path: &Path, errors: &mut Errors) {
        let mut seen = std::collections::BTreeSet::new();
        for (index, condition) in conditions.iter().enumerate() {
            let path = path.index(index);
            let kind = text(condition, "type");
            if kind.is_empty() {
                errors.required(&path.child("type"), "must be set");
            } else {
                super::all(crate::names::qualified_name(kind), kind, &path.child("type"), errors);
            }
            if !seen.insert(kind) {
                errors.duplicate(&path.child("type"), kind);
            }
            if !["False", "True", "Unknown"].contains(&text(condition, "status")) {
                errors.not_supported(&path.child("status"), text(condition, "status"), &["False", "True", "Unknown"]);
            }
            if number(condition, "observedGeneration") < 0 {
                let (path, value) = (path.child("observedGeneration"), number(condition, "observedGeneration"));
                errors.invalid(&path, value, "must be greater than or equal to zero");
            }
            if !has(condition, "lastTransitionTime") {
                errors.required(&path.child("lastTransitionTime"), "must be set");
            }
            let reason = text(condition, "reason");
            if reason.is_empty() {
                errors.required(&path.child("reason"), "must be set");
            } else if !is_reason(reason) {
                errors.invalid(&path.child("reason"), reason, REASON);
            }
            if reason.len() > REASON_LENGTH {
                errors.too_long(&path.child("reason"), REASON_LENGTH);
            }
            if text(condition, "message").len() > MESSAGE_LENGTH {
                errors.too_long(&path.child("message"), MESSAGE_LENGTH);
            }
        }
    }

    fn is_reason(reason: &str) -> bool {
        let bytes = reason.as_bytes();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"_,:".contains(byte);
        bytes.first().is_some_and(u8::is_ascii_alphabetic)
            && bytes.iter().all(inner)
            && bytes.last().is_some_and(|last| last.is_ascii_alphanumeric() || *last == b'_')
    }
}

/// A number or a share of something, as rolling updates and budgets have it.
pub(super) mod share {
    use super::{Errors, NEGATIVE, PERCENT, Path, Value};

    /// Checks a number that is not negative, or a percentage.
    pub(in crate::kinds) fn validate(value: &Value, path: &Path, errors: &mut Errors) {
        match value {
            Value::String(text) if percent(text).is_none() => errors.invalid(path, text.as_str(), PERCENT),
            Value::Number(number) if number.as_i64().is_some_and(|number| number < 0) => {
                errors.invalid(path, value.clone(), NEGATIVE);
            }
            _ => {}
        }
    }

    /// Refuses more than everything.
    pub(in crate::kinds) fn validate_at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
        if value.as_str().and_then(percent).is_some_and(|percent| percent > 100) {
            errors.invalid(path, value.clone(), "must not be greater than 100%");
        }
    }

    /// Whether it stands for nothing: absent, 0 or 0%.
    pub(in crate::kinds) fn is_zero(value: &Value) -> bool {
        match value {
            Value::String(text) => percent(text).is_none_or(|percent| percent == 0),
            other => other.as_i64().unwrap_or(0) == 0,
        }
    }

    fn percent(text: &str) -> Option<u64> {
        let digits =
            text.strip_suffix('%').filter(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()))?;
        // More digits than fit are more than everything.
        Some(digits.parse().unwrap_or(u64::MAX))
    }

    #[test]
    fn shares_are_numbers_or_percentages() {
        let wrong = |value: Value| {
            let mut errors = Errors::new();
            validate(&value, &Path::new("x"), &mut errors);
            validate_at_most_all(&value, &Path::new("x"), &mut errors);
            errors.as_slice().len()
        };
        for (value, count) in [("25%", 0), ("100%", 0), ("101%", 1), ("%", 1), ("-1%", 1), ("1", 1)] {
            assert_eq!(wrong(value.into()), count, "{value}");
        }
        assert_eq!((wrong(3.into()), wrong((-1).into())), (0, 1));
        assert!(is_zero(&"0%".into()) && is_zero(&0.into()) && !is_zero(&"1%".into()) && is_zero(&Value::Null));
    }
}
