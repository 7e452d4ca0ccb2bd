//! Ranges that Services take their addresses from.

use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::service::Cidr;
use crate::kinds::tree::{self, at, texts};
use crate::object::Object;
use crate::strategy::{Part, Replacing, Shape, Strategy};
use crate::table;

/// The strategy.
#[derive(Debug)]
pub(in crate::kinds) struct ServiceCidr;

impl Strategy for ServiceCidr {
    fn shape(&self) -> Shape {
        Shape::Uncounted
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        let path = Path::new("spec.cidrs");
        let cidrs: Vec<&str> = texts(at(object, &["spec"]), "cidrs").collect();
        match cidrs.as_slice() {
            [] => return errors.required(&path, "at least one CIDR required"),
            [first, second] => {
                let family = |cidr: &str| Cidr::parse(cidr).map(|cidr| cidr.family());
                if family(first).is_none() || family(second).is_none() || family(first) == family(second) {
                    let why =
                        "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
                    return errors.invalid(&path, cidrs.clone(), why);
                }
            }
            [_] => {}
            _ => return errors.invalid(&path, cidrs.clone(), "may only hold up to 2 values"),
        }
        for (index, text) in cidrs.iter().enumerate() {
            let path = path.index(index);
            match Cidr::parse(text) {
                None => {
                    let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
                    errors.invalid(&path, *text, why);
                }
                Some(cidr) if cidr.to_string() != *text => {
                    errors.invalid(&path, *text, &format!("must be in canonical form (\"{cidr}\")"));
                }
                Some(_) => {}
            }
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        if replacing.part == Part::Status {
            return;
        }
        let path = Path::new("spec.cidrs");
        let list = |object: &Object| object.list(&["spec", "cidrs"]).to_vec();
        let (before, after) = (list(replacing.old), list(new));
        match (before.as_slice(), after.as_slice()) {
            // One family may be joined by the other.
            ([old], [first, _]) => {
                tree::immutable(first, old, &path.index(0), errors);
                self.validate(new, errors);
            }
            _ => tree::immutable(&after.into(), &before.into(), &path, errors),
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &["spec.cidrs"]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        vec![
            object.name().unwrap_or_default().into(),
            texts(at(object, &["spec"]), "cidrs").collect::<Vec<_>>().join(",").into(),
            table::age(object.creation_timestamp(), now).into(),
        ]
    }
}
