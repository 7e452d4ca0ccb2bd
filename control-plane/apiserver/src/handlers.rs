//! What is done for a request on a resource, by verb and subresource.

mod apply;
mod bind;
mod components;
mod connect;
mod evict;
mod list;
pub(crate) mod paths;
mod read;
mod remove;
mod review;
mod watch;
mod write;
mod zpages;

use std::sync::Arc;

use apiserver_core::resource::Verb;
use apiserver_core::{Object, Status, protobuf};
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::cache::{CachedObject, served};
use crate::call::Call;
use crate::http::negotiate::{Encoding, Transform};
use crate::http::query;
use crate::http::respond::{self, Answer};

/// Answers a call.
pub(crate) async fn serve(app: &Arc<App>, call: &Call, verb: Verb) -> Result<Answer, Status> {
    let (row, target) = (&call.row, &call.target);
    let connects = row.connects(&target.subresource);
    if row.deprecation.is_some() {
        app.metrics.asked_for_deprecated(row, &target.subresource);
    }
    if (!target.rest.is_empty() && !connects)
        || (!row.is_namespaced() && row.plural != "namespaces" && !target.namespace.is_empty())
    {
        return Err(Status::no_such_path());
    }
    let collection = target.name.is_empty();
    let across = row.is_namespaced() && target.namespace.is_empty();
    // Namespaced objects are reached only through their namespace; lists and watches may look across.
    if across && !(collection && matches!(verb, Verb::List | Verb::Watch | Verb::Create)) {
        return Err(if collection { Status::method_not_allowed() } else { Status::no_such_path() });
    }
    match call.subresource() {
        None if !row.allows(verb) => return Err(Status::method_not_allowed()),
        None => {}
        Some(name) => match row.subresource(name) {
            None => return Err(Status::no_such_path()),
            Some(subresource) if !subresource.verbs.contains(&verb) => return Err(Status::method_not_allowed()),
            Some(_) => {}
        },
    }
    if connects {
        return connect::connect(app, call).await;
    }
    if !row.stored && matches!(verb, Verb::Get | Verb::List) {
        return components::serve(app, call).await;
    }
    match (verb, call.subresource()) {
        (Verb::Get, _) => read::get(app, call).await,
        (Verb::List, _) => list::list(app, call).await,
        (Verb::Watch, _) => watch::watch(app, call).await,
        (Verb::Create, Some("binding")) => bind::bind(app, call).await,
        (Verb::Create, Some("eviction")) => evict::evict(app, call).await,
        (Verb::Create, None) if collection && !across && row.plural == "bindings" => {
            bind::bind_by_name(app, call).await
        }
        (Verb::Create, None) if collection && !row.stored => review::answer(call).await,
        (Verb::Create, None) if collection && !across => write::create(app, call).await,
        (Verb::Create, _) => Err(Status::method_not_allowed()),
        (Verb::Update, _) => write::update(app, call).await,
        (Verb::Patch, _) if apply::is_wanted(call) => apply::apply(app, call).await,
        (Verb::Patch, _) => write::patch(app, call).await,
        (Verb::Delete, _) => remove::delete(app, call).await,
        (Verb::DeleteCollection, _) => remove::delete_collection(app, call).await,
    }
}

/// Sends one object, encoded in JSON, in the form the client asked for.
fn object(call: &Call, code: StatusCode, json: Bytes) -> Result<Answer, Status> {
    let tree = || Object::from_stored(&json).map_err(Status::internal);
    if call.is_scale() {
        let scale = apiserver_core::scale::of(&tree()?).to_bytes();
        return Ok(respond::json(code, call.definition(), scale.into(), call.form));
    }
    Ok(match call.form.transform {
        Transform::None => respond::json(code, call.definition(), json, call.form),
        Transform::Table { beta } => {
            let object = tree()?;
            let mut metadata = Map::new();
            if let Some(version) = object.resource_version() {
                metadata.insert("resourceVersion".to_owned(), version.into());
            }
            respond::value(code, "", &table(call, &metadata, &[object], true, beta)?, call.form)
        }
        Transform::Metadata { beta } => {
            let partial = partial(crate::cache::metadata(&json), beta);
            respond::json(code, protobuf::PARTIAL, partial.into(), call.form)
        }
    })
}

