//! The events of one request.
//!
//! ```text
//!   received ─┬──────────────────────────────> complete
//!             ├── started (requests that last) ──┘
//!             └── panicked, at any time: the last one
//! ```

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{AuthenticationMetadata, Event, Level, ResponseStatus, Stage, UserInfo};
use crate::policy::Plan;

/// What is known of a request so far. Each stage gives an event to write, or nothing where the policy leaves it out.
#[derive(Debug, Clone)]
pub struct Trail {
    plan: Plan,
    event: Event,
}

impl Trail {
    /// Of a request that has just come in. Made only where the plan's level is not `None`.
    pub fn new(plan: Plan, event: Event) -> Self {
        Self { plan, event }
    }

    /// The plan: whether bodies are wanted, and how.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Whether the body that was sent is written.
    pub fn wants_request(&self) -> bool {
        self.plan.level >= Level::Request
    }

    /// Whether the body that is answered is written.
    pub fn wants_response(&self) -> bool {
        self.plan.level >= Level::RequestResponse
    }

    /// The request came in.
    #[must_use]
    pub fn received(&mut self) -> Option<&Event> {
        let time = self.event.request_received_timestamp;
        self.at(Stage::RequestReceived, time)
    }

    /// Notes as whom the user acts, and under which constraint, if that has a name.
    pub fn impersonated(&mut self, user: UserInfo, constraint: &str) {
        self.event.impersonated_user = Some(user);
        self.event.authentication_metadata = (!constraint.is_empty())
            .then(|| AuthenticationMetadata { impersonation_constraint: constraint.to_owned() });
    }

    /// Notes what a part of the server has to say. What was said first stays.
    pub fn annotate(&mut self, key: &str, value: &str) {
        self.event.annotations.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Completes what the request is about from an object that was sent, whatever the level.
    pub fn name_object(&mut self, object: &Value) {
        let reference = self.event.object_ref.get_or_insert_default();
        let metadata = &object["metadata"];
        for (target, member) in [
            (&mut reference.namespace, "namespace"),
            (&mut reference.name, "name"),
            (&mut reference.uid, "uid"),
            (&mut reference.resource_version, "resourceVersion"),
        ] {
            if target.is_empty() {
                metadata[member].as_str().unwrap_or_default().clone_into(target);
            }
        }
    }

    /// Notes the body that was sent, if it is wanted.
    pub fn request_object(&mut self, body: Arc<RawValue>) {
        if self.wants_request() {
            self.event.request_object = Some(body);
        }
    }

    /// Notes the body that is answered, if it is wanted.
    pub fn response_object(&mut self, body: Arc<RawValue>) {
        if self.wants_response() {
            self.event.response_object = Some(body);
        }
    }

    /// Notes an answer of kind Status.
    pub fn response_status(&mut self, status: ResponseStatus) {
        self.event.response_status = Some(status);
    }

    /// The headers of the answer went out. Gives an event only for a request that lasts.
    #[must_use]
    pub fn started(&mut self, code: u16, lasts: bool, now: Timestamp) -> Option<&Event> {
        self.event.response_status.get_or_insert_default().code = code;
        if lasts { self.at(Stage::ResponseStarted, now) } else { None }
    }

    /// The answer is complete. Without an answer the connection was closed early.
    #[must_use]
    pub fn complete(&mut self, now: Timestamp) -> Option<&Event> {
        self.event.response_status.get_or_insert_with(|| ResponseStatus {
            status: "Success".to_owned(),
            message: "Connection closed early".to_owned(),
            code: 200,
            ..ResponseStatus::default()
        });
        self.at(Stage::ResponseComplete, now)
    }

    /// The handler broke, and said this.
    #[must_use]
    pub fn panicked(&mut self, reason: &str, now: Timestamp) -> Option<&Event> {
        self.event.response_status = Some(ResponseStatus {
            status: "Failure".to_owned(),
            message: format!("APIServer panic'd: {reason}"),
            reason: "InternalError".to_owned(),
            code: 500,
            ..ResponseStatus::default()
        });
        self.at(Stage::Panic, now)
    }

    fn at(&mut self, stage: Stage, time: Timestamp) -> Option<&Event> {
        if self.plan.level == Level::None || self.plan.omit_stages.contains(stage) {
            return None;
        }
        self.event.stage = stage;
        self.event.stage_timestamp = time;
        Some(&self.event)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::tests::{at, raw, sample};
    use crate::policy::{Attributes, Policy};

    fn trail(level: &str, omit: &[&str]) -> Trail {
        let policy = json!({
            "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": level, "omitStages": omit}],
        });
        let policy = Policy::read(&policy.to_string()).expect("a good policy");
        let request = Attributes { user: "u", groups: &[], verb: "get", resource: None, path: "/" };
        Trail::new(policy.plan(&request), sample())
    }

