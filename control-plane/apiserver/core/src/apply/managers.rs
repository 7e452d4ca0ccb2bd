//! Who owns which fields: `metadata.managedFields`, decoded.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};

use super::set::FieldSet;
use crate::object::Object;
use crate::time;

/// Most managers that an object remembers besides appliers. Without a bound, every client of a busy object adds one for ever.
const UPDATERS_LIMIT: usize = 10;
/// Who owns what the oldest of too many managers owned.
const OLDEST: &str = "ancient-changes";
/// Who writes without a name.
const UNKNOWN: &str = "unknown";

/// How a manager came to own its fields. In the order of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    Apply,
    Update,
}

impl Operation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// What tells one entry of the list from the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manager {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// Empty for appliers: they have one entry, whatever version they apply.
    pub(super) api_version: String,
    pub(super) subresource: String,
}

impl Manager {
    pub(super) fn new(name: &str, operation: Operation, api_version: &str, subresource: Option<&str>) -> Self {
        Self {
            name: if name.is_empty() { UNKNOWN.to_owned() } else { name.to_owned() },
            operation,
            api_version: match operation {
                Operation::Apply => String::new(),
                Operation::Update => api_version.to_owned(),
            },
            subresource: subresource.unwrap_or_default().to_owned(),
        }
    }
}

/// As messages about conflicts name it.
impl fmt::Display for Manager {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.name)?;
        if !self.subresource.is_empty() {
            write!(out, " with subresource {:?}", self.subresource)?;
        }
        match self.operation {
            Operation::Apply => Ok(()),
            Operation::Update => write!(out, " using {}", self.api_version),
        }
    }
}

/// What a manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owned {
    /// The version whose names the fields have.
    pub(super) api_version: String,
    pub(super) set: FieldSet,
    /// When it last took a field.
    pub(super) time: Option<String>,
}

/// All entries of an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Managed(pub(super) BTreeMap<Manager, Owned>);

impl Managed {
    /// Reads the entries of an object.
    ///
    /// # Errors
    ///
    /// What is wrong, in upstream's words.
    pub(super) fn of(object: &Object) -> Result<Self, String> {
        let mut managed = Self::default();
        for (at, entry) in object.list(&["metadata", "managedFields"]).iter().enumerate() {
            let text = |member: &str| entry.get(member).and_then(Value::as_str).unwrap_or_default();
            let operation = match text("operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return Err("operation must be `Apply` or `Update`".to_owned()),
            };
            let api_version = text("apiVersion");
            if api_version.is_empty() {
                return Err("apiVersion must not be empty".to_owned());
            }
            match text("fieldsType") {
                "FieldsV1" => {}
                "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
                other => return Err(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
            }
            let set = match entry.get("fieldsV1") {
                None | Some(Value::Null) => FieldSet::default(),
                Some(fields) => FieldSet::from_value(fields)?,
            };
            let manager = Manager {
                name: text("manager").to_owned(),
                ..Manager::new("", operation, api_version, Some(text("subresource")))
            };
            let time = Some(text("time").to_owned()).filter(|time| !time.is_empty());
            managed.0.insert(manager, Owned { api_version: api_version.to_owned(), set, time });
        }
        Ok(managed)
    }

    /// Writes the entries into an object, appliers first, then by time.
    pub(super) fn write(&self, object: &mut Object) {
        let mut entries: Vec<(&Manager, &Owned)> = self.0.iter().collect();
        entries.sort_by_key(|(manager, owned)| {
            (manager.operation, owned.seconds(), &manager.name, &owned.api_version, &manager.subresource)
        });
        let entries: Vec<Value> = entries.into_iter().map(|(manager, owned)| entry(manager, owned)).collect();
        if entries.is_empty() {
            object.remove(&["metadata", "managedFields"]);
        } else {
            object.set(&["metadata", "managedFields"], entries);
        }
    }

    /// Whether both own the same, whenever that was.
    pub(super) fn owns_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((manager, owned), (theirs, other))| {
                manager == theirs && owned.api_version == other.api_version && owned.set == other.set
            })
    }

    /// Takes fields from a manager; one with none left is forgotten.
    pub(super) fn take(&mut self, manager: &Manager, fields: &FieldSet) {
        if let Some(owned) = self.0.get_mut(manager) {
            owned.set = std::mem::take(&mut owned.set).difference(fields);
            if owned.set.is_empty() {
                self.0.remove(manager);
            }
        }
    }

    /// Joins the oldest updaters of each version until there are few enough.
    pub(super) fn join_oldest(&mut self) {
        let mut updaters: Vec<Manager> =
            self.0.keys().filter(|manager| manager.operation == Operation::Update).cloned().collect();
        let mut count = updaters.len();
        if count <= UPDATERS_LIMIT {
            return;
        }
        updaters.sort_by_cached_key(|manager| (self.0[manager].seconds(), manager.clone()));
        let mut first_of: BTreeMap<String, Manager> = BTreeMap::new();
        for manager in updaters {
            if count <= UPDATERS_LIMIT {
                return;
            }
            let version = manager.api_version.clone();
            let bucket = Manager::new(OLDEST, Operation::Update, &version, None);
            let Some(first) = first_of.get(&version) else {
                first_of.insert(version, manager);
                continue;
            };
            // A bucket that is there already is one of the oldest, and stays what it is.
            if !self.0.contains_key(&bucket)
                && let Some(owned) = self.0.remove(first)
            {
                self.0.insert(bucket.clone(), owned);
            }
            if manager != bucket
                && let Some(newer) = self.0.remove(&manager)
                && let Some(joined) = self.0.get_mut(&bucket)
            {
                joined.set = std::mem::take(&mut joined.set).union(newer.set);
                joined.time = newer.time;
                count -= 1;
            }
        }
    }
}

