//! Reads a document along a schema: drops what the schema does not know, notes duplicates, unknown fields and wrong types.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kinds::wire::Zero;
use kinds::{Schema, Struct};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::quantity::Quantity;
use crate::time;

/// More unknown or duplicate fields than this are not listed: the answer must stay an answer.
const STRICT_LIMIT: usize = 100;

/// What was found on the way.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// `unknown field "spec.x"`, `duplicate field "spec.y"`, in order, each once.
    pub(super) strict: Vec<String>,
    /// The first wrong type or value.
    pub(super) fault: Option<String>,
    /// Fields, keys and indices that lead here.
    path: Vec<Step>,
    /// Names of the structs that lead here.
    structs: Vec<String>,
}

#[derive(Debug)]
enum Step {
    Field(String),
    Key(String),
    Index(usize),
}

impl Walk {
    fn note(&mut self, what: &str, field: &str) {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) | Step::Key(name) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(name);
                }
                Step::Index(index) => {
                    // Writing to a String cannot fail.
                    let _ = write!(path, "[{index}]");
                }
            }
        }
        if !path.is_empty() {
            path.push('.');
        }
        let text = format!("{what} field \"{path}{field}\"");
        if self.strict.len() < STRICT_LIMIT && !self.strict.contains(&text) {
            self.strict.push(text);
        }
    }

    fn fault(&mut self, text: String) {
        self.fault.get_or_insert(text);
    }

    /// A value of the wrong type, in the words of upstream's JSON library.
    fn mismatch(&mut self, found: &str, wanted: &Schema) {
        let wanted = type_name(wanted);
        let text = match self.structs.last() {
            None => format!("json: cannot unmarshal {found} into Go value of type {wanted}"),
            Some(owner) => {
                let fields: Vec<&str> = self
                    .path
                    .iter()
                    .filter_map(|step| match step {
                        Step::Field(name) => Some(name.as_str()),
                        Step::Key(_) | Step::Index(_) => None,
                    })
                    .collect();
                format!(
                    "json: cannot unmarshal {found} into Go struct field {owner}.{} of type {wanted}",
                    fields.join(".")
                )
            }
        };
        self.fault(text);
    }
}

/// The name upstream's types have in messages.
fn type_name(schema: &Schema) -> String {
    match schema {
        Schema::Text | Schema::Time | Schema::MicroTime => "string".into(),
        Schema::Int32 | Schema::IntOrString => "int32".into(),
        Schema::Int64 => "int64".into(),
        Schema::Float => "float64".into(),
        Schema::Flag => "bool".into(),
        Schema::Bytes => "[]uint8".into(),
        Schema::Quantity => "resource.Quantity".into(),
        Schema::Any => "map[string]interface {}".into(),
        Schema::List(items) => format!("[]{}", type_name(items)),
        Schema::Map(values) => format!("map[string]{}", type_name(values)),
        Schema::Struct(name) => {
            let mut parts = name.rsplit('.');
            let (short, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            format!("{package}.{short}")
        }
        Schema::Either(either) => type_name(&Schema::Struct(either.definition.clone())),
    }
}

/// What a `null` means where a value must be: upstream's zero value.
fn zero(schema: &Schema) -> Value {
    match schema {
        Schema::Text => "".into(),
        Schema::Int32 | Schema::Int64 | Schema::IntOrString | Schema::Float => 0.into(),
        Schema::Flag => false.into(),
        Schema::Bytes | Schema::Any | Schema::Time | Schema::MicroTime | Schema::Either(_) => Value::Null,
        Schema::Quantity => "0".into(),
        Schema::List(_) => Value::Array(Vec::new()),
        Schema::Map(_) | Schema::Struct(_) => Value::Object(Map::new()),
    }
}

/// One value to read. `None` for a schema: anything goes, as in [`Schema::Any`], but duplicates are noted.
pub(super) struct Node<'w, 's> {
    walk: &'w mut Walk,
    schema: Option<&'s Schema>,
}

impl<'w, 's> Node<'w, 's> {
    pub(super) fn untyped(walk: &'w mut Walk) -> Self {
        Self { walk, schema: None }
    }

    pub(super) fn typed(walk: &'w mut Walk, schema: &'s Schema) -> Self {
        Self { walk, schema: Some(schema) }
    }

    fn mismatch(self, found: &str) -> Value {
        match self.schema {
            None | Some(Schema::Any) => Value::Null,
            Some(Schema::Quantity) => {
                self.walk.fault(crate::quantity::QuantityError::Format.to_string());
                Value::Null
            }
            Some(Schema::Either(either)) => {
                // Where it is a list or a struct, upstream takes anything else for neither.
                if either.other == Schema::Flag {
                    self.walk.fault("boolean or JSON schema expected".to_owned());
                }
                Value::Null
            }
            Some(schema @ (Schema::IntOrString | Schema::Time | Schema::MicroTime)) => {
                let wanted = type_name(schema);
                self.walk.fault(format!("json: cannot unmarshal {found} into Go value of type {wanted}"));
                Value::Null
            }
            Some(schema) => {
                self.walk.mismatch(found, schema);
                Value::Null
            }
        }
    }

    fn integer(self, number: Number) -> Value {
        match self.schema {
            Some(Schema::Int32 | Schema::IntOrString)
                if number.as_i64().is_none_or(|value| i32::try_from(value).is_err()) =>
            {
                self.mismatch(&format!("number {number}"))
            }
            Some(Schema::Int64) if number.as_i64().is_none() => self.mismatch(&format!("number {number}")),
            None | Some(Schema::Any | Schema::Int32 | Schema::Int64 | Schema::IntOrString | Schema::Float) => {
                Value::Number(number)
            }
            Some(Schema::Quantity) => self.quantity(&number.to_string()),
            Some(_) => self.mismatch("number"),
        }
    }

    fn quantity(self, text: &str) -> Value {
        match Quantity::parse(text.trim()) {
            Ok(quantity) => quantity.to_string().into(),
            Err(error) => {
                self.walk.fault(error.to_string());
                Value::Null
            }
        }
    }

    fn text(self, text: String) -> Value {
        match self.schema {
            None | Some(Schema::Any | Schema::Text | Schema::IntOrString) => text.into(),
            Some(Schema::Quantity) => self.quantity(&text),
            Some(Schema::Bytes) => {
                // Line breaks are allowed inside, as upstream's decoder has it.
                let plain: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
                match STANDARD.decode(&plain) {
                    Ok(_) => plain.into(),
                    Err(error) => {
                        self.walk.fault(format!("illegal base64 data at input byte {}", base64_position(&error)));
                        Value::Null
                    }
                }
            }
            Some(Schema::Time) => match time::parse(&text) {
                Some(time) => time::seconds(time).into(),
                None => self.bad_time(&text, "2006-01-02T15:04:05Z07:00"),
            },
            Some(Schema::MicroTime) => match time::parse(&text) {
                Some(time) => time::micros(time).into(),
                None => self.bad_time(&text, "2006-01-02T15:04:05.000000Z07:00"),
            },
            Some(_) => self.mismatch("string"),
        }
    }

    fn bad_time(self, text: &str, layout: &str) -> Value {
        self.walk.fault(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?} as \"2006\""));
        Value::Null
    }

    /// Reads the fields of a struct; what is unknown is skipped unread.
    fn fields<'de, A: MapAccess<'de>>(self, owner: &Struct, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            let Some((name, field)) = owner.fields.get_key_value(&key) else {
                self.walk.note("unknown", &key);
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if !seen.insert(name) {
                self.walk.note("duplicate", &key);
            }
            self.walk.path.push(Step::Field(key.clone()));
            self.walk.structs.push(owner.short_name().to_owned());
            let value = entries.next_value_seed(Node::typed(self.walk, &field.schema))?;
            self.walk.structs.pop();
            self.walk.path.pop();
            let drop = match &value {
                Value::Null => true,
                // An empty list says no more than none, except that an empty list of owners is a wish to forget them.
                Value::Array(items) => {
                    items.is_empty() && key != "managedFields" && !matches!(field.schema, Schema::Any)
                }
                Value::Object(map) => map.is_empty() && matches!(field.schema, Schema::Map(_)),
                Value::Bool(flag) => !flag && field.zero == Zero::Dropped,
                Value::Number(number) => number.as_i64() == Some(0) && field.zero == Zero::Dropped,
                Value::String(text) => text.is_empty() && field.zero == Zero::Dropped,
            };
            if drop {
                map.remove(&key);
            } else {
                map.insert(key, value);
            }
        }
        Ok(Value::Object(map))
    }

    /// Reads the entries of a map.
    fn entries<'de, A: MapAccess<'de>>(self, schema: Option<&Schema>, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                self.walk.note("duplicate", &key);
            }
            self.walk.path.push(Step::Key(key.clone()));
            let value = entries.next_value_seed(Node { walk: self.walk, schema })?;
            self.walk.path.pop();
            let value = match (value, schema) {
                (Value::Null, Some(schema)) => zero(schema),
                (value, _) => value,
            };
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

