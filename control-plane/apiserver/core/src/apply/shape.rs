//! What a value is to apply: where it ends, and what tells the elements of its list apart.

use kinds::{Field, Schema, Struct};
use serde_json::Value;

use super::element::{PathElement, Scalar};

/// The shape of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// Changed as a whole: a scalar, or something atomic.
    Leaf(&'static Schema),
    /// Members with names of their own.
    Struct(&'static Struct),
    /// Members of one type.
    Map(&'static Schema),
    /// Scalars, each there once.
    Set(&'static Schema),
    /// Structs, told apart by these members.
    Keyed { items: &'static Schema, keys: &'static [String] },
}

impl Shape {
    /// The shape of an object of a definition.
    pub(super) fn of_definition(definition: &str) -> Self {
        kinds::schemas().get(definition).map_or(Self::Leaf(&Schema::Any), Self::Struct)
    }

    /// The shape of a field's value.
    pub(super) fn of_field(field: &'static Field) -> Self {
        match (&field.schema, field.atomic) {
            (Schema::Map(_) | Schema::Struct(_), Some(true)) => Self::Leaf(&field.schema),
            (Schema::Struct(name), Some(false)) => Self::of_definition(name),
            (Schema::List(items), _) => match field.list.list_type.as_deref() {
                Some("set") => Self::Set(items),
                Some("map") => Self::Keyed { items, keys: &field.list.map_keys },
                Some(_) | None => Self::Leaf(&field.schema),
            },
            (schema, _) => Self::of(schema),
        }
    }

    /// The shape of a value in a list or a map.
    pub(super) fn of(schema: &'static Schema) -> Self {
        match schema {
            Schema::Struct(name) => match kinds::schemas().get(name) {
                Some(owner) if !owner.atomic => Self::Struct(owner),
                Some(_) | None => Self::Leaf(schema),
            },
            Schema::Map(values) => Self::Map(values),
            Schema::Text
            | Schema::Int32
            | Schema::Int64
            | Schema::Float
            | Schema::Flag
            | Schema::Bytes
            | Schema::Time
            | Schema::MicroTime
            | Schema::Quantity
            | Schema::IntOrString
            | Schema::Any
            | Schema::Either(_)
            | Schema::List(_) => Self::Leaf(schema),
        }
    }

    /// The shape of a member. What a struct does not know is a leaf.
    pub(super) fn member(self, name: &str) -> Self {
        match self {
            Self::Struct(owner) => owner.fields.get(name).map_or(Self::Leaf(&Schema::Any), Self::of_field),
            Self::Map(values) => Self::of(values),
            Self::Leaf(_) | Self::Set(_) | Self::Keyed { .. } => Self::Leaf(&Schema::Any),
        }
    }

    /// The shape of what an element leads to.
    pub(super) fn step(self, element: &PathElement) -> Self {
        match (element, self) {
            (PathElement::Field(name), _) => self.member(name),
            (_, Self::Set(items) | Self::Keyed { items, .. }) => Self::of(items),
            (_, Self::Leaf(_) | Self::Struct(_) | Self::Map(_)) => Self::Leaf(&Schema::Any),
        }
    }

    /// Whether a struct names the field.
    pub(super) fn names(self, element: &PathElement) -> bool {
        match (self, element) {
            (Self::Struct(owner), PathElement::Field(name)) => owner.fields.contains_key(name),
            (_, _) => false,
        }
    }

    /// What tells an element of this list from the others.
    ///
    /// # Errors
    ///
    /// When nothing does, in upstream's words.
    pub(super) fn element(self, item: &Value) -> Result<PathElement, String> {
        match self {
            Self::Keyed { items, keys } => keyed(items, keys, item),
            Self::Set(_) | Self::Leaf(_) | Self::Struct(_) | Self::Map(_) => match item {
                Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
                Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
                Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(PathElement::Value(Scalar::of(item))),
            },
        }
    }
}

fn keyed(items: &Schema, keys: &[String], item: &Value) -> Result<PathElement, String> {
    let map = match item {
        Value::Object(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err("associative list with keys may not have non-map elements".to_owned());
        }
    };
    let owner = match items {
        Schema::Struct(name) => kinds::schemas().get(name),
        _ => None,
    };
    let mut found = Vec::with_capacity(keys.len());
    for key in keys {
        let default = || owner.and_then(|owner| owner.fields.get(key)?.default.as_ref());
        let Some(value) = map.get(key).or_else(default) else {
            return Err(format!(
                "associative list with keys has an element that omits key field {key:?} (and doesn't have default value)"
            ));
        };
        found.push((key.clone(), Scalar::of(value)));
    }
    found.sort();
    Ok(PathElement::Key(found))
}
