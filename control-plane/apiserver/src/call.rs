//! One request on a resource, as handlers see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use apiserver_core::decode::Format;
use apiserver_core::names::manager_of_agent;
use apiserver_core::options::WriteOptions;
use apiserver_core::user::User;
use apiserver_core::{Resource, Status, protobuf, scale};
use bytes::Bytes;
use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::authentication::Remarks;
use crate::http::body;
use crate::http::negotiate::{self, BodyFormat, Negotiated};
use crate::limits::Held;
use crate::request_info::ResourceRequest;

/// A request that is authenticated, authorized and names a row.
pub(crate) struct Call {
    /// The row.
    pub(crate) row: Arc<Resource>,
    /// The path, taken apart.
    pub(crate) target: ResourceRequest,
    /// Who asks.
    pub(crate) user: User,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The query, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// The form of the answer.
    pub(crate) form: Negotiated,
    body: Mutex<Option<Incoming>>,
    upgrade: Mutex<Option<OnUpgrade>>,
    held: Mutex<Option<Held>>,
    warnings: Mutex<Vec<String>>,
    annotations: Mutex<BTreeMap<String, String>>,
}

impl Call {
    /// A call whose body has not been read.
    pub(crate) fn new(
        row: Arc<Resource>,
        target: ResourceRequest,
        user: User,
        mut parts: Parts,
        query: Vec<(String, String)>,
        form: Negotiated,
        body: Incoming,
    ) -> Self {
        let said = parts.extensions.remove::<Remarks>().map_or_else(Vec::new, |remarks| remarks.0);
        let warnings = row.deprecation.iter().cloned().chain(said).collect();
        Self {
            row,
            target,
            user,
            upgrade: Mutex::new(parts.extensions.remove()),
            headers: parts.headers,
            query,
            form,
            body: Mutex::new(Some(body)),
            held: Mutex::new(None),
            warnings: Mutex::new(warnings),
            annotations: Mutex::default(),
        }
    }

    /// The namespace of the path, for rows that have namespaces.
    pub(crate) fn namespace(&self) -> Option<&str> {
        let namespace = self.target.namespace.as_str();
        (self.row.is_namespaced() && !namespace.is_empty()).then_some(namespace)
    }

    /// The subresource of the path.
    pub(crate) fn subresource(&self) -> Option<&str> {
        Some(self.target.subresource.as_str()).filter(|subresource| !subresource.is_empty())
    }

    /// The key of the object the path names.
    pub(crate) fn key(&self) -> String {
        self.row.key(self.namespace(), &self.target.name)
    }

    /// Reads the body. It is there once; a second time it is empty.
    pub(crate) async fn body(&self) -> Result<Bytes, Status> {
        let incoming = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        match incoming {
            Some(incoming) => body::read(&self.headers, incoming).await,
            None => Ok(Bytes::new()),
        }
    }

    /// The connection, to speak another protocol on it once it is answered. It is there once, and on HTTP/1.1 only.
    pub(crate) fn upgrade(&self) -> Option<OnUpgrade> {
        self.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same call, with what lets it be served.
    pub(crate) fn holding(mut self, held: Option<Held>) -> Self {
        self.held = Mutex::new(held);
        self
    }

    /// What lets the call be served, for who serves it longer than the call lives. It is there once.
    pub(crate) fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Reads an object of the given definition from the body: as text the core can decode, and which text that is.
    pub(crate) async fn text(&self, definition: &str) -> Result<(Format, Bytes), Status> {
        let format = negotiate::body(&self.headers)?;
        let body = self.body().await?;
        match format {
            BodyFormat::Text(format) => Ok((format, body)),
            BodyFormat::Protobuf if body.is_empty() => Ok((Format::Json, body)),
            BodyFormat::Protobuf => Ok((Format::Json, protobuf::to_json(definition, &body)?.into())),
        }
    }

    /// The definition of the body's kind: the row's own, or that of the subresource.
    pub(crate) fn definition(&self) -> &str {
        let subresource = self.subresource().and_then(|name| self.row.subresource(name));
        subresource.map_or(&self.row.schema, |subresource| &subresource.schema)
    }

    /// Whether the path names the scale of a set.
    pub(crate) fn is_scale(&self) -> bool {
        let subresource = self.subresource().and_then(|name| self.row.subresource(name));
        subresource.is_some_and(|subresource| subresource.kind == scale::KIND)
    }

    /// Who comes to own the fields this request writes: who it says, or the program it comes from.
    pub(crate) fn manager(&self, options: &WriteOptions) -> String {
        options.field_manager.clone().unwrap_or_else(|| {
            let agent = self.headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
            manager_of_agent(agent.unwrap_or_default())
        })
    }

    /// Says something to the client besides the answer.
    pub(crate) fn warn(&self, warnings: impl IntoIterator<Item = String>) {
        let mut said = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        for warning in warnings {
            if !said.contains(&warning) {
                said.push(warning);
            }
        }
    }

    /// Says something to the audit log.
    pub(crate) fn annotate(&self, annotations: BTreeMap<String, String>) {
        self.annotations.lock().unwrap_or_else(PoisonError::into_inner).extend(annotations);
    }

    /// Everything said so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.warnings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
