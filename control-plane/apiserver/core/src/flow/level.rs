//! Priority levels, ready to be put in force.

use fair::{Discipline, Share};
use serde_json::Value;

use super::EXEMPT;
use crate::kinds::tree::{at, has, member, number, text};
use crate::object::Object;

/// A `PriorityLevelConfiguration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// Its uid; empty while the object is missing.
    pub uid: String,
    /// Its part of the server.
    pub share: Share,
    /// What becomes of requests for which there is no room.
    pub discipline: Discipline,
}

impl Level {
    /// Reads an object; none if it contradicts itself, as one that was never validated may.
    pub fn read(object: &Object) -> Option<Self> {
        let spec = at(object, &["spec"]);
        let name = object.name()?;
        let (section, discipline) = match text(spec, "type") {
            "Exempt" if name == EXEMPT && !has(spec, "limited") => (member(spec, "exempt"), Discipline::Exempt),
            "Limited" if name != EXEMPT && has(spec, "limited") => {
                let limited = member(spec, "limited");
                (limited, discipline(member(limited, "limitResponse"))?)
            }
            _ => return None,
        };
        let percent =
            |name: &str| section.get(name).and_then(Value::as_u64).and_then(|value| u32::try_from(value).ok());
        let share = Share {
            shares: percent("nominalConcurrencyShares").unwrap_or(0),
            lendable: percent("lendablePercent").unwrap_or(0).min(100),
            borrowing: percent("borrowingLimitPercent"),
        };
        Some(Self { name: name.to_owned(), uid: object.uid().unwrap_or_default().to_owned(), share, discipline })
    }

    /// Whether flows have queues of their own: with a single queue all are one.
    pub fn parts_flows(&self) -> bool {
        matches!(self.discipline, Discipline::Queue { queues, .. } if queues > 1)
    }
}

fn discipline(response: &Value) -> Option<Discipline> {
    match text(response, "type") {
        "Reject" if !has(response, "queuing") => Some(Discipline::Reject),
        "Queue" => {
            let queuing = member(response, "queuing");
            let count = |name: &str| usize::try_from(number(queuing, name)).ok().filter(|count| *count > 0);
            let (queues, hand, length) = (count("queues")?, count("handSize")?, count("queueLengthLimit")?);
            (hand <= queues).then_some(Discipline::Queue { queues, hand, length })
        }
        _ => None,
    }
}
