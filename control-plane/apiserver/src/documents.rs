//! Discovery and schemas: documents derived from the rows once, kept encoded with their hashes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use apiserver_core::{Registry, discovery, openapi, protobuf};
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha512};

use crate::health;

/// An encoded document.
#[derive(Debug)]
pub(crate) struct Document {
    /// The JSON.
    pub(crate) json: Bytes,
    /// Hash of the JSON in capital hexadecimal digits; the `ETag`, in quotes, and the hash in URLs.
    pub(crate) hash: String,
    /// What it is.
    kind: Kind,
    protobuf: OnceLock<Encoded>,
}

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An object, by its definition.
    Object(&'static str),
    /// The v2 schema.
    Swagger,
    /// A v3 schema, or the index of those, which has no protobuf form.
    OpenApi,
}

/// A document in another form.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// Their hash, as that of the JSON.
    pub(crate) hash: String,
}

/// A hash as an `ETag` carries it.
fn hash(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().fold(String::with_capacity(128), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

impl Document {
    fn new(kind: Kind, value: &Value) -> Self {
        let json = Bytes::from(value.to_string());
        Self { hash: hash(&json), json, kind, protobuf: OnceLock::new() }
    }

    /// The document in protobuf; made when it is first asked for.
    pub(crate) fn protobuf(&self) -> Bytes {
        self.protobuf_hashed().bytes.clone()
    }

    /// The same with its own hash.
    pub(crate) fn protobuf_hashed(&self) -> &Encoded {
        self.protobuf.get_or_init(|| {
            let tree: Value = serde_json::from_slice(&self.json).unwrap_or_default();
            let bytes = match self.kind {
                Kind::Swagger => openapi::v2_protobuf(&tree),
                Kind::OpenApi => openapi::v3_protobuf(&tree),
                Kind::Object(definition) => protobuf::object(definition, &tree),
            };
            Encoded { hash: hash(&bytes), bytes: bytes.into() }
        })
    }

    /// Definition of the document's kind; empty if it is no object.
    pub(crate) fn definition(&self) -> &'static str {
        match self.kind {
            Kind::Object(definition) => definition,
            Kind::Swagger | Kind::OpenApi => "",
        }
    }
}

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// `/api`
    Versions,
    /// `/apis`
    Groups,
    /// `/apis/<group>`
    Group(String),
    /// `/api/v1` and `/apis/<group>/<version>`
    Resources(String, String),
    /// `/api`, aggregated
    AggregatedCore,
    /// `/apis`, aggregated
    AggregatedGroups,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/<name>`
    OpenApi(String),
    /// `/openapi/v2`
    Swagger,
}

impl Name {
    fn kind(&self) -> Kind {
        match self {
            Self::Versions => Kind::Object("io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions"),
            Self::Groups => Kind::Object("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList"),
            Self::Group(_) => Kind::Object("io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup"),
            Self::Resources(_, _) => Kind::Object("io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList"),
            Self::AggregatedCore | Self::AggregatedGroups => Kind::Object(protobuf::AGGREGATED),
            Self::OpenApiIndex | Self::OpenApi(_) => Kind::OpenApi,
            Self::Swagger => Kind::Swagger,
        }
    }
}

/// The documents of one registry.
pub(crate) struct Documents {
    registry: Registry,
    /// Where clients reach this server, `host:port`.
    address: String,
    made: Mutex<BTreeMap<Name, Arc<Document>>>,
}

impl Documents {
    /// Documents are made when they are first asked for, so that the start does not wait for schemas.
    pub(crate) fn new(registry: Registry, advertise: IpAddr, port: u16) -> Self {
        let address = std::net::SocketAddr::new(advertise, port).to_string();
        Self { registry, address, made: Mutex::default() }
    }

    /// The document of that name; `None` if the registry has none.
    pub(crate) fn get(&self, name: &Name) -> Option<Arc<Document>> {
        if let Some(made) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Some(Arc::clone(made));
        }
        // Made outside the lock: two at once make the same, and only one stays.
        let document = Arc::new(Document::new(name.kind(), &self.make(name)?));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(made.entry(name.clone()).or_insert(document)))
    }

    fn make(&self, name: &Name) -> Option<Value> {
        let registry = &self.registry;
        Some(match name {
            Name::Versions => discovery::api_versions(&self.address),
            Name::Groups => discovery::api_group_list(registry),
            Name::Group(group) => discovery::api_group(registry, group)?,
            Name::Resources(group, version) => discovery::api_resource_list(registry, group, version)?,
            Name::AggregatedCore => discovery::aggregated_core(registry),
            Name::AggregatedGroups => discovery::aggregated_groups(registry),
            Name::OpenApiIndex => openapi::v3_index(registry, |name| {
                self.get(&Name::OpenApi(name.to_owned())).map(|document| document.hash.clone()).unwrap_or_default()
            }),
            Name::OpenApi(name) => openapi::v3_document(registry, name)?,
            Name::Swagger => openapi::v2_document(registry),
        })
    }

    /// Paths of the root index.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = ["/api", "/api/v1", "/apis"].map(str::to_owned).into();
        for (group, versions) in self.registry.groups() {
            if group.is_empty() {
                continue;
            }
            paths.push(format!("/apis/{group}"));
            paths.extend(versions.iter().map(|version| format!("/apis/{group}/{version}")));
        }
        let own = ["/flagz", "/metrics", "/metrics/slis", "/openapi/v2", "/openapi/v3", "/statusz", "/version"];
        paths.extend(own.map(str::to_owned));
        paths.extend(self.registry.groups().into_iter().flat_map(|(group, versions)| {
            let root = if group.is_empty() { "api".to_owned() } else { format!("apis/{group}") };
            versions.into_iter().map(move |version| format!("/openapi/v3/{root}/{version}"))
        }));
        paths.extend(health::paths());
        paths.sort_unstable();
        paths
    }
}
