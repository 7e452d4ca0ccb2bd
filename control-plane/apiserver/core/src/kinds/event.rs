//! Events, served in two groups. Both live under the same keys; what is stored is the core form.

use serde_json::{Map, Value};

use crate::field::{Errors, Path};
use crate::names;
use crate::object::Object;
use crate::strategy::{NameRule, Replacing, Strategy};
use crate::table;
use crate::time;

/// Members whose names differ: core's first.
const RENAMED: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The strategy of the core group.
pub(super) const CORE: Event = Event { form: Form::Core };
/// The strategy of `events.k8s.io`.
pub(super) const EVENTS: Event = Event { form: Form::Events };

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Core,
    Events,
}

impl Form {
    /// The name a core member has in this form.
    fn name(self, core: &'static str) -> &'static str {
        match self {
            Self::Core => core,
            Self::Events => RENAMED.iter().find(|(one, _)| *one == core).map_or(core, |(_, other)| other),
        }
    }
}

/// A strategy of both groups.
#[derive(Debug)]
pub(super) struct Event {
    form: Form,
}

impl Event {
    fn text<'a>(&self, object: &'a Object, core: &'static str, rest: &[&str]) -> &'a str {
        let mut path = vec![self.form.name(core)];
        path.extend(rest);
        object.text(&path).unwrap_or_default()
    }
}

impl Strategy for Event {
    fn name_rule(&self) -> NameRule {
        // Core events were never checked further; events.k8s.io checks for a subdomain.
        match self.form {
            Form::Core => NameRule::PathSegment,
            Form::Events => NameRule::DnsSubdomain,
        }
    }

    fn is_converted(&self) -> bool {
        self.form == Form::Events
    }

    fn to_stored(&self, object: &mut Object) {
        if self.form == Form::Events {
            rename(object.map_mut(), |(core, events)| (events, core));
            object.set(&["apiVersion"], "v1");
        }
    }

    fn to_served(&self, object: &mut Object) {
        if self.form == Form::Events {
            rename(object.map_mut(), |pair| pair);
            object.set(&["apiVersion"], "events.k8s.io/v1");
        }
    }

    fn validate(&self, object: &Object, errors: &mut Errors) {
        self.validate_always(object, errors);
        if self.form == Form::Core {
            return;
        }
        validate_series(object, errors);
        if object.text(&["eventTime"]).is_none() {
            errors.required(&Path::new("eventTime"), "");
        }
        let kind = object.text(&["type"]).unwrap_or_default();
        if kind != "Normal" && kind != "Warning" {
            errors.invalid(&Path::new("type"), "", &format!("has invalid value: {kind}"));
        }
        for core in ["firstTimestamp", "lastTimestamp", "count", "source"] {
            let value = object.at(&[self.form.name(core)]);
            let set = match value {
                None | Some(Value::Null) => false,
                Some(Value::Number(number)) => number.as_i64() != Some(0),
                Some(Value::Object(map)) => map.values().any(|value| value.as_str() != Some("")),
                Some(Value::Bool(_) | Value::String(_) | Value::Array(_)) => true,
            };
            if set {
                errors.invalid(&Path::new(core), "", "needs to be unset");
            }
        }
    }

    fn validate_update(&self, new: &Object, replacing: Replacing<'_>, errors: &mut Errors) {
        self.validate_always(new, errors);
        if self.form == Form::Core {
            return;
        }
        if new.at(&["series"]) != replacing.old.at(&["series"]) {
            validate_series(new, errors);
        }
        let fixed = [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingComponent",
            "reportingInstance",
        ];
        for core in fixed {
            let member = self.form.name(core);
            if new.at(&[member]) != replacing.old.at(&[member]) {
                errors.invalid(&Path::new(core), new.at(&[member]).cloned().unwrap_or_default(), "field is immutable");
            }
        }
    }

    fn cells_read(&self) -> &'static [&'static str] {
        &[
            "firstTimestamp",
            "deprecatedFirstTimestamp",
            "lastTimestamp",
            "deprecatedLastTimestamp",
            "eventTime",
            "series",
            "count",
            "deprecatedCount",
            "involvedObject",
            "regarding",
            "source",
            "deprecatedSource",
            "reportingComponent",
            "reportingController",
            "reportingInstance",
            "type",
            "reason",
            "message",
            "note",
        ]
    }

