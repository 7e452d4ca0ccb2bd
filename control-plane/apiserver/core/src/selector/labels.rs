//! Label selectors: `app=web,tier!=db,env in (a, b),!gone`.

/// A parsed label selector. Requirements are sorted by key, as upstream sorts them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    operator: Operator,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

impl LabelSelector {
    /// Parses a selector; the error is upstream's text, to be put behind `unable to parse requirement: ` by nobody: it is complete.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() { Ok(Self::default()) } else { Err(format!("unable to parse requirement: {text}")) }
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether an object with these labels matches.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|one| {
            let value = label(&one.key);
            match &one.operator {
                Operator::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::GreaterThan(bound) => {
                    value.and_then(|text| text.parse::<i64>().ok()).is_some_and(|n| n > *bound)
                }
                Operator::LessThan(bound) => {
                    value.and_then(|text| text.parse::<i64>().ok()).is_some_and(|n| n < *bound)
                }
            }
        })
    }
}
