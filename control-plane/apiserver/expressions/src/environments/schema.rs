//! Types from schemas of `OpenAPI`.

use cel::Type;
use serde_json::Value as Json;

use super::Types;

/// The type that a schema describes, its messages added to the types under names that begin with `name`. References must
/// have been resolved.
pub fn declare(name: &str, schema: &Json, types: &mut Types) -> Type {
    let is = |flag: &str| schema.get(flag).and_then(Json::as_bool).unwrap_or_default();
    if is("x-kubernetes-int-or-string") {
        return Type::Dyn;
    }
    let format = schema.get("format").and_then(Json::as_str).unwrap_or_default();
    match schema.get("type").and_then(Json::as_str).unwrap_or_default() {
        "boolean" => Type::Bool,
        "integer" => Type::Int,
        "number" => Type::Double,
        "string" => match format {
            "byte" => Type::Bytes,
            "date" | "date-time" => Type::Timestamp,
            "duration" => Type::Duration,
            "int-or-string" => Type::Dyn,
            _ => Type::String,
        },
        "array" => {
            schema.get("items").map_or(Type::Dyn, |items| Type::list(declare(&format!("{name}.@idx"), items, types)))
        }
        "object" => match (schema.get("additionalProperties"), schema.get("properties").and_then(Json::as_object)) {
            (Some(values @ Json::Object(_)), _) => {
                Type::map(Type::String, declare(&format!("{name}.@elem"), values, types))
            }
            (_, Some(properties)) => {
                let fields: Vec<_> = properties
                    .iter()
                    .flat_map(|(field, schema)| {
                        let of = declare(&format!("{name}.{field}"), schema, types);
                        // What needs escaping only as a variable can be said as a field, too.
                        [(escaped(field), of.clone()), (field.clone(), of)]
                    })
                    .collect();
                let fields = fields.iter().map(|(field, of)| (field.as_str(), of.clone()));
                *types = std::mem::take(types).with(name, fields);
                Type::object(name)
            }
            _ => Type::Dyn,
        },
        _ => Type::Dyn,
    }
}

/// The name by which expressions can say a property.
pub fn escaped(property: &str) -> String {
    const RESERVED: [&str; 21] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ];
    if RESERVED.contains(&property) {
        return format!("__{property}__");
    }
    property.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__").replace('/', "__slash__")
}
