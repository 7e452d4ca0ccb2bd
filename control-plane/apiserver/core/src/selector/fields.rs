//! Field selectors: `metadata.name=web,status.phase!=Running`.

use crate::resource::Resource;

/// A parsed field selector whose labels the resource supports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    label: String,
    value: String,
    equal: bool,
}

impl FieldSelector {
    /// Parses a selector for a resource.
    ///
    /// # Errors
    ///
    /// Upstream's text: a syntax error, or `field label not supported: x`.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, String> {
        let mut terms = Vec::new();
        for (label, equal, value) in Self::terms(text)? {
            if !is_supported(resource, &label) {
                // Upstream's words differ between kinds that select by more than name and namespace and those that do not.
                return Err(if resource.selectable.is_empty() {
                    format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
                } else {
                    format!("field label not supported: {label}")
                });
            }
            terms.push(Term { label, value, equal });
        }
        Ok(Self { terms })
    }

    /// The terms of a selector for whatever resource: label, whether the value must be equal, value.
    ///
    /// # Errors
    ///
    /// Upstream's text of a syntax error.
    pub fn terms(text: &str) -> Result<Vec<(String, bool, String)>, String> {
        let parts = split_terms(text).into_iter().filter(|part| !part.is_empty());
        let term = |part: &str| {
            let Some((label, equal, value)) = split_term(part) else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            Ok((label.to_owned(), equal, unescape(value)?))
        };
        parts.map(term).collect()
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value a field must have exactly, if the selector says so: `required("metadata.name")` narrows a list to one key.
    pub fn required(&self, label: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.label == label).map(|term| term.value.as_str())
    }

    /// Whether an object with these field values matches. Labels asked for are ones the resource supports.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> &'a str) -> bool {
        self.terms.iter().all(|term| (field(&term.label) == term.value) == term.equal)
    }
}

fn is_supported(resource: &Resource, label: &str) -> bool {
    label == "metadata.name"
        || (label == "metadata.namespace" && resource.is_namespaced())
        || resource.selectable.iter().any(|field| field.label == label)
}

/// Cuts at commas that are not escaped.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Label, whether it must be equal, and the value as written.
fn split_term(part: &str) -> Option<(&str, bool, &str)> {
    for (at, _) in part.char_indices() {
        for (sign, equal) in [("!=", false), ("==", true), ("=", true)] {
            if let Some(value) = part[at..].strip_prefix(sign) {
                return Some((&part[..at], equal, value));
            }
        }
    }
    None
}

/// Takes the escapes out: `\\`, `\,` and `\=`; nothing else may be escaped, and `,` and `=` must be.
fn unescape(value: &str) -> Result<String, String> {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => text.push(next),
                Some(next) => return Err(format!("invalid field selector: invalid escape sequence: \\{next}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".into()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character: {c}")),
            other => text.push(other),
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::Registry;

    fn parse(plural: &str, text: &str) -> Result<FieldSelector, String> {
        let registry = Registry::built_in();
        FieldSelector::parse(text, registry.lookup("", "v1", plural).expect("a built-in resource"))
    }

    #[test]
    fn terms_compare_as_written() {
        let selector = parse("pods", "metadata.name=a\\,b,status.phase!=Running,spec.nodeName==n").expect("a selector");
        assert_eq!(selector.required("metadata.name"), Some("a,b"));
        assert_eq!(selector.required("status.phase"), None);
        let values = |phase: &'static str| {
            move |label: &str| match label {
                "metadata.name" => "a,b",
                "spec.nodeName" => "n",
                _ => phase,
            }
        };
        assert!(selector.matches(values("Pending")));
        assert!(!selector.matches(values("Running")));
    }

    #[test]
    fn unknown_labels_and_broken_terms_are_named() {
        assert_eq!(parse("pods", "spec.x=1"), Err("field label not supported: spec.x".into()));
        assert_eq!(
            parse("configmaps", "data.x=1"),
            Err("\"data.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"".into())
        );
        assert_eq!(parse("pods", "name"), Err("invalid selector: 'name'; can't understand 'name'".into()));
        assert_eq!(
            parse("pods", "metadata.name=\\x"),
            Err("invalid field selector: invalid escape sequence: \\x".into())
        );
        assert!(parse("nodes", "metadata.namespace=x").is_err());
        assert!(parse("pods", "").is_ok_and(|selector| selector.is_everything()));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-c=!,\\\\.]{0,24}|\\PC{0,12}") {
            let _ = parse("pods", &text);
        }
    }
}
