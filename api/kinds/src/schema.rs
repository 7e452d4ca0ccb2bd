//! The structure of a kind without its texts.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use crate::wire::{Zero, message};

/// What the types of custom resource definitions are called.
const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";

/// The type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schema {
    /// Any string.
    Text,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// A number.
    Float,
    /// A boolean.
    Flag,
    /// Bytes, base64 on the wire.
    Bytes,
    /// A time to the second.
    Time,
    /// A time to the microsecond.
    MicroTime,
    /// An amount: `100m`, `1Gi`, or a number.
    Quantity,
    /// A port: its number or its name.
    IntOrString,
    /// A tree nobody checks.
    Any,
    /// A list.
    List(Box<Schema>),
    /// A map from any string.
    Map(Box<Schema>),
    /// A struct, by its definition name.
    Struct(String),
    /// A struct, or something else in its place.
    Either(Box<Either>),
}

/// A value of one of two forms. In protobuf it is a message with a place for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Either {
    /// The definition of the struct.
    pub definition: String,
    /// The number of the struct in the message.
    pub number: u32,
    /// What may be instead: a flag or a list.
    pub other: Schema,
    /// The number of that.
    pub other_number: u32,
}

/// How a list merges. Meaningless for other fields, where it is all default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListRule {
    /// Strategic merge joins lists instead of replacing them.
    pub merge: bool,
    /// Strategic merge patches of this field (or of its elements) may name the keys to retain.
    pub retain_keys: bool,
    /// What identifies an element in a strategic merge; `None` for scalars.
    pub merge_key: Option<String>,
    /// `atomic`, `set` or `map`, for apply.
    pub list_type: Option<String>,
    /// What identifies an element for apply.
    pub map_keys: Vec<String>,
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its type.
    pub schema: Schema,
    /// How it merges, if it is a list.
    pub list: ListRule,
    /// Whether apply changes a map or struct here as a whole; `None`: as its type says.
    pub atomic: Option<bool>,
    /// Whether it is there even when nobody wrote it: a struct that is part of its owner, or a list or struct that is required.
    pub always: bool,
    /// What it means when it is not there, for keys of lists.
    pub default: Option<Value>,
    /// What becomes of its zero, if it is a scalar.
    pub zero: Zero,
    /// Whether it is a struct that is part of its owner.
    inline: bool,
}

/// A definition with fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    /// Definition name.
    pub name: String,
    /// Fields by name.
    pub fields: BTreeMap<String, Field>,
    /// Whether apply changes values of the type as a whole.
    pub atomic: bool,
    /// The fields that are written even when nobody set them, with what is written then: zeros, parts without content, and
    /// null for lists and times.
    pub written: Vec<(String, Value)>,
}

impl Struct {
    /// The name without its package: `PodSpec`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}

/// All definitions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schemas {
    /// Looked up for every struct of every object, by long names that begin alike.
    structs: HashMap<String, Struct>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "type")]
    kind: Option<String>,
    format: Option<String>,
    #[serde(rename = "$ref")]
    reference: Option<String>,
    #[serde(rename = "allOf", default)]
    all_of: Vec<Raw>,
    items: Option<Box<Raw>>,
    #[serde(rename = "additionalProperties")]
    values: Option<Box<Raw>>,
    properties: Option<BTreeMap<String, Raw>>,
    #[serde(rename = "x-kubernetes-patch-strategy", default)]
    patch_strategy: String,
    #[serde(rename = "x-kubernetes-patch-merge-key")]
    patch_merge_key: Option<String>,
    #[serde(rename = "x-kubernetes-list-type")]
    list_type: Option<String>,
    #[serde(rename = "x-kubernetes-list-map-keys", default)]
    map_keys: Vec<String>,
    #[serde(rename = "x-kubernetes-map-type")]
    map_type: Option<String>,
    default: Option<Value>,
    #[serde(default)]
    required: Vec<String>,
}

impl Schemas {
    /// Reads definitions in the form of [`crate::definitions_json`].
    ///
    /// # Errors
    ///
    /// When the text is not of that form.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let raw: BTreeMap<String, Raw> = serde_json::from_str(text)?;
        let structs = raw
            .into_iter()
            .filter_map(|(name, raw)| {
                // A struct without any fields is still one; what is no object at all is a scalar.
                let fields = raw.properties.or_else(|| (raw.kind.as_deref() == Some("object")).then(BTreeMap::new))?;
                let message = message(&name);
                let fields = fields.into_iter().map(|(field, value)| {
                    let required = raw.required.contains(&field);
                    let mark = message.and_then(|message| message.zeros.get(&field)).copied().unwrap_or_default();
                    (field, Field::of(value, required, mark))
                });
                let fields: BTreeMap<String, Field> = fields.collect();
                let nulls = message.into_iter().flat_map(|message| &message.nulls);
                let written = fields.iter().filter_map(|(name, field)| Some((name.clone(), field.written()?)));
                let written = written.chain(nulls.map(|name| (name.clone(), Value::Null))).collect();
                let atomic = raw.map_type.as_deref() == Some("atomic");
                Some((name.clone(), Struct { name, fields, atomic, written }))
            })
            .collect();
        Ok(Self { structs })
    }

    /// The struct of that name.
    pub fn get(&self, name: &str) -> Option<&Struct> {
        self.structs.get(name)
    }
}