fn base64_position(error: &base64::DecodeError) -> usize {
    match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => *at,
        base64::DecodeError::InvalidLength(length) => length - length % 4,
        base64::DecodeError::InvalidPadding => 0,
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(match self.schema {
            None | Some(Schema::Any | Schema::Flag) => value.into(),
            Some(Schema::Either(either)) if either.other == Schema::Flag => value.into(),
            Some(_) => self.mismatch("bool"),
        })
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(self.integer(value.into()))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(self.integer(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("a number out of range"))?;
        match self.schema {
            Some(Schema::Int32 | Schema::Int64 | Schema::IntOrString) => Ok(self.mismatch(&format!("number {number}"))),
            _ => Ok(self.integer(number)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(self.text(value.to_owned()))
    }

    fn visit_string<E: serde::de::Error>(self, value: String) -> Result<Value, E> {
        Ok(self.text(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let schema = match self.schema {
            None | Some(Schema::Any) => self.schema,
            Some(Schema::List(items)) => Some(&**items),
            Some(Schema::Either(either)) if let Schema::List(items) = &either.other => Some(&**items),
            Some(_) => {
                while items.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(self.mismatch("array"));
            }
        };
        let mut list = Vec::new();
        loop {
            self.walk.path.push(Step::Index(list.len()));
            let item = items.next_element_seed(Node { walk: self.walk, schema })?;
            self.walk.path.pop();
            match (item, schema) {
                (None, _) => return Ok(Value::Array(list)),
                (Some(Value::Null), Some(schema)) => list.push(zero(schema)),
                (Some(value), _) => list.push(value),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match self.schema {
            None => self.entries(None, entries),
            Some(schema @ Schema::Any) => self.entries(Some(schema), entries),
            Some(Schema::Map(values)) => self.entries(Some(values), entries),
            Some(Schema::Struct(name)) => match kinds::schemas().get(name) {
                Some(owner) => self.fields(owner, entries),
                None => Err(A::Error::custom(format!("no schema for {name}"))),
            },
            Some(Schema::Either(either)) => match kinds::schemas().get(&either.definition) {
                Some(owner) => self.fields(owner, entries),
                None => Err(A::Error::custom(format!("no schema for {}", either.definition))),
            },
            Some(_) => {
                while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(self.mismatch("object"))
            }
        }
    }
}
