//! Label selectors: `app=web,tier!=db,env in (a, b),!gone`.

mod lexer;

use crate::names;
use lexer::{Lexer, Token};

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
    /// Parses a selector.
    ///
    /// # Errors
    ///
    /// Upstream's text, complete: the server answers 400 with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: Lexer::new(text).tokens(), at: 0 };
        let mut requirements = parser.requirements()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Whether it matches everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Its requirements: key, operator as the API spells it (none for comparisons of numbers, which it has no word for), values.
    pub fn requirements(&self) -> impl Iterator<Item = (&str, Option<&'static str>, &[String])> {
        self.requirements.iter().map(|one| {
            let (operator, values): (_, &[String]) = match &one.operator {
                Operator::In(values) => (Some("In"), values),
                Operator::NotIn(values) => (Some("NotIn"), values),
                Operator::Exists => (Some("Exists"), &[]),
                Operator::DoesNotExist => (Some("DoesNotExist"), &[]),
                Operator::GreaterThan(_) | Operator::LessThan(_) => (None, &[]),
            };
            (one.key.as_str(), operator, values)
        })
    }

    /// Whether an object with these labels matches.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|one| {
            let value = label(&one.key);
            let number = || value.and_then(|text| text.parse::<i64>().ok());
            match &one.operator {
                Operator::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
                Operator::LessThan(bound) => number().is_some_and(|number| number < *bound),
            }
        })
    }
}

struct Parser {
    tokens: Vec<(Token, String)>,
    at: usize,
}

/// Whether `in` and `notin` are words of their own or operators here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Values,
}

impl Parser {
    fn look(&self, place: Place) -> (Token, &str) {
        let (token, text) = self.tokens.get(self.at).map_or((Token::End, ""), |(token, text)| (*token, text.as_str()));
        let word = place == Place::Values && matches!(token, Token::In | Token::NotIn);
        (if word { Token::Identifier } else { token }, text)
    }

    fn take(&mut self, place: Place) -> (Token, String) {
        let (token, text) = self.look(place);
        let taken = (token, text.to_owned());
        self.at += 1;
        taken
    }

