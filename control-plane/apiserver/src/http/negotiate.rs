//! Which form an answer takes, from the `Accept` header, and which form a body has, from `Content-Type`.

use apiserver_core::Status;
use apiserver_core::decode::Format;
use apiserver_core::protobuf::MEDIA_TYPE;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE};

/// Media types of objects, in answers as 406 lists them and in bodies as 415 does.
pub(crate) const SUPPORTED: [&str; 3] = ["application/json", "application/yaml", MEDIA_TYPE];

/// Media types of watches, as 406 lists them.
pub(crate) const STREAMED: [&str; 2] =
    ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// How a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// Text, which the core reads as it is.
    Text(Format),
    /// Protobuf, which is turned into JSON first.
    Protobuf,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Protobuf.
    Protobuf,
}

impl Encoding {
    /// The media type of an object.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => MEDIA_TYPE,
        }
    }
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
    pub(crate) encoding: Encoding,
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
        Self { encoding: Encoding::Json, transform: Transform::None, gzip: false, pretty: false };
}

/// One entry of an `Accept` header.
pub(crate) struct Accepted<'a> {
    /// The media type without its parameters; may have wildcards.
    pub(crate) media_type: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: u32,
}

/// The entries of an `Accept` header, best first: by quality, then the exact before those with wildcards, then as they came.
pub(crate) fn parse_accept(header: &str) -> Vec<Accepted<'_>> {
    let mut entries: Vec<Accepted<'_>> = header
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let media_type = parts.next().filter(|media_type| !media_type.is_empty())?;
            let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let quality = parameters
                .iter()
                .find(|(key, _)| *key == "q")
                .map_or(1000, |(_, value)| (value.parse::<f32>().unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u32);
            Some(Accepted { media_type, parameters, quality })
        })
        .filter(|entry| entry.quality > 0)
        .collect();
    entries.sort_by_key(|entry| (std::cmp::Reverse(entry.quality), entry.media_type.matches('*').count()));
    entries
}

