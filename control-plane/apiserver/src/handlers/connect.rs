//! Connections to containers and to what is proxied: decided as far as the objects tell, then refused, because nothing here speaks
//! to kubelets and into the network of pods.

use std::sync::Arc;

use admission::Operation;
use apiserver_core::connect::{self, Destination, Proxied};
use apiserver_core::{Object, Resource, Status};
use http::StatusCode;

use crate::admission::{Admitted, Wishes};
use crate::app::App;
use crate::call::Call;
use crate::http::respond::{self, Answer};
use crate::writes::Writer;

/// Answers a request for a connection.
pub(super) async fn connect(app: &Arc<App>, call: &Call) -> Result<Answer, Status> {
    let (row, subresource, id) = (&call.row, call.subresource().unwrap_or_default(), call.target.name.as_str());
    // Reading a log is no connection to admission.
    if let Some(kind) = row.subresource(subresource).map(|one| one.kind.as_str()).filter(|_| subresource != "log") {
        let mut options = connect::options(kind, &call.query, &call.target.rest);
        let admitted = Admitted { call, wishes: Wishes::Connect };
        admitted.mutate(app, Operation::Connect, &mut options, None).await?;
        admitted.validate(app, Operation::Connect, Some(&options), None).await?;
    }
    let destination = match (row.plural.as_str(), subresource) {
        ("pods", "proxy") => {
            let proxied = Proxied::parse("pod", id)?;
            connect::to_pod(&present(app, call, row, proxied.name).await?, &proxied)?
        }
        ("services", _) => {
            let proxied = Proxied::parse("service", id)?;
            let service = present(app, call, row, proxied.name).await?;
            let endpoints = match app.core_row("endpoints") {
                Some(row) => find(app, call, row, proxied.name).await?,
                None => None,
            };
            connect::to_service(&service, endpoints.as_ref(), &proxied)?
        }
        ("nodes", _) => {
            let proxied = Proxied::parse("node", id)?;
            connect::to_node(&present(app, call, row, proxied.name).await?, &proxied)?
        }
        (_, _) => {
            let destination = connect::to_container(&present(app, call, row, id).await?, subresource, &call.query)?;
            if let (Destination::Container { node, .. }, Some(nodes)) = (&destination, app.core_row("nodes")) {
                present(app, call, nodes, node).await?;
            }
            destination
        }
    };
    match destination {
        Destination::Nothing => Ok(respond::text(StatusCode::NO_CONTENT, "")),
        Destination::Container { node, .. } => Err(unreachable(&format!("the kubelet of node {node:?}"))),
        Destination::Address { ip, port } => Err(unreachable(&format!("{ip} (port {port:?})"))),
    }
}

fn unreachable(what: &str) -> Status {
    Status::service_unavailable(format!("error dialing backend: this server has no way to {what}"))
}

async fn find(app: &App, call: &Call, row: &Arc<Resource>, name: &str) -> Result<Option<Object>, Status> {
    let writer = Writer { app, row, user: &call.user, dry_run: true, manager: None, admitted: None };
    let namespace = call.namespace().filter(|_| row.is_namespaced());
    Ok(writer.live(&row.key(namespace, name), "get").await?.map(|current| current.object))
}

async fn present(app: &App, call: &Call, row: &Arc<Resource>, name: &str) -> Result<Object, Status> {
    find(app, call, row, name).await?.ok_or_else(|| Status::not_found(row, name))
}
