//! The part of an object that selectors look at, read from its bytes past all the rest: a cache that keeps many objects as bytes
//! must not make a tree of each.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::Object;

/// Which members are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outline {
    /// Everything from here on.
    whole: bool,
    members: BTreeMap<String, Self>,
}

impl Outline {
    /// The members at these paths, each as a whole.
    pub fn of<'a>(paths: impl IntoIterator<Item = Vec<&'a str>>) -> Self {
        let mut outline = Self::default();
        for path in paths {
            let end = path.iter().fold(&mut outline, |at, name| at.members.entry((*name).to_owned()).or_default());
            end.whole = true;
        }
        outline
    }

    /// Reads an object. What is not read must be JSON, too.
    ///
    /// # Errors
    ///
    /// When the bytes are no JSON object.
    pub fn read(&self, bytes: &[u8]) -> Result<Object, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = self.deserialize(&mut json)?;
        json.end()?;
        Object::from_value(value).ok_or_else(|| serde::de::Error::custom("it is no JSON object"))
    }
}

impl<'de> DeserializeSeed<'de> for &Outline {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        if self.whole { serde::Deserialize::deserialize(from) } else { from.deserialize_any(self) }
    }
}

/// Where members are looked for there is an object, or nothing of interest.
impl<'de> Visitor<'de> for &Outline {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut found = Map::new();
        while let Some(member) = from.next_key_seed(Member(self))? {
            match member {
                Some((name, outline)) => {
                    found.insert(name.to_owned(), from.next_value_seed(outline)?);
                }
                None => {
                    from.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        while from.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// The name of a member, and what is read of it.
struct Member<'a>(&'a Outline);

impl<'de, 'a> DeserializeSeed<'de> for Member<'a> {
    type Value = Option<(&'a str, &'a Outline)>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Member<'a> {
    type Value = Option<(&'a str, &'a Outline)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.members.get_key_value(name).map(|(name, outline)| (name.as_str(), outline)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline() -> Outline {
        Outline::of([vec!["metadata", "name"], vec!["metadata", "labels"], vec!["spec", "nodeName"], vec!["type"]])
    }

    #[test]
    fn only_what_is_named_is_read() {
        let object = json!({
            "metadata": { "name": "a", "labels": { "x": "1", "y": "2" }, "annotations": { "name": "b" } },
            "spec": { "nodeName": "n", "containers": [{ "name": "c" }] }, "type": 7, "other": { "metadata": {} },
        });
        let read = outline().read(object.to_string().as_bytes()).unwrap();
        let wanted = json!({
            "metadata": { "name": "a", "labels": { "x": "1", "y": "2" } }, "spec": { "nodeName": "n" }, "type": 7,
        });
        assert_eq!(read.into_value(), wanted);
    }

    #[test]
    fn another_shape_holds_nothing() {
        for spec in ["[1,{\"nodeName\":\"n\"}]", "\"x\"", "1", "-1", "1.5", "true", "null"] {
            let read = outline().read(format!("{{\"spec\":{spec}}}").as_bytes()).unwrap();
            assert_eq!(read.into_value(), json!({ "spec": null }), "{spec}");
        }
    }

    #[test]
    fn what_is_not_read_must_be_json_too() {
        for bytes in ["", "[]", "7", "{\"a\":}", "{\"other\":[1,}", "{} {}", "{\"metadata\":{\"name\":\"a\"}", "k8s\0"]
        {
            assert!(outline().read(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