impl Owned {
    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(time::parse).map_or(0, jiff::Timestamp::as_second)
    }
}

fn entry(manager: &Manager, owned: &Owned) -> Value {
    let mut entry = Map::new();
    let mut put = |member: &str, text: &str| {
        if !text.is_empty() {
            entry.insert(member.to_owned(), text.into());
        }
    };
    put("manager", &manager.name);
    put("operation", manager.operation.as_str());
    put("apiVersion", &owned.api_version);
    put("time", owned.time.as_deref().unwrap_or_default());
    put("fieldsType", "FieldsV1");
    put("subresource", &manager.subresource);
    entry.insert("fieldsV1".to_owned(), owned.set.to_value());
    Value::Object(entry)
}

/// Whether a client asks to forget all owners: an empty list, or a list of one empty entry.
pub(super) fn is_reset(object: &Object) -> bool {
    match object.at(&["metadata", "managedFields"]) {
        Some(Value::Array(entries)) => entries.is_empty() || entries.as_slice() == [json!({})],
        Some(_) | None => false,
    }
}

/// Whether two objects differ in nothing but the times of their managed fields.
pub(crate) fn differ_in_times_only(one: &Object, other: &Object) -> bool {
    let same = |one: &Map<String, Value>, other: &Map<String, Value>, but: &str| {
        one.len() == other.len()
            && one.iter().zip(other).all(|((name, a), (theirs, b))| name == theirs && (name == but || a == b))
    };
    let same_metadata = || {
        let (one, other) = (one.at(&["metadata"]), other.at(&["metadata"]));
        match (one.and_then(Value::as_object), other.and_then(Value::as_object)) {
            (Some(one), Some(other)) => same(one, other, "managedFields"),
            (one, other) => one == other,
        }
    };
    let untimed = |object: &Object| -> Vec<Value> {
        let mut entries = object.list(&["metadata", "managedFields"]).to_vec();
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            entry.remove("time");
        }
        entries
    };
    same(one.map(), other.map(), "metadata") && same_metadata() && untimed(one) == untimed(other)
}
