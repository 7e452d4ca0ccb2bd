//! The errors a client sees: `metav1.Status`, one constructor per situation, in upstream's words.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::field::Errors;
use crate::resource::Resource;

/// Why a request failed, as a machine reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing known: the empty reason.
    Unknown,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 409 on create
    AlreadyExists,
    /// 409 on update
    Conflict,
    /// 410 of a thing
    Gone,
    /// 422
    Invalid,
    /// 504, the operation could not be done in time; try again
    ServerTimeout,
    /// 504, the request took too long
    Timeout,
    /// 429
    TooManyRequests,
    /// 400
    BadRequest,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 500
    InternalError,
    /// 410 of a resource version or continue token
    Expired,
    /// 503
    ServiceUnavailable,
}

impl Reason {
    /// The `reason` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Invalid => "Invalid",
            Self::ServerTimeout => "ServerTimeout",
            Self::Timeout => "Timeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::BadRequest => "BadRequest",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::InternalError => "InternalError",
            Self::Expired => "Expired",
            Self::ServiceUnavailable => "ServiceUnavailable",
        }
    }
}

/// One cause among a status's details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `NamespaceTerminating`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// The field, where the cause is about one; may be empty.
    pub field: String,
}

/// What a status is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Name of the object.
    pub name: String,
    /// API group.
    pub group: String,
    /// Kind or, for most reasons, the plural resource name: upstream mixes both and clients know.
    pub kind: String,
    /// Uid of the object.
    pub uid: String,
    /// Causes, one per field for `Invalid`.
    pub causes: Vec<Cause>,
    /// When to come back; 0 for never said. The HTTP layer copies it into `Retry-After`.
    pub retry_after_seconds: u32,
}

/// A failure, complete as the client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// HTTP status code.
    pub code: u16,
    /// Machine-readable reason.
    pub reason: Reason,
    /// For people.
    pub message: String,
    /// What it is about; boxed because most are read only when written to the wire.
    pub details: Option<Box<Details>>,
    /// `metadata.continue` of a 410 to a paged list.
    pub continue_token: Option<String>,
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

