//! Lists as sets.

use super::{A, Given};
use crate::cost;
use crate::environment::Library;
use crate::error::Error;
use crate::types::Type;
use crate::value::{List, Value, equal};

/// `sets.contains`, `sets.equivalent` and `sets.intersects`.
pub fn sets() -> Library {
    let lists = [Type::list(A), Type::list(A)];
    Library::default()
        .global("sets.contains", "list_sets_contains_list", &lists, Type::Bool, |args| {
            both(args, |one, other| within(other, one))
        })
        .costing(cost::product)
        .global("sets.equivalent", "list_sets_equivalent_list", &lists, Type::Bool, |args| {
            both(args, |one, other| within(other, one) && within(one, other))
        })
        .costing(cost::product_twice)
        .global("sets.intersects", "list_sets_intersects_list", &lists, Type::Bool, |args| {
            both(args, |one, other| one.iter().any(|element| has(other, &element)))
        })
        .costing(cost::product)
}

fn both<'a>(args: &[Value<'a>], holds: fn(&List<'a>, &List<'a>) -> bool) -> Given<'a> {
    match args {
        [Value::List(one), Value::List(other)] => Ok(Value::Bool(holds(one, other))),
        _ => Err(Error::no_such_overload()),
    }
}

fn within<'a>(part: &List<'a>, whole: &List<'a>) -> bool {
    part.iter().all(|element| has(whole, &element))
}

fn has<'a>(list: &List<'a>, element: &Value<'a>) -> bool {
    list.iter().any(|other| equal(&other, element))
}
