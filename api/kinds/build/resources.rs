//! Turns the table of resources into data the program reads: names become full, texts are taken from the schemas.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::definitions::Kind;

/// The table.
pub(crate) const FILE: &str = "resources.txt";

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The rows, in the order of the table. Fails the build on any line that is not of the form the table's head tells.
pub(crate) fn generate(definitions: &BTreeMap<String, Value>, kinds: &[Kind]) -> Vec<Value> {
    let text = fs::read_to_string(FILE).expect("resources.txt is in the folder of the crate");
    let table = Table { definitions, kinds };
    let mut rows: Vec<Value> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.trim_start().split_once(' ').unwrap_or((line, ""));
        if !line.starts_with(' ') {
            rows.push(table.row(line));
            continue;
        }
        let row = rows.last_mut().unwrap_or_else(|| panic!("{FILE}: before any resource: {line}"));
        let (member, value) = match word {
            "subresource" => ("subresources", table.subresource(row, rest)),
            "connect" => ("subresources", connection(rest)),
            "select" => ("selectable", select(rest)),
            "column" => ("columns", table.column(row, rest, 0)),
            "wide" => ("columns", table.column(row, rest, 1)),
            "deprecated" => {
                row["deprecation"] = rest.into();
                continue;
            }
            other => panic!("{FILE}: what is {other}? {line}"),
        };
        row[member].as_array_mut().expect("made as a list").push(value);
    }
    rows
}

/// `log get Pod`
fn connection(rest: &str) -> Value {
    let words: Vec<&str> = rest.split(' ').collect();
    let [name, verbs, kind] = words.as_slice() else { panic!("{FILE}: not three words: {rest}") };
    let verbs: Vec<&str> = verbs.split(',').collect();
    assert!(verbs.iter().all(|verb| VERBS.contains(verb)), "{FILE}: no verbs: {rest}");
    json!({
        "name": name, "verbs": verbs, "group": "", "version": "v1", "kind": kind, "definition": "", "connects": true,
    })
}

struct Table<'a> {
    definitions: &'a BTreeMap<String, Value>,
    kinds: &'a [Kind],
}

impl Table<'_> {
    /// The kind of a name in the table: the definition's below `io.k8s.`.
    fn kind(&self, name: &str) -> &Kind {
        let full = format!("io.k8s.{name}");
        self.kinds.iter().find(|kind| kind.definition == full).unwrap_or_else(|| panic!("{FILE}: no kind {name}"))
    }

    /// `api.apps.v1.Deployment deployments namespaced short=deploy category=all`
    fn row(&self, line: &str) -> Value {
        let mut words = line.split(' ');
        let (Some(name), Some(plural), Some(scope)) = (words.next(), words.next(), words.next()) else {
            panic!("{FILE}: not three words: {line}");
        };
        assert!(["namespaced", "cluster"].contains(&scope), "{FILE}: no scope: {line}");
        let kind = self.kind(name);
        let mut row = json!({
            "definition": kind.definition, "group": kind.group, "version": kind.version, "kind": kind.name,
            "plural": plural, "storage": plural, "namespaced": scope == "namespaced", "verbs": VERBS,
            "short_names": [], "categories": [], "subresources": [], "selectable": [], "columns": [],
            "returns_deleted": false, "create_on_update": false, "unconditional_update": true, "deprecation": null, "stored": true,
        });
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("short", names) => row["short_names"] = names.split(',').collect(),
                ("category", name) => row["categories"] = json!([name]),
                ("storage", place) => row["storage"] = place.into(),
                ("without", verb) => row["verbs"] = VERBS.iter().filter(|one| **one != verb).copied().collect(),
                ("answered", "") => {
                    row["stored"] = false.into();
                    row["verbs"] = json!(["create"]);
                }
                ("live", "") => {
                    row["stored"] = false.into();
                    row["verbs"] = json!(["get", "list"]);
                }
                ("returns-deleted", "") => row["returns_deleted"] = true.into(),
                ("create-on-update", "") => row["create_on_update"] = true.into(),
                ("conditional-update", "") => row["unconditional_update"] = false.into(),
                _ => panic!("{FILE}: what is {word}? {line}"),
            }
        }
        row
    }

    /// `status`, or `scale get,patch,update api.autoscaling.v1.Scale`
    fn subresource(&self, row: &Value, rest: &str) -> Value {
        let mut words = rest.split(' ');
        let name = words.next().unwrap_or_default();
        let verbs: Vec<&str> =
            words.next().map_or_else(|| vec!["get", "patch", "update"], |list| list.split(',').collect());
        assert!(verbs.iter().all(|verb| VERBS.contains(verb)), "{FILE}: no verbs: {rest}");
        match words.next() {
            None => json!({
                "name": name, "verbs": verbs, "group": row["group"], "version": row["version"], "kind": row["kind"],
                "definition": row["definition"],
            }),
            Some(body) => {
                let kind = self.kind(body);
                json!({
                    "name": name, "verbs": verbs, "group": kind.group, "version": kind.version, "kind": kind.name,
                    "definition": kind.definition,
                })
            }
        }
    }

    /// `Name`, `Age`, `Created At`, or `Ready | string | text`, where a text `@DeploymentStatus.replicas` is that of a field.
    fn column(&self, row: &Value, rest: &str, priority: u8) -> Value {
        let meta = |field: &str| self.description(META, field);
        let cells: Vec<&str> = rest.split('|').map(str::trim).collect();
        let (name, kind, format, text) = match cells.as_slice() {
            ["Name"] => ("Name", "string", "name", meta("name")),
            ["Age"] => ("Age", "string", "", meta("creationTimestamp")),
            ["Created At"] => ("Created At", "date", "", meta("creationTimestamp")),
            [name, kind, text] => (*name, *kind, "", self.text(row, text)),
            _ => panic!("{FILE}: not a column: {rest}"),
        };
        json!({ "name": name, "kind": kind, "format": format, "priority": priority, "description": text })
    }

    fn text(&self, row: &Value, text: &str) -> String {
        let Some(field) = text.strip_prefix('@') else { return text.to_owned() };
        let (owner, field) = field.rsplit_once('.').unwrap_or_else(|| panic!("{FILE}: no field: {text}"));
        let package = row["definition"].as_str().and_then(|name| name.rsplit_once('.')).expect("a full name").0;
        let near = format!("{package}.{owner}");
        if self.definitions.contains_key(&near) {
            self.description(&near, field)
        } else {
            self.description(&format!("io.k8s.{owner}"), field)
        }
    }

    fn description(&self, definition: &str, field: &str) -> String {
        let text = self.definitions.get(definition).and_then(|one| one["properties"][field]["description"].as_str());
        text.unwrap_or_else(|| panic!("{FILE}: no text for {field} of {definition}")).to_owned()
    }
}

/// `status.replicas 0`: the field, then its value where it is absent; `status.successful 0 status.succeeded` is elsewhere.
fn select(rest: &str) -> Value {
    let words: Vec<&str> = rest.split(' ').collect();
    let (label, absent, paths) = match words.as_slice() {
        [label] => (label, "", vec![*label]),
        [label, absent] => (label, *absent, vec![*label]),
        [label, absent, paths @ ..] => (label, *absent, paths.to_vec()),
        [] => panic!("{FILE}: selects nothing"),
    };
    json!({ "label": label, "absent": if absent == "-" { "" } else { absent }, "paths": paths })
}
