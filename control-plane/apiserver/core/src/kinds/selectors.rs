//! Label selectors inside objects: `matchLabels` and `matchExpressions`.

use serde_json::Value;

use super::tree::{list, pairs, text, texts};
use crate::field::{Errors, Path};
use crate::names;

/// Checks a selector.
pub(super) fn validate(selector: &Value, path: &Path, errors: &mut Errors) {
    names::check_labels(pairs(selector, "matchLabels"), &path.child("matchLabels"), errors);
    for (index, rule) in list(selector, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = path.child("values");
        match text(rule, "operator") {
            "In" | "NotIn" if list(rule, "values").is_empty() => {
                errors.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
            }
            "Exists" | "DoesNotExist" if !list(rule, "values").is_empty() => {
                errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
        }
        for message in names::qualified_name(text(rule, "key")) {
            errors.invalid(&path.child("key"), text(rule, "key"), &message);
        }
        for (index, value) in texts(rule, "values").enumerate() {
            for message in names::label_value(value) {
                errors.invalid(&values.index(index), value, &message);
            }
        }
    }
}

/// Whether it selects everything because it asks for nothing.
pub(super) fn is_empty(selector: &Value) -> bool {
    pairs(selector, "matchLabels").next().is_none() && list(selector, "matchExpressions").is_empty()
}

/// Whether labels are selected. A selector that is absent selects nothing, one that is empty everything.
pub(super) fn matches(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels.get(key).and_then(Value::as_str);
    selector.is_object()
        && pairs(selector, "matchLabels").all(|(key, value)| label(key) == Some(value))
        && list(selector, "matchExpressions").iter().all(|rule| {
            let value = label(text(rule, "key"));
            let among = value.is_some_and(|value| texts(rule, "values").any(|one| one == value));
            match text(rule, "operator") {
                "In" => among,
                "NotIn" => !among,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// The selector in the form of query parameters, empty for one that is empty or absent.
pub(super) fn query(selector: &Value) -> String {
    let mut parts: Vec<(&str, String)> =
        pairs(selector, "matchLabels").map(|(key, value)| (key, format!("{key}={value}"))).collect();
    for rule in list(selector, "matchExpressions") {
        let key = text(rule, "key");
        let mut values: Vec<&str> = texts(rule, "values").collect();
        values.sort_unstable();
        let values = values.join(",");
        parts.push((
            key,
            match text(rule, "operator") {
                "In" => format!("{key} in ({values})"),
                "NotIn" => format!("{key} notin ({values})"),
                "DoesNotExist" => format!("!{key}"),
                _ => key.to_owned(),
            },
        ));
    }
    parts.sort_by_key(|(key, _)| *key);
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

/// The selector as a table shows it.
pub(super) fn shown(selector: &Value) -> String {
    match query(selector) {
        empty if empty.is_empty() => "<none>".into(),
        text => text,
    }
}

/// A map of labels as a table shows it.
pub(super) fn labels_shown(value: &Value, name: &str) -> String {
    let all: Vec<String> = pairs(value, name).map(|(key, value)| format!("{key}={value}")).collect();
    if all.is_empty() { "<none>".into() } else { all.join(",") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(operator: &str, values: &[&str]) -> Value {
        json!({ "matchExpressions": [{ "key": "a", "operator": operator, "values": values }] })
    }

    #[test]
    fn rules_select() {
        let red = json!({ "a": "red" });
        for (selector, selected) in [
            (json!({}), true),
            (Value::Null, false),
            (json!({ "matchLabels": { "a": "red" } }), true),
            (json!({ "matchLabels": { "b": "red" } }), false),
            (rule("In", &["red", "blue"]), true),
            (rule("NotIn", &["red"]), false),
            (rule("Exists", &[]), true),
            (rule("DoesNotExist", &[]), false),
            (rule("Is", &["red"]), false),
        ] {
            assert_eq!(matches(&selector, &red), selected, "{selector}");
        }
        assert!(matches(&rule("NotIn", &["red"]), &json!({})));
    }

    #[test]
    fn rules_are_checked() {
        let wrong = |selector: Value| {
            let mut errors = Errors::new();
            validate(&selector, &Path::new("spec.selector"), &mut errors);
            errors.as_slice().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            wrong(rule("In", &[])),
            [
                "spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'"
            ]
        );
        assert_eq!(
            wrong(rule("Exists", &["x"])),
            [
                "spec.selector.matchExpressions[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            ]
        );
        assert_eq!(
            wrong(rule("Is", &[])),
            ["spec.selector.matchExpressions[0].operator: Invalid value: \"Is\": not a valid selector operator"]
        );
        assert!(
            wrong(json!({ "matchLabels": { "a b": "c" } }))[0]
                .starts_with("spec.selector.matchLabels: Invalid value: \"a b\"")
        );
    }

    #[test]
    fn the_query_form_is_sorted() {
        let selector = json!({
            "matchLabels": { "z": "1" },
            "matchExpressions": [{ "key": "b", "operator": "NotIn", "values": ["y", "x"] }, { "key": "a", "operator": "DoesNotExist" }],
        });
        assert_eq!(query(&selector), "!a,b notin (x,y),z=1");
        assert_eq!(shown(&json!({})), "<none>");
    }
}