/// All `Accept` headers as one.
pub(crate) fn accept(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

impl Accepted<'_> {
    fn encoding(&self) -> Option<Encoding> {
        match self.media_type {
            "application/json" | "*/*" | "application/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            MEDIA_TYPE => Some(Encoding::Protobuf),
            _ => None,
        }
    }

    /// A parameter of the media type.
    pub(crate) fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| *one == key).map(|(_, value)| *value)
    }

    /// What `as`, `g` and `v` ask for; `None` if we do not make it.
    fn transform(&self, allowed: Allowed, encoding: Encoding) -> Option<Transform> {
        let Some(kind) = self.parameter("as") else { return Some(Transform::None) };
        let beta = match (allowed, self.parameter("g")?, self.parameter("v")?) {
            (Allowed::Objects, "meta.k8s.io", "v1") => false,
            (Allowed::Objects, "meta.k8s.io", "v1beta1") => true,
            (Allowed::Objects | Allowed::Plain, _, _) => return None,
        };
        match kind {
            // Cells are of any type, which protobuf has no message for.
            "Table" if encoding != Encoding::Protobuf => Some(Transform::Table { beta }),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Transform::Metadata { beta }),
            _ => None,
        }
    }

    /// Whether the stream asked for, if one is, is one we make.
    fn streams(&self, encoding: Encoding) -> bool {
        match self.parameter("stream") {
            None | Some("") => true,
            Some(kind) => kind == "watch" && encoding != Encoding::Yaml,
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
    let (gzip, pretty) = (takes_gzip(headers), is_for_people(headers, query));
    let header = accept(headers);
    if header.trim().is_empty() {
        return Ok(Negotiated { gzip, pretty, ..Negotiated::PLAIN });
    }
    for entry in parse_accept(&header) {
        let Some(encoding) = entry.encoding() else { continue };
        if let Some(transform) = entry.transform(allowed, encoding)
            && entry.streams(encoding)
        {
            let pretty = pretty || entry.parameter("pretty") == Some("1");
            return Ok(Negotiated { encoding, transform, gzip, pretty });
        }
    }
    Err(Status::not_acceptable(&SUPPORTED))
}

/// The encoding of the aggregated form of discovery, if the client prefers that to the plain one.
pub(crate) fn aggregated(headers: &HeaderMap) -> Option<Encoding> {
    for entry in parse_accept(&accept(headers)) {
        let Some(encoding) = entry.encoding() else { continue };
        match (entry.parameter("as"), entry.parameter("g"), entry.parameter("v")) {
            (None, _, _) => return None,
            (Some("APIGroupDiscoveryList"), Some("apidiscovery.k8s.io"), Some("v2")) => return Some(encoding),
            _ => {}
        }
    }
    None
}

/// Whether the client takes gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|value| {
        let mut parts = value.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Whether JSON is to be indented: as the query says, else for people at a terminal or with a browser.
fn is_for_people(headers: &HeaderMap, query: &[(String, String)]) -> bool {
    match super::query::first(query, "pretty") {
        Some(value) if !value.is_empty() => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        Some(_) | None => {
            headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).is_some_and(|agent| {
                agent.starts_with("curl") || agent.starts_with("Wget") || agent.starts_with("Mozilla/5.0")
            })
        }
    }
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
        Some(_) => Err(Status::unsupported_media_type(&SUPPORTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> Result<(Encoding, Transform), u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        let form = answer(&headers, &[], Allowed::Objects);
        form.map(|form| (form.encoding, form.transform)).map_err(|status| status.code)
    }

    #[test]
    fn the_first_form_we_can_make_is_taken() {
        use Encoding::{Json, Protobuf, Yaml};
        let table = Transform::Table { beta: false };
        let metadata = Transform::Metadata { beta: false };
        for (value, wanted) in [
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Ok((Json, table)),
            ),
            ("application/vnd.kubernetes.protobuf,application/json", Ok((Protobuf, Transform::None))),
            ("application/vnd.kubernetes.protobuf;q=0.5,application/json", Ok((Json, Transform::None))),
            ("application/json;q=0.1, application/yaml", Ok((Yaml, Transform::None))),
            ("*/*,application/yaml", Ok((Yaml, Transform::None))),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Ok((Json, Transform::None))),
            ("application/vnd.kubernetes.protobuf;stream=watch", Ok((Protobuf, Transform::None))),
            ("application/yaml;stream=watch", Err(406)),
            ("application/vnd.kubernetes.protobuf;stream=mail,application/json", Ok((Json, Transform::None))),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                Ok((Protobuf, metadata)),
            ),
            // A Table has no protobuf form.
            ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", Err(406)),
            (
                "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/yaml;as=Table;g=meta.k8s.io;v=v1",
                Ok((Yaml, table)),
            ),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", Err(406)),
            ("application/json;as=Table;v=v1", Err(406)),
            ("application/json;q=0", Err(406)),
            ("application/cbor", Err(406)),
        ] {
            assert_eq!(accepts(value), wanted, "{value}");
        }
    }

    #[test]
    fn indentation_is_asked_for_or_for_people() {
        let pretty = |agent: &str, query: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::USER_AGENT, agent.parse().unwrap());
            let query: Vec<_> = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            answer(&headers, &query, Allowed::Objects).unwrap().pretty
        };
        assert!(pretty("curl/8", &[]));
        assert!(!pretty("curl/8", &[("pretty", "0")]));
        assert!(!pretty("curl/8", &[("pretty", "yes")]));
        assert!(pretty("kubectl", &[("pretty", "true")]));
        assert!(!pretty("kubectl", &[("pretty", "")]));
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
            aggregated(&headers)
        };
        assert_eq!(
            wants("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"),
            Some(Encoding::Json)
        );
        assert_eq!(
            wants(
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            ),
            Some(Encoding::Protobuf)
        );
        assert_eq!(wants("application/json"), None);
        assert_eq!(wants("*/*"), None);
    }
}
