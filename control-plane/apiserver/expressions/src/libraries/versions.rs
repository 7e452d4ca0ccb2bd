//! Semantic versions.

use std::cmp::Ordering;

use cel::{Error, Library, Type, Value};
use semver::Version;

use super::{Given, opaque, opaque_type, text, traversal};

const NAME: &str = "kubernetes.Semver";

#[derive(Debug)]
struct Semver(Version);
opaque_type!(Semver, NAME);

impl PartialEq for Semver {
    fn eq(&self, other: &Self) -> bool {
        self.0.cmp_precedence(&other.0) == Ordering::Equal
    }
}

pub(super) fn versions() -> Library {
    use Type::{Bool, Int, String};
    let one = [Type::opaque(NAME)];
    let two = [Type::opaque(NAME), Type::opaque(NAME)];
    Library::default()
        .named_type(NAME, Type::opaque(NAME))
        .global("semver", "string_to_semver", &[String], Type::opaque(NAME), made)
        .costing(traversal)
        .global("semver", "string_bool_to_semver", &[String, Bool], Type::opaque(NAME), made)
        .costing(traversal)
        .global("isSemver", "is_semver_string", &[String], Bool, |args| Ok(Value::Bool(parse(args).is_ok())))
        .costing(traversal)
        .global("isSemver", "is_semver_string_bool", &[String, Bool], Bool, |args| Ok(Value::Bool(parse(args).is_ok())))
        .costing(traversal)
        .member("isGreaterThan", "semver_is_greater_than", &two, Bool, |args| {
            Ok(Value::Bool(order(args)? == Ordering::Greater))
        })
        .member("isLessThan", "semver_is_less_than", &two, Bool, |args| Ok(Value::Bool(order(args)? == Ordering::Less)))
        .member("compareTo", "semver_compare_to", &two, Int, |args| Ok(Value::Int(order(args)? as i64)))
        .member("major", "semver_major", &one, Int, |args| part(args, |version| version.major))
        .member("minor", "semver_minor", &one, Int, |args| part(args, |version| version.minor))
        .member("patch", "semver_patch", &one, Int, |args| part(args, |version| version.patch))
}

fn made<'a>(args: &[Value<'a>]) -> Given<'a> {
    parse(args).map(|version| Value::opaque(Semver(version)))
}

fn parse(args: &[Value<'_>]) -> Result<Version, Error> {
    let given = text(&args[0])?;
    let version = match args.get(1) {
        Some(Value::Bool(true)) => normalized(given),
        _ => given.to_owned(),
    };
    Version::parse(&version).map_err(|why| Error::new(why.to_string()))
}

/// Without a `v` in front and noughts before numbers, and with all three numbers.
fn normalized(text: &str) -> String {
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<_> = numbers
        .split('.')
        .map(|part| match part.trim_start_matches('0') {
            "" if !part.is_empty() => "0",
            part => part,
        })
        .collect();
    while parts.len() < 3 && rest.is_empty() {
        parts.push("0");
    }
    parts.join(".") + rest
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Error> {
    Ok(opaque::<Semver>(&args[0])?.0.cmp_precedence(&opaque::<Semver>(&args[1])?.0))
}

fn part<'a>(args: &[Value<'a>], part: fn(&Version) -> u64) -> Given<'a> {
    Ok(Value::Int(part(&opaque::<Semver>(&args[0])?.0) as i64))
}
