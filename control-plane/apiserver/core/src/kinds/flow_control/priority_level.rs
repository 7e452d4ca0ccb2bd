//! Priority levels: how many requests are served at once, and what becomes of the rest.

use serde_json::{Value, json};

use super::{CATCH_ALL, EXEMPT, is_fixed, validate_status};
use crate::field::{Errors, Path};
use crate::kinds::tree::{self, at, has, member, number, text};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

const MOST_QUEUES: i64 = 10_000_000;
/// Bits of the hash that deals a flow its queues.
const HASH_BITS: i64 = 60;
const NOT_NEGATIVE: &str = "must be a non-negative integer";

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct PriorityLevelConfiguration;

impl Strategy for PriorityLevelConfiguration {
    fn shape(&self) -> Shape {
        Shape::SpecAndStatus
    }

    fn default(&self, object: &mut Object) {
        let spec = object.section("spec");
        if let Some(exempt) = spec.get_mut("exempt").and_then(Value::as_object_mut) {
            tree::or_set(exempt, "nominalConcurrencyShares", 0);
            tree::or_set(exempt, "lendablePercent", 0);
        }
        let Some(limited) = spec.get_mut("limited").and_then(Value::as_object_mut) else { return };
        tree::or_set(limited, "nominalConcurrencyShares", 30);
        tree::or_set(limited, "lendablePercent", 0);
        let queuing = limited.get_mut("limitResponse").and_then(|response| response.get_mut("queuing"));
        let Some(queuing) = queuing.and_then(Value::as_object_mut) else { return };
        for (name, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
            if queuing.get(name).is_none_or(|value| value.as_i64().unwrap_or(0) == 0) {
                queuing.insert(name.into(), value.into());
            }
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let (spec, path) = (at(object, &["spec"]), Path::new("spec"));
        let kind = text(spec, "type");
        if is_fixed(object, EXEMPT) != (kind == "Exempt") {
            errors.invalid(&path.child("type"), kind, "type must be 'Exempt' if and only if `name` is 'exempt'");
        }
        match kind {
            "Exempt" => {
                if has(spec, "limited") {
                    errors.forbidden(&path.child("limited"), "must be nil if the type is not Limited");
                }
                let exempt = member(spec, "exempt");
                if !exempt.is_null() {
                    validate_shares(exempt, &path.child("exempt"), errors);
                }
            }
            "Limited" => {
                if has(spec, "exempt") {
                    errors.forbidden(&path.child("exempt"), "must be nil if the type is Limited");
                }
                let limited = member(spec, "limited");
                if limited.is_null() {
                    errors.required(&path.child("limited"), "must not be empty when type is Limited");
                } else {
                    validate_limited(limited, &path.child("limited"), errors);
                }
            }
            other => errors.not_supported(&path.child("type"), other, &["Exempt", "Limited"]),
        }
        if is_fixed(object, CATCH_ALL) {
            let fixed = super::priority_levels().into_iter().find(|one| one["metadata"]["name"] == CATCH_ALL);
            if fixed.is_some_and(|fixed| fixed["spec"] != *spec) {
                errors.invalid(&path, spec.clone(), "spec of 'catch-all' must equal the fixed value");
            }
        }
        validate_status(object, errors);
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        match replacing.part {
            Part::Status => validate_status(new, errors),
            Part::Main | Part::Other(_) => self.validate(new, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.type", "spec.limited"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let limited = at(object, &["spec", "limited"]);
        let queuing = member(member(limited, "limitResponse"), "queuing");
        let or_none = |owner: &Value, name: &str| {
            if has(owner, name) { owner[name].clone() } else { json!("<none>") }
        };
        vec![
            object.name().unwrap_or_default().into(),
            object.text(&["spec", "type"]).unwrap_or_default().into(),
            or_none(limited, "nominalConcurrencyShares"),
            or_none(queuing, "queues"),
            or_none(queuing, "handSize"),
            or_none(queuing, "queueLengthLimit"),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}

fn validate_shares(owner: &Value, path: &Path, errors: &mut Errors) {
    let shares = number(owner, "nominalConcurrencyShares");
    if shares < 0 {
        errors.invalid(&path.child("nominalConcurrencyShares"), shares, NOT_NEGATIVE);
    }
    let lendable = number(owner, "lendablePercent");
    if !(0..=100).contains(&lendable) {
        errors.invalid(&path.child("lendablePercent"), lendable, "must be between 0 and 100, inclusive");
    }
}

fn validate_limited(limited: &Value, path: &Path, errors: &mut Errors) {
    validate_shares(limited, path, errors);
    let borrowing = number(limited, "borrowingLimitPercent");
    if borrowing < 0 {
        let why = "if specified, must be a non-negative integer";
        errors.invalid(&path.child("borrowingLimitPercent"), borrowing, why);
    }
    let (response, path) = (member(limited, "limitResponse"), path.child("limitResponse"));
    let (queuing, at) = (member(response, "queuing"), path.child("queuing"));
    match text(response, "type") {
        "Reject" => {
            if !queuing.is_null() {
                errors.forbidden(&at, "must be nil if limited.limitResponse.type is not Limited");
            }
        }
        "Queue" if queuing.is_null() => {
            errors.required(&at, "must not be empty if limited.limitResponse.type is Limited");
        }
        "Queue" => validate_queuing(queuing, &at, errors),
        other => errors.not_supported(&path.child("type"), other, &["Queue", "Reject"]),
    }
}

fn validate_queuing(queuing: &Value, path: &Path, errors: &mut Errors) {
    const POSITIVE: &str = "must be positive";
    let (length, queues, hand) =
        (number(queuing, "queueLengthLimit"), number(queuing, "queues"), number(queuing, "handSize"));
    if length <= 0 {
        errors.invalid(&path.child("queueLengthLimit"), length, POSITIVE);
    }
    if queues <= 0 {
        errors.invalid(&path.child("queues"), queues, POSITIVE);
    } else if queues > MOST_QUEUES {
        errors.invalid(&path.child("queues"), queues, &format!("must not be greater than {MOST_QUEUES}"));
    }
    let path = path.child("handSize");
    if hand <= 0 {
        errors.invalid(&path, hand, POSITIVE);
    } else if hand > queues {
        errors.invalid(&path, hand, &format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS {
        let why = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS}"
        );
        errors.invalid(&path, hand, &why);
    }
}

/// Bits it takes to deal a hand out of a deck.
fn entropy_bits(deck: i64, hand: i64) -> i64 {
    // One card out of two is a bit: more of them than the hash has are too many, however small the rest is.
    let cards = hand.min(HASH_BITS + 2);
    let bits: f64 = (0..cards).map(|card| ((deck - card) as f64).log2()).sum();
    bits.ceil() as i64
}