    fn requirements(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            let (token, text) = self.look(Place::Values);
            match token {
                Token::Identifier | Token::DoesNotExist => {
                    let requirement =
                        self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
                    requirements.push(requirement);
                    match self.take(Place::Values) {
                        (Token::End, _) => return Ok(requirements),
                        (Token::Comma, _) => {
                            let (next, text) = self.look(Place::Values);
                            if next != Token::Identifier && next != Token::DoesNotExist {
                                return Err(format!("found '{text}', expected: identifier after ','"));
                            }
                        }
                        (_, text) => return Err(format!("found '{text}', expected: ',' or 'end of string'")),
                    }
                }
                Token::End => return Ok(requirements),
                _ => return Err(format!("found '{text}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let (mut token, mut key) = self.take(Place::Values);
        let negated = token == Token::DoesNotExist;
        if negated {
            (token, key) = self.take(Place::Values);
        }
        if token != Token::Identifier {
            return Err(format!("found '{key}', expected: identifier"));
        }
        check(&names::qualified_name(&key), &key, "key")?;
        if negated {
            return Ok(Requirement { key, operator: Operator::DoesNotExist });
        }
        if matches!(self.look(Place::Values).0, Token::End | Token::Comma) {
            return Ok(Requirement { key, operator: Operator::Exists });
        }
        let (token, text) = self.take(Place::Key);
        let operator = match token {
            Token::In => Operator::In(self.set(&key)?),
            Token::NotIn => Operator::NotIn(self.set(&key)?),
            Token::Equals => Operator::In(vec![self.exact(&key)?]),
            Token::NotEquals => Operator::NotIn(vec![self.exact(&key)?]),
            Token::GreaterThan => Operator::GreaterThan(self.number()?),
            Token::LessThan => Operator::LessThan(self.number()?),
            Token::Identifier
            | Token::DoesNotExist
            | Token::Comma
            | Token::Open
            | Token::Close
            | Token::End
            | Token::Wrong => {
                return Err(format!("found '{text}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        Ok(Requirement { key, operator })
    }

    /// The values in parentheses.
    fn set(&mut self, key: &str) -> Result<Vec<String>, String> {
        let (token, text) = self.take(Place::Values);
        if token != Token::Open {
            return Err(format!("found '{text}' expected: '('"));
        }
        let mut values = Vec::new();
        match self.look(Place::Values) {
            (Token::Identifier | Token::Comma, _) => {}
            (Token::Close, _) => {
                self.at += 1;
                return Ok(vec![String::new()]);
            }
            (_, text) => return Err(format!("found '{text}', expected: ',', ')' or identifier")),
        }
        loop {
            match self.take(Place::Values) {
                (Token::Identifier, value) => {
                    check(&names::label_value(&value), &value, &format!("values[{}][{key}]", values.len()))?;
                    values.push(value);
                    match self.look(Place::Values) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => {
                            self.at += 1;
                            return Ok(sorted(values));
                        }
                        (_, text) => return Err(format!("found '{text}', expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    if values.is_empty() {
                        values.push(String::new());
                    }
                    match self.look(Place::Values) {
                        (Token::Close, _) => {
                            values.push(String::new());
                            self.at += 1;
                            return Ok(sorted(values));
                        }
                        (Token::Comma, _) => {
                            self.at += 1;
                            values.push(String::new());
                        }
                        _ => {}
                    }
                }
                (_, text) => return Err(format!("found '{text}', expected: ',', or identifier")),
            }
        }
    }

    fn exact(&mut self, key: &str) -> Result<String, String> {
        if matches!(self.look(Place::Values).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        let (token, value) = self.take(Place::Values);
        if token != Token::Identifier {
            return Err(format!("found '{value}', expected: identifier"));
        }
        check(&names::label_value(&value), &value, &format!("values[0][{key}]"))?;
        Ok(value)
    }

    fn number(&mut self) -> Result<i64, String> {
        let (token, value) = self.take(Place::Values);
        if token != Token::Identifier {
            return Err(format!("found '{value}', expected: identifier"));
        }
        value.parse().map_err(|_| {
            format!("values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer")
        })
    }
}

fn sorted(mut values: Vec<String>) -> Vec<String> {
    values.sort();
    values.dedup();
    values
}

fn check(wrong: &[String], value: &str, field: &str) -> Result<(), String> {
    if wrong.is_empty() { Ok(()) } else { Err(format!("{field}: Invalid value: {value:?}: {}", wrong.join("; "))) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(selector: &str, labels: &[(&str, &str)]) -> bool {
        let parsed = LabelSelector::parse(selector).expect(selector);
        parsed.matches(|key| labels.iter().find(|(one, _)| *one == key).map(|(_, value)| *value))
    }

    #[test]
    fn every_operator_does_its_work() {
        let labels = [("app", "web"), ("n", "5"), ("in", "x")];
        for selector in [
            "",
            "app=web",
            "app==web",
            "app!=db",
            "gone!=db",
            "app in (web, db)",
            "app in(web,db)",
            "app notin (db)",
            "app",
            "!gone",
            " app = web , n>4,n<6",
            "in in (x)",
            "gone notin (a)",
        ] {
            assert!(matches(selector, &labels), "{selector}");
        }
        for selector in [
            "app=db",
            "app!=web",
            "app in (db)",
            "app notin (web)",
            "gone",
            "!app",
            "n>5",
            "n<5",
            "app>1",
            "app in ()",
            "app=",
        ] {
            assert!(!matches(selector, &labels), "{selector}");
        }
        assert!(matches("a=", &[("a", "")]));
    }

    #[test]
    fn errors_are_upstreams() {
        for (selector, wanted) in [
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a=b)", "found ')', expected: ',' or 'end of string'"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "n>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ] {
            assert_eq!(LabelSelector::parse(selector), Err(wanted.to_owned()), "{selector}");
        }
        let key = LabelSelector::parse("a/b/c=d").expect_err("a bad key");
        assert!(
            key.starts_with(
                "unable to parse requirement: key: Invalid value: \"a/b/c\": a qualified name must consist"
            ),
            "{key}"
        );
        let value = LabelSelector::parse("a=-").expect_err("a bad value");
        assert!(
            value.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-\": a valid label must be"),
            "{value}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[a-c=!<>(), /.-]{0,24}|\\PC{0,12}") {
            let _ = LabelSelector::parse(&text);
        }

        #[test]
        fn not_in_is_the_opposite_of_in(value in "[a-c]", set in "[a-c](,[a-c]){0,2}") {
            let label = [("k", value.as_str())];
            prop_assert_ne!(matches(&format!("k in ({set})"), &label), matches(&format!("k notin ({set})"), &label));
        }
    }
}