impl Status {
    fn new(code: u16, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, continue_token: None }
    }

    fn about(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        let details = self.details.get_or_insert_default();
        details.causes.push(Cause { reason: reason.into(), message: message.into(), field: field.into() });
        self
    }

    /// 404: no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::not_found_named(&resource.group, &resource.plural, name)
    }

    /// 404 where only names are at hand.
    pub fn not_found_named(group: &str, plural: &str, name: &str) -> Self {
        Self::new(404, Reason::NotFound, format!("{} {name:?} not found", qualified(plural, group))).about(Details {
            name: name.into(),
            group: group.into(),
            kind: plural.into(),
            ..Details::default()
        })
    }

    /// 404 of a path that leads nowhere.
    pub fn no_such_path() -> Self {
        Self::new(404, Reason::NotFound, "the server could not find the requested resource").about(Details::default())
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let what = qualified(&resource.plural, &resource.group);
        Self::new(409, Reason::AlreadyExists, format!("{what} {name:?} already exists")).about(resource.details(name))
    }

    /// 409: no free name was found for a `generateName` prefix.
    pub fn generate_name_conflict(resource: &Resource, name: &str) -> Self {
        let what = qualified(&resource.plural, &resource.group);
        let mut status = Self::new(
            409,
            Reason::AlreadyExists,
            format!("{what} {name:?} already exists, the server was not able to generate a unique name for the object"),
        )
        .about(resource.details(name));
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = 1;
        }
        status
    }

    /// 409: `why` is the end of the sentence.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let what = qualified(&resource.plural, &resource.group);
        Self::new(409, Reason::Conflict, format!("Operation cannot be fulfilled on {what} {name:?}: {why}"))
            .about(resource.details(name))
    }

    /// 409: the resource version is not the latest.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 422: fields are wrong.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for error in errors.as_slice() {
            let text = error.to_string();
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [] => "<nil>".to_owned(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let what = qualified(kind, group);
        let causes = errors.as_slice().iter().map(|error| Cause {
            reason: error.fault.reason().into(),
            message: error.body.clone(),
            field: error.path.to_string(),
        });
        Self::new(422, Reason::Invalid, format!("{what} {name:?} is invalid: {list}")).about(Details {
            name: name.into(),
            group: group.into(),
            kind: kind.into(),
            causes: causes.collect(),
            ..Details::default()
        })
    }

    /// 403: `why` is the end of the sentence.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::forbidden_named(&resource.group, &resource.plural, name, why)
    }

    /// 403 where only names are at hand; `plural` and `name` may be empty.
    pub fn forbidden_named(group: &str, plural: &str, name: &str, why: &str) -> Self {
        let what = qualified(plural, group);
        let message = if plural.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} {name:?} is forbidden: {why}")
        };
        Self::new(403, Reason::Forbidden, message).about(Details {
            name: name.into(),
            group: group.into(),
            kind: plural.into(),
            ..Details::default()
        })
    }

    /// 403: the namespace is going away.
    pub fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        Self::forbidden(resource, name, &why).with_cause(
            "NamespaceTerminating",
            &format!("namespace {namespace} is being terminated"),
            "metadata.namespace",
        )
    }

    /// 401: nobody we know.
    pub fn unauthorized() -> Self {
        Self::new(401, Reason::Unauthorized, "Unauthorized")
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, Reason::BadRequest, message)
    }

    /// 405 on a resource.
    pub fn method_not_supported(resource: &Resource, action: &str) -> Self {
        let what = qualified(&resource.plural, &resource.group);
        Self::new(405, Reason::MethodNotAllowed, format!("{action} is not supported on resources of kind {what:?}"))
            .about(Details { group: resource.group.clone(), kind: resource.plural.clone(), ..Details::default() })
    }

    /// 405 on a path.
    pub fn method_not_allowed() -> Self {
        Self::new(405, Reason::MethodNotAllowed, "the server does not allow this method on the requested resource")
            .about(Details::default())
    }

    /// 422: a patch that cannot be applied to the object as it is.
    pub fn rejected_patch() -> Self {
        Self::new(422, Reason::Invalid, "the server rejected our request due to an error in our request")
            .about(Details::default())
    }

    /// 406: none of the accepted media types can be produced.
    pub fn not_acceptable(supported: &[&str]) -> Self {
        Self::new(
            406,
            Reason::NotAcceptable,
            format!("only the following media types are accepted: {}", supported.join(", ")),
        )
    }

    /// 415: the body's media type is not understood.
    pub fn unsupported_media_type(supported: &[&str]) -> Self {
        Self::new(
            415,
            Reason::UnsupportedMediaType,
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                supported.join(", ")
            ),
        )
    }

    /// 413
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, Reason::RequestEntityTooLarge, message)
    }

    /// 410 to a watch or list: history before `oldest` is gone.
    pub fn too_old_resource_version(asked: i64, oldest: i64) -> Self {
        Self::new(410, Reason::Expired, format!("too old resource version: {asked} ({oldest})"))
    }

    /// 410 with a given text.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, Reason::Expired, message)
    }

    /// 410 to a paged list; `token` continues at the newest state instead.
    pub fn continue_expired(token: Option<String>) -> Self {
        let mut status = Self::new(
            410,
            Reason::Expired,
            if token.is_some() {
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list."
            } else {
                "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."
            },
        );
        status.continue_token = token;
        status
    }

    /// 504: the cache has not reached the asked version.
    pub fn too_large_resource_version(asked: u64, current: u64, retry_seconds: u32) -> Self {
        let mut status =
            Self::new(504, Reason::Timeout, format!("Too large resource version: {asked}, current: {current}"))
                .with_cause("ResourceVersionTooLarge", "Too large resource version", "");
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = retry_seconds;
        }
        status
    }

    /// 504: not done in time.
    pub fn timeout(message: &str, retry_seconds: u32) -> Self {
        Self::new(504, Reason::Timeout, format!("Timeout: {message}"))
            .about(Details { retry_after_seconds: retry_seconds, ..Details::default() })
    }

    /// 429
    pub fn too_many_requests(message: impl Into<String>, retry_seconds: u32) -> Self {
        Self::new(429, Reason::TooManyRequests, message)
            .about(Details { retry_after_seconds: retry_seconds, ..Details::default() })
    }

    /// 429: a disruption budget is in the way; `why` says which, and how.
    pub fn disruption_budget(message: &str, why: &str, retry_seconds: u32) -> Self {
        Self::too_many_requests(message, retry_seconds).with_cause("DisruptionBudget", why, "")
    }

    /// 503
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, Reason::ServiceUnavailable, message)
    }

    /// 500: our fault. `message` is shown to the client: no secrets, no file names.
    pub fn internal(message: impl fmt::Display) -> Self {
        let text = message.to_string();
        Self::new(500, Reason::InternalError, format!("Internal error occurred: {text}")).with_cause("", &text, "")
    }

    /// 500 with no reason: how upstream answers errors that have no class of their own.
    pub fn unclassified(message: impl Into<String>) -> Self {
        Self::new(500, Reason::Unknown, message)
    }

    /// The `Status` object.
    pub fn to_value(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = token.clone().into();
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if self.reason != Reason::Unknown {
            status["reason"] = self.reason.as_str().into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.to_value();
        }
        status
    }

    /// The `Status` object that says a deletion is complete.
    pub fn success(resource: &Resource, name: &str, uid: Option<&str>) -> Value {
        let mut details = resource.details(name);
        uid.unwrap_or_default().clone_into(&mut details.uid);
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details.to_value(),
        })
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut map = Map::new();
        for (member, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind), ("uid", &self.uid)] {
            if !text.is_empty() {
                map.insert(member.into(), text.clone().into());
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|cause| {
                let mut one = Map::new();
                for (member, text) in [("reason", &cause.reason), ("message", &cause.message), ("field", &cause.field)]
                {
                    if !text.is_empty() {
                        one.insert(member.into(), text.clone().into());
                    }
                }
                Value::Object(one)
            });
            map.insert("causes".into(), causes.collect());
        }
        if self.retry_after_seconds > 0 {
            map.insert("retryAfterSeconds".into(), self.retry_after_seconds.into());
        }
        Value::Object(map)
    }
}

/// `deployments.apps`, or just the name in the core group.
pub fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
