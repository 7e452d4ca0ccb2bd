//! Amounts: `1.5Gi`, `200m`.

use std::cmp::Ordering;

use apiserver_core::quantity::Quantity;
use cel::{Error, Library, Type, Value};

use super::{Given, nominal, opaque, opaque_type, text, traversal};

const NAME: &str = "kubernetes.Quantity";
const NANO: i128 = 1_000_000_000;

#[derive(Debug, PartialEq, Eq)]
struct Amount(Quantity);
opaque_type!(Amount, NAME);

pub(super) fn quantities() -> Library {
    use Type::{Bool, Double, Int, String};
    let one = [Type::opaque(NAME)];
    let two = [Type::opaque(NAME), Type::opaque(NAME)];
    let with_int = [Type::opaque(NAME), Int];
    Library::default()
        .named_type(NAME, Type::opaque(NAME))
        .global("quantity", "string_to_quantity", &[String], Type::opaque(NAME), |args| {
            let quantity = Quantity::parse(text(&args[0])?).map_err(|why| Error::new(why.to_string()))?;
            Ok(Value::opaque(Amount(quantity)))
        })
        .costing(traversal)
        .global("isQuantity", "is_quantity_string", &[String], Bool, |args| {
            Ok(Value::Bool(Quantity::parse(text(&args[0])?).is_ok()))
        })
        .costing(traversal)
        .member("sign", "quantity_get_sign", &one, Int, |args| {
            Ok(Value::Int(amount(&args[0])?.nanos().signum() as i64))
        })
        .costing(nominal)
        .member("isGreaterThan", "quantity_is_greater_than", &two, Bool, |args| ordered(args, Ordering::is_gt))
        .costing(nominal)
        .member("isLessThan", "quantity_is_less_than", &two, Bool, |args| ordered(args, Ordering::is_lt))
        .costing(nominal)
        .member("compareTo", "quantity_compare_to", &two, Int, |args| {
            Ok(Value::Int(amount(&args[0])?.cmp(&amount(&args[1])?) as i64))
        })
        .costing(nominal)
        .member("asApproximateFloat", "quantity_get_float", &one, Double, |args| {
            Ok(Value::Double(amount(&args[0])?.nanos() as f64 / 1e9))
        })
        .costing(nominal)
        .member("asInteger", "quantity_get_int", &one, Int, |args| {
            whole(amount(&args[0])?).map(Value::Int).ok_or_else(|| Error::new("cannot convert value to integer"))
        })
        .costing(nominal)
        .member("isInteger", "quantity_is_integer", &one, Bool, |args| {
            Ok(Value::Bool(whole(amount(&args[0])?).is_some()))
        })
        .costing(nominal)
        .member("add", "quantity_add", &two, Type::opaque(NAME), |args| moved(args, 1))
        .costing(nominal)
        .member("add", "quantity_add_int", &with_int, Type::opaque(NAME), |args| moved(args, 1))
        .costing(nominal)
        .member("sub", "quantity_sub", &two, Type::opaque(NAME), |args| moved(args, -1))
        .costing(nominal)
        .member("sub", "quantity_sub_int", &with_int, Type::opaque(NAME), |args| moved(args, -1))
        .costing(nominal)
}

fn amount(value: &Value<'_>) -> Result<Quantity, Error> {
    Ok(opaque::<Amount>(value)?.0)
}

fn whole(quantity: Quantity) -> Option<i64> {
    quantity.is_whole().then(|| i64::try_from(quantity.nanos() / NANO).ok()).flatten()
}

fn ordered<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Given<'a> {
    Ok(Value::Bool(holds(amount(&args[0])?.cmp(&amount(&args[1])?))))
}

fn moved<'a>(args: &[Value<'a>], sign: i128) -> Given<'a> {
    let by = match &args[1] {
        Value::Int(number) => i128::from(*number) * NANO,
        other => amount(other)?.nanos(),
    };
    let quantity = amount(&args[0])?;
    Ok(Value::opaque(Amount(quantity.with_nanos(quantity.nanos() + sign * by))))
}
