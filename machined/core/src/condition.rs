//! What an operator should know about a machine, part by part.

use std::collections::BTreeMap;

/// How bad it is. The order is from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Works, but not as an operator would want it to.
    Warning,
    /// Does not work.
    Error,
}

/// One sentence about one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which part, for example `disk`.
    pub part: String,
    /// How bad it is.
    pub severity: Severity,
    /// The sentence.
    pub message: String,
}

/// The newest condition of each part. A part that is well has none.
#[derive(Debug, Clone, Default)]
pub struct Conditions(BTreeMap<String, (Severity, String)>);

impl Conditions {
    /// Replaces what is known about `part`. Returns whether that is news.
    pub fn set(&mut self, part: &str, severity: Severity, message: String) -> bool {
        let new = (severity, message);
        if self.0.get(part) == Some(&new) {
            return false;
        }
        self.0.insert(part.to_owned(), new);
        true
    }

    /// The part is well. Returns whether that is news.
    pub fn clear(&mut self, part: &str) -> bool {
        self.0.remove(part).is_some()
    }

    /// All conditions, the worst first, then by part.
    pub fn list(&self) -> Vec<Condition> {
        let mut list: Vec<_> = self
            .0
            .iter()
            .map(|(part, (severity, message))| Condition {
                part: part.clone(),
                severity: *severity,
                message: message.clone(),
            })
            .collect();
        list.sort_by_key(|condition| std::cmp::Reverse(condition.severity));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_only_news_is_news() {
        let mut conditions = Conditions::default();
        assert!(conditions.set("network", Severity::Warning, "no link".into()));
        assert!(!conditions.set("network", Severity::Warning, "no link".into()));
        assert!(conditions.set("disk", Severity::Error, "gone".into()));
        let parts: Vec<_> = conditions.list().into_iter().map(|condition| condition.part).collect();
        assert_eq!(parts, ["disk", "network"]);
        assert!(conditions.clear("disk"));
        assert!(!conditions.clear("disk"));
        assert_eq!(conditions.list().len(), 1);
    }
}