/// Sends one cached object in the form the client asked for.
fn cached_object(call: &Call, object: &CachedObject) -> Result<Answer, Status> {
    let row = &call.row;
    if call.form.encoding != Encoding::Protobuf || row.strategy.is_converted() || call.is_scale() {
        return self::object(call, StatusCode::OK, served(row, object.json.clone()).map_err(Status::internal)?);
    }
    let message = object.message(&row.schema);
    let bytes = match call.form.transform {
        Transform::None | Transform::Table { .. } => protobuf::wrap(&row.api_version(), &row.kind, &message),
        Transform::Metadata { beta } => {
            let metadata = &message[..protobuf::metadata_length(&message)];
            protobuf::wrap(meta_version(beta), "PartialObjectMetadata", metadata)
        }
    };
    Ok(respond::encoded(StatusCode::OK, Encoding::Protobuf, bytes.into(), call.form))
}

/// A Table of objects.
fn table(
    call: &Call,
    metadata: &Map<String, Value>,
    objects: &[Object],
    with_columns: bool,
    beta: bool,
) -> Result<Value, Status> {
    let include = apiserver_core::options::IncludeObject::parse(&call.query)?;
    let now = jiff::Timestamp::now();
    Ok(in_version(apiserver_core::table::table(&call.row, metadata, objects, include, with_columns, now), beta))
}

/// The version of `meta.k8s.io` the client asked for.
fn meta_version(beta: bool) -> &'static str {
    if beta { "meta.k8s.io/v1beta1" } else { "meta.k8s.io/v1" }
}

/// `PartialObjectMetadata` in JSON around metadata that is written already.
fn partial(metadata: &[u8], beta: bool) -> Vec<u8> {
    let version = meta_version(beta);
    let head = format!("{{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"{version}\",\"metadata\":");
    [head.as_bytes(), metadata, b"}"].concat()
}

/// Puts the version of `meta.k8s.io` the client asked for, into the rows' objects too.
fn in_version(mut value: Value, beta: bool) -> Value {
    if !beta {
        return value;
    }
    value["apiVersion"] = meta_version(beta).into();
    for rows in ["rows", "items"] {
        for row in value.get_mut(rows).and_then(Value::as_array_mut).into_iter().flatten() {
            let object = if rows == "rows" { row.get_mut("object") } else { Some(row) };
            if let Some(object) = object
                && object.get("kind").and_then(Value::as_str) == Some("PartialObjectMetadata")
            {
                object["apiVersion"] = meta_version(beta).into();
            }
        }
    }
    value
}

/// `metadata` of a list.
fn list_metadata(revision: i64, token: Option<String>, remaining: Option<i64>) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert("resourceVersion".to_owned(), revision.to_string().into());
    if let Some(token) = token {
        metadata.insert("continue".to_owned(), token.into());
    }
    if let Some(remaining) = remaining {
        metadata.insert("remainingItemCount".to_owned(), json!(remaining));
    }
    metadata
}

/// The parameters of the query with a field selector on the name added, for old watch paths that name one object.
fn with_name(call: &Call) -> Vec<(String, String)> {
    let mut parameters = call.query.clone();
    if call.target.name.is_empty() || call.subresource().is_some() {
        return parameters;
    }
    let wanted = format!("metadata.name={}", call.target.name);
    let selector = match query::first(&parameters, "fieldSelector") {
        Some(given) if !given.is_empty() => format!("{given},{wanted}"),
        Some(_) | None => wanted,
    };
    parameters.retain(|(key, _)| key != "fieldSelector");
    parameters.push(("fieldSelector".to_owned(), selector));
    parameters
}
