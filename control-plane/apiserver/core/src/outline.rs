//! The part of an object that selectors, or the cells of a table, look at, read from its bytes past all the rest: whoever keeps
//! many objects as bytes must not make a tree of each.

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
    /// Every member, or every element, by its name and place alone.
    named: bool,
    members: BTreeMap<String, Self>,
}

impl Outline {
    /// The members at these paths, each as a whole. Steps are joined by dots, and a list is passed through to each of its
    /// elements. A path that ends in `*` stands for as many members or elements as there are, with nothing in them.
    pub fn of(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut outline = Self::default();
        for path in paths {
            let path = path.as_ref();
            let (path, named) = path.strip_suffix(".*").map_or((path, false), |path| (path, true));
            let end = path.split('.').fold(&mut outline, |at, name| at.members.entry(name.to_owned()).or_default());
            if named { end.named = true } else { end.whole = true }
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
                Found::Read(name, outline) => {
                    found.insert(name.to_owned(), from.next_value_seed(outline)?);
                }
                Found::Named(name) => {
                    from.next_value::<IgnoredAny>()?;
                    found.insert(name, Value::Null);
                }
                Found::Nothing => {
                    from.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(found))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut found = Vec::new();
        if self.named {
            while from.next_element::<IgnoredAny>()?.is_some() {
                found.push(Value::Null);
            }
        } else {
            while let Some(element) = from.next_element_seed(self)? {
                found.push(element);
            }
        }
        Ok(Value::Array(found))
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

enum Found<'a> {
    Read(&'a str, &'a Outline),
    Named(String),
    Nothing,
}

impl<'de, 'a> DeserializeSeed<'de> for Member<'a> {
    type Value = Found<'a>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Member<'a> {
    type Value = Found<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(match self.0.members.get_key_value(name) {
            Some((name, outline)) => Found::Read(name, outline),
            None if self.0.named => Found::Named(name.to_owned()),
            None => Found::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outline() -> Outline {
        Outline::of(["metadata.name", "metadata.labels", "spec.nodeName", "type", "data.*", "list.*", "items.name"])
    }

    #[test]
    fn only_what_is_named_is_read() {
        let object = json!({
            "metadata": { "name": "a", "labels": { "x": "1", "y": "2" }, "annotations": { "name": "b" } },
            "spec": { "nodeName": "n", "containers": [{ "name": "c" }] }, "type": 7, "other": { "metadata": {} },
            "data": { "k": "v", "l": [1] }, "list": [{ "a": 1 }, 2], "items": [{ "name": "i", "value": 1 }, 3, []],
        });
        let read = outline().read(object.to_string().as_bytes()).unwrap();
        let wanted = json!({
            "metadata": { "name": "a", "labels": { "x": "1", "y": "2" } }, "spec": { "nodeName": "n" }, "type": 7,
            "data": { "k": null, "l": null }, "list": [null, null], "items": [{ "name": "i" }, null, []],
        });
        assert_eq!(read.into_value(), wanted);
    }

    #[test]
    fn another_shape_holds_nothing() {
        for spec in ["\"x\"", "1", "-1", "1.5", "true", "null"] {
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