    fn cells(&self, object: &Object, now: jiff::Timestamp) -> Vec<Value> {
        let moment = |core: &'static str| Some(self.text(object, core, &[])).filter(|text| !text.is_empty());
        let first = moment("firstTimestamp").or_else(|| object.text(&["eventTime"]));
        let last = object.text(&["series", "lastObservedTime"]).or(moment("lastTimestamp")).or(first);
        let count = object
            .integer(&["series", "count"])
            .or_else(|| object.integer(&[self.form.name("count")]).filter(|count| *count != 0))
            .unwrap_or(1);
        let (kind, name) = (
            self.text(object, "involvedObject", &["kind"]).to_lowercase(),
            self.text(object, "involvedObject", &["name"]),
        );
        let target = if name.is_empty() { kind } else { format!("{kind}/{name}") };
        let component = match self.text(object, "source", &["component"]) {
            "" => self.text(object, "reportingComponent", &[]),
            component => component,
        };
        let host = match self.text(object, "source", &["host"]) {
            "" => object.text(&["reportingInstance"]).unwrap_or_default(),
            host => host,
        };
        let source = if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") };
        vec![
            table::age(last, now).into(),
            object.text(&["type"]).unwrap_or_default().into(),
            object.text(&["reason"]).unwrap_or_default().into(),
            target.into(),
            self.text(object, "involvedObject", &["fieldPath"]).into(),
            source.into(),
            self.text(object, "message", &[]).trim().into(),
            table::age(first, now).into(),
            count.into(),
            object.name().unwrap_or_default().into(),
        ]
    }
}

impl Event {
    fn validate_always(&self, object: &Object, errors: &mut Errors) {
        let (namespace, involved) =
            (object.namespace().unwrap_or_default(), self.text(object, "involvedObject", &["namespace"]));
        let new_style = object.text(&["eventTime"]).and_then(time::parse).is_some();
        let agrees = match (new_style, involved) {
            (false, "") => namespace == "default",
            (true, "") => namespace == "default" || namespace == "kube-system",
            (false, involved) => involved == namespace,
            (true, _) => true,
        };
        if !agrees {
            errors.invalid(&Path::new("involvedObject.namespace"), involved, "does not match event.namespace");
        }
        if !new_style {
            return;
        }
        let controller = self.text(object, "reportingComponent", &[]);
        let path = Path::new("reportingController");
        if controller.is_empty() {
            errors.required(&path, "");
        }
        for message in names::qualified_name(controller) {
            errors.invalid(&path, controller, &message);
        }
        for (member, limit, required) in
            [("reportingInstance", 128, true), ("action", 128, true), ("reason", 128, true), ("message", 1024, false)]
        {
            let text = self.text(object, member, &[]);
            if required && text.is_empty() {
                errors.required(&Path::new(member), "");
            }
            if text.len() > limit {
                errors.invalid(&Path::new(member), "", &format!("can have at most {limit} characters"));
            }
        }
    }
}

fn validate_series(object: &Object, errors: &mut Errors) {
    if object.at(&["series"]).is_none() {
        return;
    }
    if object.integer(&["series", "count"]).unwrap_or(0) < 2 {
        errors.invalid(&Path::new("series.count"), "", "should be at least 2");
    }
    if object.text(&["series", "lastObservedTime"]).is_none() {
        errors.required(&Path::new("series.lastObservedTime"), "");
    }
}

fn rename(
    map: &mut Map<String, Value>,
    direction: impl Fn((&'static str, &'static str)) -> (&'static str, &'static str),
) {
    for pair in RENAMED {
        let (from, to) = direction(pair);
        if let Some(value) = map.remove(from) {
            map.insert(to.into(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::kinds::testing::{self, context, create, create_errors};

    fn row() -> std::sync::Arc<crate::Resource> {
        testing::row("", "events")
    }

    fn events_row() -> std::sync::Arc<crate::Resource> {
        testing::row("events.k8s.io", "events")
    }

    #[test]
    fn an_old_event_must_agree_with_its_namespace() {
        assert_eq!(
            create_errors(&row(), json!({ "involvedObject": { "namespace": "other" } })),
            ["involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"]
        );
        assert!(create_errors(&row(), json!({ "involvedObject": { "kind": "Node" } })).is_empty());
    }

    #[test]
    fn the_new_group_is_strict() {
        assert_eq!(
            create_errors(&events_row(), json!({ "regarding": { "kind": "Node" }, "deprecatedCount": 2 })),
            [
                "eventTime: Required value",
                "type: Invalid value: \"\": has invalid value: ",
                "count: Invalid value: \"\": needs to be unset",
            ]
        );
    }

    #[test]
    fn both_groups_are_one_store() {
        let event = create(
            &events_row(),
            json!({
                "regarding": { "kind": "Pod", "name": "p", "namespace": "default" }, "note": "hello", "reason": "Why", "type": "Normal",
                "action": "Did", "reportingController": "a.b/c", "reportingInstance": "i", "eventTime": "2026-08-01T09:59:00.000000Z",
            }),
        );
        let mut stored = event.clone();
        events_row().strategy.to_stored(&mut stored);
        assert_eq!(stored.text(&["message"]), Some("hello"));
        assert_eq!(stored.api_version(), Some("v1"));
        assert_eq!(
            row().strategy.cells(&stored, context().now),
            [
                json!("60s"),
                json!("Normal"),
                json!("Why"),
                json!("pod/p"),
                json!(""),
                json!("a.b/c, i"),
                json!("hello"),
                json!("60s"),
                json!(1),
                json!("a"),
            ]
        );
        assert_eq!(row().strategy.cells(&stored, context().now), events_row().strategy.cells(&event, context().now));
        let mut back = stored;
        events_row().strategy.to_served(&mut back);
        assert_eq!(back, event);
    }
}