    #[test]
    fn a_request_that_lasts_has_three_events() {
        let mut trail = trail("Metadata", &[]);
        let first = trail.received().expect("an event").clone();
        assert_eq!((first.stage, first.stage_timestamp), (Stage::RequestReceived, first.request_received_timestamp));
        let now = at("2026-01-02T03:04:06Z");
        let second = trail.started(200, true, now).expect("an event").clone();
        assert_eq!((second.stage, second.stage_timestamp), (Stage::ResponseStarted, now));
        let third = trail.complete(now).expect("an event");
        assert_eq!(
            (third.stage, third.response_status.as_ref().map(|status| status.code)),
            (Stage::ResponseComplete, Some(200))
        );
        assert_eq!(third.audit_id, first.audit_id);
    }

    #[test]
    fn stages_are_left_out_as_the_policy_says() {
        let now = at("2026-01-02T03:04:06Z");
        let mut short = trail("Metadata", &["RequestReceived"]);
        assert!(
            short.received().is_none() && short.started(200, false, now).is_none() && short.complete(now).is_some()
        );
        let mut silent = trail("Metadata", &["ResponseComplete", "ResponseStarted", "Panic"]);
        assert!(silent.received().is_some() && silent.started(200, true, now).is_none());
        assert!(silent.complete(now).is_none() && silent.panicked("x", now).is_none());
        let mut none = trail("None", &[]);
        assert!(none.received().is_none() && none.complete(now).is_none());
    }

    #[test]
    fn bodies_are_noted_by_level() {
        for (level, request, response) in
            [("Metadata", false, false), ("Request", true, false), ("RequestResponse", true, true)]
        {
            let mut trail = trail(level, &[]);
            assert_eq!((trail.wants_request(), trail.wants_response()), (request, response), "{level}");
            trail.request_object(raw(&json!({"a": 1})));
            trail.response_object(raw(&json!({"b": 1})));
            let event = trail.complete(at("2026-01-02T03:04:06Z")).expect("an event");
            assert_eq!(
                (event.request_object.is_some(), event.response_object.is_some()),
                (request, response),
                "{level}"
            );
        }
    }

    #[test]
    fn what_becomes_known_is_added() {
        let mut trail = trail("Metadata", &[]);
        trail.annotate("k", "first");
        trail.annotate("k", "second");
        trail.impersonated(UserInfo { username: "v".into(), ..UserInfo::default() }, "impersonate:user-info");
        trail.name_object(&json!({"metadata": {"name": "s", "uid": "1", "namespace": "n"}}));
        trail.name_object(&json!({"metadata": {"name": "other", "resourceVersion": "7"}}));
        let event: Value = serde_json::from_slice(&trail.received().expect("an event").to_json()).unwrap();
        assert_eq!(event["annotations"], json!({"k": "first"}));
        assert_eq!(event["impersonatedUser"], json!({"username": "v"}));
        assert_eq!(event["authenticationMetadata"], json!({"impersonationConstraint": "impersonate:user-info"}));
        assert_eq!(event["objectRef"], json!({"namespace": "n", "name": "s", "uid": "1", "resourceVersion": "7"}));
    }

    #[test]
    fn the_end_is_told_apart() {
        let now = at("2026-01-02T03:04:06Z");
        let status = |event: Option<&Event>| event.and_then(|event| event.response_status.clone()).expect("a status");
        let early = status(trail("Metadata", &[]).complete(now));
        assert_eq!(
            (early.message.as_str(), early.status.as_str(), early.code),
            ("Connection closed early", "Success", 200)
        );
        let broken = status(trail("Metadata", &[]).panicked("index", now));
        assert_eq!(
            (broken.message.as_str(), broken.reason.as_str(), broken.code),
            ("APIServer panic'd: index", "InternalError", 500)
        );
        let mut refused = trail("Metadata", &[]);
        refused.response_status(ResponseStatus {
            status: "Failure".into(),
            reason: "Forbidden".into(),
            ..ResponseStatus::default()
        });
        assert!(refused.started(403, false, now).is_none());
        let refused = status(refused.complete(now));
        assert_eq!((refused.reason.as_str(), refused.code), ("Forbidden", 403));
    }
}
