//! Formats that have names: `format.dns1123Label().validate(name)`.

use apiserver_core::names;
use base64::Engine as _;
use cel::{Error, Library, Type, Value};

use super::{Given, each, opaque, opaque_type, text};

const NAME: &str = "kubernetes.NamedFormat";

/// One of [`FORMATS`].
#[derive(Debug, PartialEq, Eq)]
struct Format(usize);
opaque_type!(Format, NAME);

type Row = (&'static str, &'static str, fn(&str) -> Vec<String>, for<'a> fn(&[Value<'a>]) -> Given<'a>);

macro_rules! row {
    ($index:literal, $name:literal, $check:expr) => {
        (concat!("format.", $name), $name, $check, |_| Ok(Value::opaque(Format($index))))
    };
}

const FORMATS: [Row; 13] = [
    row!(0, "dns1123Label", names::dns_label),
    row!(1, "dns1123Subdomain", names::dns_subdomain),
    row!(2, "dns1035Label", names::dns_1035_label),
    row!(3, "qualifiedName", names::qualified_name),
    row!(4, "dns1123LabelPrefix", |text| names::dns_label(&prefix(text))),
    row!(5, "dns1123SubdomainPrefix", |text| names::dns_subdomain(&prefix(text))),
    row!(6, "dns1035LabelPrefix", |text| names::dns_1035_label(&prefix(text))),
    row!(7, "labelValue", names::label_value),
    row!(8, "uri", |text| {
        let scheme = text.split_once(':').is_some_and(|(scheme, _)| scheme.bytes().all(|b| b.is_ascii_alphanumeric()));
        said(text.starts_with('/') || scheme && !text.starts_with(':'), "invalid URI format")
    }),
    row!(9, "uuid", |text| said(is_uuid(text), "does not match the UUID format")),
    row!(10, "byte", |text| { said(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64") }),
    row!(11, "date", |text| said(is_date(text), "invalid date")),
    row!(12, "datetime", |text| {
        said(is_date(text.get(..10).unwrap_or_default()) && text.parse::<jiff::Timestamp>().is_ok(), "invalid datetime")
    }),
];

/// A name that something is added to may end with a dash.
fn prefix(text: &str) -> String {
    text.strip_suffix('-').map_or_else(|| text.to_owned(), |rest| format!("{rest}a"))
}

fn said(right: bool, otherwise: &str) -> Vec<String> {
    if right { Vec::new() } else { vec![otherwise.to_owned()] }
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = bytes.len() == 32 && bytes.iter().all(u8::is_ascii_hexdigit);
    plain
        || bytes.len() == 36
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                8 | 13 | 18 | 23 => *byte == b'-',
                _ => byte.is_ascii_hexdigit(),
            })
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

pub(super) fn formats() -> Library {
    let format = Type::opaque(NAME);
    let library = Library::default()
        .named_type(NAME, format.clone())
        .global("format.named", "format-named", &[Type::String], Type::optional(format.clone()), |args| {
            let name = text(&args[0])?;
            let found = FORMATS.iter().position(|row| row.1 == name);
            Ok(found.map_or(Value::Optional(None), |index| Value::opaque(Format(index)).some()))
        })
        .member(
            "validate",
            "format-validate",
            &[format.clone(), Type::String],
            Type::optional(Type::list(Type::String)),
            validate,
        )
        // The expressions of such formats are as long as about twenty-five characters are costly.
        .costing(|args, _| cel::ceil_tenth(cel::size(&args[1])).saturating_mul(25));
    each(library, FORMATS, |library, (function, id, _, make)| library.global(function, id, &[], format.clone(), make))
}

fn validate<'a>(args: &[Value<'a>]) -> Given<'a> {
    let format: &Format = opaque(&args[0])?;
    let row = FORMATS.get(format.0).ok_or(Error::no_such_overload())?;
    let wrong = (row.2)(text(&args[1])?);
    if wrong.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::list(wrong.into_iter().map(Value::string).collect()).some())
}
