//! Selectors of a request on many objects, as authorizers see them: what cannot be read is left out, which only ever asks for more
//! rights than needed.

use apiserver_core::selector::{FieldSelector, LabelSelector};
use serde_json::{Value, json};

/// Field and label requirements.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selectors {
    /// On fields.
    pub fields: Vec<Requirement>,
    /// On labels.
    pub labels: Vec<Requirement>,
    /// Whether some of the field selector could not be read.
    pub field_error: bool,
    /// Whether some of the label selector could not be read.
    pub label_error: bool,
}

/// One requirement, in the operators of the API: `In`, `NotIn`, `Exists`, `DoesNotExist`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Field or label.
    pub key: String,
    /// The operator.
    pub operator: &'static str,
    /// Values.
    pub values: Vec<String>,
}

impl Selectors {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.labels.is_empty()
    }

    /// Those of a request's query.
    pub fn parse(fields: &str, labels: &str) -> Self {
        let mut selectors = Self::default();
        selectors.read_fields(fields);
        selectors.read_labels(labels);
        selectors
    }

    /// Those of the `resourceAttributes` of a question.
    pub fn read(attributes: &Value) -> Self {
        let mut selectors = Self::default();
        let fields = &attributes["fieldSelector"];
        match fields["requirements"].as_array().filter(|list| !list.is_empty()) {
            Some(list) => {
                for one in list {
                    match requirement(one, &["In", "NotIn"]).filter(|one| one.values.len() == 1) {
                        Some(one) => selectors.fields.push(one),
                        None => selectors.field_error = true,
                    }
                }
            }
            None => selectors.read_fields(fields["rawSelector"].as_str().unwrap_or_default()),
        }
        let labels = &attributes["labelSelector"];
        match labels["requirements"].as_array().filter(|list| !list.is_empty()) {
            Some(list) => {
                for one in list {
                    let fits = |one: &Requirement| one.values.is_empty() == one.operator.contains("Exist");
                    match requirement(one, &["In", "NotIn", "Exists", "DoesNotExist"]).filter(fits) {
                        Some(one) => selectors.labels.push(one),
                        None => selectors.label_error = true,
                    }
                }
            }
            None => selectors.read_labels(labels["rawSelector"].as_str().unwrap_or_default()),
        }
        selectors
    }

    fn read_fields(&mut self, text: &str) {
        match FieldSelector::terms(text) {
            Ok(terms) => {
                self.fields.extend(terms.into_iter().map(|(key, equal, value)| Requirement {
                    key,
                    operator: if equal { "In" } else { "NotIn" },
                    values: vec![value],
                }));
            }
            Err(_) => self.field_error = true,
        }
    }

    fn read_labels(&mut self, text: &str) {
        match LabelSelector::parse(text) {
            Ok(selector) => {
                self.labels.extend(selector.requirements().filter_map(|(key, operator, values)| {
                    Some(Requirement { key: key.to_owned(), operator: operator?, values: values.to_vec() })
                }));
            }
            Err(_) => self.label_error = true,
        }
    }

    /// The one value a field must have.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|one| one.operator == "In" && one.key == key)?.values.first().map(String::as_str)
    }

    /// Writes them into the `resourceAttributes` of a question.
    pub fn write(&self, attributes: &mut Value) {
        let list = |all: &[Requirement]| -> Value {
            let one = |one: &Requirement| {
                let mut value = json!({ "key": one.key, "operator": one.operator });
                if !one.values.is_empty() {
                    value["values"] = one.values.clone().into();
                }
                value
            };
            all.iter().map(one).collect()
        };
        if !self.fields.is_empty() {
            attributes["fieldSelector"] = json!({ "requirements": list(&self.fields) });
        }
        if !self.labels.is_empty() {
            attributes["labelSelector"] = json!({ "requirements": list(&self.labels) });
        }
    }

    /// What to tell whoever asked about selectors that could not be read.
    pub fn complaints(&self) -> Vec<String> {
        let said = |name: &str, error: bool, left: &[Requirement]| {
            let partially = if left.is_empty() { "" } else { "partially " };
            error.then(|| format!("spec.resourceAttributes.{name} {partially}ignored due to parse error"))
        };
        let both = [
            said("fieldSelector", self.field_error, &self.fields),
            said("labelSelector", self.label_error, &self.labels),
        ];
        both.into_iter().flatten().collect()
    }
}

fn requirement(value: &Value, operators: &[&'static str]) -> Option<Requirement> {
    let operator = operators.iter().find(|one| value["operator"] == **one)?;
    let values = value["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    Some(Requirement { key: value["key"].as_str()?.to_owned(), operator, values: values.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_them_mean_the_same() {
        let text = Selectors::parse("spec.nodeName=n,metadata.name!=x", "a in (b),!c");
        let listed = Selectors::read(&json!({
            "fieldSelector": { "requirements": [
                { "key": "spec.nodeName", "operator": "In", "values": ["n"] },
                { "key": "metadata.name", "operator": "NotIn", "values": ["x"] },
            ] },
            "labelSelector": { "requirements": [
                { "key": "a", "operator": "In", "values": ["b"] }, { "key": "c", "operator": "DoesNotExist" },
            ] },
        }));
        assert_eq!(text, listed);
        assert_eq!((text.field("spec.nodeName"), text.field("metadata.name")), (Some("n"), None));
        let mut written = json!({});
        text.write(&mut written);
        assert_eq!(Selectors::read(&written), text);
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_told() {
        let broken = Selectors::read(&json!({
            "fieldSelector": { "requirements": [
                { "key": "a", "operator": "In", "values": ["b"] }, { "key": "c", "operator": "Exists" },
            ] },
            "labelSelector": { "rawSelector": "=,=" },
        }));
        assert_eq!(broken.fields.len(), 1);
        assert_eq!(
            broken.complaints(),
            [
                "spec.resourceAttributes.fieldSelector partially ignored due to parse error",
                "spec.resourceAttributes.labelSelector ignored due to parse error",
            ]
        );
    }
}
