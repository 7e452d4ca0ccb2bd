//! Finding by patterns.

use cel::{Error, Library, Type, Value};

use super::{Given, text};

pub(super) fn patterns() -> Library {
    use Type::{Int, String};
    Library::default()
        .member("find", "string_find_string", &[String, String], String, find)
        .costing(cost)
        .member("findAll", "string_find_all_string", &[String, String], Type::list(String), find_all)
        .costing(cost)
        .member("findAll", "string_find_all_string_int", &[String, String, Int], Type::list(String), find_all)
        .costing(cost)
}

/// A pattern is tried on a text: of about four characters a part.
fn cost(args: &[Value<'_>], _: &Value<'_>) -> u64 {
    cel::ceil_tenth(cel::size(&args[0]) + 1).saturating_mul(cel::size(&args[1]).div_ceil(4))
}

fn find<'a>(args: &[Value<'a>]) -> Given<'a> {
    let pattern = cel::regular::compile(text(&args[1])?).map_err(|why| Error::new(format!("Illegal regex: {why}")))?;
    Ok(Value::string(pattern.find(text(&args[0])?).map_or("", |found| found.as_str())))
}

fn find_all<'a>(args: &[Value<'a>]) -> Given<'a> {
    let pattern = cel::regular::compile(text(&args[1])?).map_err(|why| Error::new(format!("Illegal regex: {why}")))?;
    let most = match args.get(2) {
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let found = pattern.find_iter(text(&args[0])?).take(most).map(|found| Value::string(found.as_str()));
    Ok(Value::list(found.collect()))
}