impl Field {
    fn of(raw: Raw, required: bool, mark: Zero) -> Self {
        let list = ListRule {
            merge: raw.patch_strategy.split(',').any(|word| word == "merge"),
            retain_keys: raw.patch_strategy.split(',').any(|word| word == "retainKeys"),
            merge_key: raw.patch_merge_key.clone(),
            list_type: raw.list_type.clone(),
            map_keys: raw.map_keys.clone(),
        };
        let atomic = raw.map_type.as_deref().map(|map_type| map_type == "atomic");
        let default = raw.default.clone();
        let schema = Schema::of(raw);
        let inline = default.as_ref().and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
        let always = inline || required && matches!(schema, Schema::List(_) | Schema::Struct(_));
        // What must be there and keeps its zero is written always, unless its zero is what it means not to be there.
        let zero = if mark == Zero::Kept && required && default.is_none() { Zero::Written } else { mark };
        Self { schema, list, atomic, always, default: default.filter(|_| !inline), zero, inline }
    }

    /// What is written of the field when nobody set it.
    fn written(&self) -> Option<Value> {
        if self.inline {
            return Some(Value::Object(serde_json::Map::new()));
        }
        (self.zero == Zero::Written).then(|| self.schema.zero()).flatten()
    }
}

impl Schema {
    /// The zero of a plain scalar.
    fn zero(&self) -> Option<Value> {
        match self {
            Self::Text => Some("".into()),
            Self::Int32 | Self::Int64 => Some(0.into()),
            Self::Flag => Some(false.into()),
            _ => None,
        }
    }

    fn of(mut raw: Raw) -> Self {
        if let Some(inner) = raw.all_of.pop() {
            return Self::of(inner);
        }
        if let Some(reference) = raw.reference {
            return Self::named(reference.rsplit('/').next().unwrap_or_default());
        }
        match (raw.kind.as_deref(), raw.format.as_deref()) {
            (Some("string"), Some("byte")) => Self::Bytes,
            (Some("string"), Some("date-time")) => Self::Time,
            (Some("string"), _) => Self::Text,
            (Some("integer"), Some("int32")) => Self::Int32,
            (Some("integer"), _) => Self::Int64,
            (Some("number"), _) => Self::Float,
            (Some("boolean"), _) => Self::Flag,
            (Some("array"), _) => Self::List(Box::new(raw.items.map_or(Self::Any, |items| Self::of(*items)))),
            (Some("object"), _) => raw.values.map_or(Self::Any, |values| Self::Map(Box::new(Self::of(*values)))),
            (_, _) => Self::Any,
        }
    }

    /// The type of a definition, by its name.
    pub fn named(name: &str) -> Self {
        match name {
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => Self::IntOrString,
            "io.k8s.apimachinery.pkg.api.resource.Quantity" => Self::Quantity,
            "io.k8s.apimachinery.pkg.apis.meta.v1.Time" => Self::Time,
            "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime" => Self::MicroTime,
            "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1" | "io.k8s.apimachinery.pkg.runtime.RawExtension" => {
                Self::Any
            }
            other => match other.strip_prefix(EXTENSIONS) {
                Some("JSON") => Self::Any,
                Some("JSONSchemaPropsOrArray") => {
                    Self::or((Self::List(Box::new(Self::Struct(format!("{EXTENSIONS}JSONSchemaProps")))), 2), 1)
                }
                Some("JSONSchemaPropsOrBool") => Self::or((Self::Flag, 1), 2),
                Some("JSONSchemaPropsOrStringArray") => Self::or((Self::List(Box::new(Self::Text)), 2), 1),
                Some(_) | None => Self::Struct(other.to_owned()),
            },
        }
    }

    /// A schema of JSON, or something shorter.
    fn or((other, other_number): (Self, u32), number: u32) -> Self {
        let definition = format!("{EXTENSIONS}JSONSchemaProps");
        Self::Either(Box::new(Either { definition, number, other, other_number }))
    }
}
