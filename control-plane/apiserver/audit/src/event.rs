//! One event, as `audit.k8s.io/v1` writes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// How much is written, from nothing to everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who asked for what, when, and how it went.
    Metadata,
    /// And what was sent.
    Request,
    /// And what was answered.
    RequestResponse,
}

/// When in the life of a request an event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It came in.
    RequestReceived,
    /// The headers of the answer went out, and the rest takes long.
    ResponseStarted,
    /// The answer went out.
    ResponseComplete,
    /// Something broke.
    Panic,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserInfo {
    /// The name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// The uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// More.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// The plural.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// The namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// The version of the group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// The version of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// The subresource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subresource: String,
}

/// How a request went: of an answer of kind Status these members, else the code alone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseStatus {
    /// `Success` or `Failure`.
    pub status: String,
    /// For a reader.
    pub message: String,
    /// For a program.
    pub reason: String,
    /// More.
    pub details: Option<Value>,
    /// The code of HTTP.
    pub code: u16,
}

impl Serialize for ResponseStatus {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut out = out.serialize_struct("Status", 6)?;
        out.serialize_field("metadata", &BTreeMap::<(), ()>::new())?;
        for (name, text) in [("status", &self.status), ("message", &self.message), ("reason", &self.reason)] {
            if !text.is_empty() {
                out.serialize_field(name, text)?;
            }
        }
        if let Some(details) = &self.details {
            out.serialize_field("details", details)?;
        }
        if self.code != 0 {
            out.serialize_field("code", &self.code)?;
        }
        out.end()
    }
}

/// How the user became another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthenticationMetadata {
    pub(crate) impersonation_constraint: String,
}

/// An event. Bodies are JSON that is written as it stands, and shared.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    kind: Fixed,
    #[serde(rename = "apiVersion")]
    version: Fixed,
    /// By how much was written.
    pub level: Level,
    /// The value of the header `Audit-ID`: the same for all events of a request.
    #[serde(rename = "auditID")]
    pub audit_id: String,
    /// When in the life of the request.
    pub stage: Stage,
    /// Path and query as the client sent them.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// The verb; of a request that is about no resource the method in lower case.
    pub verb: String,
    /// Who asked.
    pub user: UserInfo,
    /// As whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impersonated_user: Option<UserInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authentication_metadata: Option<AuthenticationMetadata>,
    /// From where: see [`source_addresses`](crate::source_addresses).
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
    /// With which program.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// About what; nothing if it is no resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<ObjectReference>,
    /// How it went.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_status: Option<ResponseStatus>,
    /// What was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object: Option<Arc<RawValue>>,
    /// What was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_object: Option<Arc<RawValue>>,
    /// When it came in.
    #[serde(serialize_with = "micro_time")]
    pub request_received_timestamp: Timestamp,
    /// When this stage was reached.
    #[serde(serialize_with = "micro_time")]
    pub stage_timestamp: Timestamp,
    /// What the server's parts have to say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Members that are the same in every event.
#[derive(Debug, Clone, Copy, Serialize)]
enum Fixed {
    Event,
    #[serde(rename = "audit.k8s.io/v1")]
    Version,
}

/// Longest name of a client that is written whole.
const AGENT: usize = 1024;

impl Event {
    /// The event of a request that has just come in, at `now`.
    pub fn new(level: Level, audit_id: String, verb: String, request_uri: String, now: Timestamp) -> Self {
        Self {
            kind: Fixed::Event,
            version: Fixed::Version,
            level,
            audit_id,
            stage: Stage::RequestReceived,
            request_uri,
            verb,
            user: UserInfo::default(),
            impersonated_user: None,
            authentication_metadata: None,
            source_ips: Vec::new(),
            user_agent: String::new(),
            object_ref: None,
            response_status: None,
            request_object: None,
            response_object: None,
            request_received_timestamp: now,
            stage_timestamp: now,
            annotations: BTreeMap::new(),
        }
    }

    /// Sets the name of the client, cut if it is too long.
    pub fn set_user_agent(&mut self, agent: &str) {
        self.user_agent = match agent.get(..agent.floor_char_boundary(AGENT)) {
            Some(start) if agent.len() > AGENT => format!("{start}...TRUNCATED"),
            Some(_) | None => agent.to_owned(),
        };
    }

    /// The event on one line, without the line's end.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// With six digits after the second, as all times of the audit log.
fn micro_time<S: Serializer>(time: &Timestamp, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    pub(crate) fn sample() -> Event {
        let uri = "/api/v1/namespaces/n/secrets/s".to_owned();
        let mut event = Event::new(Level::Metadata, "id-1".into(), "get".into(), uri, at("2026-01-02T03:04:05.67Z"));
        event.user = UserInfo { username: "u".into(), groups: vec!["g".into(), "h".into()], ..UserInfo::default() };
        event.source_ips = vec!["192.0.2.1".into()];
        event
    }

    pub(crate) fn raw(value: &Value) -> Arc<RawValue> {
        Arc::from(RawValue::from_string(value.to_string()).expect("JSON"))
    }

    #[test]
    fn members_are_written_as_upstream_writes_them() {
        let mut event = sample();
        assert_eq!(
            String::from_utf8(event.to_json()).unwrap(),
            "{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"level\":\"Metadata\",\"auditID\":\"id-1\",\
             \"stage\":\"RequestReceived\",\"requestURI\":\"/api/v1/namespaces/n/secrets/s\",\"verb\":\"get\",\
             \"user\":{\"username\":\"u\",\"groups\":[\"g\",\"h\"]},\"sourceIPs\":[\"192.0.2.1\"],\
             \"requestReceivedTimestamp\":\"2026-01-02T03:04:05.670000Z\",\"stageTimestamp\":\"2026-01-02T03:04:05.670000Z\"}"
        );
        event.object_ref = Some(ObjectReference {
            resource: "secrets".into(),
            namespace: "n".into(),
            name: "s".into(),
            api_version: "v1".into(),
            ..ObjectReference::default()
        });
        event.response_status = Some(ResponseStatus { code: 200, ..ResponseStatus::default() });
        event.request_object = Some(raw(&json!({"b": 1, "a": 2})));
        event.annotations.insert("k".into(), "v".into());
        let read: Value = serde_json::from_slice(&event.to_json()).unwrap();
        assert_eq!(
            read["objectRef"],
            json!({"resource": "secrets", "namespace": "n", "name": "s", "apiVersion": "v1"})
        );
        assert_eq!(read["responseStatus"], json!({"metadata": {}, "code": 200}));
        assert_eq!((&read["requestObject"]["b"], &read["annotations"]), (&json!(1), &json!({"k": "v"})));
        assert_eq!(read.get("responseObject"), None);
    }

    #[test]
    fn names_of_clients_are_cut() {
        let mut event = sample();
        event.set_user_agent(&"a".repeat(1024));
        assert_eq!(event.user_agent.len(), 1024);
        event.set_user_agent(&format!("{}é", "a".repeat(1023)));
        assert_eq!(event.user_agent, format!("{}...TRUNCATED", "a".repeat(1023)));
    }
}
