//! What an authorizer says.

use std::fmt::Write as _;

/// Whether somebody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Yes; nobody else is asked.
    Allow,
    /// No; nobody else is asked.
    Deny,
    /// Ask the next one. If there is none, no.
    NoOpinion,
}

/// A decision and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The decision.
    pub decision: Decision,
    /// For people; may be empty.
    pub reason: String,
    /// What went wrong while it was decided.
    pub error: Option<String>,
}

impl Verdict {
    /// Yes.
    pub fn allow(reason: impl Into<String>) -> Self {
        Self { decision: Decision::Allow, reason: reason.into(), error: None }
    }

    /// Nothing known.
    pub fn no_opinion(reason: impl Into<String>) -> Self {
        Self { decision: Decision::NoOpinion, reason: reason.into(), error: None }
    }

    /// Whether the answer is yes.
    pub fn is_allowed(&self) -> bool {
        self.decision == Decision::Allow
    }

    /// Takes in what the next authorizer says, after one that had no opinion.
    pub fn and_then(&mut self, next: Self) {
        self.decision = next.decision;
        if next.decision == Decision::NoOpinion {
            if !self.reason.is_empty() && !next.reason.is_empty() {
                self.reason.push('\n');
            }
            self.reason.push_str(&next.reason);
            self.error = match (self.error.take(), next.error) {
                (Some(one), Some(other)) => Some(joined(&[one, other])),
                (one, other) => one.or(other),
            };
        } else {
            self.reason = next.reason;
            self.error = next.error;
        }
    }
}

/// Several failures as one text: each once, in brackets if there are two or more.
pub fn joined(errors: &[String]) -> String {
    let mut seen: Vec<&str> = Vec::new();
    for error in errors {
        if !seen.contains(&error.as_str()) {
            seen.push(error);
        }
    }
    if let [one] = seen.as_slice() {
        return (*one).to_owned();
    }
    format!("[{}]", seen.join(", "))
}

/// A list as Go quotes it: `["a" "b"]`.
pub fn quoted(texts: &[impl AsRef<str>]) -> String {
    let mut out = String::from("[");
    for (index, text) in texts.iter().enumerate() {
        let _ = write!(out, "{}{:?}", if index == 0 { "" } else { " " }, text.as_ref());
    }
    out + "]"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_opinion_counts_and_reasons_add_up() {
        let mut verdict = Verdict::no_opinion("");
        verdict.and_then(Verdict { error: Some("late".into()), ..Verdict::no_opinion("one") });
        verdict.and_then(Verdict { error: Some("lost".into()), ..Verdict::no_opinion("two") });
        assert_eq!((verdict.reason.as_str(), verdict.error.as_deref()), ("one\ntwo", Some("[late, lost]")));
        verdict.and_then(Verdict::allow("three"));
        assert_eq!(verdict, Verdict::allow("three"));
    }

    #[test]
    fn lists_look_like_upstreams() {
        assert_eq!(joined(&["a".into(), "a".into()]), "a");
        assert_eq!(quoted(&["a", ""]), "[\"a\" \"\"]");
    }
}
