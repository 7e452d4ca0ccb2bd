//! All schemas and levels together, the mandatory ones always among them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CATCH_ALL, Digest, EXEMPT, Level, Schema};
use crate::kinds::flow_control;
use crate::object::Object;

/// The condition that tells whether a schema's level is there.
pub const DANGLING: &str = "Dangling";

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    /// In the order in which they are tried. The level of each is among the levels.
    pub schemas: Vec<Schema>,
    /// By name.
    pub levels: BTreeMap<String, Level>,
}

impl Configuration {
    /// Of the objects there are. Levels that contradict themselves, and schemas without a level, are as if they were not
    /// there; of the mandatory ones the server's own take the place.
    pub fn of<'a>(levels: impl IntoIterator<Item = &'a Object>, schemas: impl IntoIterator<Item = &'a Object>) -> Self {
        let mut levels: BTreeMap<String, Level> =
            levels.into_iter().filter_map(Level::read).map(|level| (level.name.clone(), level)).collect();
        let mut schemas: Vec<Schema> =
            schemas.into_iter().map(Schema::read).filter(|schema| levels.contains_key(&schema.level)).collect();
        for level in mandatory(flow_control::priority_levels()).iter().filter_map(Level::read) {
            levels.entry(level.name.clone()).or_insert(level);
        }
        for schema in mandatory(flow_control::flow_schemas()).iter().map(Schema::read) {
            if schemas.iter().all(|one| one.name != schema.name) {
                schemas.push(schema);
            }
        }
        schemas.sort_by(|one, other| (one.precedence, &one.name).cmp(&(other.precedence, &other.name)));
        Self { schemas, levels }
    }

    /// The sum of all shares.
    pub fn shares(&self) -> u64 {
        self.levels.values().map(|level| u64::from(level.share.shares)).sum()
    }

    /// The place of the schema a request is of.
    pub fn classify(&self, digest: &Digest<'_>) -> usize {
        let matching = self.schemas.iter().position(|schema| schema.matches(digest));
        // A user of no group at all is of no schema; whatever is left is for the last.
        matching.or_else(|| self.schemas.iter().position(|schema| schema.name == CATCH_ALL)).unwrap_or(0)
    }
}

fn mandatory(objects: Vec<Value>) -> Vec<Object> {
    let names = [EXEMPT, CATCH_ALL];
    let objects = objects.into_iter().filter_map(Object::from_value);
    objects.filter(|object| object.name().is_some_and(|name| names.contains(&name))).collect()
}

/// The condition a schema is to have, without its time; none if it has it. `found` says whether its level is there.
pub fn dangling(schema: &Object, found: bool) -> Option<Value> {
    let level = schema.text(&["spec", "priorityLevelConfiguration", "name"]).unwrap_or_default();
    let subject = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let wanted = if found {
        json!({ "type": DANGLING, "status": "False", "reason": "Found", "message": format!("{subject} and it exists") })
    } else {
        json!({
            "type": DANGLING, "status": "True", "reason": "NotFound",
            "message": format!("{subject} but there is no such object"),
        })
    };
    let has = schema.list(&["status", "conditions"]).iter().find(|one| one["type"] == DANGLING);
    let same = |name: &str| has.is_some_and(|has| has[name] == wanted[name]);
    if same("status") && same("reason") && same("message") { None } else { Some(wanted) }
}
