//! Which form an answer takes, from the `Accept` header, and which form a body has, from `Content-Type`.

use apiserver_core::Status;
use apiserver_core::decode::Format;
use apiserver_core::protobuf::MEDIA_TYPE;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};

/// Media types of objects in answers, as 406 lists them.
pub(crate) const SUPPORTED: [&str; 2] = ["application/json", "application/yaml"];

/// Media types of objects in bodies, as 415 lists them.
pub(crate) const UNDERSTOOD: [&str; 3] = ["application/json", "application/yaml", MEDIA_TYPE];

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// Text, which the core reads as it is.
    Text(Format),
    /// Protobuf, which is turned into JSON first.
    Protobuf,
}

/// What objects are turned into before they are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transform {
    /// Nothing.
    None,
    /// A Table.
    Table {
        /// `meta.k8s.io/v1beta1` instead of `v1`.
        beta: bool,
    },
    /// `PartialObjectMetadata`, or a list of it where the answer is a list.
    Metadata {
        /// `meta.k8s.io/v1beta1` instead of `v1`.
        beta: bool,
    },
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Negotiated {
    /// The encoding.
    pub(crate) format: Format,
    /// What is encoded.
    pub(crate) transform: Transform,
    /// Whether the client takes gzip.
    pub(crate) gzip: bool,
    /// Whether JSON is indented for people.
    pub(crate) pretty: bool,
}

impl Negotiated {
    /// The form of answers that are not negotiated.
    pub(crate) const PLAIN: Self =
        Self { format: Format::Json, transform: Transform::None, gzip: false, pretty: false };
}

/// One entry of an `Accept` header.
struct Accepted<'a> {
    media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: u32,
}

fn parse_accept(header: &str) -> Vec<Accepted<'_>> {
    let mut entries: Vec<Accepted<'_>> = header
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let quality = parameters
                .iter()
                .find(|(key, _)| *key == "q")
                .map_or(1000, |(_, value)| (value.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0) * 1000.0) as u32);
            Some(Accepted { media_type, parameters, quality })
        })
        .collect();
    // Stable: among equals the client's order decides.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.quality));
    entries
}

impl Accepted<'_> {
    fn format(&self) -> Option<Format> {
        match self.media_type {
            "application/json" | "*/*" | "application/*" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            _ => None,
        }
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| *one == key).map(|(_, value)| *value)
    }

    /// What `as`, `g` and `v` ask for; `None` if we do not make it.
    fn transform(&self, allowed: Allowed) -> Option<Transform> {
        let Some(kind) = self.parameter("as") else { return Some(Transform::None) };
        let beta = match (self.parameter("g"), self.parameter("v")) {
            (Some("meta.k8s.io"), Some("v1")) => false,
            (Some("meta.k8s.io"), Some("v1beta1")) => true,
            _ => return None,
        };
        match (kind, allowed) {
            ("Table", Allowed::Objects) => Some(Transform::Table { beta }),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", Allowed::Objects) => {
                Some(Transform::Metadata { beta })
            }
            (_, Allowed::Objects | Allowed::Plain) => None,
        }
    }
}

/// Which transforms an endpoint has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Tables and metadata.
    Objects,
    /// None.
    Plain,
}

/// Chooses the form of the answer.
///
/// # Errors
///
/// 406 if nothing the client accepts can be made.
pub(crate) fn answer(headers: &HeaderMap, query: &[(String, String)], allowed: Allowed) -> Result<Negotiated, Status> {
    let gzip = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| {
            let mut parts = value.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        });
    let pretty = match super::query::first(query, "pretty") {
        Some(value) => !matches!(value, "" | "false" | "0"),
        // Upstream indents for people at a terminal.
        None => headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).is_some_and(|agent| {
            agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0")
        }),
    };
    let header: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let header = header.join(",");
    if header.trim().is_empty() {
        return Ok(Negotiated { format: Format::Json, transform: Transform::None, gzip, pretty });
    }
    for entry in parse_accept(&header) {
        if entry.quality == 0 {
            continue;
        }
        if let (Some(format), Some(transform)) = (entry.format(), entry.transform(allowed)) {
            return Ok(Negotiated { format, transform, gzip, pretty });
        }
    }
    Err(Status::not_acceptable(&SUPPORTED))
}

/// Whether the client prefers the aggregated form of discovery to the plain one.
pub(crate) fn wants_aggregated(headers: &HeaderMap) -> bool {
    let header: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    for entry in parse_accept(&header.join(",")) {
        if entry.media_type != "application/json" && entry.media_type != "*/*" {
            continue;
        }
        match (entry.parameter("as"), entry.parameter("g"), entry.parameter("v")) {
            (None, _, _) => return false,
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => return true,
            _ => {}
        }
    }
    false
}

/// The media type of a body without its parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim())
}

/// The format of an object in a body; JSON when nothing is said.
///
/// # Errors
///
/// 415 for any other type.
pub(crate) fn body(headers: &HeaderMap) -> Result<BodyFormat, Status> {
    match media_type(headers) {
        None | Some("" | "application/json" | "*/*") => Ok(BodyFormat::Text(Format::Json)),
        Some("application/yaml") => Ok(BodyFormat::Text(Format::Yaml)),
        Some(MEDIA_TYPE) => Ok(BodyFormat::Protobuf),
        Some(_) => Err(Status::unsupported_media_type(&UNDERSTOOD)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Result<Negotiated, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        answer(&headers, &[], Allowed::Objects).map_err(|status| status.code)
    }

    #[test]
    fn the_first_form_we_can_make_is_taken() {
        let table = accept(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
        );
        assert_eq!(table.unwrap().transform, Transform::Table { beta: false });
        let protobuf_first = accept("application/vnd.kubernetes.protobuf,application/json").unwrap();
        assert_eq!((protobuf_first.format, protobuf_first.transform), (Format::Json, Transform::None));
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), Err(406));
        assert_eq!(accept("application/json;as=Table;v=v9;g=meta.k8s.io"), Err(406));
        assert_eq!(accept("text/html,application/xhtml+xml,*/*;q=0.8").unwrap().format, Format::Json);
        assert_eq!(accept("application/json;q=0.1, application/yaml").unwrap().format, Format::Yaml);
        let metadata = accept(
            "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        );
        assert_eq!(metadata.unwrap().transform, Transform::Metadata { beta: false });
    }

    #[test]
    fn bodies_are_json_yaml_or_protobuf() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            body(&headers).map_err(|status| status.code)
        };
        assert_eq!(read("application/json; charset=utf-8"), Ok(BodyFormat::Text(Format::Json)));
        assert_eq!(read("application/yaml"), Ok(BodyFormat::Text(Format::Yaml)));
        assert_eq!(read("application/vnd.kubernetes.protobuf"), Ok(BodyFormat::Protobuf));
        assert_eq!(read("application/cbor"), Err(415));
        assert_eq!(body(&HeaderMap::new()).map_err(|status| status.code), Ok(BodyFormat::Text(Format::Json)));
    }

    #[test]
    fn aggregated_discovery_is_taken_only_when_asked_for_first() {
        let wants = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, value.parse().unwrap());
            wants_aggregated(&headers)
        };
        assert!(wants("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"));
        assert!(wants(
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        ));
        assert!(!wants("application/json"));
        assert!(!wants("*/*"));
    }
}
